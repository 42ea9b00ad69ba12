"""The seasonal naive of every task equals the published one, so the data and the protocol are the published ones."""

import numpy as np
import pytest

from forecastlab.benchmarks.others import others
from forecastlab.benchmarks.scores import naive2_scores, naive_scores
from forecastlab.benchmarks.suites import SUITES, AtTheEnd, Sliding, load

pytestmark = pytest.mark.real

DIGITS = {"gift-offline": 5e-5, "chronos-zs": 5e-4, "m4": 6e-4, "ltsf": 5e-4}
"""Half a unit of the last digit that is stated; OWA was computed of rounded figures."""
QUICK = {
    "gift-offline": ("hospital/M/short", "saugeen/M/short", "us_births/D/short"),
    "chronos-zs": ("monash_tourism_quarterly", "monash_m1_quarterly", "ETTh", "exchange_rate"),
    "m4": ("hourly",),
    "ltsf": ("ETTh1/96", "exchange_rate/96"),
}


def tasks():
    for suite in SUITES.values():
        table = others(suite)
        with_figures = set(table[table["model"] == suite.baseline]["task"])
        for name in suite.tasks:
            if name in with_figures:
                marks = () if name in QUICK[suite.name] else (pytest.mark.slow,)
                yield pytest.param(suite.name, name, marks=marks, id=f"{suite.name}:{name}")


@pytest.mark.parametrize(("suite", "name"), list(tasks()))
def test_the_naive_forecast_scores_as_it_was_published(suite, name, published_files):
    suite = SUITES[suite]
    task = suite.tasks[name]
    table = others(suite)
    published = table[(table["model"] == suite.baseline) & (table["task"] == name)].iloc[0]
    ours = naive_scores(task, load(task, published_files))
    close = 2.1e-4 if name.startswith("jena") else DIGITS[suite.name]
    compared = [figure for figure in published.index if figure in ours]
    assert compared
    for figure in compared:
        assert ours[figure] == pytest.approx(published[figure], abs=close), figure


def test_published_figures_of_the_m4_competition_follow_from_our_naive2(published_files):
    table = others(SUITES["m4"])
    for name, task in SUITES["m4"].tasks.items():
        reference = naive2_scores(task, load(task, published_files))
        rows = table[table["task"] == name]
        owa = (rows["sMAPE"] / reference["sMAPE"] + rows["MASE"] / reference["MASE"]) / 2
        assert len(owa) >= 4
        assert owa.to_numpy() == pytest.approx(rows["OWA"].to_numpy(), abs=6e-4)


def test_every_task_but_those_of_the_long_horizons_has_a_published_naive_figure():
    for suite in SUITES.values():
        table = others(suite)
        missing = set(suite.tasks) - set(table[table["model"] == suite.baseline]["task"])
        if suite.name == "m4":
            assert missing == {"weekly"}
        elif suite.name == "ltsf":
            known = {"ETTh1/96", "ETTm1/96", "weather/96", *(f"exchange_rate/{h}" for h in (96, 192, 336, 720))}
            assert missing == set(suite.tasks) - known
        else:
            assert not missing


def test_the_suites_have_as_many_tasks_as_was_published():
    assert {name: len(suite.tasks) for name, suite in SUITES.items()} == {
        "gift-offline": 21,
        "chronos-zs": 13,
        "m4": 2,
        "ltsf": 28,
    }


@pytest.mark.parametrize("name", ["hospital/M/short", "saugeen/D/short", "saugeen/M/short", "us_births/D/short"])
def test_a_task_of_gift_has_the_windows_of_its_rule(name, published_files):
    task = SUITES["gift-offline"].tasks[name]
    shortest = int(load(task, published_files).lengths.min())
    assert isinstance(task.test, AtTheEnd)
    assert task.test.windows == min(max(1, int(np.ceil(0.1 * shortest / task.horizon))), 20)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SUITES["gift-offline"].tasks if not name.startswith("m4")])
def test_every_task_of_gift_has_the_windows_of_its_rule(name, published_files):
    test_a_task_of_gift_has_the_windows_of_its_rule(name, published_files)


def test_the_long_horizons_are_tested_on_the_rows_that_the_literature_tests(published_files):
    tasks = SUITES["ltsf"].tasks
    assert tasks["ETTh1/96"].test == Sliding(8640, 11520, 14400)
    assert tasks["ETTm1/96"].test == Sliding(34560, 46080, 57600)
    illness = load(tasks["illness/24"], published_files)
    assert tasks["illness/24"].test == Sliding(676, 773, len(illness.values[0]))


@pytest.mark.parametrize("suite", SUITES)
def test_tasks_that_defaults_may_be_derived_on_are_the_named_ones(suite):
    found = {name for name, task in SUITES[suite].tasks.items() if task.development}
    expected = {
        "gift-offline": {"us_births/D/short"},
        "chronos-zs": {
            *("monash_m1_monthly", "monash_m1_quarterly", "monash_m3_monthly", "monash_m3_quarterly"),
            "monash_tourism_quarterly",
        },
        "m4": set(),
        "ltsf": {f"illness/{horizon}" for horizon in (24, 36, 48, 60)},
    }
    assert found == expected[suite]


def test_times_begin_where_the_file_says(published_files):
    for name in ("monash_tourism_quarterly", "monash_m1_quarterly", "monash_m1_yearly", "monash_m3_monthly"):
        series = load(SUITES["chronos-zs"].tasks[name], published_files)
        starts = [series.times(number, 2)[0] for number in range(len(series.names))]
        assert starts == list(series.starts)
