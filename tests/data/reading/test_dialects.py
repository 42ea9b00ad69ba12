"""The same table in the dialects that people write reads as the same table."""

import bz2
import gzip
import io
import lzma
import zipfile

import numpy as np
import pandas as pd
import pytest
import zstandard

from forecastlab.data.reading.dialect import Dialect
from forecastlab.data.reading.source import read_source
from forecastlab.errors import ConfigError, DataError

PACKED = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstandard.compress}


@pytest.fixture
def read(tmp_path):
    """Writes a text or bytes, and reads them."""

    def read_back(content, name="data.csv", texts=(), **dialect):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_source(path, Dialect(**dialect), texts)

    return read_back


def test_a_decimal_comma_is_found_out_for_the_file_as_a_whole(read):
    frame, _ = read("ds;y;large\n2024-01-01;5,96;1.234\n2024-01-02;6,7;2.345\n")
    assert frame["y"].tolist() == [5.96, 6.7]
    assert frame["large"].tolist() == [1234, 2345]


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("1.234,5", 1234.5), ("0,125", 0.125), (",5", 0.5), ("2,6", 2.6), ("-2,6e3", -2600.0), ("1,234,567", 1234567),
        ("1,234.5", 1234.5), ("1 234,5", 1234.5), ("1\u00a0234,5", 1234.5), ("1'234.5", 1234.5), ("1’234’567", 1234567),
        ("\u22125", -5), ("−2,5", -2.5), ("1.234.567", 1234567), ("12345,678", 12345.678),
    ],
)  # fmt: skip
def test_a_number_with_one_reading_is_that_number(read, written, number):
    frame, _ = read(f"ds;y\n2024-01-01;{written}\n2024-01-02;7\n")
    assert frame["y"].tolist() == [number, 7]


def test_three_digits_behind_each_comma_are_refused_with_both_readings(read):
    text = "ds;y\n2024-01-01;1,234\n2024-01-02;2,345\n"
    with pytest.raises(
        DataError, match=r"line 2, column y: 1,234 may be 1.234 or 1234.*--data.decimal , .*thousands ,"
    ):
        read(text)
    assert read(text, decimal=",")[0]["y"].tolist() == [1.234, 2.345]
    assert read(text, thousands=",")[0]["y"].tolist() == [1234, 2345]
    assert read(text, decimal=".")[0]["y"].tolist() == [1234, 2345]


def test_the_line_of_a_refused_number_counts_empty_lines_and_cells_of_several_lines(read):
    with pytest.raises(DataError, match="line 7, column y: 1,234 may be"):
        read('# top\n\nds;y;note\n\n2024-01-01;7;"one\ntwo"\n2024-01-02;1,234;x\n')


def test_three_digits_behind_each_comma_are_decided_by_another_column(read):
    frame, _ = read("ds;y;z\n2024-01-01;1,234;0,5\n")
    assert frame[["y", "z"]].iloc[0].tolist() == [1.234, 0.5]
    frame, _ = read("ds;y;z\n2024-01-01;1,234;0.5\n")
    assert frame[["y", "z"]].iloc[0].tolist() == [1234, 0.5]


def test_a_point_and_a_comma_before_fractions_contradict_each_other(read):
    text = "ds;y;z\n2024-01-01;7;3\n2024-01-02;2,6;1.5\n"
    with pytest.raises(
        DataError, match=r"comma in 2,6 \(line 3, column y\) and a decimal point in 1.5 \(line 3, column"
    ):
        read(text)
    with pytest.raises(DataError, match=r"comma in 2,6 \(line 2, column y\) and a decimal point in 1,234,567"):
        read("ds;y;z\n2024-01-01;2,6;1,234,567\n")
    frame, _ = read(text, decimal=",")
    assert frame["y"].tolist() == [7, 2.6]
    assert frame["z"].tolist() == ["3", "1.5"]


@pytest.mark.parametrize(
    "text", ["5%", "€ 5,10", "1,23,456", "1,2,3", "0,123,456", "Berlin, 5", "18.00.00", "10.0.0.1"]
)
def test_what_is_no_number_stays_text(read, text):
    frame, _ = read(f"ds;y\n2024-01-01;{text}\n")
    assert frame["y"].tolist() == [text]


