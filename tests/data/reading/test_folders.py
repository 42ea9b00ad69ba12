"""Several files as one panel."""

import gzip

import pandas as pd
import pytest

from forecastlab.data.reading.source import read_source
from forecastlab.errors import DataError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "north.csv").write_text("ds,y\n2024-01-01,1\n2024-01-02,2\n")
    (tmp_path / "south.csv.gz").write_bytes(gzip.compress(b"y;ds\n3,5;2024-01-01\n"))
    (tmp_path / ".hidden").write_text("nothing")
    return tmp_path


def test_the_files_of_a_folder_are_one_panel_told_apart_by_their_names(folder):
    for source in (folder, str(folder), folder / "*.csv*", [folder / "north.csv", folder / "south.csv.gz"]):
        frame, notes = read_source(source)
        assert frame.columns.tolist() == ["file", "ds", "y"]
        assert frame["file"].tolist() == ["north", "north", "south"]
        assert frame["y"].tolist() == [1, 2, 3.5]
        assert frame.index.tolist() == [0, 1, 2]
        assert notes[-1] == "2 files are one panel: column file names the file of each row"


def test_files_that_name_their_series_need_no_other_column(folder):
    for number in (1, 2):
        (folder / f"part{number}.csv").write_text(f"id,y\nNA,{number}\n007,{number}\n")
    frame, notes = read_source(folder / "part?.csv", texts=["id"])
    assert frame.columns.tolist() == ["id", "y"]
    assert frame["id"].tolist() == ["NA", "007", "NA", "007"]
    assert notes == ["2 files are one panel"]


def test_what_is_found_out_of_many_files_is_said_once(tmp_path):
    for number in range(5):
        (tmp_path / f"{number}.csv").write_text("2024-01-01,1\n2024-01-02,2\n")
    _, notes = read_source(tmp_path)
    assert len(notes) == 2
    assert notes[0].startswith(f"{tmp_path / '0.csv'}: its first line holds values")
    assert notes[0].endswith("(the same in 4 other files)")


def test_files_of_several_kinds_are_one_panel(folder):
    pd.DataFrame({"ds": ["2024-01-05"], "y": [9.0]}).to_parquet(folder / "west.parquet")
    frame, _ = read_source(folder)
    assert frame["file"].tolist() == ["north", "north", "south", "west"]
    assert frame["y"].tolist() == [1, 2, 3.5, 9]


def test_a_pattern_that_is_the_name_of_a_file_is_that_file(folder):
    (folder / "a[1].csv").write_text("ds,y\n2024-01-01,1\n")
    assert read_source(folder / "a[1].csv")[0].columns.tolist() == ["ds", "y"]


def test_files_of_one_name_are_told_apart_by_their_folders(folder):
    for name in ("a", "b"):
        (folder / name).mkdir()
        (folder / name / "x.csv").write_text("ds,y\n2024-01-01,1\n")
    assert read_source(folder / "*" / "x.csv")[0]["file"].tolist() == ["a/x.csv", "b/x.csv"]


def test_what_is_no_panel_is_refused(folder, tmp_path_factory):
    (folder / "other.csv").write_text("ds,y,z\n2024-01-01,1,2\n")
    with pytest.raises(DataError, match=r"north\.csv and .*other\.csv are to be one panel, but only one of them has z"):
        read_source(folder)
    with pytest.raises(DataError, match=r"no file is called .*\*\.txt: expected a pattern"):
        read_source(folder / "*.txt")
    with pytest.raises(DataError, match="is a folder without files"):
        read_source(tmp_path_factory.mktemp("empty"))
    with pytest.raises(DataError, match="there is no file"):
        read_source([folder / "none.csv"])
    with pytest.raises(DataError, match="a file is given twice"):
        read_source([folder / "north.csv", folder / "north.csv"])
