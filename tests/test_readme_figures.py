"""The errors in README.md and docs/figures.md are stored outputs of commands, rounded: those in `tests/figures`."""

import re
import shlex
from functools import cache
from pathlib import Path
from statistics import mean

import numpy as np
import pandas as pd
import pytest
import yaml

from forecastlab.papers.van_diepen.tables import PUBLISHED

ROOT = Path(__file__).parents[1]
STORED = ROOT / "tests" / "figures"
README, FIGURES = ((ROOT / page).read_text() for page in ("README.md", "docs/figures.md"))
PROSE = " ".join(FIGURES.split())
COMMANDS = {name: shlex.split(text) for name, text in yaml.safe_load((STORED / "commands.yaml").read_text()).items()}
MSE, MAE, COVERAGE = "test/mse_scaled", "test/mae", "test/coverage"
SENTENCE = re.compile(
    r"^(.+) has the lower error than (.+), by ([\d.]+) \(95% interval (\S+) to ([-\d.]+)\)", re.MULTILINE
)


def table(page, first_header):
    """The rows of the table of a page whose head begins so, without its head, as lists of cells."""
    lines = page.splitlines()
    (start,) = [number for number, line in enumerate(lines) if line.startswith(first_header)]
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            return rows
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


@cache
def results(experiment):
    return pd.read_csv(STORED / f"{experiment}.csv")


def model(experiment, name=None):
    """The rows of a model of a run; of its network if no name is given."""
    found = results(experiment)
    found = found[found["model"] == name] if name else found[found["seed"].notna()]
    assert len(found), name
    return found


def by_seed(experiment, metric):
    """The mean over the folds of each seed of the network."""
    return model(experiment).groupby("seed")[metric].mean()


def one(experiment, name, metric, digits):
    """The one figure of a baseline on one fold."""
    (value,) = model(experiment, name)[metric]
    return f"{value:.{digits}f}"


def spread(values, digits):
    """A mean, and the lowest and the highest of the seeds."""
    return f"{np.mean(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def differences(experiment):
    """What `forecastlab compare` printed: by pair the difference (the first has the lower error) and its interval."""
    found = SENTENCE.findall((STORED / f"{experiment}.txt").read_text())
    assert found, experiment
    return {(better, worse): (float(by), float(low), float(high)) for better, worse, by, low, high in found}


def gain(experiment):
    """The difference between the network and the best baseline, with its sign: positive where the network is better."""
    baselines = results(experiment)[lambda rows: rows["seed"].isna()]
    metric = MSE if experiment.startswith("ett") else MAE
    best = baselines.groupby("model")[metric].mean().idxmin()
    found = differences(experiment)
    if (experiment, best) in found:
        return found[experiment, best]
    by, low, high = found[best, experiment]
    return -by, -high, -low


OZONE = "ozone-best-recurrent"
ARIMA_AND_MLP = "ARIMA(2,1,1) + MLPRegressor"
FORECASTS = pd.read_csv(ROOT / "notebooks" / "best_recurrent_predictions.csv")


def of_folds(values):
    """The cells of five folds and their mean."""
    values = [float(value) for value in values]
    assert len(values) == 5
    return [f"{value:.3f}" for value in [*values, mean(values)]]


def stored_folds(experiment, name=None):
    return model(experiment, name).groupby("fold")[MSE].mean()


def mean_forecast(*prefixes):
    """By fold the error of the mean of forecasts; of those of several seeds their mean comes first."""
    parts = [FORECASTS.filter(regex=rf"^{prefix}(_\d+)?$").mean(axis=1) for prefix in prefixes]
    error = (sum(parts) / len(parts) - FORECASTS["y"]) ** 2 / FORECASTS["variance"]
    return error.groupby(FORECASTS["fold"]).mean()


