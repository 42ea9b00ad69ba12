"""Writes the tables of the stored results into docs/benchmarks.md and README.md: `python -m tests.suites.page`."""

import re
from pathlib import Path

import pandas as pd

from forecastlab.benchmarks.log import read
from forecastlab.benchmarks.others import others
from forecastlab.benchmarks.suites import SUITES
from forecastlab.benchmarks.tables import LEADING, horizon_table, model_table, tables_of
from tests.suites.beside_neuralforecast import OURS
from tests.suites.beside_neuralforecast import STORED as BESIDE
from tests.suites.cells import STORED as CELLS
from tests.suites.cells import table as table_of_cells

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "benchmarks.md"
LOG = ROOT / "benchmarks" / "log.csv"
RESULTS = ROOT / "tests" / "suites" / "results"
NONE = "No version has been scored yet."
README = ROOT / "README.md"
LEADERS = {
    "gift-offline": ("xLSTM-Mixer", "iTransformer", "PatchTST", "deepar", "chronos-2", "TiRex"),
    "chronos-zs": ("auto_theta", "auto_ets", "tirex", "chronos_bolt_base"),
    "m4": ("ES-RNN (the winner)", "Theta", "RNN of the organisers"),
    "ltsf": ("SegRNN L=720", "SegRNN L=96", "P-sLSTM L=336"),
}
"""The models that README.md names beside ours."""
SAID = {
    "gift-offline": "GIFT-Eval, {group}: {figure}, relative",
    "chronos-zs": "Chronos zero-shot, {group}: {figure}, relative",
    "m4": "M4 {group}: {figure}",
    "ltsf": "{group}, mean of four horizons: {figure}",
}


def stored(suite):
    """The stored results of a suite; None if there are none."""
    path = RESULTS / f"{suite}.csv"
    return pd.read_csv(path, dtype={"seeds": str}) if path.exists() else None


def block(suite):
    """What stands on the page about a suite."""
    results = stored(suite)
    if results is None:
        return NONE
    ours = results[results["model_name"] != SUITES[suite].baseline]
    said = [scored(suite, version, rows) for version, rows in ours.groupby("forecastlab_version")]
    return "\n".join([*said, "", *(table.to_markdown() for table in tables_of(SUITES[suite], results))]).rstrip()


def scored(suite, version, rows):
    """When and by which code some tasks of a suite were scored."""
    log = read(LOG)
    log = log[(log["suite"] == suite) & (log["version"] == version) & log["task"].isin(rows["task_name"])]
    # others are those of the table of cells, of other settings, and of the single networks beside neuralforecast
    log = log[(log["recipe"] == "auto") & (log["settings"] == "{}") & (log["seeds"] == rows["seeds"].iloc[0])]
    commits = log["commit"].unique()
    by = f"commit{'s' if len(commits) > 1 else ''} {' and '.join(commits)}"
    of = "" if len(rows) == len(SUITES[suite].tasks) else f" of {', '.join(rows['task_name'])}"
    return (
        f"{rows['model_name'].iloc[0]}, version {version}, {by}, scored on "
        f"{max(log['date']):.10}, seeds {rows['seeds'].iloc[0]}: {rows['cpu_s'].sum() / 60:.0f} CPU minutes{of}."
    )


def shown(page, suite):
    """The part of a page between the marks of a suite."""
    found = re.search(rf"<!-- {suite} -->\n(.*?)\n<!-- end -->", page, re.DOTALL)
    assert found, f"the page has no place for {suite}"
    return found[1]


def beside():
    """The table of ours beside neuralforecast's LSTM and GRU."""
    lines = ["| task | model | MASE | CPU seconds | ours, MASE | CPU seconds |", "|---|---|---:|---:|---:|---:|"]
    measured = pd.read_csv(BESIDE)
    own = measured[measured["model"] == OURS].set_index("task")
    for row in measured[measured["model"] != OURS].to_dict("records"):
        figures = [[f"{one['MASE']:.3f}", f"{one['cpu_s']:.0f}"] for one in (row, own.loc[row["task"]])]
        cells = [row["task"], row["model"], *figures[0], *figures[1]]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def cells(path=CELLS):
    """The table of cells and recipes."""
    return table_of_cells(pd.read_csv(path)).to_markdown().rstrip()


def written(page):
    """The page with the tables of all stored results."""
    blocks = {**{suite: block(suite) for suite in SUITES}, "neuralforecast": beside(), "cells": cells()}
    for name, text in blocks.items():
        page = page.replace(
            f"<!-- {name} -->\n{shown(page, name)}\n<!-- end -->", f"<!-- {name} -->\n{text}\n<!-- end -->"
        )
    return page


def rows_of_readme(suite):
    """The lines of README.md about a suite: what is compared, ours, and those of others."""
    results = stored(suite)
    if results is None:
        return []
    chosen, cells = SUITES[suite], {}
    if suite in ("gift-offline", "chronos-zs"):
        unseen = results[[not chosen.tasks[name].development for name in results["task_name"]]]
        for part, said in ((results, "all {} tasks"), (unseen, "{} without the development sets")):
            found = frame(model_table(chosen, part)).set_index("model")
            group = said.format(part["task_name"].nunique())
            cells |= {(figure, group): found[f"relative {figure}"] for figure in LEADING[suite]}
    elif suite == "m4":
        every = others(chosen).set_index(["task", "model"])["OWA"]
        ours = results[results["model_name"] != chosen.baseline].set_index("task_name")
        name = ours["model_name"].iloc[0]
        cells = {("OWA", task): pd.concat([every[task], pd.Series({name: ours["OWA"][task]})]) for task in ours.index}
    else:
        found = frame(horizon_table(results, chosen)).set_index("model")
        cells = {("MSE", group): found[group] for group in found if group in ("ETTh1", "ETTm1", "weather")}
    ours = results.loc[results["model_name"] != chosen.baseline, "model_name"].iloc[0]
    lines = []
    for (figure, group), values in cells.items():
        beside = [(name, values.get(name)) for name in LEADERS[suite]]
        said = ", ".join(f"{name} {value:.3f}" for name, value in beside if value is not None and pd.notna(value))
        about = SAID[suite].format(figure=figure, group=group)
        lines.append(f"| {about} | {values[ours]:.3f} | {said} |")
    return lines


def frame(table):
    """A table as a frame."""
    return pd.DataFrame({column.header: column.values for column in table.columns})


def block_of_readme():
    """What stands in README.md about public benchmarks."""
    rows = [line for suite in SUITES for line in rows_of_readme(suite)]
    return "\n".join(["| suite: error | ours | others, as published |", "|---|---:|---|", *rows])


def with_block(text):
    """README.md with the table of the stored results."""
    return re.sub(
        r"(?<=<!-- benchmarks -->\n).*?(?=\n<!-- end -->)", lambda _: block_of_readme(), text, flags=re.DOTALL
    )


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
    README.write_text(with_block(README.read_text()))
