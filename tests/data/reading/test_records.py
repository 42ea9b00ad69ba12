"""Records of GluonTS and of Hugging Face datasets."""

import datetime

import numpy as np
import pandas as pd
import pytest

from forecastlab.data.reading.source import read_source
from forecastlab.data.table_datamodule import TableDataModule
from forecastlab.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore::forecastlab.errors.ReadingNote")


class Dataset:
    """What a `datasets.Dataset` and a GluonTS dataset have in common: a length and an iteration."""

    def __init__(self, records):
        self.records = records

    def __len__(self):
        return len(self.records)

    def __iter__(self):
        return iter(self.records)


def frame_of(*records, **settings):
    return read_source(Dataset(records), **settings)[0]


def test_a_record_becomes_a_row_per_time():
    frame = frame_of(
        {"item_id": "a", "start": pd.Period("2024-01", "M"), "target": np.array([1.0, 2.0], np.float32)},
        {"item_id": "b", "start": pd.Period("2024-12", "M"), "target": [3, None, 5]},
    )
    expected = pd.DataFrame(
        {
            "item_id": ["a", "a", "b", "b", "b"],
            "ds": pd.to_datetime(["2024-01-01", "2024-02-01", "2024-12-01", "2025-01-01", "2025-02-01"]),
            "target": [1.0, 2.0, 3.0, np.nan, 5.0],
        }
    )
    pd.testing.assert_frame_equal(frame, expected, check_dtype=False)


@pytest.mark.parametrize(
    ("start", "freq", "times"),
    [
        ("2024-01-01", "1H", ["2024-01-01 00:00", "2024-01-01 01:00"]),
        (pd.Timestamp("2024-01-31"), "M", ["2024-01-31", "2024-02-29"]),
        (pd.Timestamp("2024-01-01"), "M", ["2024-01-01", "2024-02-01"]),
        (datetime.datetime(2024, 4, 1), "Q", ["2024-04-01", "2024-07-01"]),
        (np.datetime64("2024-07-01"), "A", ["2024-07-01", "2025-07-01"]),
        ("2024-01-03", "W", ["2024-01-03", "2024-01-10"]),
        ("2024-01-01 03:15", "15min", ["2024-01-01 03:15", "2024-01-01 03:30"]),
        (pd.Period("2024-01-07", "W-SUN"), None, ["2024-01-01", "2024-01-08"]),
        (pd.Period("2024Q1"), "Q", ["2024-01-01", "2024-04-01"]),
        (np.array("2024-01-01", "datetime64[s]"), "D", ["2024-01-01", "2024-01-02"]),
    ],
)
def test_the_start_is_the_first_time_and_the_freq_leads_on(start, freq, times):
    frame = frame_of({"start": start, "target": [1.0, 2.0], "freq": freq})
    assert frame["ds"].tolist() == [pd.Timestamp(time) for time in times]


def test_the_frequency_is_given_where_records_have_none():
    record = {"start": datetime.datetime(2024, 1, 1), "target": [1.0, 2.0]}
    assert frame_of(record, frequency="2h")["ds"].tolist()[1] == pd.Timestamp("2024-01-01 02:00")
    with pytest.raises(DataError, match=r"record 0 starts at .* has no frequency: give it"):
        frame_of(record)


def test_covariates_become_columns_and_their_future_rows_without_a_target():
    frame = frame_of(
        {
            "start": "2024-01-01",
            "freq": "D",
            "target": [[1.0, 2.0], [3.0, 4.0]],
            "feat_static_cat": [3],
            "feat_static_real": [0.5, 0.25],
            "feat_dynamic_real": [[10.0, 11.0, 12.0]],
            "past_feat_dynamic_real": [[7.0, 8.0]],
        }
    )
    np.testing.assert_equal(frame["target_0"].to_numpy(), [1.0, 2.0, np.nan])
    np.testing.assert_equal(frame["target_1"].to_numpy(), [3.0, 4.0, np.nan])
    assert frame["feat_dynamic_real_0"].tolist() == [10.0, 11.0, 12.0]
    assert frame["past_feat_dynamic_real_0"].isna().tolist() == [False, False, True]
    assert frame["feat_static_cat_0"].tolist() == ["c3"] * 3
    assert frame["feat_static_real_1"].tolist() == [0.25] * 3
    assert frame["ds"].iloc[2] == pd.Timestamp("2024-01-03")


def test_records_without_a_start_count_their_rows():
    data = TableDataModule(
        [{"target": np.arange(40) % 5}, {"target": np.arange(30) % 7}],
        targets=["target"],
        series_column="item_id",
        lookback=3,
        test_size=3,
        splits=2,
    )
    assert [len(table.times) for table in data.tables] == [40, 30]
    assert data.recipe.time_format == "number"


def test_records_of_a_generator_train():
    records = (
        {
            "item_id": name,
            "start": pd.Period("2024-01-01", "D"),
            "target": np.sin(np.arange(50) + n),
            "feat_static_cat": [n],
            "feat_dynamic_real": [np.arange(57.0) % 7],
        }
        for n, name in enumerate("ab")
    )
    data = TableDataModule(
        records,
        targets=["target"],
        series_column="item_id",
        known=["feat_dynamic_real_0"],
        static=["feat_static_cat_0"],
        horizon=7,
        lookback=7,
        test_size=7,
        splits=2,
    )
    assert [table.name for table in data.tables] == ["a", "b"]
    assert [len(table.ahead) for table in data.tables] == [7, 7]
    assert data.schema["static"] == ["feat_static_cat_0=c0", "feat_static_cat_0=c1"]
    assert data.samples("fit") > 0
    assert len(data.frame()) == 114


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([], "there is no record"),
        ([{"start": "2024-01-01"}], "expected a mapping with the fields start and target"),
        ([3, 4], "record 0: expected a mapping"),
        ([{"target": [1.0]}, {"target": [1.0], "start": "2024-01-01"}], "record 1 differs from record 0 in start"),
        ([{"target": ["x"]}], "record 0, target: expected numbers"),
        ([{"target": [[[1.0]]]}], "got shape"),
        ([{"target": [1.0, 2.0], "feat_dynamic_real": [[1.0]]}], "expected 2 or more values"),
        ([{"target": [1.0], "past_feat_dynamic_real": [[1.0, 2.0]]}], "expected 1 values"),
        (
            [{"target": [1.0], "feat_static_real": values} for values in ([1.0], [1.0, 2.0])],
            "covariates",
        ),
        ([{"target": [1.0], "start": "soon", "freq": "D"}], "record 0: cannot count times from its start 'soon'"),
        ([{"target": [1.0], "start": pd.NaT, "freq": "D"}], "expected a time"),
    ],
)
def test_records_of_another_form_are_refused(records, said):
    with pytest.raises(DataError, match=said):
        read_source(Dataset(records))
