"""What the notebooks say in sentences is what their cells print."""

import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def cells(name, kind):
    notebook = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def prose(name):
    return " ".join(" ".join("".join(cell["source"]) for cell in cells(name, "markdown")).split())


def printed(name):
    """The text that a committed notebook shows."""
    outputs = [output for cell in cells(name, "code") for output in cell["outputs"]]
    return "\n".join("".join(output.get("text") or output["data"].get("text/plain", "")) for output in outputs)


def said(name, pattern):
    """The numbers of the one sentence of a notebook that looks so."""
    (found,) = re.findall(pattern, prose(name))
    return [float(number) for number in ([found] if isinstance(found, str) else found)]


def shown(name, pattern):
    """The numbers that follow each other in the one line of the output that looks so."""
    (found,) = re.findall(pattern, printed(name), re.MULTILINE)
    return [float(number) for number in ([found] if isinstance(found, str) else found)]


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_is_kept_with_what_it_shows_and_is_small(path):
    counts = [cell["execution_count"] for cell in cells(path.stem, "code")]
    assert counts == list(range(1, len(counts) + 1))  # run once, from top to bottom
    outputs = [output for cell in cells(path.stem, "code") for output in cell["outputs"]]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not any(output["output_type"] == "error" for output in outputs)
    assert path.stat().st_size < 300_000


def test_the_quickstart_notebook_counts_its_targets_and_ends_in_a_forecast():
    counts = [shown("quickstart", rf"^{part} +\S+ +\S+ +(\d+)$")[0] for part in ("fit", "validation", "test")]
    assert counts == said("quickstart", r"(\d+) fit the weights, and the (\d+) after .*? The (\d+) test targets")
    lookback = 14  # the first rows are no targets
    assert said("quickstart", r"sees the first (\d+) rows only") == [counts[0] + lookback]
    (forecast,) = shown("quickstart", r"^0 +ozone +T_PK +2005-02-22 +2005-02-21 +NaN +([\d.]+)$")
    assert 0 < forecast < 50


def test_the_airline_notebook_says_what_its_intervals_hold():
    *_, coverage = shown("airline", r"^attention LSTM +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+) +$")
    assert said("airline", r"meant to hold 0\.90 of the true values and hold ([\d.]+) of them") == [coverage]
    assert coverage < 0.85


def test_the_airline_notebook_orders_its_models_as_their_errors():
    error = {
        name: shown("airline", rf"^{name} +([\d.]+) .*[\dN]+ +$")[0]
        for name in ("attention LSTM", "persistence", r"seasonal naive \(12\)", r"ridge \(12 lags\)")
    }
    assert sorted(error, key=error.__getitem__) == [
        r"ridge \(12 lags\)",
        "attention LSTM",
        r"seasonal naive \(12\)",
        "persistence",
    ]


def test_the_sales_notebook_says_what_reconciling_changes():
    number = r" +([\d.]+)"
    *base, gap = shown("sales", rf"^as they are{5 * number}$")
    assert said("sales", r"miss that of the total by up to (\d+) sales") == [round(gap)]
    changes = []
    for method in ("bottom_up", "ols", "mint"):
        *errors, gap = shown("sales", rf"^{method}{5 * number}$")
        assert gap == 0
        changes += [abs(one - other) for one, other in zip(errors[:3], base[:3], strict=True)]
    assert said("sales", r"errors change by ([\d.]+) points at most") == [round(max(changes), 1)]
    assert base[3] < base[2]  # the new shop, as well as the others
    network, naive = (shown("sales", rf"^{name} +([\d.]+) ")[0] for name in ("network", r"seasonal naive \(6\)"))
    assert network < naive / 2


def test_the_sales_notebook_says_what_its_intervals_hold():
    number = r" +([\d.]+)"
    held = {name: shown("sales", rf"^{name}{4 * number}$") for name in ("as they are", "bottom_up", "mint")}
    found = said(
        "sales",
        r"the total hold ([\d.]+) of its 24 days.*? the shops, they hold ([\d.]+) of them, and with `mint` (\d\.\d+)",
    )
    assert found == [held[name][0] for name in ("as they are", "bottom_up", "mint")]
    assert said("sales", r"somewhat wide with `mint` \(([\d.]+)\)") == [max(held["mint"][1:3])]
    assert min(held["mint"][1:3]) > 0.92  # both are wide
    told, difference = shown("sales", r"^(\d+) forecasts; they differ from those above by (\S+) of their value")
    assert (told, difference < 1e-6) == (18 * 12, True)


