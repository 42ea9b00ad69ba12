"""Excel workbooks, written here by openpyxl."""

import datetime

import numpy as np
import openpyxl
import pandas as pd
import pytest

from forecastlab.data.reading.dialect import Dialect
from forecastlab.data.reading.source import read_source
from forecastlab.errors import DataError

TABLE = [["ds", "y", "shop"], [datetime.datetime(2024, 1, 1), 1.5, 7], [datetime.datetime(2024, 1, 2), None, 8]]


@pytest.fixture
def read(tmp_path):
    """Writes sheets of rows as a workbook, and reads it."""

    def read_back(sheets, name="data.xlsx", texts=(), **dialect):
        book = openpyxl.Workbook()
        book.remove(book.active)
        for title, rows in sheets.items():
            sheet = book.create_sheet(title)
            for row in rows:
                sheet.append(row)
        book.save(tmp_path / name)
        return read_source(tmp_path / name, Dialect(**dialect), texts)

    return read_back


@pytest.mark.parametrize("name", ["data.xlsx", "DATA.XLS", "data.csv"])
def test_a_workbook_is_read_by_its_content(read, name):
    frame, notes = read({"one": TABLE}, name)
    assert notes == []
    assert frame["ds"].tolist() == [pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-02")]
    np.testing.assert_array_equal(frame["y"], [1.5, np.nan])
    assert frame["shop"].tolist() == [7, 8]
    assert frame.dtypes.astype(str).str.rstrip("[nsu]").tolist() == ["datetime64", "float64", "int64"]


def test_a_sheet_is_chosen_by_name_or_number_and_others_are_said(read):
    sheets = {"readme": [["see", "two"]], "two": TABLE, "empty": []}
    frame, notes = read({"two": TABLE, "more": [["a"], [1]], "empty": []})
    assert frame.columns.tolist() == ["ds", "y", "shop"]
    assert "sheet two is read; more hold data as well" in notes[0]
    for wanted in ("two", 1):
        frame, notes = read(sheets, sheet_name=wanted)
        assert frame.columns.tolist() == ["ds", "y", "shop"]
        assert notes == []
    for wanted in ("three", 3, -1):
        with pytest.raises(DataError, match=r"has no sheet .*; it has readme, two, empty: say --data\.sheet_name"):
            read(sheets, sheet_name=wanted)


def test_numbers_that_a_workbook_holds_as_text_are_read_as_in_a_text(read):
    frame, _ = read(
        {"one": [["ds", "y", "id"], ["2024-01-01", "5,96", 7.0], ["2024-01-02", "6,7", "NA"]]}, texts=["id"]
    )
    assert frame["y"].tolist() == [5.96, 6.7]
    assert frame["id"].tolist() == ["7", "NA"]
    with pytest.raises(DataError, match=r"sheet one, line 2, column y: 1,234 may be 1\.234 or 1234"):
        read({"one": [["ds", "y"], ["2024-01-01", "1,234"]]})


def test_empty_rows_and_columns_around_a_table_are_no_part_of_it(read):
    frame, notes = read(
        {"one": [[], [None, "ds", "y", None], [None, "2024-01-01", 5, ""], [], [None, "2024-01-02", 6]]}
    )
    assert frame.columns.tolist() == ["ds", "y"]
    assert frame["y"].tolist() == [5, 6]
    assert "1 column is left out, without a name and without a value" in notes[0]


def test_a_sheet_without_names_has_columns_by_number(read):
    frame, notes = read({"one": [[datetime.datetime(2024, 1, 1), 5.5], [datetime.datetime(2024, 1, 2), 6.5]]})
    assert frame.columns.tolist() == ["0", "1"]
    assert "columns are called 0, 1, ..." in notes[0]


def test_markers_and_clock_times_in_a_workbook(read):
    rows = [["day", "hour", "y"], [datetime.date(2024, 1, 1), datetime.time(5, 30), -200], ["x", None, 3]]
    frame, _ = read({"one": rows[:2]}, na_values=(-200,))
    assert frame["hour"].tolist() == ["05:30:00"]
    assert frame["y"].isna().tolist() == [True]


def test_a_sheet_is_read_up_to_the_memory_that_there_is(read, monkeypatch):
    rows = [["ds", "y"], *([str(number), number] for number in range(5000))]
    assert len(read({"one": rows})[0]) == 5000
    monkeypatch.setattr("forecastlab.data.reading.excel._CELL", 10**6)
    monkeypatch.setattr("forecastlab.limits.available_memory", lambda: 10**9)
    with pytest.raises(DataError, match=r"needs 8\.2 GB of memory \(4096 rows of a sheet\)"):
        read({"one": rows})


def test_what_is_empty_damaged_or_of_before_2007_is_refused(read, tmp_path):
    with pytest.raises(DataError, match="sheet one is empty"):
        read({"one": []})
    path = tmp_path / "old.xls"
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100))
    with pytest.raises(DataError, match=r"before 2007: save it as \.xlsx"):
        read_source(path)
    read({"one": TABLE}, "whole.xlsx")
    path.write_bytes((tmp_path / "whole.xlsx").read_bytes()[:-300])
    with pytest.raises(DataError, match=r"cannot unpack|cannot read"):
        read_source(path)