def test_months_with_points_are_no_numbers_beside_decimal_commas(read):
    frame, _ = read("Monat;Wert\n01.2020;5,9\n02.2020;6,1\n")
    assert frame["Monat"].tolist() == ["01.2020", "02.2020"]


def test_a_marker_stands_for_the_equal_number_however_it_is_written(read):
    text = "ds;a;b;c\n2024-01-01;-999.990;-200;x\n2024-01-02;1.5;3;bad\n"
    frame, _ = read(text, na_values=(-999.99, -200, "bad"))
    assert frame["a"].isna().tolist() == [True, False]
    assert frame["b"].isna().tolist() == [True, False]
    assert frame["c"].isna().tolist() == [False, True]
    frame, _ = read(text.replace(".", ","), na_values=(-999.99,))
    assert frame["a"].isna().tolist() == [True, False]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_an_encoding_that_says_itself_needs_no_word(read, encoding):
    frame, notes = read("ds,Größe\n2024-01-01,1.5\n".encode(encoding))
    assert frame["Größe"].tolist() == [1.5]
    assert notes == []


def test_a_text_that_is_no_utf8_is_read_as_windows_1252_and_that_is_said(read):
    frame, notes = read("ds,Größe in €\n2024-01-01,1\n".encode("cp1252"))
    assert frame.columns.tolist() == ["ds", "Größe in €"]
    assert "read as Windows-1252" in notes[0]
    frame, notes = read("ds,Größe\n2024-01-01,1\n".encode("latin-1"), encoding="latin-1")
    assert notes == []
    with pytest.raises(DataError, match="no text in ascii"):
        read("ds,Größe\n", encoding="ascii")
    with pytest.raises(ConfigError, match="expected the name of an encoding"):
        read("ds,y\n", encoding="utf-9")


@pytest.mark.parametrize("name", ["data.csv.{}", "data.csv", "DATA.{}", "data"])
@pytest.mark.parametrize("kind", PACKED)
def test_a_packed_text_is_unpacked_whatever_its_name(read, kind, name):
    frame, _ = read(PACKED[kind](b"ds,y\n2024-01-01,1.5\n"), name.format(kind))
    assert frame.iloc[0].tolist() == ["2024-01-01", 1.5]


def test_a_zip_of_several_files_is_refused_by_their_names(read):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.csv", "ds,y\n2024-01-01,1\n")
        archive.writestr("b.csv", "ds,y\n2024-01-01,1\n")
    with pytest.raises(DataError, match=r"holds 2 files \(a\.csv, b\.csv\), expected one: unpack it into a folder"):
        read(buffer.getvalue())


def test_a_damaged_packed_file_is_refused(read):
    for pack in PACKED.values():
        with pytest.raises(DataError, match=r"cannot unpack|no text|is empty"):
            read(pack(b"ds,y\n" + bytes(range(256)) * 50)[:-12])


@pytest.mark.parametrize("sep", [",", ";", "\t", "|", "  "])
def test_lines_without_names_are_values(read, sep):
    frame, notes = read(f"2024-01-01{sep}1.5{sep}3\n2024-01-02{sep}2.5{sep}4\n")
    assert frame.columns.tolist() == ["0", "1", "2"]
    assert frame["1"].tolist() == [1.5, 2.5]
    assert "columns are called 0, 1, ..." in notes[0]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("country,2023-01-01,2023-01-02\na,5,6\nb,7,8\n", ["country", "2023-01-01", "2023-01-02"]),
        ("2023-01-01,2023-01-02\n5,6\n7,8\n", ["2023-01-01", "2023-01-02"]),
        (",0,1\n2023-01-01,5,6\n", ["Unnamed: 0", "0", "1"]),
        ("V1,V2\na,5\nb,6\n", ["V1", "V2"]),
        ("y\n5\n6\n", ["y"]),
        ("a,5\na,6\nb,7\n", ["0", "1"]),
        ("T1,2024-01-01,6\nT2,2024-01-01,7\n", ["0", "1", "2"]),
        ("0.7855,1.611,0.8617\n0.78,1.6,0.86\n", ["0", "1", "2"]),
        (",y\n2024-01-01,5\n", ["Unnamed: 0", "y"]),
    ],
)
def test_a_first_line_is_names_or_values_as_the_column_tells(read, text, names):
    assert read(text)[0].columns.tolist() == names


