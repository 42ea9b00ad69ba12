"""The log of scorings."""

import re

import pytest

from forecastlab import __version__
from forecastlab.benchmarks.log import COLUMNS, append, commit_of_the_code, read
from forecastlab.errors import DataError

ENTRY = {"suite": "m4", "task": "hourly", "recipe": "auto", "seeds": "0 1", "OWA": 0.5, "wall_s": "1.0", "cpu_s": "1.0"}


def test_each_scoring_adds_a_line_with_date_version_and_commit(tmp_path):
    log = tmp_path / "deep" / "log.csv"
    assert append(log, ENTRY) == 1
    before = log.read_text()
    assert append(log, {**ENTRY, "task": "weekly"}) == 1
    assert log.read_text().startswith(before)
    table = read(log)
    assert tuple(table.columns) == COLUMNS
    assert table["task"].tolist() == ["hourly", "weekly"]
    assert set(table["version"]) == {__version__}
    assert set(table["commit"]) == {commit_of_the_code()}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", date) for date in table["date"])
    assert table["OWA"].astype(float).tolist() == [0.5, 0.5]


def test_scorings_of_one_task_by_one_version_are_counted(tmp_path):
    log = tmp_path / "log.csv"
    assert [append(log, ENTRY) for _ in range(3)] == [1, 2, 3]
    log.write_text(log.read_text().replace(f",{__version__},", ",0.0.1,"))
    assert append(log, ENTRY) == 1
    assert append(log, {**ENTRY, "suite": "ltsf"}) == 1
    assert read(log)["scoring"].astype(int).tolist() == [1, 2, 3, 1, 1]


def test_a_file_that_is_no_log_is_left_as_it_is(tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"not a log of scorings.*--log"):
        append(other, ENTRY)
    assert other.read_text() == "a,b\n1,2\n"
