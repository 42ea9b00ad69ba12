"""Trains neuralforecast's LSTM and GRU, with their defaults, on rows of public tasks, and scores them as we score ours.

    forecastlab's environment:             python -m tests.suites.beside_neuralforecast write FOLDER
    neuralforecast's (version 3.3):        python tests/suites/beside_neuralforecast.py train FOLDER
    forecastlab's environment:             python -m tests.suites.beside_neuralforecast score FOLDER

The second imports nothing of ours. Each training runs on one thread. The third prints MASE and CPU seconds, and ours of
the stored results beside them.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

TASKS = {"monash_tourism_monthly": "chronos-zs", "monash_hospital": "chronos-zs", "weekly": "m4"}
"""The tasks, and their suites."""
MODELS = ("LSTM", "GRU")


def read(name):
    """The task of a name, and its series."""
    from forecastlab.benchmarks.suites import SUITES, load

    task = SUITES[TASKS[name]].tasks[name]
    return task, load(task, None)


def write(folder):
    for name in TASKS:
        task, series = read(name)
        frame = series.frame(task.rows_before(series))
        frame["unique_id"] = frame["unique_id"].map({name: f"{place:06}" for place, name in enumerate(series.names)})
        frame.to_parquet(folder / f"{name}.parquet")
        about = {"horizon": task.horizon, "frequency": series.frequency if series.starts else 1}
        (folder / f"{name}.json").write_text(json.dumps(about))


def train(folder):
    import neuralforecast
    import torch
    from neuralforecast import NeuralForecast, models

    torch.set_num_threads(1)
    for name in TASKS:
        rows = pd.read_parquet(folder / f"{name}.parquet")
        about = json.loads((folder / f"{name}.json").read_text())
        for kind in MODELS:
            used = time.process_time()
            model = getattr(models, kind)(
                h=about["horizon"], accelerator="cpu", logger=False, enable_progress_bar=False
            )
            forecaster = NeuralForecast([model], freq=about["frequency"])
            forecaster.fit(rows)
            found = forecaster.predict().sort_values(["unique_id", "ds"])
            cpu = time.process_time() - used
            np.savez(
                folder / f"{name}_{kind}.npz", point=found[kind].to_numpy().reshape(-1, about["horizon"]), cpu_s=cpu
            )
            print(f"neuralforecast {neuralforecast.__version__}: {name} {kind} {cpu:.0f} CPU seconds", flush=True)


def score(folder):
    from forecastlab.benchmarks.scores import LEVELS, Forecast, Scores
    from forecastlab.benchmarks.windows import TestWindows
    from tests.suites.page import stored

    lines = []
    for name, suite in TASKS.items():
        task, series = read(name)
        results = stored(suite)
        ours = results[(results["dataset_config"] == name) & (results["model_name"].str.startswith("forecastlab"))]
        line = {"task": name, "ours": ours["MASE"].iloc[0], "ours, CPU s": ours["cpu_s"].iloc[0]}
        for kind in MODELS:
            with np.load(folder / f"{name}_{kind}.npz") as found:
                point = found["point"].astype(np.float64)
                cpu = float(found["cpu_s"])
            scores, done = Scores(task, series), 0
            for part in TestWindows.of(task, series).parts():
                chosen = point[done : done + len(part)]
                scores.add(part, Forecast(chosen, np.repeat(chosen[..., None], len(LEVELS), -1)))
                done += len(part)
            line |= {kind: scores.figures()["MASE"], f"{kind}, CPU s": cpu}
        lines.append(line)
    print(pd.DataFrame(lines).round(3).to_string(index=False))


if __name__ == "__main__":
    {"write": write, "train": train, "score": score}[sys.argv[1]](Path(sys.argv[2]))