def test_the_notebook_about_cells_ranks_the_linear_model_first_and_says_so():
    number = r" +([\d.]+)"
    error = {name: shown("choosing_a_cell", rf"^{name}{number}")[0] for name in ("ridge", "LSTM", "GRU", "MinGRU")}
    assert min(error, key=error.__getitem__) == "ridge"
    assert "a linear model on the same rows is ahead of every cell" in prose("choosing_a_cell")
    ahead = re.findall(r"^ridge has the lower error than .*the interval leaves out 0", printed("choosing_a_cell"), re.M)
    assert len(ahead) == 3  # "these days decide it"


def test_the_explain_notebook_says_what_it_prints():
    lstm, today, attention = shown(
        "explain", r"^LSTM +([\d.]+)\ntomorrow as today +([\d.]+)\nattention LSTM +([\d.]+)$"
    )
    assert lstm >= today  # "no better"
    assert round(attention / lstm) == round(attention / today) == 2  # "twice as bad"
    assert said("explain", r"less than (\d+) to an MSE of (\d+)") == [1, round(lstm)]
    single, *_ = shown("explain", r"feature +permuted.*\nT11 +([\d.]+) +([\d.]+)")
    assert single < 1
    (together, *_), *_ = [re.findall(r"^T +([\d.]+)", printed("explain"), re.MULTILINE)]
    assert 2.5 < (lstm + float(together)) / lstm < 3  # "nearly triples"
    week, month = shown("explain", r"^LSTM +\d+% +(\d+)% +\d+% +(\d+)%$")
    assert (round(week / 20), month) == (4, 100)  # "four fifths", "nothing"
    assert said("explain", r"have (\d+) % of what moves its forecasts") == shown(
        "explain", r"^attention LSTM +\d+% +\d+% +\d+% +(\d+)%$"
    )
    even, rows = said("explain", r"as if (\d+) of (\d+) counted alike")
    assert [rows, even] == shown("explain", r"^backbone, layer 1 +head 1 +(\d+) +\d+ +\d+ +(\d+)$")
    day, rank = shown("explain", r"^1998-09-10: ([\d.]+)% of the weight; its strongest wind is number (\d+) ")
    assert (round(100 / day), rank <= 10) == (8, True)  # "an eighth", "one of the ten windiest"
    assert shown("explain", r"^1998-03-08: [\d.]+% of the weight; its strongest wind is number (\d+) ") == [1]


@pytest.fixture(scope="module")
def search():
    """What the code of the notebook about best_recurrent.yaml computes from the files beside it."""
    names = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(NOTEBOOKS)
        patch.setattr(plt, "show", lambda: None)
        patch.delenv("FORECASTLAB_DATA", raising=False)
        for cell in cells("best_recurrent", "code"):
            exec("".join(cell["source"]), names)  # the repository's own notebook
    plt.close("all")
    return names


BEST, ANEW, FIRST = "best_recurrent.yaml", "chosen anew before each fold", "first choice, on rows 0..249"
SKIP, LASSO, CV = "best_recurrent.yaml's skip alone", "lasso", "scikit-learn's LassoCV"
CLASSICS = "mean of lasso and ARIMA with MLP"
ALL = "mean of best_recurrent, lasso and ARIMA with MLP"


def mean_error(model):
    """A model's error, from the file of forecasts alone."""
    rows = pd.read_csv(NOTEBOOKS / "best_recurrent_predictions.csv")
    seeds = {BEST: ["single_"], ANEW: ["seq_"], FIRST: ["first_"], SKIP: ["skip_"]}
    parts = {"ridge": ["ridge"], LASSO: ["lasso"], CV: ["lasso_cv"], CLASSICS: ["lasso", "arima_mlp"]}
    parts["ARIMA"] = ["arima_mlp"]
    parts = {**seeds, **parts, ALL: ["single_", "lasso", "arima_mlp"]}[model]
    columns = [
        [name for name in rows if re.fullmatch(rf"{part}\d" if part.endswith("_") else part, name)] for part in parts
    ]
    forecast = np.mean([rows[names].mean(axis=1) for names in columns], axis=0)
    return ((forecast - rows["y"]) ** 2 / rows["variance"]).groupby(rows["fold"]).mean().mean()


