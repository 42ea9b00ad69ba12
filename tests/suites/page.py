"""Writes the tables of the stored results into docs/benchmarks.md: `python -m tests.suites.page`."""

import re
from pathlib import Path

import pandas as pd

from forecastlab.benchmarks.suites import SUITES
from forecastlab.benchmarks.tables import tables_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "benchmarks.md"
RESULTS = ROOT / "tests" / "suites" / "results"
NONE = "No version has been scored yet."


def stored(suite):
    """The stored results of a suite; None if there are none."""
    path = RESULTS / f"{suite}.csv"
    return pd.read_csv(path) if path.exists() else None


def block(suite):
    """What stands on the page about a suite."""
    results = stored(suite)
    if results is None:
        return NONE
    ours = results[results["model_name"] != SUITES[suite].baseline].iloc[0]
    said = f"{ours['model_name']}, version {ours['forecastlab_version']}, seeds {ours['seeds']}."
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
