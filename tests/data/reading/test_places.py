"""Whatever cannot be read is named by its file, line, column and value, and by the setting that answers it."""

import gzip

import numpy as np
import pandas as pd
import pytest

from forecastlab import TableDataModule
from forecastlab.errors import DataError

TOP = '# two lines\n# of comments\nid;date;time;hour;y\n\n"a";2024-01-01;00:00;0;1\n'
"""Five lines, of which one is empty."""


def refused(path, **arguments):
    """The one line of what is said."""
    with pytest.raises(DataError) as caught:
        _ = TableDataModule(str(path), **arguments).tables
    return str(caught.value).partition("\n")[0]


def rows_with(**wrong):
    """60 rows of hours, of which the 31st has other cells; the note in another one spans two lines."""
    lines = []
    for row in range(1, 60):
        time = pd.Timestamp("2024-01-01") + pd.Timedelta(hours=row)
        cells = {"id": "a", "date": f"{time:%Y-%m-%d}", "time": f"{time:%H:%M}", "hour": str(time.hour), "y": f"{row}"}
        if row == 3:
            cells["id"] = '"a\n"'
        lines.append(";".join({**cells, **(wrong if row == 30 else {})}.values()) + "\n")
    return TOP + "".join(lines)


LINE = 5 + 30 + 1
"""The last of the rows' cells stand there: the file's lines count, not its rows."""


@pytest.mark.parametrize(
    ("cell", "arguments", "words", "setting"),
    [
        ({"time": "25:99"}, {"time_column": ["date", "time"]}, "cannot read '25:99' in column time", "time_format"),
        ({"time": ""}, {"time_column": ["date", "time"]}, "no time in column time", "time_column"),
        ({"date": "2024-13-45"}, {"time_column": ["date", "time"]}, "cannot read '2024-13-45' in", "time_format"),
        ({"date": ""}, {"time_column": ["date", "time"]}, "no time in column date", "time_column"),
        ({"hour": "77"}, {"time_column": ["date", "hour"]}, "cannot read 77 in column hour", "time_format"),
        ({"hour": "x"}, {"time_column": ["date", "hour"]}, "cannot read 'x' in column hour", "time_format"),
        ({"y": "many"}, {"time_column": ["date", "time"]}, "column y: expected a number, got 'many'", "na_values"),
        ({"y": "1e300"}, {"time_column": ["date", "time"]}, "column y: expected a finite number", "Leave"),
        ({"id": ""}, {"time_column": ["date", "time"], "series_column": "id"}, "no name of a series", "series_column"),
        ({"y": "x"}, {"time_column": "y", "time_format": "number"}, "a whole number in column y", "time_format"),
    ],
)
def test_a_cell_that_cannot_be_read_is_named_by_its_file_line_column_and_setting(
    tmp_path, cell, arguments, words, setting
):
    path = tmp_path / "load.csv"
    path.write_text(rows_with(**cell))
    said = refused(path, **arguments)
    assert said.startswith(f"{path}, line {LINE}")
    assert words in said
    assert setting in said


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"month": 13}, "column month: expected the month as a whole number from 1 to 12, got 13"),
        ({"day": 32}, "column day: expected the day as a whole number from 1 to 31, got 32"),
        ({"month": 2, "day": 30}, "there is no such day: year 2024, month 2, day 30"),
        ({"hour": 25}, "cannot read 25 in column hour as a time of day"),
    ],
)
def test_parts_of_times_are_named_by_file_line_and_setting(tmp_path, columns, words):
    times = pd.date_range("2024-01-01", periods=20, freq="h")
    parts = {"year": times.year, "month": times.month, "day": times.day, "hour": times.hour}
    frame = pd.DataFrame({**parts, "y": np.arange(20.0)})
    for name, value in columns.items():
        frame.loc[7, name] = value
    frame.to_csv(tmp_path / "parts.csv", index=False)
    said = refused(tmp_path / "parts.csv", time_column=list(parts))
    assert said.startswith(f"{tmp_path / 'parts.csv'}, line 9")
    assert words in said
    assert "--data.time_format '" in said
    assert "int64" not in said


def hourly(path, rows, bad=None):
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=rows, freq="h").astype(str), "y": np.arange(rows)})
    frame = frame.astype({"y": object})
    if bad is not None:
        frame.loc[bad, "y"] = "many"
    frame.to_csv(path, index=False)
    return path


