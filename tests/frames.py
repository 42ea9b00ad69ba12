"""Frames of raw columns, as users have them, and data modules that read them from files."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forecastlab.data.recipe import Recipe
from forecastlab.data.table import Table
from forecastlab.data.table_datamodule import TableDataModule
from forecastlab.data.tables import read_tables


def wide(rows: int, seed: int = 0, frequency: str = "D") -> pd.DataFrame:
    """One series: ds, y, x that leads it by a row, and a price that is known in advance."""
    random = np.random.default_rng(seed)
    x, price = random.normal(size=rows + 1), random.normal(size=rows)
    y = 20 + 5 * (x[:-1] + 0.3 * np.sin(np.arange(rows)) + 0.5 * price)
    return pd.DataFrame(
        {"ds": pd.date_range("2020-01-01", periods=rows, freq=frequency), "y": y, "x": x[1:], "price": price}
    )


def panel(rows: int, scales: tuple[float, ...] = (1.0, 100.0, 0.01)) -> pd.DataFrame:
    """Series a, b, ... of unlike scales, one below the other, each with an area of its own."""
    parts = []
    for number, scale in enumerate(scales):
        part = wide(rows, seed=number)
        part["y"] *= scale
        parts.append(part.assign(unique_id="abcdef"[number], area=float(number + 1)))
    return pd.concat(parts, ignore_index=True)


def table(raw: pd.DataFrame, name: str = "city", **settings: Any) -> Table:
    """The table of a frame of days; all columns are features, and the target is y or the last column."""
    target = "y" if "y" in raw else raw.columns[-1]
    columns = {"targets": (target,), "features": tuple(raw.columns), "frequency": "D", "regular": False}
    (made,) = read_tables(raw, Recipe(**{"name": name, "missing": "ffill", **columns, **settings}))
    return made


def module(folder: Path, frame: pd.DataFrame, **arguments: Any) -> TableDataModule:
    """A data module that reads a frame from a file in a folder."""
    path = folder / "data.csv"
    frame.to_csv(path, index=False)
    settings = {"lookback": 4, "splits": 3, "fold": 2, "batch_size": 16, **arguments}
    return TableDataModule(str(path), **settings)
