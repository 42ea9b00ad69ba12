"""Which part of the recipe, and which cell, gives what: `python -m tests.suites.cells RECIPE CELL ...`.

Trains each named cell by a recipe on five tasks of gift-offline, three seeds one by one, adds the errors to `cells.csv`
beside this file, and prints the table of all that it holds. A training has 0.4 of the epochs of the automatic recipe,
so that the whole table takes hours and not days.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from forecastlab.benchmarks.benchmark import benchmark
from forecastlab.benchmarks.others import others
from forecastlab.benchmarks.suites import SUITES
from forecastlab.evaluation.tables import Column, Table
from forecastlab.experiment.environment import prepare
from forecastlab.experiment.proposal import proposed

TASKS = ("hospital/M/short", "us_births/D/short", "m4_weekly/W/short", "ett1/H/short", "jena_weather/10T/short")
SEEDS = (0, 1, 2)
RECIPES = ("plain", "normalised", "patched", "auto", "maps", "averaged", "deepar")
CELLS = ("GRU", "LSTM", "MinGRU", "LRU", "SLSTM", "GatedDeltaNet")
STORED = Path(__file__).parent / "cells.csv"
SHARE = 0.4


def __getattr__(name):
    """`GRU_auto` is the recipe `auto` around a GRU: processes of a benchmark know a recipe by its name."""
    cell, _, recipe = name.partition("_")
    if cell not in CELLS or recipe not in RECIPES:
        raise AttributeError(name)
    return lambda seen, answers: settings(seen, answers, cell, recipe)


def settings(seen, answers, cell, recipe):
    """The values of the automatic recipe, less what a recipe leaves out; `deepar` has another decoder and another loss.

    `averaged` leaves out nothing. The others have no average of the weights: `maps` is the automatic recipe before it
    had one, and `auto` the one before that, with one linear map of the window.
    """
    short = recipe in ("plain", "normalised")  # without segments, long histories are slow to read
    if short:
        answers = {**answers, "lookback": 2 * answers["horizon"]}
    values = proposed(seen, answers)
    model = values["model"]
    patches = model["backbone"] if model["backbone"]["class_path"] == "Patches" else None
    inner = patches["init_args"]["backbone"] if patches else model["backbone"]
    inner["class_path"] = cell
    if short:
        model["backbone"] = inner
    if recipe != "averaged":
        del model["weight_average"]
    if recipe == "auto":
        model["linear_window"] = True
    elif recipe not in ("maps", "averaged"):
        del model["linear_window"]
    if recipe == "deepar":
        levels = model["loss"]["init_args"]["quantiles"]
        model["decoder"] = {"class_path": "DeepAR"}
        model["loss"] = {"class_path": "StudentT", "init_args": {"quantiles": levels}}
    if recipe == "plain":
        for name in ("anchor", "window_norm", "loss_units"):
            model.pop(name, None)
    epochs = max(4, round(SHARE * values["trainer"]["max_epochs"]))
    values["trainer"]["max_epochs"] = epochs
    model["lr_scheduler"]["init_args"]["T_max"] = epochs
    values["early_stopping"]["patience"] = max(3, epochs // 4)
    return values


def measured(cell, recipe, seed):
    """The errors of one seed on the five tasks, and its CPU seconds."""
    results = benchmark("gift-offline", f"tests.suites.cells.{cell}_{recipe}", None, (seed,), TASKS).results
    base = results[results["model_name"] == "seasonal_naive"].set_index("task_name")
    ours = results[results["model_name"] != "seasonal_naive"].set_index("task_name")
    figures = {"MASE": ours["MASE"], "WQL": ours["WQL"], "cpu_s": ours["cpu_s"]}
    relative = {f"relative_{name}": ours[name] / base[name] for name in ("MASE", "WQL")}
    about = {"cell": cell, "recipe": recipe, "seed": seed, "version": ours["forecastlab_version"]}
    return pd.DataFrame({**about, **figures, **relative}).reset_index()


def published():
    """The errors of DeepAR that GIFT-Eval publishes, relative to its seasonal naive: a row per task, MASE and WQL."""
    found = others(SUITES["gift-offline"]).set_index(["model", "task"])[["MASE", "WQL"]]
    return (found.loc["deepar"] / found.loc["seasonal_naive"]).loc[list(TASKS)]


def table(rows):
    """Relative errors per task, the mean of the seeds and how far apart they are, and CPU seconds of a training.

    The last row is DeepAR as GIFT-Eval publishes it.
    """
    groups = rows.groupby(["recipe", "cell"], sort=False)
    relative = rows.pivot_table("relative_MASE", ["recipe", "cell"], "task_name", sort=False)[list(TASKS)]
    of_seeds = rows.assign(log=np.log(rows["relative_MASE"])).groupby(["recipe", "cell", "seed"], sort=False)["log"]
    means = np.exp(of_seeds.mean()).groupby(["recipe", "cell"], sort=False)
    wql = np.exp(rows.assign(log=np.log(rows["relative_WQL"])).groupby(["recipe", "cell"], sort=False)["log"].mean())
    order = [(recipe, cell) for recipe in RECIPES for cell in CELLS if (recipe, cell) in groups.groups]
    theirs, mean = published(), np.exp(np.log(published()).mean())
    columns = [
        Column("recipe", [*(recipe for recipe, _ in order), "GIFT-Eval"]),
        Column("cell", [*(cell for _, cell in order), "DeepAR"]),
        Column("seeds", [*groups["seed"].nunique()[order], None], 0),
        *(Column(task, [*relative[task][order], theirs["MASE"][task]], 3) for task in TASKS),
        Column("mean MASE", [*means.mean()[order], mean["MASE"]], 3),
        Column("lowest seed", [*means.min()[order], None], 3),
        Column("highest seed", [*means.max()[order], None], 3),
        Column("mean WQL", [*wql[order], mean["WQL"]], 3),
        Column("CPU s", [*groups["cpu_s"].mean()[order], None], 0),
    ]
    return Table("errors relative to the seasonal naive, mean of the seeds", tuple(columns))


if __name__ == "__main__":
    prepare(("tests",))
    for seed in SEEDS:
        for cell in sys.argv[2:]:
            rows = measured(cell, sys.argv[1], seed)
            before = [pd.read_csv(STORED)] if STORED.exists() else []
            every = pd.concat([*before, rows])
            every.to_csv(STORED, index=False)
            print(table(every).to_markdown(), flush=True)
