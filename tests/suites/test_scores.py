"""Figures against plain loops, and against what the package fev said of the same forecasts."""

import numpy as np
import pytest

from forecastlab.benchmarks.scores import LEVELS, Forecast, Scores, naive_forecast, naive_scores
from forecastlab.benchmarks.suites import SUITES, AtTheEnd, Sliding, load
from forecastlab.benchmarks.windows import TestWindows
from tests.suites.judged_by_fev import skewed
from tests.suites.sets import small_set, small_task

BY_FEV = {
    "monash_m1_quarterly": {"MASE": 2.0186701070171646, "WQL": 0.11075185311711373, "SQL": 1.7741922988066832},
    "monash_tourism_quarterly": {"MASE": 1.5886975610468046, "WQL": 0.09189567596921723, "SQL": 1.3522869388421475},
    "monash_m3_monthly": {"MASE": 1.1720734671244837, "WQL": 0.12780781470357488, "SQL": 1.0401984221438445},
}
"""What `judged_by_fev.py` printed with fev 0.10.0."""
ALL = ("MASE", "WQL", "SQL")


def scored(task, series, change):
    """The figures of the naive forecast after a change, added in parts."""
    scores, windows = Scores(task, series), TestWindows.of(task, series)
    for part in (windows.chosen(np.arange(3)), windows.chosen(np.arange(3, len(windows)))):
        scores.add(part, change(naive_forecast(task, part)))
    return scores.figures()


def random_forecast(generator):
    def change(forecast):
        point = forecast.point + generator.normal(size=forecast.point.shape)
        quantiles = np.sort(point[..., None] + generator.normal(size=(*point.shape, 9)), -1)
        forecasts.append((point, quantiles))
        return Forecast(point, quantiles)

    forecasts = []
    return change, forecasts


@pytest.mark.real
@pytest.mark.parametrize("name", BY_FEV)
def test_figures_are_those_of_fev(name, published_files):
    task = SUITES["chronos-zs"].tasks[name]
    series = load(task, published_files)
    found = scored(task, series, lambda naive: Forecast(*skewed(naive.point)))
    assert found == pytest.approx(BY_FEV[name], rel=1e-9)


@pytest.mark.parametrize("gaps", [0, 4])
def test_figures_follow_their_definitions(gaps):
    series = small_set(gaps=gaps)
    task = small_task(series, figures=("MASE", "WQL", "SQL", "sMAPE"))
    change, forecasts = random_forecast(np.random.default_rng(1))
    found = scored(task, series, change)
    point, quantiles = (np.concatenate(part) for part in zip(*forecasts, strict=True))
    mase, sql, smape, loss, size = [], [], [], 0.0, 0.0
    windows = TestWindows.of(task, series)
    for place, (number, origin) in enumerate(zip(windows.number, windows.origin, strict=True)):
        past = series.values[number][:origin]
        scale = np.nanmean(np.abs(past[7:] - past[:-7]))
        for step in range(task.horizon):
            truth = series.values[number][origin + step]
            if np.isnan(truth):
                continue
            pinballs = [
                2 * max(level * (truth - q), (level - 1) * (truth - q))
                for level, q in zip(LEVELS, quantiles[place, step], strict=True)
            ]
            loss, size = loss + np.mean(pinballs), size + abs(truth)
            sql.append(np.mean(pinballs) / scale)
            if not np.isnan(point[place, step]):
                error = abs(truth - point[place, step])
                mase.append(error / scale)
                smape.append(200 * error / (abs(truth) + abs(point[place, step])))
    if not gaps:
        assert found["WQL"] == pytest.approx(loss / size)
        assert found["SQL"] == pytest.approx(np.mean(sql))
    assert found["MASE"] == pytest.approx(np.mean(mase))
    assert found["sMAPE"] == pytest.approx(np.mean(smape))


def test_a_forecast_of_the_truth_has_no_error():
    series = small_set()
    task = small_task(series)
    scores, windows = Scores(task, series), TestWindows.of(task, series)
    truth = windows.truth()
    scores.add(windows, Forecast(truth, np.repeat(truth[..., None], 9, -1)))
    assert scores.figures() == dict.fromkeys(ALL, 0.0)


def test_a_series_whose_scale_is_0_does_not_count_in_mase():
    constant, others = small_set((30,)), small_set((40, 31))
    constant.values[0][:26] = 7.0
    series = type(others)(
        ["constant", *others.names], [constant.values[0], *others.values], [*constant.starts, *others.starts], "D"
    )
    both, alone = (naive_scores(small_task(found, 4, AtTheEnd(1)), found) for found in (series, others))
    assert both["MASE"] == pytest.approx(alone["MASE"])
    assert both["WQL"] != pytest.approx(alone["WQL"])


def test_errors_of_sliding_windows_are_scaled_by_the_training_rows_of_each_column():
    series = small_set((60, 60), together=True)
    task = small_task(series, 5, Sliding(30, 40, 60), 1, figures=("MSE", "MAE"))
    change, forecasts = random_forecast(np.random.default_rng(2))
    found = scored(task, series, change)
    point = np.concatenate([part for part, _ in forecasts])
    windows, squared, absolute = TestWindows.of(task, series), [], []
    for place, (number, origin) in enumerate(zip(windows.number, windows.origin, strict=True)):
        column = series.values[number]
        mean, deviation = column[:30].mean(), column[:30].std()
        scaled = (column[origin : origin + 5] - mean) / deviation - (point[place] - mean) / deviation
        squared.append((scaled**2).mean())
        absolute.append(np.abs(scaled).mean())
    assert found == pytest.approx({"MSE": np.mean(squared), "MAE": np.mean(absolute)})
