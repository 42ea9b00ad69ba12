"""Baselines on several series, and on a training window that slides."""

import joblib
import numpy as np
import pandas as pd
import pytest

from forecastlab.baselines import (
    ARIMA,
    Climatology,
    GradientBoosting,
    Persistence,
    ResidualRegression,
    Ridge,
    climatology,
)
from forecastlab.evaluation.scores import evaluate, metrics_of
from tests.series import Series, noise, panel

BASELINES = {
    "Persistence": Persistence,
    "Climatology": lambda: Climatology(window=2),
    "Ridge": lambda: Ridge(lags=2),
    "GradientBoosting": lambda: GradientBoosting(lags=2, max_trees=5),
    "ARIMA": lambda: ARIMA((1, 0, 0)),
    "ResidualRegression": lambda: ResidualRegression(Persistence(), lags=2),
}
every = pytest.mark.parametrize("name", BASELINES)


def module(raw, **arguments):
    settings = {"lookback": 2, "splits": 2, "fold": 2, "test_size": 20, **arguments}
    return Series(raw, recipe={"series": "id"}, **settings)


def several():
    """Series of noise of unequal span, on 100 rows: 80 train."""
    parts = [(0, 100), (10, 95), (30, 100)]
    return pd.concat(
        noise(100, seed).iloc[first:stop].assign(id=f"s{seed}") for seed, (first, stop) in enumerate(parts)
    )


@pytest.mark.parametrize("name", sorted(set(BASELINES) - {"ResidualRegression"}))
def test_every_series_is_forecast_as_if_it_were_alone(name):
    raw = several()
    together = evaluate(BASELINES[name](), module(raw, horizon=3)).predictions
    for series, own in raw.groupby("id"):
        alone = evaluate(
            BASELINES[name](), module(own, horizon=3, splits=2, test_size=None, cutoffs=["2020-02-20", "2020-03-21"])
        ).predictions
        found = together[together["unique_id"] == series].reset_index(drop=True)
        pd.testing.assert_frame_equal(found, alone.reset_index(drop=True), rtol=1e-6)


@pytest.mark.parametrize("name", BASELINES)
def test_figures_alone_are_those_of_the_table(name):
    data = module(several(), horizon=3)
    expected = evaluate(BASELINES[name](), data).metrics
    assert metrics_of(BASELINES[name](), data) == pytest.approx(expected, rel=1e-12)


def test_the_climatology_of_hours_is_that_of_each_series_however_many_are_computed_at_once(monkeypatch):
    parts = [(0, 24 * 6), (30, 24 * 6), (7, 24 * 6 - 5)]
    hours = pd.date_range("2021-12-29 05:00", periods=24 * 6, freq="h")
    raw = pd.concat(
        pd.DataFrame({"y": noise(24 * 6, seed)["y"].to_numpy(), "id": f"s{seed}"}, index=hours).iloc[first:stop]
        for seed, (first, stop) in enumerate(parts)
    )

    def hourly(raw, **arguments):
        settings = {"features": ["y"], "recipe": {"series": "id"}, "horizon": 5, "lookback": 2, **arguments}
        return Series(raw, "h", **settings)

    cutoffs = ["2022-01-01 05:00", "2022-01-02 05:00"]
    settings = {"splits": 2, "fold": 2, "test_size": None, "cutoffs": cutoffs}
    whole = evaluate(Climatology(1), hourly(raw, **settings)).predictions
    monkeypatch.setattr(climatology, "_CELLS", 366 * 24)  # one series
    pd.testing.assert_frame_equal(evaluate(Climatology(1), hourly(raw, **settings)).predictions, whole)
    for series, own in raw.groupby("id"):
        alone = evaluate(Climatology(1), hourly(own, **settings)).predictions
        found = whole[whole["unique_id"] == series].reset_index(drop=True)
        pd.testing.assert_frame_equal(found, alone.reset_index(drop=True))


def test_a_series_that_ends_too_early_for_a_forecast_is_left_out_as_it_is_for_the_networks():
    raw = pd.concat([noise(100).assign(id="whole"), noise(100).iloc[:82].assign(id="short")])
    data = module(raw, horizon=4)
    assert set(evaluate(Persistence(), data).predictions["unique_id"]) == {"whole"}
    data.setup("test")
    assert {number for batch in data.test_dataloader() for number in batch.series.tolist()} == {0}


@every
def test_a_sliding_window_fits_on_the_rows_in_it_alone(name):
    raw = noise(100)
    other = raw.copy()
    other.iloc[:40] = np.random.default_rng(1).normal(5, 20, size=(40, 2))
    fitted = {}
    for train_size in (40, None):
        fitted[train_size] = []
        for each in (raw, other):
            baseline = BASELINES[name]()
            data = Series(each, lookback=2, splits=2, fold=2, test_size=20, train_size=train_size)
            assert data.ranges.train_start == (40 if train_size else 0)
            baseline.fit(data)
            fitted[train_size].append(joblib.hash(vars(baseline)))
    assert fitted[40][0] == fitted[40][1]
    if name != "Persistence":
        assert fitted[None][0] != fitted[None][1]


def test_inputs_of_a_panel_are_taken_from_the_rows_of_the_series():
    data = module(panel(a=(0, 60), b=(20, 60)), test_size=10, horizon=2)
    first, second = data.views()
    ridge = Ridge(lags=2, calendar=())
    np.testing.assert_array_equal(ridge.lags.inputs(first, range(30, 31)).past, [[30, 130, 29, 129]])
    np.testing.assert_array_equal(ridge.lags.inputs(second, range(30, 31)).past, [[1050, 1150, 1049, 1149]])
