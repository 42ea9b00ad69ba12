"""The .tsf files of Monash: against a reader of a few lines, and by hand."""

import numpy as np
import pandas as pd
import pytest

from forecastlab.data.reading.source import read_source
from forecastlab.errors import DataError

NAMES = [
    *("electricity_weekly_dataset", "fred_md_dataset", "hospital_dataset", "m1_monthly_dataset"),
    *("m1_quarterly_dataset", "m1_yearly_dataset", "m3_monthly_dataset", "m3_quarterly_dataset", "m3_yearly_dataset"),
    *("m4_hourly_dataset", "m4_weekly_dataset", "saugeenday_dataset", "solar_weekly_dataset"),
    *("sunspot_dataset_without_missing_values", "tourism_monthly_dataset", "tourism_quarterly_dataset"),
    *("tourism_yearly_dataset", "traffic_weekly_dataset", "us_births_dataset"),
    "vehicle_trips_dataset_without_missing_values",
]
TEXT = """# made by hand
@relation made
@attribute series_name string
@attribute level numeric
@attribute start_timestamp date
@frequency {frequency}
@horizon 4
@missing true
@equallength false
@data
NA:5:{start} 12-00-00:1.5,?,3
007:?:{start} 12-00-00:4
"""


@pytest.mark.real
@pytest.mark.parametrize("name", NAMES)
def test_a_published_file_has_its_series_their_names_starts_and_values(real_data, name):
    path = real_data / "benchmarks" / "monash" / f"{name}.tsf"
    frame, _ = read_source(path)
    head, _, body = path.read_bytes().decode("latin-1").partition("@data")
    about = dict(line[1:].split()[:2] for line in head.splitlines() if line.startswith("@"))
    lines = [line.split(":") for line in body.split("\n") if line.strip()]
    values = np.concatenate([np.array(line[-1].split(","), np.float64) for line in lines])
    np.testing.assert_array_equal(frame["y"], values)
    lengths = [line[-1].count(",") + 1 for line in lines]
    assert frame["series_name"].tolist() == [
        line[0] for line, length in zip(lines, lengths, strict=True) for _ in range(length)
    ]
    first = np.cumsum([0, *lengths[:-1]])
    assert frame["ds"].iloc[first].tolist() == [
        pd.Timestamp(line[-2].replace(" ", "T").replace("-00-00", ":00:00")) for line in lines
    ]
    steps = {"daily": "D", "hourly": "h", "weekly": "7D", "monthly": "MS", "quarterly": "3MS", "yearly": "12MS"}
    last = frame["ds"].iloc[first[0] : first[0] + lengths[0]]
    assert last.tolist() == pd.date_range(last.iloc[0], periods=lengths[0], freq=steps[about["frequency"]]).tolist()
    assert frame.attrs.get("horizon") == (int(about["horizon"]) if "horizon" in about else None)
    assert pd.tseries.frequencies.to_offset(frame.attrs["frequency"]) is not None
    assert frame.attrs["missing"] is False


@pytest.fixture
def read(tmp_path):
    def read_back(text, name="made.tsf"):
        (tmp_path / name).write_text(text)
        return read_source(tmp_path / name)

    return read_back


@pytest.mark.parametrize("name", ["made.tsf", "MADE.TSF", "made.txt"])
def test_attributes_missing_values_and_times_are_columns(read, name):
    frame, notes = read(TEXT.format(frequency="monthly", start="2024-01-31"), name)
    assert frame.columns.tolist() == ["series_name", "level", "ds", "y"]
    assert frame["series_name"].tolist() == ["NA", "NA", "NA", "007"]
    np.testing.assert_array_equal(frame["level"], [5, 5, 5, np.nan])
    np.testing.assert_array_equal(frame["y"], [1.5, np.nan, 3, 4])
    assert frame["ds"].astype(str).tolist()[:3] == ["2024-01-31 12:00:00", "2024-02-29 12:00:00", "2024-03-31 12:00:00"]
    assert {name: frame.attrs[name] for name in ("horizon", "missing")} == {"horizon": 4, "missing": True}
    assert "frequency" not in frame.attrs
    assert "2 series, monthly, horizon 4" in notes[0]


@pytest.mark.parametrize(
    ("frequency", "third", "offset"),
    [
        ("4_seconds", "2024-03-01 12:00:08", "4s"),
        ("minutely", "2024-03-01 12:02:00", "min"),
        ("10_minutes", "2024-03-01 12:20:00", "10min"),
        ("half_hourly", "2024-03-01 13:00:00", "30min"),
        ("hourly", "2024-03-01 14:00:00", "h"),
        ("daily", "2024-03-03 12:00:00", "D"),
        ("weekly", "2024-03-15 12:00:00", "7D"),
        ("monthly", "2024-05-01 12:00:00", None),
        ("quarterly", "2024-09-01 12:00:00", None),
        ("yearly", "2026-03-01 12:00:00", None),
    ],
)
def test_each_frequency_has_its_step(read, frequency, third, offset):
    frame, _ = read(TEXT.format(frequency=frequency, start="2024-03-01"))
    assert frame["ds"].iloc[2] == pd.Timestamp(third)
    assert frame.attrs.get("frequency") == offset


def test_steps_of_the_calendar_are_named_by_their_months(read):
    for frequency, offset in (("monthly", "MS"), ("quarterly", "QS-MAR"), ("yearly", "YS-MAR")):
        frame, _ = read(TEXT.format(frequency=frequency, start="2024-03-01").replace("12-00-00", "00-00-00"))
        assert frame.attrs["frequency"] == offset
        assert frame["ds"].iloc[:3].tolist() == pd.date_range("2024-03-01", periods=3, freq=offset).tolist()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("@frequency monthly\n", "", "behind @frequency, got nothing"),
        ("monthly", "fortnightly", "behind @frequency, got fortnightly"),
        ("1.5,?,3", "1.5,x,3", "line 11: expected numbers or"),
        ("NA:5:", "NA:", "line 11: expected 3 attributes"),
        ("NA:5:", "NA:five:", "attribute level: expected a number, got five"),
        ("2024-01-31 12-00-00:1.5", "31.1.2024:1.5", "expected a time such as 1990-01-01 00-00-00"),
        ("@horizon 4", "@horizon four", "behind @horizon, got four"),
        ("@missing true", "missing", "line 8: expected @attribute"),
        ("NA:5:2024-01-31 12-00-00:1.5,?,3\n007:?:2024-01-31 12-00-00:4\n", "", "has no series"),
    ],
)
def test_what_is_not_in_this_form_is_refused(read, old, new, words):
    text = TEXT.format(frequency="monthly", start="2024-01-31")
    assert old in text
    with pytest.raises(DataError, match=words):
        read(text.replace(old, new))
