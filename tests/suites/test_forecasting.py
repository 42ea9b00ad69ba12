"""Forecasts of test windows against those of a network that is given the rows before each of them alone."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from forecastlab.benchmarks.forecasting import Forecasts
from forecastlab.benchmarks.scores import LEVELS, naive_forecast
from forecastlab.benchmarks.suites import SUITES, AtTheEnd, Sliding, load
from forecastlab.benchmarks.training import Training, config_of
from forecastlab.benchmarks.windows import TestWindows
from forecastlab.losses.quantile import Quantile
from forecastlab.network import factory
from forecastlab.network.network import Network
from tests.network.fitted import fitted
from tests.suites.sets import small_set, small_task

PANEL = {"series_column": "unique_id", "scale_by": "global", "fold_by": "series"}


def network_of(folder, series, rows, **arguments):
    """A network trained on the first rows of each series."""
    folder.mkdir()
    given = {
        "horizon": 4,
        "lookback": 10,
        "fold": "all",
        "val_size": 6,
        **({} if series.together else PANEL),
        **arguments,
    }
    fitted(folder, series.frame(rows), **given)
    return Network.load(folder / "x.ckpt")


def one_by_one(network, series, windows):
    """The point forecasts and the quantiles by `Network.forecast` of the rows before each window."""
    points, quantiles = [], []
    for number, origin in zip(windows.number, windows.origin, strict=True):
        rows = np.where((np.arange(len(series.names)) == number) | series.together, origin, 0)
        frame = series.frame(rows)
        found = network.forecast(frame)
        found = found[found["target"] == (series.names[number] if series.together else "y")]
        points.append(found["forecast"].to_numpy())
        quantiles.append(found)
    return np.stack(points), quantiles


def test_a_window_is_forecast_from_the_rows_before_it(tmp_path):
    series = small_set((60, 45, 52))
    task = small_task(series, 4, AtTheEnd(3))
    network = network_of(tmp_path / "a", series, task.rows_before(series))
    windows = TestWindows.of(task, series)
    forecasts = Forecasts([network], task, series)
    found = forecasts.of(windows)
    expected, _ = one_by_one(network, series, windows)
    assert found.point == pytest.approx(expected)
    assert found.quantiles == pytest.approx(np.repeat(expected[..., None], 9, -1))
    assert forecasts.fallen_back == 0


def test_variables_of_one_system_are_forecast_together(tmp_path):
    series = small_set((60, 60, 60), together=True)
    task = small_task(series, 4, Sliding(30, 40, 60))
    backwards = list(reversed(series.names))
    network = network_of(tmp_path / "a", series, task.rows_before(series), targets=backwards)
    windows = TestWindows.of(task, series)
    expected, _ = one_by_one(network, series, windows)
    assert Forecasts([network], task, series).of(windows).point == pytest.approx(expected)


def test_forecasts_and_quantiles_of_several_seeds_are_averaged(tmp_path):
    series = small_set((60, 45))
    task = small_task(series, 4, AtTheEnd(1))
    loss = partial(Quantile, quantiles=list(LEVELS))
    networks = [network_of(tmp_path / name, series, task.rows_before(series), loss=loss) for name in ("a", "b")]
    windows = TestWindows.of(task, series)
    alone = [Forecasts([network], task, series).of(windows) for network in networks]
    both = Forecasts(networks, task, series).of(windows)
    assert np.abs(alone[0].point - alone[1].point).max() > 1e-3
    assert both.point == pytest.approx((alone[0].point + alone[1].point) / 2)
    assert both.quantiles == pytest.approx((alone[0].quantiles + alone[1].quantiles) / 2)
    _, tables = one_by_one(networks[0], series, windows)
    lowest = np.stack([table["forecast-lo-80"].to_numpy() for table in tables])
    assert alone[0].quantiles[..., 0] == pytest.approx(lowest)
    assert alone[0].quantiles[..., 4] == pytest.approx(alone[0].point)


def test_a_series_that_is_too_short_for_the_network_gets_the_seasonal_naive_and_is_counted(tmp_path):
    series = small_set((60, 45, 13))
    task = small_task(series, 4, AtTheEnd(1), season=7)
    rows = task.rows_before(series)
    long = small_set((60, 45))
    network = network_of(tmp_path / "a", long, rows[:2])
    windows = TestWindows.of(task, series)
    forecasts = Forecasts([network], task, series)
    found, naive = forecasts.of(windows), naive_forecast(task, windows)
    assert forecasts.fallen_back == 1
    assert found.point[2] == pytest.approx(naive.point[2])
    assert np.abs(found.point[:2] - naive.point[:2]).min() > 1e-6


def test_rows_after_an_origin_change_nothing(tmp_path):
    series, changed = small_set((60, 45)), small_set((60, 45))
    for values in changed.values:
        values[-8:] += 1000
    task = small_task(series, 4, AtTheEnd(2))
    network = network_of(tmp_path / "a", series, task.rows_before(series))
    points = []
    for found in (series, changed):
        windows = TestWindows.of(task, found)
        points.append(Forecasts([network], task, found).of(windows).point[:2])
    assert points[0] == pytest.approx(points[1])
    assert pd.notna(points[0]).all()


def described():
    """Every task of every suite; few of them in the quick tests."""
    quick = ("us_births/D/short", "illness/24", "hourly", "m4_weekly/W/short", "monash_m1_quarterly")
    for suite in SUITES.values():
        for name in suite.tasks:
            marks = [pytest.mark.real, *([] if name in quick else [pytest.mark.slow])]
            yield pytest.param(suite.name, name, marks=marks, id=f"{suite.name}:{name}")


@pytest.mark.filterwarnings("ignore::forecastlab.errors.ReadingNote")  # what is said of values of published files
@pytest.mark.parametrize(("suite", "name"), list(described()))
def test_the_rows_that_a_network_reads_of_a_published_task_are_those_of_its_windows(
    suite, name, published_files, tmp_path
):
    task = SUITES[suite].tasks[name]
    series = load(task, published_files)
    (tmp_path / "seed_0").mkdir()
    training = Training(tmp_path / "seed_0", suite, name, 0, "tests.suites.recipes.short", {}, published_files)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(factory, "_ALLOWED", ["tests"])
        module = config_of(training).data_module()
    module.prepare_data()
    network = Network(schema=module.schema)
    network.trained = True
    forecasts, part = Forecasts([network], task, series), next(TestWindows.of(task, series).parts())
    rows, number = forecasts.panel.rows, torch.from_numpy(forecasts.place[part.number])
    first_step = rows.base[number] + torch.from_numpy(forecasts._rows(part)) + 1
    found = rows.target[first_step, torch.from_numpy(forecasts.target[part.number])]
    assert found.numpy() == pytest.approx(part.truth()[:, 0])
    assert module.samples("fit") > 0
    assert module.samples("validation") > 0
