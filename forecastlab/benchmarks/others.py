"""What others published about the tasks of a suite."""

import importlib.resources
import io

import pandas as pd

from forecastlab.benchmarks.suites import Suite


def others(suite: Suite) -> pd.DataFrame:
    """The published figures, a row per task and model: `task, model` and a column per figure, NaN where none is.

    They are facts to stand beside ours; `Suite.source` says where they come from.

    Args:
        suite: whose.
    """
    file = importlib.resources.files("forecastlab.benchmarks").joinpath("published", f"{suite.name}.csv")
    table = pd.read_csv(io.StringIO(file.read_text("utf-8")))
    return table.rename(columns={"mean_weighted_quantile_loss": "WQL"})
