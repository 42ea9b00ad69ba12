"""Small series whose numbers can be checked by hand, and trainers that leave nothing behind."""

from collections.abc import Mapping, Sequence
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import pandas as pd
from torch import Tensor

from forecastlab.batch import Batch
from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.data.recipe import Recipe
from forecastlab.data.table import Table
from forecastlab.data.tables import read_tables
from forecastlab.training.forecaster import Forecaster

DEFAULTS: dict[str, Any] = {"lookback": 2, "fold": 1, "splits": 3, "validation": "test", "batch_size": 4}


class Series(ForecastDataModule):
    """A frame as walk-forward folds; `recipe` has further settings of the columns, such as the one of the series."""

    def __init__(
        self,
        raw: pd.DataFrame,
        frequency: str = "D",
        reindex: bool = False,
        features: Sequence[str] = ("x", "y"),
        targets: Sequence[str] = ("y",),
        recipe: Mapping[str, Any] | None = None,
        score_gaps: bool = True,
        **arguments: Any,
    ) -> None:
        columns = {
            "name": "city",
            "targets": tuple(targets),
            "features": tuple(features),
            "frequency": frequency,
            "regular": reindex,
            "missing": "ffill",
        }
        super().__init__(recipe=Recipe(**{**columns, **(recipe or {})}), **{**DEFAULTS, **arguments})
        self.raw = raw
        self.score_gaps = score_gaps

    def read(self) -> list[Table]:
        return read_tables(self.raw, self.recipe)


def counting(rows: int, frequency: str = "D", start: str = "2020-01-01") -> pd.DataFrame:
    """Column x holds the number of the row, column y a hundred more."""
    times = pd.date_range(start, periods=rows, freq=frequency)
    return pd.DataFrame({"x": np.arange(float(rows)), "y": 100 + np.arange(float(rows))}, index=times)


def panel(**spans: tuple[int, int]) -> pd.DataFrame:
    """Series on a calendar of days; each name has its first row and one past its last.

    Column x holds the number of the row, and a thousand more for each series before it; column y a hundred more.
    """
    parts = []
    for number, (name, (first, stop)) in enumerate(spans.items()):
        rows = np.arange(float(first), stop) + 1000 * number
        times = pd.date_range("2020-01-01", periods=stop)[first:]
        parts.append(pd.DataFrame({"id": name, "x": rows, "y": rows + 100}, index=times))
    return pd.concat(parts)


def noise(rows: int, seed: int = 0) -> pd.DataFrame:
    """Two columns: x leads, y follows it a day later."""
    x = np.random.default_rng(seed).normal(size=rows + 1)
    y = 20 + 5 * (x[:-1] + 0.3 * np.sin(np.arange(rows)))
    return pd.DataFrame({"x": x[1:], "y": y}, index=pd.date_range("2020-01-01", periods=rows, freq="D"))


def as_if_trained(model: Forecaster) -> Forecaster:
    """The network, which forecasts with the weights that it has."""
    model.trained = True
    return model


def loss_of(model: Forecaster, batch: Batch) -> Tensor:
    """The training criterion of a batch."""
    scaled = model.scaled(batch)
    return model.loss_of(model.run(scaled), batch, scaled)


def trainer(**arguments: Any) -> lightning.Trainer:
    """A trainer on the CPU without logs, checkpoints or output, unless asked for."""
    quiet = {
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 1,
    }
    return lightning.Trainer(**{**quiet, **arguments})
