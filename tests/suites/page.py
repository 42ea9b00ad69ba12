"""Writes the tables of the stored results into docs/benchmarks.md: `python -m tests.suites.page`."""

import re
from pathlib import Path

import pandas as pd

from forecastlab.benchmarks.log import read
from forecastlab.benchmarks.suites import SUITES
from forecastlab.benchmarks.tables import tables_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "benchmarks.md"
LOG = ROOT / "benchmarks" / "log.csv"
RESULTS = ROOT / "tests" / "suites" / "results"
NONE = "No version has been scored yet."


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
    first, cpu = ours.iloc[0], ours["cpu_s"].sum() / 60
    log = read(LOG)
    log = log[(log["suite"] == suite) & (log["version"] == first["forecastlab_version"])]
    ended = pd.to_datetime(log["date"])
    wall = (ended.max() - (ended - pd.to_timedelta(log["wall_s"].astype(float), unit="s")).min()).total_seconds() / 60
    said = (
        f"{first['model_name']}, version {first['forecastlab_version']}, commit {log['commit'].iloc[0]}, scored on "
        f"{ended.max():%Y-%m-%d}, seeds {first['seeds']}: {cpu:.0f} CPU minutes, {wall:.0f} minutes with two jobs."
    )
    return "\n".join([said, "", *(table.to_markdown() for table in tables_of(SUITES[suite], results))]).rstrip()


def shown(page, suite):
    """The part of a page between the marks of a suite."""
    found = re.search(rf"<!-- {suite} -->\n(.*?)\n<!-- end -->", page, re.DOTALL)
    assert found, f"the page has no place for {suite}"
    return found[1]


def written(page):
    """The page with the tables of all stored results."""
    for suite in SUITES:
        page = page.replace(
            f"<!-- {suite} -->\n{shown(page, suite)}\n<!-- end -->", f"<!-- {suite} -->\n{block(suite)}\n<!-- end -->"
        )
    return page


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