def test_the_file_of_a_panel_is_named_with_its_own_line(tmp_path):
    for name, bad in (("a", None), ("b", 4), ("c", None)):
        hourly(tmp_path / f"{name}.csv", 10, bad)
    said = refused(tmp_path, series_column="file")
    assert said.startswith(f"{tmp_path / 'b.csv'}, line 6, column y: expected a number, got 'many'")


def test_a_line_of_a_packed_file_is_that_of_what_is_packed(tmp_path):
    content = hourly(tmp_path / "plain.csv", 10, 4).read_bytes()
    (tmp_path / "packed.csv").write_bytes(gzip.compress(content))
    assert refused(tmp_path / "packed.csv").startswith(f"{tmp_path / 'packed.csv'}, line 6, column y")


def test_a_row_of_a_sheet_is_named_as_the_sheet_counts_it(tmp_path):
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=9, freq="h"), "y": [*range(8), "many"]})
    frame.to_excel(tmp_path / "book.xlsx", index=False, startrow=2, sheet_name="Load")
    said = refused(tmp_path / "book.xlsx")
    assert said.startswith(f"{tmp_path / 'book.xlsx'}, sheet Load, line 12, column y: expected a number, got 'many'")


def test_a_row_of_a_file_without_lines_is_named_by_its_number(tmp_path):
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=9, freq="h"), "y": [*"12345678", "many"]})
    frame.to_parquet(tmp_path / "load.parquet")
    said = refused(tmp_path / "load.parquet")
    assert said.startswith(f"{tmp_path / 'load.parquet'}, row 9, column y: expected a number, got 'many'")


def test_a_row_that_a_file_of_columns_labels_is_named_by_its_label(tmp_path):
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=9, freq="h"), "y": [*"12345678", "many"]})
    frame.index = np.arange(100, 109)
    frame.to_parquet(tmp_path / "load.parquet")
    said = refused(tmp_path / "load.parquet")
    assert said.startswith(f"{tmp_path / 'load.parquet'}, row 109, column y: expected a number, got 'many'")


def test_a_cell_of_a_column_per_date_is_named_by_its_line_and_its_column(tmp_path):
    days = pd.date_range("2024-01-01", periods=6).astype(str)
    frame = pd.DataFrame(np.arange(12).reshape(2, 6), columns=days).astype(object)
    frame.loc[1, days[3]] = "many"
    frame.insert(0, "place", ["north", "south"])
    frame.to_csv(tmp_path / "wide.csv", index=False)
    said = refused(tmp_path / "wide.csv", series_column="place")
    assert said.startswith(
        f"{tmp_path / 'wide.csv'}, line 3, under 2024-01-04, column y: expected a number, got 'many'"
    )


def test_a_value_of_a_tsf_file_is_named_by_its_line_and_place(tmp_path):
    text = (
        "@relation made\n@attribute series_name string\n@attribute start_timestamp date\n@frequency hourly\n@data\n"
        "T1:2024-01-01 00-00-00:1,2,3,4\nT2:2024-01-01 00-00-00:1,2,1e300,4\n"
    )
    (tmp_path / "made.tsf").write_text(text)
    said = refused(tmp_path / "made.tsf", series_column="series_name")
    assert said.startswith(f"{tmp_path / 'made.tsf'}, line 7, value 3, column y: expected a finite number")
    (tmp_path / "made.tsf").write_text(text.replace("T2:2024-01-01", "T2:2024-13-01"))
    said = refused(tmp_path / "made.tsf", series_column="series_name")
    assert said.startswith(f"{tmp_path / 'made.tsf'}, line 7, attribute start_timestamp: expected a time such as")


def test_a_column_with_two_readings_is_named_with_its_file(tmp_path):
    path = tmp_path / "days.csv"
    path.write_text("ds,y\n" + "".join(f"0{day}/0{day + 1}/2024,{day}\n" for day in (1, 5, 3, 8, 2)))
    assert refused(path).startswith(f"{path}: column ds may mean")


def test_a_frame_that_a_module_gives_can_be_written_as_parquet(tmp_path):
    TableDataModule(str(hourly(tmp_path / "load.csv", 9))).frame().to_parquet(tmp_path / "load.parquet")
    assert len(pd.read_parquet(tmp_path / "load.parquet")) == 9
