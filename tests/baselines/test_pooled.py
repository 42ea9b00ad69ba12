"""Direct regressions that the series of a panel share, against scikit-learn on a design that pandas makes."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge as Reference

from forecastlab.baselines import GradientBoosting, Lasso, LeastAbsolute, Ridge
from forecastlab.baselines.lags import Units
from forecastlab.errors import ConfigError
from forecastlab.evaluation.scores import evaluate
from tests.series import Series, noise

LEVELS = {"a": (0.0, 1.0), "b": (500.0, 30.0), "c": (-20.0, 0.1)}


def raw(rows=None):
    """Series of one law and of unlike level and unit, `rows` of each; their area is a static covariate."""
    rows = {"a": 120, "b": 120, "c": 120} if rows is None else rows
    parts = []
    for seed, (name, (level, unit)) in enumerate(LEVELS.items()):
        each = noise(120, seed)[["y"]].tail(rows[name]) * unit + level
        parts.append(each.assign(id=name, area=float(seed)))
    return pd.concat(parts)


def module(frame, **arguments):
    recipe = {"series": "id", "static": ("area",)}
    settings = {"features": ["y"], "splits": 2, "fold": 2, "test_size": 20, "lookback": 2, **arguments}
    return Series(frame, recipe=recipe, **settings)


def by_hand(frame, alpha):
    """Ridge of one lag, of the static covariate and of a column per series, in units of the training rows."""
    designs, targets, tests, units = [], [], [], []
    for number, (_, own) in enumerate(frame.groupby("id")):
        values, trained = own["y"].to_numpy(), len(own) - 20
        center, scale = values[:trained].mean(), values[:trained].std()
        scaled = (values - center) / scale
        constants = np.tile([own["area"].iloc[0], *np.eye(3)[number]], (len(values), 1))
        design = np.column_stack([scaled, constants])
        designs.append(design[: trained - 1])
        targets.append(scaled[1:trained])
        tests.append(design[trained - 1 : -1])
        units.append((center, scale))
    columns, target = np.concatenate(designs), np.concatenate(targets)
    mean, deviation = columns.mean(0), columns.std(0)
    fitted = Reference(alpha=alpha).fit((columns - mean) / deviation, target)
    return np.concatenate(
        [fitted.predict((test - mean) / deviation) * unit[1] + unit[0] for test, unit in zip(tests, units, strict=True)]
    )


def test_a_pooled_ridge_is_scikit_learns_on_all_series():
    frame = raw()
    ridge = Ridge(lags=1, calendar=(), seasons=(), pooled=True, alphas=[3.0])
    found = evaluate(ridge, module(frame)).predictions.sort_values(["unique_id", "ds"])
    np.testing.assert_allclose(found["forecast"], by_hand(frame, 3.0), rtol=1e-9)


@pytest.mark.parametrize("cls", [Ridge, Lasso, LeastAbsolute, GradientBoosting])
def test_the_unit_of_a_series_scales_its_forecasts_and_changes_no_other(cls):
    frame = raw()
    other = frame.copy()
    other.loc[other["id"] == "b", "y"] *= 1000
    first, second = (evaluate(cls(lags=2, pooled=True), module(each)).predictions for each in (frame, other))
    factor = np.where(first["unique_id"] == "b", 1000, 1)
    np.testing.assert_allclose(second["forecast"], first["forecast"] * factor, rtol=1e-6)


def test_a_short_series_is_forecast_by_what_the_others_teach():
    # 22 rows, of which the last 20 are the test: nothing to fit alone
    frame = raw({"a": 120, "b": 120, "c": 22})
    own = frame[frame["id"] == "c"]["y"]
    pooled = evaluate(Ridge(lags=1, pooled=True), module(frame, lookback=1)).predictions
    assert set(pooled["unique_id"]) == {"a", "b", "c"}
    assert pooled[pooled["unique_id"] == "c"]["forecast"].between(own.min() - 5, own.max() + 5).all()


def test_no_test_row_of_any_series_changes_the_fit():
    frame = raw()
    changed = frame.copy()
    ends = changed.groupby("id").cumcount(ascending=False).to_numpy() < 20
    changed.loc[ends, "y"] += 7
    first, second = (next(iter(Ridge(pooled=True).fit_panel(module(each))))[1] for each in (frame, changed))
    for one, other in zip(first.regressors, second.regressors, strict=True):
        np.testing.assert_array_equal(one[0].weights, other[0].weights)


def test_a_single_series_is_fitted_as_ever():
    one = raw().query("id == 'a'")
    first, second = (evaluate(Ridge(pooled=pooled), module(one)).metrics for pooled in (True, False))
    assert first == second


def test_the_name_says_that_it_is_pooled():
    assert Ridge(pooled=True).name == "ridge (pooled)"
    assert Lasso(lags=3, pooled=True).name == "lasso (pooled, 3 lags)"


def test_monthly_steps_have_a_column_for_each_month():
    effects = np.array([0, 3, -2, 8, 1, -9, 4, 4, -7, 2, 6, -1.0])
    times = pd.date_range("2000-01-01", periods=240, freq="MS")
    errors = np.random.default_rng(0).normal(0, 0.5, 240)
    frame = pd.DataFrame({"y": 100 + effects[times.month - 1] + errors}, index=times)
    data = Series(frame, "MS", features=["y"], splits=2, fold=2, test_size=48, lookback=1)
    assert evaluate(Ridge(), data).metrics["test/rmse"] == pytest.approx(0.5, rel=0.25)


def test_units_come_from_what_was_observed():
    frame = raw()
    gaps = (frame["id"] == "b") & (frame.groupby("id").cumcount().between(30, 89))
    data = module(frame.assign(y=frame["y"].mask(gaps)))
    observed = frame["y"][~gaps & (frame["id"] == "b")][:40]  # 30 rows before the gap and 10 behind it train
    units = Units.of(data.views()[1])
    for found, expected in ((units.center, observed.mean()), (units.scale, observed.std(ddof=0))):
        assert found == pytest.approx([expected], rel=1e-12)


def test_a_constant_series_has_a_unit_of_one_whatever_its_rounding():
    frame = raw()
    data = module(frame.assign(y=frame["y"].mask(frame["id"] == "a", 0.1)))
    assert Units.of(data.views()[0]).scale == [1.0]


def test_a_series_too_short_for_the_season_is_forecast_without_it_and_changes_no_other():
    season = {"season_length": 12, "lookback": 2}
    short = module(raw({"a": 120, "b": 120, "c": 25}), **season)  # c trains on five rows, the season has twelve
    found = evaluate(Ridge(pooled=True), short).predictions.set_index("unique_id")["forecast"]
    for names, seasons in ((["a", "b"], [12]), (["c"], [])):
        fitted = dict(Ridge(pooled=True, seasons=seasons).fit_panel(short))
        views = short.views()
        for name in names:
            number = short.panel.names.index(name)
            rows = len(views[number].table.times)
            expected = fitted[number].forecast(views[number], range(rows - 21, rows - 1))
            np.testing.assert_array_equal(found[name], expected[:, 0, 0])


def test_a_series_that_begins_in_the_test_range_is_refused_by_name():
    with pytest.raises(ConfigError, match="series c has test rows but no training rows in fold 2"):
        evaluate(Ridge(pooled=True), module(raw({"a": 120, "b": 120, "c": 15})))


def test_a_pool_of_many_steps_holds_the_inputs_of_one():
    names, horizon = [f"s{number}" for number in range(4)], 40
    frame = pd.concat([noise(400, seed).assign(id=name) for seed, name in enumerate(names)])
    settings = {"horizon": horizon, "splits": 2, "fold": 2, "test_size": 50, "lookback": 1, "features": ["y"]}
    data = Series(frame, recipe={"series": "id"}, calendar=["day_of_week", "day_of_year"], **settings)
    tracemalloc.start()
    list(Ridge(lags=1, pooled=True, alphas=[1.0]).fit_panel(data))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    known, rows = 4 + 7, 4 * 350
    assert peak < 0.6 * 8 * horizon * known * rows, "the inputs of all steps would take this alone"
