"""Rows that are taken together: those of periods, and those of series."""

import numpy as np
import pandas as pd
import pytest

from forecastlab import Forecaster
from forecastlab.backbones.lstm import LSTM
from forecastlab.data.table_datamodule import TableDataModule
from forecastlab.errors import ConfigError, DataError
from forecastlab.runs.checkpoint_schema import SCHEMA

pytestmark = pytest.mark.filterwarnings("ignore::forecastlab.errors.ReadingNote")


def hours(rows, start="2024-01-01", **columns):
    times = pd.date_range(start, periods=rows, freq="h")
    return pd.DataFrame({"ds": times, "y": np.sin(np.arange(rows) / 5) + np.arange(rows) % 7, **columns})


def module(frame, **settings):
    return TableDataModule(frame, **{"lookback": 2, "test_size": 2, "splits": 2, **settings})


@pytest.mark.parametrize("how", ["mean", "sum", "min", "max", "median", "first", "last"])
@pytest.mark.parametrize("rule", ["6h", "D", "W"])
def test_the_rows_of_a_period_become_one_as_pandas_takes_them_together(rule, how):
    frame = hours(24 * 7 * 12)  # from a Monday to a Sunday
    table = module(frame, resample={"rule": rule, "how": how}).table
    expected = frame.set_index("ds")["y"].resample(rule).agg(how)
    assert table.times.tolist() == expected.index.tolist()
    np.testing.assert_allclose(table.values["y"], expected)


def test_it_is_said_how_many_rows_became_how_many():
    data = module(hours(24 * 30 + 5), resample={"rule": "D", "how": "sum"})
    assert len(data.table.times) == 30
    assert "725 rows became 31, one for each D (sum)" in data.notes
    assert any("the last of 1 is incomplete" in note for note in data.notes)


@pytest.mark.parametrize("how", ["mean", "sum", "last"])
def test_a_first_or_last_period_that_is_incomplete_is_left_out(how):
    frame = hours(24 * 30, start="2024-01-01 03:00")
    table = module(frame, resample={"rule": "D", "how": how}).table
    assert [table.times[0], table.times[-1]] == [pd.Timestamp("2024-01-02"), pd.Timestamp("2024-01-30")]
    assert table.observed["y"].all()


def test_a_period_in_which_targets_end_is_incomplete_though_its_known_rows_go_on():
    frame = hours(24 * 20, price=1.0)
    frame.loc[24 * 15 + 7 :, "y"] = np.nan
    table = module(frame, known=["price"], resample={"rule": "D", "how": "mean"}).table
    assert table.times[-1] == pd.Timestamp("2024-01-15")
    assert table.ahead.index[0] == pd.Timestamp("2024-01-16")
    assert len(table.ahead) == 5


def test_a_sum_that_lacks_a_part_is_missing_and_a_mean_is_of_what_is_there():
    frame = hours(24 * 20).drop(index=[30, 31])
    summed = module(frame, resample={"rule": "D", "how": "sum"}, missing="ffill")
    assert np.flatnonzero(~summed.table.observed["y"]).tolist() == [1]
    averaged = module(frame, resample={"rule": "D"})
    day = frame[frame["ds"].dt.normalize() == "2024-01-02"]["y"]
    assert averaged.table.values["y"].iloc[1] == pytest.approx(day.mean())
    for data in (summed, averaged):
        assert any("1 periods within the series lack values" in note for note in data.notes)


def test_rows_that_follow_no_calendar_do_not_tell_whether_their_last_period_is_complete():
    random = np.random.default_rng(0)
    times = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.sort(random.choice(40 * 86400, 3000, replace=False)), "s")
    data = module(pd.DataFrame({"ds": times, "y": random.normal(size=3000)}), resample={"rule": "D", "how": "sum"})
    assert [data.table.times[0], data.table.times[-1]] == [pd.Timestamp("2024-01-02"), pd.Timestamp("2024-02-08")]
    assert any("may be incomplete" in note for note in data.notes)


def test_business_days_become_complete_weeks():
    frame = hours(300).assign(ds=pd.bdate_range("2024-01-01", periods=300))
    table = module(frame, resample={"rule": "W-FRI", "how": "sum"}).table
    assert len(table.times) == 60
    assert table.values["y"].iloc[0] == pytest.approx(frame["y"][:5].sum())


def test_days_of_summer_time_are_days():
    times = pd.date_range("2024-03-20", periods=24 * 20 - 1, freq="h", tz="Europe/Berlin")
    frame = pd.DataFrame({"ds": times, "y": np.arange(len(times)) % 11.0})
    table = module(frame, resample={"rule": "D", "how": "sum"}).table
    assert len(table.times) == 20
    assert table.observed["y"].all()
    assert table.times[12] == pd.Timestamp("2024-04-01", tz="Europe/Berlin")


