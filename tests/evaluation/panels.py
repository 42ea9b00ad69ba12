"""The folder of a crossval run of a panel with prediction intervals, drawn from seeded noise."""

import numpy as np
import pandas as pd
import yaml

from tests.evaluation.folders import CONFIG

INTERVALS = {"forecast-lo-90": -3.0, "forecast-lo-50": -1.0, "forecast-hi-50": 1.0, "forecast-hi-90": 3.0}
"""How far the quantiles of `net` lie from its forecast, at the first step; at step k it is k times as far."""


def write_panel(root, series=8, origins=10, horizon=3, intervals=None, folds=(1, 2)):
    """Writes the run of `net`, which has intervals, and of persistence, which has none: its folder and its rows."""
    folder = root / "net" / "version_0"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump({**CONFIG, "experiment": "net"}))
    random = np.random.default_rng(0)
    keys = pd.MultiIndex.from_product(
        [folds, range(series), range(origins), range(1, horizon + 1)], names=["fold", "number", "origin", "step"]
    ).to_frame(index=False)
    origin = keys["origin"] + (keys["fold"] - 1) * (origins + horizon)
    truth = random.normal(0, 2, (series, (max(folds) + 1) * (origins + horizon))) + 100 * np.arange(series)[:, None]
    rows = pd.DataFrame(
        {
            "fold": keys["fold"],
            "unique_id": "s" + keys["number"].astype(str),
            "target": "y",
            "ds": pd.Timestamp("2020-03-01") + pd.to_timedelta(origin + keys["step"], unit="D"),
            "cutoff": pd.Timestamp("2020-03-01") + pd.to_timedelta(origin, unit="D"),
            "y": truth[keys["number"], origin + keys["step"]],
        }
    )
    spread = keys["step"] * (1 + keys["number"] / series)
    net = rows.assign(model="net", seed=0, forecast=rows["y"] + random.normal(0, 1, len(rows)) * spread)
    for name, far in (INTERVALS if intervals is None else intervals).items():
        net[name] = net["forecast"] + far * keys["step"]
    naive = rows.assign(model="persistence", seed=None, forecast=truth[keys["number"], origin])
    predictions = pd.concat([net, naive.dropna(axis=1, how="all")])
    error = predictions["forecast"] - predictions["y"]
    each = pd.DataFrame({"mae": error.abs(), "mse": error**2}).groupby(
        [predictions["model"], predictions["fold"], predictions["unique_id"]]
    ).mean()  # fmt: skip
    each["rmse"] = each["mse"] ** 0.5
    mean = each.groupby(level=["model", "fold"]).mean().reset_index()
    results = mean[["model", "fold"]].assign(seed=(mean["model"] == "net").map({True: 0}))
    results = results.assign(best_epoch=1, epochs=2, seconds=1.0, **{"val/loss": 0.5, "test/skill": 0.0})
    results["test/mse_scaled"] = mean["mse"] / 4
    results = results.assign(**{"test/mae": mean["mae"], "test/rmse": mean["rmse"], "test/mase": mean["mae"] / 2})
    results.astype({"seed": "Int64"}).to_csv(folder / "results.csv", index=False)
    predictions.astype({"seed": "Int64"}).to_csv(folder / "predictions.csv", index=False)
    units = rows[["fold", "unique_id", "target"]].drop_duplicates()
    units = units.assign(variance=4.0, seasonal_error=2.0, seasonal_squared_error=4.0)
    units.to_csv(folder / "units.csv", index=False)
    return folder, predictions.assign(step=(predictions["ds"] - predictions["cutoff"]).dt.days)