def test_the_best_recurrent_notebook_says_the_errors_of_its_forecasts():
    found = said(
        "best_recurrent",
        r"single configuration of `best_recurrent.yaml` reaches (\d+\.\d+)\. .*?reaches (\d+\.\d+)\. .*?"
        r"the same rules \((\d+\.\d+)\) and than ridge \((\d+\.\d+)\)",
    )
    assert found == [round(mean_error(model), 3) for model in (BEST, ANEW, SKIP, "ridge")]
    found = said(
        "best_recurrent", r"A lasso on the same 74 columns reaches (\d+\.\d+), and scikit-learn's LassoCV (\d+\.\d+)"
    )
    assert found == [round(mean_error(model), 3) for model in (LASSO, CV)]


def test_the_best_recurrent_notebook_claims_no_gain_that_its_intervals_do_not_carry(search):
    gain = search["gain"]
    for network in (BEST, ANEW):
        assert gain(network, SKIP)["high"] < 0
        assert gain(network, "ridge")["high"] < 0
    found = [gain(network, line) for network in (BEST, ANEW) for line in (LASSO, CV)]
    assert all(one["low"] < 0 < one["high"] for one in found)
    differences = [round(one["difference"], 3) for one in found]
    lowest, highest, low, high = said(
        "best_recurrent",
        r"by (-\d+\.\d+) to (-\d+\.\d+), and every interval holds 0 \(from (-\d+\.\d+) to (\d+\.\d+)\)",
    )
    assert [lowest, highest] == [min(differences), max(differences)]
    assert [low, high] == [round(min(one["low"] for one in found), 3), round(max(one["high"] for one in found), 3)]


def test_the_best_recurrent_notebook_says_what_its_records_hold(search):
    scorings, trials = search["scorings"], search["trials"]
    figures = scorings.set_index("number")["figure (mean forecast)"]
    assert said("best_recurrent", r"agree: (\d+\.\d+) against (\d+\.\d+) for the skip alone") == [
        round(float(figures[number]), 3) for number in (6, 7)
    ]
    errors = trials.pivot_table("mse_mean", "name", "rows")
    ahead = errors.loc["ablation mlp64 do.8 wd1, no gru"] - errors.loc["seq parallel gru16+mlp64 do.8 wd1"]
    assert said("best_recurrent", r"is the hybrid ahead, by (\d+\.\d+)") == [round(ahead[250], 3)]
    assert ahead.drop(250).max() < 0.0005


def test_the_mean_without_a_network_is_as_the_notebook_says(search):
    reaches, by, low, high, with_networks = said(
        "best_recurrent",
        r"ARIMA with MLP reaches (\d+\.\d+)\. .*? by (\d+\.\d+), with an interval of (\d+\.\d+) to (\d+\.\d+)\. .*? "
        r"it reaches (\d+\.\d+):",
    )
    assert [reaches, with_networks] == [round(mean_error(model), 3) for model in (CLASSICS, ALL)]
    found = search["gain"](CLASSICS, BEST)
    assert [by, low, high] == [round(-found[end], 3) for end in ("difference", "high", "low")]
    more = search["gain"](ALL, CLASSICS)
    assert more["low"] < 0 < more["high"]


def test_the_page_of_figures_says_the_differences_of_the_mean_forecasts(search):
    page = " ".join((NOTEBOOKS.parent / "docs" / "figures.md").read_text().split())
    interval = r"\(?(?:95 % interval )?(-?\d+\.\d+) to (-?\d+\.\d+)\)"
    arima = "ARIMA, and an MLP on its residuals"
    for better, worse, pattern in (
        (BEST, "ridge", rf"than ridge by (-?\d+\.\d+) {interval}"),
        (BEST, LASSO, rf"difference from a lasso \((-?\d+\.\d+), {interval}"),
        (BEST, arima, rf"or from ARIMA with its MLP \((-?\d+\.\d+), {interval}"),
        (CLASSICS, BEST, rf"better than the networks by (-?\d+\.\d+) {interval}"),
        (ALL, CLASSICS, rf"it gains nothing more \((-?\d+\.\d+), {interval}"),
    ):
        (numbers,) = re.findall(pattern, page)
        found = search["gain"](better, worse)
        assert list(numbers) == [f"{round(-found[end], 3) + 0.0:.3f}" for end in ("difference", "high", "low")], (
            better,
            worse,
        )
