"""docs/benchmarks.md shows the stored results, and the log has every scoring behind them."""

import re

import numpy as np
import pandas as pd
import pytest

from forecastlab.benchmarks.log import read
from forecastlab.benchmarks.suites import SUITES
from forecastlab.benchmarks.summary import COLUMNS
from tests.suites.cells import TASKS
from tests.suites.page import CELLS, LOG, PAGE, README, RESULTS, beside, block, cells, shown, stored, with_block

TEXT = PAGE.read_text()
STORED = [suite for suite in SUITES if stored(suite) is not None]


@pytest.mark.parametrize("suite", SUITES)
def test_the_tables_of_a_suite_are_those_of_its_stored_results(suite):
    assert shown(TEXT, suite) == block(suite), "python -m tests.suites.page writes them"


def test_the_page_shows_what_another_library_reached_on_the_same_rows():
    assert shown(TEXT, "neuralforecast") == beside(), "python -m tests.suites.page writes it"


def test_the_page_shows_the_stored_table_of_cells():
    assert shown(TEXT, "cells") == cells(), "python -m tests.suites.page writes it"


def test_the_table_of_cells_has_means_of_seeds_beside_published_figures(tmp_path):
    path = tmp_path / "cells.csv"
    rows = [
        {"task_name": task, "cell": "GRU", "recipe": "deepar", "seed": seed, "relative_WQL": error, "cpu_s": seconds}
        for seed, error in enumerate((0.5, 2.0))
        for task, seconds in zip(TASKS, (10, 20, 30, 40, 50), strict=True)
    ]
    rows = pd.DataFrame(rows).assign(relative_MASE=lambda frame: frame["relative_WQL"])
    rows.loc[0, "relative_MASE"] = 16.0  # of the first seed; its geometric mean is that of 16 and four times 0.5: 1
    rows.to_csv(path, index=False)
    header, _, ours, theirs = ([cell.strip() for cell in line.split("|")] for line in cells(path).splitlines()[2:])
    found = dict(zip(header, ours, strict=True))
    assert [found[name] for name in ("recipe", "cell", "seeds", "CPU s")] == ["deepar", "GRU", "2", "30"]
    assert (found[TASKS[0]], found[TASKS[3]]) == ("9.000", "1.250")
    assert [found[name] for name in ("mean MASE", "lowest seed", "highest seed")] == ["1.500", "1.000", "2.000"]
    assert found["mean WQL"] == "1.000"
    beside = dict(zip(header, theirs, strict=True))
    assert float(beside[TASKS[3]]) == pytest.approx(1.06 / 0.977, abs=2e-3)  # as GIFT-Eval has them
    assert beside["CPU s"] == ""


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


def test_the_page_on_choosing_says_what_recipes_and_cells_are_worth():
    rows = pd.read_csv(CELLS)
    errors = rows.assign(log=np.log(rows["relative_MASE"])).groupby(["recipe", "cell", "seed"])["log"].mean()
    means = np.exp(errors).groupby(["recipe", "cell"]).mean()
    said = re.search(
        r"plain windows has ([\d.]+) of the seasonal naive's error, and ([\d.]+) by the automatic recipe; six cells by "
        r"that recipe with one linear map have between ([\d.]+) and ([\d.]+)\.",
        " ".join((PAGE.parent / "choosing.md").read_text().split()),
    )
    auto = means["auto"]
    assert len(auto) == 6
    found = [means["plain", "LSTM"], means["averaged", "LSTM"], auto.min(), auto.max()]
    assert [float(figure) for figure in said.groups()] == [round(mean, 2) for mean in found]


def test_every_row_of_the_table_of_cells_is_in_the_log():
    log = read(LOG)
    tasks = SUITES["gift-offline"].tasks
    for row in pd.read_csv(CELLS).to_dict("records"):
        if tasks[row["task_name"]].development:
            continue
        recipe = f"tests.suites.cells.{row['cell']}_{row['recipe']}"
        lines = log[(log["task"] == row["task_name"]) & (log["recipe"] == recipe)]
        assert any(float(value) == pytest.approx(row["MASE"]) for value in lines["MASE"]), (recipe, row["seed"])


def test_the_page_names_every_suite_with_its_command():
    commands = re.findall(r"^forecastlab benchmark (\S+)", TEXT, re.MULTILINE)
    assert commands == list(SUITES)
