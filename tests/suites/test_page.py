"""docs/benchmarks.md shows the stored results, and the log has every scoring behind them."""

import re

import pytest

from forecastlab.benchmarks.log import read
from forecastlab.benchmarks.suites import SUITES
from forecastlab.benchmarks.summary import COLUMNS
from tests.suites.page import LOG, PAGE, README, RESULTS, beside, block, shown, stored, with_block

TEXT = PAGE.read_text()
STORED = [suite for suite in SUITES if stored(suite) is not None]


@pytest.mark.parametrize("suite", SUITES)
def test_the_tables_of_a_suite_are_those_of_its_stored_results(suite):
    assert shown(TEXT, suite) == block(suite), "python -m tests.suites.page writes them"


def test_the_page_shows_what_another_library_reached_on_the_same_rows():
    assert shown(TEXT, "neuralforecast") == beside(), "python -m tests.suites.page writes it"


def test_readme_shows_the_stored_results():
    text = README.read_text()
    assert with_block(text) == text, "python -m tests.suites.page writes it"


def test_stored_results_are_of_suites_and_whole():
    assert {path.stem for path in RESULTS.glob("*.csv")} <= set(SUITES)
    for suite in STORED:
        results = stored(suite)
        assert tuple(results.columns) == COLUMNS
        found = set(results["task_name"])
        sets = {name.partition("/")[0] for name in found} if suite == "ltsf" else None  # its sets are scored apart
        whole = {name for name in SUITES[suite].tasks if sets is None or name.partition("/")[0] in sets}
        assert found == whole, "a task is missing"


def test_every_stored_figure_of_an_unseen_task_is_in_the_log():
    log = read(LOG)
    for suite in STORED:
        for row in stored(suite).to_dict("records"):
            task = SUITES[suite].tasks[row["task_name"]]
            if task.development or row["model_name"] == SUITES[suite].baseline:
                continue
            lines = log[(log["suite"] == suite) & (log["task"] == task.name)]
            figure = task.figures[0]
            assert any(float(value) == pytest.approx(row[figure]) for value in lines[figure]), task.name


def test_the_page_names_every_suite_with_its_command():
    commands = re.findall(r"^forecastlab benchmark (\S+)", TEXT, re.MULTILINE)
    assert commands == list(SUITES)
