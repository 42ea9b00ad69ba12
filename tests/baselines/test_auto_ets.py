import warnings

import numpy as np
import pandas as pd
import pytest
from statsmodels.tsa.exponential_smoothing.ets import ETSModel

from forecastlab.baselines import AutoETS
from forecastlab.errors import ConfigError, FittingNote
from forecastlab.evaluation.scores import evaluate
from tests.series import Series

STOP, ROWS = 60, 84


def values(kind, seed=0):
    rng, t = np.random.default_rng(seed), np.arange(ROWS)
    season = np.tile([1.3, 0.8, 1.0, 0.9], ROWS // 4)
    if kind == "multiplicative":
        return (20 + 0.5 * t) * season * np.exp(0.03 * rng.normal(size=ROWS))
    if kind == "additive":
        return -5 + 0.3 * t + 9 * season + rng.normal(size=ROWS)
    return 10 + rng.normal(size=ROWS).cumsum()


def module(y, names=("a",), **arguments):
    parts = [
        pd.DataFrame({"y": each, "id": name}, index=pd.date_range(end="2020-03-24", periods=len(each)))
        for name, each in zip(names, [y] if np.ndim(y[0]) == 0 else y, strict=True)
    ]
    settings = {"splits": 2, "fold": 2, "test_size": ROWS - STOP, "horizon": 6, "season_length": 4, **arguments}
    return Series(pd.concat(parts), features=["y"], recipe={"series": "id"}, **settings)


@pytest.mark.parametrize("kind", ["multiplicative", "additive", "walk"])
def test_forecasts_are_those_of_statsmodels_with_the_same_parameters_and_all_rows_up_to_the_origin(kind):
    y = values(kind)
    baseline, data = AutoETS(), module(y)
    baseline.fit(data)
    (model,) = baseline.models
    found = baseline.forecast(data, range(STOP - 1, ROWS))[..., 0]
    error, trend, damped, season = model.kind
    assert (season is not None) == (kind != "walk")
    for origin in (STOP - 1, STOP, STOP + 5, ROWS - 1):
        theirs = ETSModel(
            y[: origin + 1] / model.unit,
            error=error,
            trend=trend,
            damped_trend=damped,
            seasonal=season,
            seasonal_periods=4 if season else None,
        )
        known = {
            "smoothing_level": model.alpha,
            "smoothing_trend": model.beta,
            "smoothing_seasonal": model.gamma,
            "damping_trend": model.phi,
            "initial_level": model.level,
            "initial_trend": model.slope,
            **{f"initial_seasonal.{number}": value for number, value in enumerate(reversed(model.seasons))},
        }
        smoothed = theirs.smooth([known[name] for name in theirs.param_names])
        np.testing.assert_allclose(found[origin - STOP + 1], smoothed.forecast(6) * model.unit, rtol=1e-6)


def test_the_model_has_the_lowest_corrected_criterion_of_the_family():
    y = values("multiplicative")
    baseline = AutoETS()
    baseline.fit(module(y))
    criteria = {}
    for error, trend, damped, season in [
        (error, trend, damped, season)
        for error in ("add", "mul")
        for trend, damped in ((None, False), ("add", False), ("add", True))
        for season in (None, "add", "mul")
        if (error, season) != ("add", "mul")
    ]:
        scaled = y[:STOP] / y[:STOP].std()
        periods = 4 if season else None
        model = ETSModel(scaled, error, trend, damped, season, seasonal_periods=periods)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = model.fit(disp=False)
        smoothing = 1 + bool(trend) + damped + bool(season)
        states = 1 + bool(trend) + (3 if season else 0)  # the fourth season follows from the level
        number = smoothing + states + 1  # the variance
        criteria[error, trend, damped, season] = -2 * fitted.llf + 2 * number * STOP / (STOP - number - 1)
    assert baseline.models[0].kind == min(criteria, key=criteria.get)


def test_values_that_are_not_positive_have_no_multiplicative_model():
    baseline = AutoETS()
    baseline.fit(module(values("multiplicative") - 30))
    assert "mul" not in baseline.models[0].kind


def test_series_that_cannot_be_fitted_are_forecast_seasonally_and_counted():
    short = values("walk")[-27:]  # three rows train, fewer than a season has
    data = module([values("walk"), np.full(ROWS, 7.0), short], names=["a", "flat", "short"])
    with pytest.warns(FittingNote, match=r"AutoETS: 2 of 3 fits failed; .* The first is that of y of flat: its train"):
        found = evaluate(AutoETS(), data).predictions
    flat, other = (found[found["unique_id"] == name] for name in ("flat", "short"))
    assert (flat["forecast"] == 7).all()
    first = other[other["cutoff"] == other["cutoff"].min()]["forecast"]
    np.testing.assert_allclose(first, short[[2] * 6], rtol=1e-6)


def test_the_series_of_a_panel_are_fitted_in_processes_as_they_are_alone():
    series = [values("walk", seed) for seed in range(16)]
    names = [f"s{seed:02}" for seed in range(16)]
    data = module(series, names=names, season_length=1)
    found = [evaluate(AutoETS(jobs=jobs), data).predictions["forecast"] for jobs in (1, 2)]
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("arguments", [{"season_length": 0}, {"jobs": 0}])
def test_settings_that_cannot_be_are_refused(arguments):
    with pytest.raises(ConfigError, match="must be a positive number"):
        AutoETS(**arguments)
