import pytest

from forecastlab.baselines import ARIMA, GradientBoosting, Ridge, SeasonalNaive
from forecastlab.errors import ConfigError
from forecastlab.evaluation.baseline_names import BASELINES, build, build_all, split, usual


def test_every_name_stands_for_a_class_with_working_defaults():
    for name, cls in BASELINES.items():
        assert type(build(name)) is cls


def test_settings_stand_in_brackets_behind_the_name():
    ridge = build("ridge(lags=28, seasons=[7,364])")
    assert isinstance(ridge, Ridge)
    assert (ridge.lags.rows, ridge.lags.seasons, ridge.name) == (28, (7, 364), "ridge (28 lags, season 7, season 364)")
    naive = build("seasonal_naive(season_length=364)")
    assert isinstance(naive, SeasonalNaive)
    assert naive.season_length == 364
    assert build("arima(order=[1,0,0])").name == ARIMA((1, 0, 0)).name
    boosted = build("gradient_boosting(loss=absolute_error,max_trees=7)")
    assert isinstance(boosted, GradientBoosting)
    assert (boosted.loss, boosted.max_trees, boosted.name) == ("absolute_error", 7, "gradient boosting of MAE")


def test_commas_in_brackets_do_not_part_names():
    assert split("ridge(lags=2,seasons=[7,364]), lasso,,persistence") == [
        "ridge(lags=2,seasons=[7,364])",
        "lasso",
        "persistence",
    ]


def test_the_seasonal_naive_is_usual_where_there_are_seasons():
    assert "seasonal_naive" in usual(7)
    assert "seasonal_naive" not in usual(1)
    assert "ridge(pooled=true)" in usual(1, panel=True)
    assert {"persistence", "ridge", "lasso"} <= set(usual(1))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ridg", "unknown baseline 'ridg'; there are persistence, seasonal_naive"),
        ("ridge(lags=28", "unknown baseline"),
        ("ridge(lag=2)", "its settings are lags, calendar, seasons, pooled, alphas"),
        ("ridge(28)", "expected settings such as name=value, got '28'"),
        ("persistence(lags=1)", "it has no settings"),
        ("ridge(lags=many)", "lags: expected int or null, got many"),
        ("ridge(lags=0)", "lags must be a positive number of rows, got 0"),
        ("ridge(lags=[)", "cannot read the value of lags"),
    ],
)
def test_what_cannot_be_is_named(text, words):
    with pytest.raises(ConfigError) as told:
        build(text)
    assert words in str(told.value)


def test_a_baseline_is_named_once():
    with pytest.raises(ConfigError, match=r"ridge\(lags=2\) is named twice"):
        build_all(["ridge(lags=2)", "lasso", "ridge( lags=2 )"])