def test_what_is_known_in_advance_is_no_sum_and_columns_may_have_ways_of_their_own():
    frame = hours(24 * 20, price=np.repeat(np.arange(20.0), 24))
    data = module(frame, known=["price"], resample={"rule": "D", "how": "sum"})
    assert data.table.values["price"].tolist() == list(range(20))
    ways = {"y": "max", "price": "last"}
    data = module(frame, known=["price"], resample={"rule": "D", "how": ways})
    assert data.table.values["y"].iloc[0] == frame["y"][:24].max()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"rule": "5h"}, "would begin wherever the data do"),
        ({"rule": "7D"}, "would begin wherever the data do"),
        ({"rule": "soon"}, "expected a pandas offset"),
        ({"how": "mean"}, "expected a mapping such as"),
        ({"rule": "D", "how": "total"}, "resample.how must be one of mean, sum"),
        ({"rule": "D", "how": {"x": "sum"}}, "but none for y"),
        ({"rule": "15min"}, "periods of 15min are finer"),
    ],
)
def test_periods_that_cannot_be_made_are_refused(setting, said):
    with pytest.raises((ConfigError, DataError), match=said):
        _ = module(hours(200), resample=setting).tables


def test_counted_rows_have_no_periods():
    with pytest.raises(ConfigError, match="the rows of these data are counted"):
        _ = module(hours(200).drop(columns="ds"), resample={"rule": "D"}).tables


def stores(days=40):
    times = pd.date_range("2024-01-01", periods=days)
    parts = []
    for number, (store, region) in enumerate([("a", "north"), ("b", "north"), ("c", "south")]):
        values = np.arange(days) % 5 + 10.0 * number
        parts.append(pd.DataFrame({"ds": times, "store": store, "region": region, "y": values}))
    return pd.concat(parts, ignore_index=True)


def test_series_are_taken_together_by_a_column():
    data = module(stores(), series_column="store", aggregate={"by": ["region"], "how": "sum"})
    assert [table.name for table in data.tables] == ["north", "south"]
    wave = np.arange(40) % 5
    assert data.tables[0].values["y"].tolist() == (2 * wave + 10.0).tolist()
    assert data.tables[1].values["y"].tolist() == (wave + 20.0).tolist()
    assert any("3 series were taken together by region (sum): 120 rows became 80, of 2 series" in n for n in data.notes)


def test_one_total_is_of_all_series():
    data = module(stores(), series_column="store", aggregate={"by": []}, name="all")
    assert [table.name for table in data.tables] == ["all"]
    assert data.table.values["y"].iloc[0] == 30.0


def test_a_total_that_lacks_a_part_is_missing_but_for_what_has_not_begun():
    frame = stores()
    begun = frame[~((frame["store"] == "b") & (frame["ds"] < "2024-01-06"))]
    data = module(begun, series_column="store", aggregate={"by": ["region"]})
    assert data.tables[0].values["y"].tolist()[:5] == [0, 1, 2, 3, 4]
    late = begun[~((begun["store"] == "b") & (begun["ds"] >= "2024-02-08"))]
    data = module(late, series_column="store", aggregate={"by": ["region"]})
    assert data.tables[0].times[-1] == pd.Timestamp("2024-02-07")
    assert any("some series of a group have no value" in note for note in data.notes)


def test_a_static_covariate_that_differs_within_a_group_is_refused():
    frame = stores().assign(area=lambda frame: frame["store"].map({"a": 1.0, "b": 2.0, "c": 3.0}))
    with pytest.raises(DataError, match="area differs within north"):
        _ = module(frame, series_column="store", static=["area"], aggregate={"by": ["region"]}).tables


def test_a_total_of_one_series_is_refused():
    with pytest.raises(ConfigError, match="series_column"):
        module(hours(50), aggregate={"by": []})


@pytest.fixture
def daily():
    frame = hours(24 * 40)
    data = module(frame, resample={"rule": "D", "how": "sum"})
    model = Forecaster(LSTM, schema=data.schema)
    model.trained = True
    return frame, data, model


def test_later_rows_are_taken_together_in_the_same_way(daily):
    frame, data, model = daily
    SCHEMA(data.schema, "schema")
    days = frame.set_index("ds")["y"].resample("D").sum()
    same = Forecaster(LSTM, schema=module(days.reset_index()).schema)
    same.load_state_dict(model.state_dict())
    same.trained = True
    expected = same.forecast(days.reset_index())
    for rows in (24 * 40, 24 * 40 - 1):  # without its last hour the last day is no origin
        forecast = model.forecast(frame.iloc[:rows])
        assert forecast["ds"].tolist() == [days.index[-1] + pd.Timedelta(days=1 if rows == 24 * 40 else 0)]
    assert model.forecast(frame)["forecast"].tolist() == expected["forecast"].tolist()


def test_a_stream_of_finer_rows_is_refused(daily):
    with pytest.raises(ConfigError, match=r"resample takes several together.*model.forecast"):
        daily[2].stream()
