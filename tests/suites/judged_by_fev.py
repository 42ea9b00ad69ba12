"""Scores forecasts of development tasks with the package fev, an independent judge, in an environment that has it.

    forecastlab's environment:  python -m tests.suites.judged_by_fev write FOLDER
    fev's (pip install fev):    python tests/suites/judged_by_fev.py score FOLDER

The second prints what `test_scores.py` expects; it imports nothing of ours.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

LEVELS = [round(0.1 * number, 1) for number in range(1, 10)]
TASKS = {"monash_m1_quarterly": (8, 4), "monash_tourism_quarterly": (8, 4), "monash_m3_monthly": (18, 12)}
"""The horizon and the season of the tasks."""


def skewed(point):
    """A forecast that is wrong in a known way, (..., horizon), and its quantiles, (..., horizon, levels)."""
    return 1.05 * point, point[..., None] * (0.8 + 0.45 * np.array(LEVELS))


def write(folder):
    from forecastlab.benchmarks.scores import naive_forecast
    from forecastlab.benchmarks.suites import SUITES, load
    from forecastlab.benchmarks.windows import TestWindows

    for name in TASKS:
        task = SUITES["chronos-zs"].tasks[name]
        series = load(task, None)
        point, quantiles = skewed(naive_forecast(task, TestWindows.of(task, series)).point)
        np.savez(folder / f"{name}.npz", point=point, quantiles=quantiles)
        frame = series.frame(series.lengths)
        frame["unique_id"] = frame["unique_id"].str.removeprefix("T").str.zfill(6)  # fev sorts by it
        frame.to_csv(folder / f"{name}.csv", index=False)


def score(folder):
    import datasets
    import fev

    found = {}
    for name, (horizon, season) in TASKS.items():
        rows = pd.read_csv(folder / f"{name}.csv", dtype={"unique_id": "str"}, parse_dates=["ds"])
        series = [
            {"id": item, "timestamp": part["ds"].dt.to_pydatetime().tolist(), "target": part["y"].tolist()}
            for item, part in rows.groupby("unique_id")
        ]
        path = folder / f"{name}.parquet"
        datasets.Dataset.from_list(series).to_parquet(str(path))
        task = fev.Task(
            dataset_path=str(path),
            horizon=horizon,
            seasonality=season,
            eval_metric="MASE",
            extra_metrics=["WQL", "SQL"],
            quantile_levels=LEVELS,
        )
        with np.load(folder / f"{name}.npz") as forecasts:
            window = [
                {
                    "predictions": point.tolist(),
                    **{str(level): values.tolist() for level, values in zip(LEVELS, quantiles.T, strict=True)},
                }
                for point, quantiles in zip(forecasts["point"], forecasts["quantiles"], strict=True)
            ]
        summary = task.evaluation_summary([window], model_name="skewed")
        found[name] = {figure: summary[figure] for figure in ("MASE", "WQL", "SQL")}
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    {"write": write, "score": score}[sys.argv[1]](Path(sys.argv[2]))
