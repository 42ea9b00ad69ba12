"""The feature that tells how much time has passed since the row before."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch

from forecastlab.batch import ELAPSED
from forecastlab.data.ozone_datamodule import OzoneDataModule
from forecastlab.data.since import since_row_before
from forecastlab.data.table_datamodule import TableDataModule
from forecastlab.errors import ConfigError
from tests.data.test_panel import batches

pytestmark = pytest.mark.filterwarnings("ignore::forecastlab.errors.ReadingNote")


def exchange(start="2024-03-18", days=21, step="2h", zone=None):
    """The times from 9 to 15 on working days by the clocks of a zone; summer time begins on the last of March."""
    times = pd.date_range(f"{start} 01:00", periods=24 * days, freq=step)
    times = times[: len(times) // (2 if step == "2h" else 1)]
    times = times[(times.day_of_week < 5) & (times.hour >= 9) & (times.hour < 16)]
    return times.tz_localize(zone)


def frame(times, **columns):
    return pd.DataFrame({"ds": times, "y": np.sin(np.arange(len(times))), **columns})


def module(given, **arguments):
    return TableDataModule(
        given, **{"frequency": "rows", "elapsed": True, "lookback": 5, "splits": 3, "fold": 2, **arguments}
    )


def elapsed(data):
    """The feature at the series' own rows, in original units."""
    place, rows = data.schema["features"].index(ELAPSED), data.rows
    return [
        rows.features[int(base + first) : int(base + stop), place].numpy()
        for base, first, stop in zip(rows.base, rows.first, rows.stop, strict=True)
    ]


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_it_is_the_time_since_the_row_before_in_hours(zone):
    times = exchange(zone=zone)
    (found,) = elapsed(module(frame(times)))
    expected = [(later - earlier).total_seconds() / 3600 for earlier, later in pairwise(times)]
    assert found.tolist() == [0, *expected]
    weekends = {66, 65} if zone else {66}  # an hour less when the clocks change
    assert set(found.tolist()) == {0, 2, 18} | weekends


def test_a_network_reads_it_in_units_of_the_usual_step_of_the_rows_that_fit_the_scaler():
    early, late = exchange(days=7), exchange("2024-03-25", 14, "1h")
    given = frame(early.append(late))
    for fold, usual in ((1, 2), ("all", 1)):
        data = module(given, splits=2, fold=fold, test_size=len(late) // 2)
        fitting = given["ds"][: data.ranges.fit.stop]
        assert fitting.diff().median() == pd.Timedelta(hours=usual)
        assert (data.scaling.feature_center[0, 1], data.scaling.feature_scale[0, 1]) == (0, usual)


@pytest.mark.parametrize("scaler", ["standard", "minmax", "robust", "none"])
@pytest.mark.parametrize("settings", [{}, {"min_history": 2, "missing": "mask"}, {"calendar": ["hour"]}])
def test_no_scaler_has_another_unit_and_no_other_feature_is_changed(scaler, settings):
    data, without = (module(frame(exchange()), scaler=scaler, elapsed=on, **settings) for on in (True, False))
    names, scaling, expected = data.schema["features"], data.scaling, without.scaling
    place = names.index(ELAPSED)
    assert names[:place] + names[place + 1 :] == without.schema["features"]
    assert (scaling.feature_center[0, place], scaling.feature_scale[0, place]) == (0, 2)
    for name in ("feature_center", "feature_scale"):
        found = getattr(scaling, name)
        assert torch.equal(torch.cat([found[:, :place], found[:, place + 1 :]], -1), getattr(expected, name))


@pytest.mark.parametrize("scale_by", ["global", "series"])
def test_each_series_has_its_own_first_row(scale_by):
    times = exchange()
    both = pd.concat([frame(times, id="long"), frame(times[10:], id="short")])
    data = module(both, series_column="id", scale_by=scale_by, lookback=4, min_history=2)
    long, short = elapsed(data)
    assert long[1:].tolist() == (np.diff(times) / np.timedelta64(1, "h")).tolist()
    assert short.tolist() == [0, *long[11:]]
    assert data.scaling.feature_scale[:, 1].tolist() == [2.0] * (2 if scale_by == "series" else 1)


def test_rows_that_pad_a_window_last_no_time():
    times = exchange(days=3)
    data = module(frame(times), lookback=20, min_history=2, fold="all")
    (batch,) = batches(data, "predict")
    assert batch.history[0, :, -1].tolist() == [1] * (20 - len(times)) + [0] * len(times)
    assert batch.history[0, : 21 - len(times), -2].unique().tolist() == [0]


def test_it_counts_the_days_that_the_ozone_data_leave_out():
    data = OzoneDataModule(elapsed=True)
    (found,) = elapsed(data)
    assert found[1:].tolist() == np.diff(data.table.times.to_numpy()).astype("m8[D]").astype(float).tolist()
    assert sorted(set(found[1:])) == [1, 2, 3, 6]
    assert data.scaling.feature_scale[0, -1] == 1
    assert data.features == OzoneDataModule().features, "baselines have their own inputs"


def test_steps_of_a_calendar_are_counted_and_not_measured():
    months = pd.DatetimeIndex(["2024-01-01", "2024-02-01", "2024-05-01"])
    assert since_row_before(months, "MS", by_rows=False).tolist() == [0, 1, 3]


@pytest.mark.parametrize("settings", [{"frequency": None}, {"frequency": "h"}])
def test_where_it_would_always_be_1_it_is_refused(settings):
    with pytest.raises(ConfigError, match=r"elapsed would be 1 in every row.*frequency: rows"):
        module(frame(exchange()), **settings)
    with pytest.raises(ConfigError, match="elapsed would be 1 in every row"):
        OzoneDataModule(elapsed=True, reindex=True)


def test_a_column_of_that_name_is_refused():
    with pytest.raises(ConfigError, match="elapsed is given twice"):
        module(frame(exchange(), elapsed=1.0), features=["y", "elapsed"])
