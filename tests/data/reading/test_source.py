import numpy as np
import pandas as pd
import pytest

from forecastlab.data.published import PUBLISHED, published_path
from forecastlab.data.reading.source import read_source
from forecastlab.errors import ConfigError, DataError


@pytest.fixture
def written(tmp_path):
    """Writes a file and gives its path."""

    def write(content, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def refused(path):
    """The message with which a file is refused."""
    with pytest.raises(DataError) as caught:
        read_source(path)
    message = str(caught.value)
    assert len(message.splitlines()) <= 10
    assert len(message) < 1000
    return message


PLAIN = {"ds": ["2024-01-01", "2024-01-02"], "y": [1.5, 2.0], "z": [3.0, np.nan]}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_columns_are_told_apart_by_commas_semicolons_or_tabs(written, separator, end):
    lines = ["ds,y,z", "2024-01-01,1.5,3", "2024-01-02,2.0,"]
    frame = read_source(written(end.join(lines).replace(",", separator)))[0]
    pd.testing.assert_frame_equal(frame, pd.DataFrame(PLAIN), check_dtype=False)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffds,y,z\n2024-01-01,1.5,3\n2024-01-02,2.0,\n",  # the mark that Excel writes first
        '"ds","y","z"\n"2024-01-01","1.5","3"\n"2024-01-02","2.0",""\n',
        "ds, y, z\n2024-01-01, 1.5, 3\n2024-01-02, 2.0,\n",
        "ds,y,z\n2024-01-01,1.5,3\n2024-01-02,2.0,\n\n\n  \n",
        "\n\nds,y,z\n2024-01-01,1.5,3\n\n2024-01-02,2.0,NaN",
        "ds,y,z\n2024-01-01,1.5,3\n2024-01-02,2.0\n",  # a cell too few is an empty one
    ],
    ids=["mark", "quotes", "spaces", "blank lines at the end", "blank lines within", "short line"],
)
def test_the_same_table_in_other_clothes_is_the_same(written, text):
    pd.testing.assert_frame_equal(read_source(written(text))[0], pd.DataFrame(PLAIN), check_dtype=False)


def test_names_of_series_are_taken_as_they_stand(written):
    path = written("unique_id,ds,y\nNA,2024-01-01,1\n 007,2024-01-01,NA\n1e3,2024-01-01,2\n,2024-01-01,3\n")
    frame = read_source(path, texts=["unique_id"])[0]
    assert frame["unique_id"].iloc[:3].tolist() == ["NA", "007", "1e3"]
    assert frame["unique_id"].isna().tolist() == [False, False, False, True]
    np.testing.assert_array_equal(frame["y"], [1, np.nan, 2, 3])


def test_commas_in_quoted_names_do_not_count(written):
    frame = read_source(written('ds;"load, in GWh"\n2024-01-01;1.5\n'))[0]
    assert frame.columns.tolist() == ["ds", "load, in GWh"]
    assert frame.iloc[0].tolist() == ["2024-01-01", 1.5]


@pytest.mark.parametrize("suffix", ["parquet", "pq", "PARQUET"])
def test_parquet_is_read_by_its_name(tmp_path, suffix):
    whole = pd.DataFrame({"ds": pd.date_range("2024", periods=3, freq="h"), "y": [1.0, np.nan, 3.0]})
    whole.to_parquet(tmp_path / f"data.{suffix}")
    pd.testing.assert_frame_equal(read_source(tmp_path / f"data.{suffix}")[0], whole)


def test_times_that_parquet_holds_as_the_index_become_a_column(tmp_path):
    whole = pd.DataFrame({"y": [1.0, 2.0]}, index=pd.date_range("2024", periods=2, freq="h", name="ds"))
    whole.to_parquet(tmp_path / "data.parquet")
    pd.testing.assert_frame_equal(read_source(tmp_path / "data.parquet")[0], whole.reset_index(), check_freq=False)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty: expected a table"),
        ("\n\n\n", "is empty: expected a table"),
        ("ds,y\n2024-01-01,1\n".encode("utf-16-le"), "holds null bytes.*--data.encoding utf-16-le"),
        ("ds,y\n2024-01-01,1\n".encode("utf-16") + b"\0", "no text in utf-16"),
        ("ds,y\n2024-01-01,1\n2024-01-02,1,5\n", "line 3: expected 2 cells, got 3"),
        ("ds,y\n2024-01-01,1,7\n2024-01-02,1,5\n", "more cells than its first line has names"),
        ("ds,y\n1,1,7\n2,1,5\n", "more cells than its first line has names"),
        ("y,x\n0,1,7\n1,1,5\n", "more cells than its first line has names"),
        ('ds,y\n"2024-01-01,1\n', "EOF inside string"),
        ("ds,y,z,y\n2024-01-01,1,2,3\n", "the names of columns must differ; .* has y twice"),
    ],
)
def test_a_file_that_is_no_table_is_refused(written, content, words):
    path = written(content)
    message = refused(path)
    assert str(path) in message
    with pytest.raises(DataError, match=words):
        read_source(path)


@pytest.mark.parametrize("content", ["", "PAR1", b"PAR1" + bytes(100) + b"PAR1"])
def test_parquet_that_is_none_is_refused(written, content):
    assert "data.parquet" in refused(written(content, "data.parquet"))


def test_what_is_not_there_or_a_folder_is_refused(tmp_path):
    assert refused(tmp_path / "none.csv") == f"there is no file {tmp_path / 'none.csv'}"
    assert f"{tmp_path} is a folder without files" in refused(tmp_path)
    assert "there is no file" in refused("a\0b.csv") or "cannot read" in refused("a\0b.csv")


def test_what_the_system_refuses_is_refused(tmp_path):
    assert "File name too long" in refused(tmp_path / ("x" * 300))


def test_a_published_file_of_the_package_is_the_one_that_everybody_knows():
    frame = read_source(published_path("airline"))[0]
    assert frame.columns.tolist() == ["month", "passengers"]
    assert len(frame) == 144
    by_year = frame["passengers"].groupby(frame["month"].str[:4]).sum()
    assert by_year.to_dict() == {  # totals of Box and Jenkins' series G
        "1949": 1520, "1950": 1676, "1951": 2042, "1952": 2364, "1953": 2700, "1954": 2867,
        "1955": 3408, "1956": 3939, "1957": 4421, "1958": 4572, "1959": 5140, "1960": 5714,
    }  # fmt: skip


@pytest.mark.real
@pytest.mark.parametrize(("name", "rows"), [("electricity", 4383), ("etth1", 17420)])
def test_a_published_file_has_the_rows_and_the_times_that_its_module_names(real_data, name, rows):
    frame = read_source(published_path(name))[0]
    assert len(frame) == rows
    assert PUBLISHED[name].time in frame


def test_an_unknown_published_file_is_refused():
    with pytest.raises(ConfigError, match="dataset must be one of airline, electricity, etth1, ozone, got 'etth2'"):
        published_path("etth2")