@pytest.mark.parametrize("text", ["0\n5\n6\n", "0,1,2\n5,6,7\n", "1990,1991,1992\n5,6,7\n"])
def test_a_first_line_that_may_be_either_is_refused(read, text):
    with pytest.raises(DataError, match=r"may hold the columns' names or values: say --data.header true or"):
        read(text)
    width = text.split("\n")[0].count(",") + 1
    assert read(text, header=True)[0].columns.tolist() == text.split("\n")[0].split(",")
    assert read(text, header=False)[0].columns.tolist() == [str(number) for number in range(width)]


def test_comments_at_the_top_are_left_out_and_counted(read):
    frame, notes = read("# made by us\n#\n# see, here; there\nyear,y\n1990,5\n")
    assert frame.columns.tolist() == ["year", "y"]
    assert "3 lines of comments" in notes[0]


def test_the_last_comment_names_columns_that_have_no_other_names(read):
    frame, notes = read("# made by us\n# year  month  y\n1990 1  5.5\n1990 2  6.5\n")
    assert frame.columns.tolist() == ["year", "month", "y"]
    assert frame["y"].tolist() == [5.5, 6.5]
    assert any("last line of its comments names the columns" in note for note in notes)


def test_comments_within_are_left_out_when_their_mark_is_named(read):
    frame, _ = read("ds,y\n~ broken\n2024-01-01,5 ~ checked\n", comment="~")
    assert frame["y"].tolist() == [5]


def test_lines_above_the_table_are_refused_with_their_place(read):
    with pytest.raises(DataError, match=r"line 3: expected 1 cells, got 3\. Lines above the table have to go"):
        read("Report of the year\nStation 5\nds,y,z\n2024-01-01,5,6\n")


@pytest.mark.parametrize("text", ["ds;y;\n2024-01-01;5,5;\n", "ds;y\n2024-01-01;5,5;\n2024-01-02;5,5;\n"])
def test_separators_at_the_ends_of_lines_make_no_column(read, text):
    frame, notes = read(text)
    assert frame.columns.tolist() == ["ds", "y"]
    assert frame["y"].iloc[0] == 5.5
    assert "1 column is left out, without a name and without a value" in notes[0]


def test_a_comma_separates_cells_of_quoted_decimal_commas(read):
    frame, _ = read('ds,y\n2024-01-01,"5,96"\n2024-01-02,"6,1"\n')
    assert frame["y"].tolist() == [5.96, 6.1]


def test_a_column_of_decimal_commas_alone_needs_a_word(read):
    text = "y\n5,96\n6,12\n"
    with pytest.raises(DataError, match=r"--data\.decimal ,"):
        read(text)
    assert read(text, decimal=",")[0]["y"].tolist() == [5.96, 6.12]


def test_text_that_names_series_is_taken_as_it_stands_beside_decimal_commas(read):
    frame, _ = read("id;y\nNA;5,5\n007;1,5\n1,234;2,5\n", texts=["id"])
    assert frame["id"].tolist() == ["NA", "007", "1,234"]
    np.testing.assert_array_equal(frame["y"], [5.5, 1.5, 2.5])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sep": "::"}, "sep: expected one character"),
        ({"comment": "//"}, "comment: expected one character"),
        ({"decimal": "'"}, "decimal: expected"),
        ({"decimal": ",", "thousands": ","}, "both ','"),
    ],
)
def test_marks_that_cannot_be_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        Dialect(**settings)


def test_pages_and_objects_are_refused_by_name(read):
    for text in ("<html><table></table></html>", '{"a": 1}'):
        with pytest.raises(DataError, match="HTML, XML, JSON"):
            read(text)


def test_a_frame_reads_back_from_what_pandas_writes(tmp_path):
    whole = pd.DataFrame({"y": [1.5, 2.5]}, index=pd.date_range("2024", periods=2))
    whole.to_csv(tmp_path / "x.csv", sep=";", decimal=",")
    frame, _ = read_source(tmp_path / "x.csv")
    assert frame.columns.tolist() == ["Unnamed: 0", "y"]
    assert frame["y"].tolist() == [1.5, 2.5]
