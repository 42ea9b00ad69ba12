"""Test windows and naive forecasts against plain loops."""

import numpy as np
import pytest

from forecastlab.benchmarks.suites import AtTheEnd, Sliding
from forecastlab.benchmarks.windows import TestWindows
from tests.suites.sets import small_set, small_task


@pytest.fixture(params=[0, 3], ids=["whole", "gaps"])
def series(request):
    return small_set(gaps=request.param)


def pairs(windows):
    return list(zip(windows.number.tolist(), windows.origin.tolist(), strict=True))


def test_windows_at_the_end_lie_one_horizon_apart_and_reach_the_last_row():
    series = small_set((40, 31))
    windows = TestWindows.of(small_task(series, 4, AtTheEnd(3)), series)
    assert sorted(pairs(windows)) == [(0, 28), (0, 32), (0, 36), (1, 19), (1, 23), (1, 27)]
    assert windows.truth()[-1] == pytest.approx(series.values[1][27:31])


def test_sliding_windows_have_all_their_targets_among_the_test_rows():
    series = small_set((40, 40), together=True)
    windows = TestWindows.of(small_task(series, 4, Sliding(20, 30, 40)), series)
    assert sorted({origin for _, origin in pairs(windows)}) == [30, 31, 32, 33, 34, 35, 36]
    assert len(windows) == 14


def test_rows_before_the_first_window_hold_no_value_that_is_forecast():
    series = small_set((40, 31))
    for task in (small_task(series, 4, AtTheEnd(3)), small_task(series, 4, Sliding(10, 20, 31))):
        rows = task.rows_before(series)
        windows = TestWindows.of(task, series)
        assert rows.tolist() == [min(o for n, o in pairs(windows) if n == number) for number in range(2)]
        frame = series.frame(rows)
        assert frame.groupby("unique_id", sort=False).size().tolist() == rows.tolist()


def test_parts_are_all_windows_in_order():
    series = small_set()
    windows = TestWindows.of(small_task(series), series)
    parts = [windows.chosen(np.array([0, 1])), windows.chosen(np.arange(2, len(windows)))]
    assert [pair for part in parts for pair in pairs(part)] == pairs(windows)
    assert [pair for part in windows.parts() for pair in pairs(part)] == pairs(windows)


@pytest.mark.parametrize("season", [1, 7, 30])
def test_the_seasonal_error_is_the_mean_change_over_a_season_of_the_rows_before(series, season):
    windows = TestWindows.of(small_task(series), series)
    for found, (number, origin) in zip(windows.seasonal_error(season), pairs(windows), strict=True):
        past = series.values[number][:origin]
        changes = [abs(past[row] - past[row - season]) for row in range(season, origin)]
        finite = [change for change in changes if not np.isnan(change)]
        expected = sum(finite) / len(finite) if finite else np.nan
        assert found == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("season", [1, 7, 30])
def test_the_seasonal_naive_repeats_the_last_season_and_widens_with_each(series, season):
    windows = TestWindows.of(small_task(series, 9), series)
    point, deviation = windows.seasonal_naive(season)
    for place, (number, origin) in enumerate(pairs(windows)):
        past = series.values[number][:origin]
        own = season if origin >= season else 1
        changes = np.array([past[row] - past[row - own] for row in range(own, origin)])
        changes = changes[~np.isnan(changes)]
        one = np.sqrt((changes**2).mean()) if len(changes) else 0.0
        for step in range(9):
            assert point[place, step] == pytest.approx(past[origin - own + step % own], nan_ok=True)
            assert deviation[place, step] == pytest.approx(one * np.sqrt(step // own + 1))


def test_later_rows_change_nothing_before_them():
    series, changed = small_set(), small_set()
    for values in changed.values:
        values[-8:] += 1000
    answers = []
    for found in (series, changed):
        windows = TestWindows.of(small_task(found), found)
        first = windows.chosen(windows.origin == found.lengths[windows.number] - 8)
        answers.append([first.seasonal_error(7), *first.seasonal_naive(7)])
    for before, after in zip(*answers, strict=True):
        assert after == pytest.approx(before)
