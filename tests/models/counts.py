"""Panels of counts, and how often intervals of a forecast hold the truth at each level of the series.

Prints the table of docs/recipes.md for the real panel of vehicle trips:

    python -m tests.models.counts FOLDER     the folder that holds benchmarks/monash
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

import forecastlab
from forecastlab.benchmarks.series import monash

HORIZON, ORIGINS, WEEK = 7, 2, 7
HELD_OUT = 30
"""The last rows of each series of vehicle trips are the test window of its archive, and are not looked at."""
LIKELIHOOD = {
    "data.lookback": 28,
    "data.min_history": 14,
    "data.batch_size": 128,
    "model.backbone": "LSTM",
    "model.backbone.hidden_size": 32,
    "model.decoder": "Linear",
    "model.loss": "NegativeBinomial",
    "model.loss.quantiles": [0.05, 0.5, 0.95],
    "model.window_norm": "level",
    "model.anchor": "none",
    "model.loss_units": "scaled",
    "model.linear_window": False,
    "model.intervals": [],
    "trainer.max_epochs": 40,
    "trainer.enable_progress_bar": False,
}
"""A negative binomial around an LSTM: what the automatic recipe has instead is left out."""


def negative_binomial(series=120, rows=112, size=4.0, seed=0):
    """A panel of counts whose distribution is known: levels from 0.3 to 100, a week, variance m + m² / size.

    Returns:
        The frame (unique_id, ds, y), and the means m, (series, rows).
    """
    generator = np.random.default_rng(seed)
    level = np.exp(np.linspace(np.log(0.3), np.log(100), series))
    week = np.array([1.0, 1.0, 1.1, 1.2, 1.5, 0.7, 0.5])
    mean = level[:, None] * week[np.arange(rows) % WEEK]
    drawn = generator.poisson(generator.gamma(size, mean / size))
    return long(drawn, [f"s{number:03d}" for number in range(series)]), mean


def long(values, names, starts="2024-01-01"):
    """Series (rows,) each as a frame unique_id, ds, y."""
    starts = [starts] * len(names) if isinstance(starts, str) else starts
    parts = [
        pd.DataFrame({"unique_id": name, "ds": pd.date_range(start, periods=len(own), freq="D"), "y": own})
        for name, start, own in zip(names, starts, values, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


def vehicle_trips(folder):
    """The daily trips of 329 bases of taxis, without their test windows."""
    found = monash("D")([Path(folder) / "benchmarks/monash/vehicle_trips_dataset_without_missing_values.tsf"])
    return long([own[:-HELD_OUT].astype(int) for own in found.values], found.names, found.starts)


def before(frame, rows):
    """A frame without the last rows of each series."""
    return frame[frame.groupby("unique_id").cumcount(ascending=False) >= rows]


def forecasts(frame, settings, season=WEEK, **answers):
    """Trains on all rows but the last of each series, and forecasts those, a horizon at a time, beside the truth."""
    answers = {"series_column": "unique_id", "time_column": "ds", "fold": "all", **answers}
    train = before(frame, ORIGINS * HORIZON)
    model = forecastlab.fit(train, "y", HORIZON, settings={"seed_everything": 0, **settings}, **answers)
    told = [model.forecast(before(frame, back * HORIZON)) for back in range(ORIGINS, 0, -1)]
    level = train.groupby("unique_id")["y"].mean().rename("level").reset_index()
    table = pd.concat(told).drop(columns="y").merge(frame, on=["unique_id", "ds"], validate="one_to_one")
    assert len(table) == ORIGINS * HORIZON * frame["unique_id"].nunique()
    return table.merge(level, on="unique_id")


def by_level(table, groups=10):
    """The share of truths in the 90 % interval, below and above it, for groups of series by their mean before.

    Args:
        table: of `forecasts`.
        groups: how many, of equally many series.

    Returns:
        A row per group: `from`, `to` (means), `values` (how many), `inside`, `below`, `above`, `width` (mean).
    """
    series = table.drop_duplicates("unique_id").set_index("unique_id")["level"]
    group = pd.qcut(series.rank(method="first"), groups, labels=False)
    low, high = table["forecast-lo-90"], table["forecast-hi-90"]
    told = table.assign(
        group=table["unique_id"].map(group),
        inside=table["y"].between(low, high),
        below=table["y"] < low,
        above=table["y"] > high,
        width=high - low,
    )
    found = told.groupby("group").agg(
        **{"from": ("level", "min"), "to": ("level", "max"), "values": ("y", "size")},
        **{name: (name, "mean") for name in ("inside", "below", "above", "width")},
    )
    return found.reset_index(drop=True)


RECIPES = {
    "negative binomial": LIKELIHOOD,
    "automatic recipe": {"trainer.enable_progress_bar": False},
}
"""What the table of docs/recipes.md compares."""


def main(folder):
    frame = vehicle_trips(folder)
    for name, settings in RECIPES.items():
        table = forecasts(frame, settings)
        error = (table["y"] - table["forecast"]).abs().sum() / table["y"].sum()
        inside = table["y"].between(table["forecast-lo-90"], table["forecast-hi-90"]).mean()
        print(f"\n{name}: sum of absolute errors / sum of trips {error:.3f}, inside {inside:.3f}")
        print(by_level(table).to_string(float_format="{:.3f}".format), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
