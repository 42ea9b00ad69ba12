"""The results of a study: a table of its trials, and the importance of each searched value."""

import warnings
from collections.abc import Mapping
from typing import Any

import optuna
import pandas as pd
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from forecastlab.tuning.space import Space

ENOUGH = 5
"""Trials among the best that importances are found from, if there are so many."""


def best_of(study: Study) -> FrozenTrial | None:
    """The finished trial with the lowest validation loss; None before a trial has finished."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return min(complete, key=lambda trial: (trial.value, trial.number), default=None)


def trials_table(study: Study, space: Space) -> pd.DataFrame:
    """One row per trial: `trial, state, val/loss`, a column per searched value, and how the trial ended.

    The loss of a pruned trial is the last one that it reported. `error` says why a trial failed or was given up.
    """
    names = [entry.name for entry in space.entries]
    rows = [_row(trial, names) for trial in study.get_trials(deepcopy=False)]
    folds = dict.fromkeys(key for row in rows for key in row if key.startswith("val/loss fold"))
    columns = ["trial", "state", "val/loss", *folds, *names, "epochs", "begun", "seconds", "error"]
    return pd.DataFrame(rows, columns=columns).astype({"epochs": "Int64"})


def importance_of(study: Study) -> "pd.Series[float]":
    """The importance of each value for being among the best trials, largest first; empty if it is unknown.

    PED-ANOVA (Watanabe, Bansal and Hutter 2023), which also takes conditional values: it compares how the best tenth of
    the finished trials (five, if that is fewer) are spread over the values with how all are. Pruned trials are left
    out. Shares of 1.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) <= ENOUGH or len({trial.value for trial in complete}) == 1:
        return pd.Series(dtype="float64")
    evaluator = PedAnovaImportanceEvaluator(target_quantile=max(0.1, ENOUGH / len(complete)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a value that hardly any trial had
        found: Mapping[str, float] = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return pd.Series(dict(found), dtype="float64")


def _row(trial: FrozenTrial, names: list[str]) -> dict[str, Any]:
    seconds = trial.duration.total_seconds() if trial.duration is not None else None
    begun = None if trial.datetime_start is None else trial.datetime_start.isoformat(timespec="seconds")
    losses = {f"val/loss fold {fold}": loss for fold, loss in trial.user_attrs.get("losses", {}).items()}
    return {
        "trial": trial.number,
        "state": trial.state.name.lower(),
        "val/loss": trial.value,
        **losses,
        **{name: trial.params.get(name) for name in names},
        "epochs": trial.user_attrs.get("epochs"),
        "begun": begun,
        "seconds": seconds,
        "error": trial.user_attrs.get("error"),
    }
