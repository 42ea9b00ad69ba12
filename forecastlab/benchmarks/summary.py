"""Results in the format of fev's evaluation summaries, which fev's `leaderboard` reads."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from forecastlab import __version__
from forecastlab.benchmarks.files import FILES
from forecastlab.benchmarks.scores import LEVELS
from forecastlab.benchmarks.series import SeriesSet
from forecastlab.benchmarks.suites import AtTheEnd, Suite, Task

FEV = "0.10.0"
"""The version of fev whose format and definitions these are; its `leaderboard` asks for one."""
FIGURES = ("MASE", "WQL", "SQL", "sMAPE", "OWA", "MSE", "MAE")
"""All figures, in the order of their columns."""
COLUMNS = (
    *("model_name", "dataset_path", "dataset_config", "task_name", "horizon", "num_windows", "initial_cutoff"),
    *("window_step_size", "min_context_length", "max_context_length", "seasonality", "eval_metric", "extra_metrics"),
    *("quantile_levels", "id_column", "timestamp_column", "target", "generate_univariate_targets_from"),
    *("known_dynamic_columns", "past_dynamic_columns", "static_columns", "test_error", "training_time_s"),
    *("inference_time_s", "num_forecasts", "dataset_fingerprint", "trained_on_this_dataset", "fev_version"),
    *FIGURES,
    *("forecastlab_version", "recipe", "backbone", "seeds", "fallen_back", "cpu_s"),
)
"""The columns of a summary: those of fev, and behind them what is ours."""


def summary(
    suite: Suite,
    task: Task,
    series: SeriesSet,
    model: str,
    figures: Mapping[str, float],
    more: Mapping[str, Any],
) -> dict[str, Any]:
    """A row of results.csv.

    `trained_on_this_dataset` is false: only rows before the first test window have trained a network.

    Args:
        suite: of the task.
        task: what was scored.
        series: its series.
        model: what the forecasts are called.
        figures: what they came to; the first of the task is fev's `test_error`.
        more: further columns by name, such as `training_time_s`.
    """
    lead, *others = task.figures
    count = task.test.windows if isinstance(task.test, AtTheEnd) else task.test.end - task.test.begin - task.horizon + 1
    hashes = "".join(FILES[name].sha256 for name in task.data.files)
    row: dict[str, Any] = {
        "model_name": model,
        "dataset_path": suite.name,
        "dataset_config": task.name,
        "task_name": task.name,
        "horizon": task.horizon,
        "num_windows": count,
        "initial_cutoff": -count * task.horizon if isinstance(task.test, AtTheEnd) else task.test.begin,
        "window_step_size": task.horizon if isinstance(task.test, AtTheEnd) else 1,
        "min_context_length": 1,
        "seasonality": task.season,
        "eval_metric": lead,
        "extra_metrics": json.dumps(others),
        "quantile_levels": json.dumps(list(LEVELS if "WQL" in task.figures else ())),
        "id_column": "unique_id",
        "timestamp_column": "ds",
        "target": "y",
        **dict.fromkeys(("known_dynamic_columns", "past_dynamic_columns", "static_columns"), "[]"),
        "test_error": figures[lead],
        "num_forecasts": count * len(series.names),
        "dataset_fingerprint": hashlib.sha256(hashes.encode()).hexdigest()[:16],
        "trained_on_this_dataset": False,
        "fev_version": FEV,
        **figures,
        "forecastlab_version": __version__,
        **more,
    }
    return {name: row.get(name) for name in COLUMNS}


def summaries_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The rows of results.csv.

    Args:
        rows: of `summary`.
    """
    return pd.DataFrame(list(rows), columns=list(COLUMNS))