def ozone_rows():
    single = by_seed(OZONE, MSE)
    return [
        ["persistence", *of_folds(stored_folds(OZONE, "persistence"))],
        ["ridge on today's 72 measurements and the season", *of_folds(stored_folds(OZONE, "ridge"))],
        ["lasso on the same", *of_folds(stored_folds(OZONE, "lasso"))],
        ["ARIMA, and a small MLP on its residuals", *of_folds(stored_folds(OZONE, ARIMA_AND_MLP))],
        ["the mean of lasso and ARIMA with MLP", *of_folds(mean_forecast("lasso", "arima_mlp"))],
        [
            "`best_recurrent.yaml`, single networks, five seeds (*)",
            *of_folds(stored_folds(OZONE))[:5],
            spread(single, 3),
        ],
        ["the mean forecast of the five (*)", *of_folds(mean_forecast("single"))],
        ["the mean of these, lasso and ARIMA with MLP (*)", *of_folds(mean_forecast("single", "lasso", "arima_mlp"))],
        ["a record: chosen anew before each fold, three seeds (*)", *of_folds(mean_forecast("seq"))],
        ["van Diepen's LSTM, best test epoch: published", *of_folds(PUBLISHED["lstm"].losses)],
    ]


SERIES = {
    "electricity-consumption-7": ("German electricity consumption", "7 days"),
    "electricity-consumption-28": ("", "28 days"),
    "electricity-imbalance-7": ("consumption less wind and solar", "7 days"),
    "electricity-imbalance-28": ("", "28 days"),
    "etth1-24": ("ETTh1 oil temperature", "24 hours"),
    "etth1-96": ("", "96 hours"),
}


def series_rows():
    rows = []
    for experiment, name in SERIES.items():
        hourly = experiment.startswith("ett")
        metric, digits, season = (MSE, 4, 24) if hourly else (MAE, 1, 7)
        yearly = (None, None) if hourly else ("seasonal naive (364)", "ridge (season 7, season 364)")
        baselines = ["persistence", f"seasonal naive ({season})", yearly[0], "ridge", "lasso", yearly[1]]
        by, low, high = gain(experiment)
        rows.append(
            [
                *name,
                *(one(experiment, baseline, metric, digits) if baseline else "" for baseline in baselines),
                spread(by_seed(experiment, metric), digits) + (" (+)" if hourly else ""),
                f"{by:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})",
                f"{by_seed(experiment, COVERAGE).mean():.2f}",
            ]
        )
    return rows


IN_SHORT = {
    "persistence": "persistence",
    "ridge on today's 72 measurements and the season": "ridge",
    "lasso on the same": "lasso",
    "ARIMA, and a small MLP on its residuals": "ARIMA, and a small MLP on its residuals",
    "`best_recurrent.yaml`, single networks, five seeds (*)": "`best_recurrent.yaml`, each of five seeds",
    "the mean forecast of the five (*)": "the mean forecast of these five networks",
    "van Diepen's LSTM, best test epoch: published": "van Diepen's LSTM, best test epoch: published",
}
"""The rows of the ozone table that README.md shows, and what it calls them."""


def ozone_means():
    return [[IN_SHORT[row[0]], row[-1]] for row in ozone_rows() if row[0] in IN_SHORT]


def series_gains():
    """Of each row the error of persistence, the least of a baseline, the error of the network, and the gain."""
    return [
        [*row[:3], min(filter(None, row[2:8]), key=float), row[8].removesuffix(" (+)"), row[9]] for row in series_rows()
    ]


TABLES = {
    (FIGURES, "| | fold 1 |"): ozone_rows,
    (FIGURES, "| | steps |"): series_rows,
    (README, "| model | error |"): ozone_means,
    (README, "| series | steps |"): series_gains,
}


@pytest.mark.parametrize(("page", "head"), TABLES, ids=[head for _, head in TABLES])
def test_a_table_of_a_page_is_what_its_commands_wrote(page, head):
    expected = TABLES[page, head]()
    lines = "\n".join(f"| {' | '.join(row)} |" for row in expected)
    assert table(page, head) == expected, f"the stored results say:\n{lines}"


def _commands(page):
    for block in re.findall(r"^ *```(?:sh)?\n(.*?)^ *```$", page, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            yield shlex.split(line, comments=True)


BESIDE = {"consumption_28": "consumption_7", "imbalance_7": "consumption_7", "imbalance_28": "consumption_7"}
BESIDE |= {"etth1_96": "etth1_24"}
"""The config that stands on the page for another, of which the page says that the command is the same."""


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_of_a_stored_result_stands_beside_its_table(name):
    command = shlex.join(COMMANDS[name])
    for other, shown in BESIDE.items():
        command = command.replace(other, shown).replace(other.replace("_", "-"), shown.replace("_", "-"))
    assert shlex.split(command) in list(_commands(FIGURES))


def test_the_commands_below_the_figures_of_the_readme_made_stored_results():
    shown = list(_commands(README.partition("## Figures")[2]))
    stored = [command for command in shown if command[:2] != ["forecastlab", "benchmark"]]  # see tests/suites
    assert (len(shown), len(stored)) == (4, 3)
    assert all(command in COMMANDS.values() for command in stored)


def test_every_stored_result_has_a_command():
    assert {path.name for path in STORED.iterdir()} == {*COMMANDS, "commands.yaml", "README.md"}


def test_stored_results_hold_what_their_commands_ask_for():
    for name, words in COMMANDS.items():
        if "crossval" not in words:
            continue
        experiment, found = name.removesuffix(".csv"), results(name.removesuffix(".csv"))
        config = yaml.safe_load((ROOT / words[words.index("--config") + 1]).read_text())
        given = words[words.index("--experiment") + 1] if "--experiment" in words else config["experiment"]
        assert given == experiment
        seeds = [int(seed) for seed in words[words.index("--seeds") + 1].split(",")]
        assert set(found["seed"].dropna()) == set(seeds)
        folds = found.groupby("model", dropna=False)["fold"].nunique()
        assert folds.nunique() == 1, "a model lacks a fold"
        baselines = re.findall(r"\w+(?:\([^)]*\))?", words[words.index("--baselines") + 1])
        assert found[found["seed"].isna()]["model"].nunique() == len(baselines)


def test_the_pages_claim_a_gain_only_where_the_interval_leaves_out_0():
    better = [experiment for experiment in SERIES if gain(experiment)[1] > 0]
    assert better == ["electricity-consumption-7"]
    assert all(low < 0 < high for _, low, high in (gain(other) for other in SERIES if other not in better))
    assert "Consumption at 7 days is the one row on which the networks are shown to be better" in PROSE
    assert "On the other five the interval of the gain holds 0" in PROSE
    assert "Only the gain on consumption at 7 days is shown to differ from 0" in README


def test_the_page_compares_the_published_averages_as_they_are():
    averages = [mean(paper.losses) for paper in PUBLISHED.values()]
    beaten = {
        name: sum(stored_folds(OZONE, name).mean() < average for average in averages)
        for name in ("persistence", "ridge")
    }
    assert "persistence beats four of them, and ridge beats all" in PROSE
    assert beaten == {"persistence": 4, "ridge": len(averages)}


def test_the_page_has_the_errors_of_the_linear_model_that_is_fitted_for_them():
    name = "least absolute deviations"
    seven, more = (
        [one(f"lad-{data}-{days}", name, MAE, 1) for days in (7, 28)] for data in ("consumption", "imbalance")
    )
    said = (
        f"It has {seven[0]} and {seven[1]} on consumption, {more[0]} and {more[1]} on consumption less wind and solar"
    )
    assert said in PROSE


def test_a_stored_comparison_is_of_the_stored_results():
    for experiment in (name.removesuffix(".txt") for name in COMMANDS if name.endswith(".txt")):
        metric = MAE if experiment.startswith("electricity") else MSE
        by_model = results(experiment).groupby(["model", "fold"])[metric].mean().groupby("model").mean()
        for (better, worse), (by, _, _) in differences(experiment).items():
            assert by_model[worse] - by_model[better] == pytest.approx(by, abs=1e-4)
