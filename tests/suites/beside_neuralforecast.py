"""Trains neuralforecast's LSTM and GRU on three tasks of the suites, and scores them as the suites score ours.

    python -m tests.suites.beside_neuralforecast PYTHON FOLDER

`PYTHON` is that of an environment with neuralforecast 3.3, which runs `train` below and imports nothing of ours. Each
model has the defaults of the package, then as many steps as take the CPU time of our recipe, if the defaults take less.
Ours is one network of the recipe, where the suites may average several. The rows go to `neuralforecast.csv` beside this
file; `python -m tests.suites.page` shows them. Without PYTHON and FOLDER only ours are measured again.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

TASKS = {
    "monash_tourism_monthly": ("chronos-zs", "MS"),
    "hospital/M/short": ("gift-offline", "MS"),
    "m4_weekly/W/short": ("gift-offline", 1),
}
"""The suite of each task, and the step of its times."""
MODELS = ("LSTM", "GRU")
OURS = "forecastlab auto"
STEPS = 1000
"""The default of the package."""
STORED = Path(__file__).parent / "neuralforecast.csv"


def train(folder, model, steps):
    """In the environment of neuralforecast: trains on rows.csv and writes the forecast of each series."""
    import neuralforecast
    from neuralforecast import NeuralForecast, models

    about = json.loads((folder / "task.json").read_text())
    rows = pd.read_csv(folder / "rows.csv", dtype={"unique_id": "str"})
    if about["step"] != 1:
        rows["ds"] = pd.to_datetime(rows["ds"])
    begun = time.process_time()
    network = getattr(models, model)(
        h=about["horizon"],
        max_steps=steps,
        start_padding_enabled=True,  # it refuses the short series of tourism otherwise
        accelerator="cpu",
        enable_progress_bar=False,
    )
    forecaster = NeuralForecast([network], freq=about["step"])
    forecaster.fit(rows)
    forecaster.predict().to_csv(folder / "forecast.csv", index=False)
    used = time.process_time() - begun
    (folder / "done.json").write_text(json.dumps({"cpu_s": used, "version": neuralforecast.__version__}))


def scored(python, folder, name, model, steps):
    """The figures of one training, as the suite of the task defines them."""
    from forecastlab.benchmarks.scores import LEVELS, Forecast, Scores
    from forecastlab.benchmarks.suites import SUITES, load
    from forecastlab.benchmarks.windows import TestWindows

    suite, step = TASKS[name]
    task = SUITES[suite].tasks[name]
    series = load(task, None)
    place = folder / f"{name.replace('/', '_')}-{model}-{steps}"
    place.mkdir(parents=True)
    series.frame(task.rows_before(series)).to_csv(place / "rows.csv", index=False)
    (place / "task.json").write_text(json.dumps({"horizon": task.horizon, "step": step}))
    subprocess.run([python, __file__, "train", str(place), model, str(steps)], check=True)
    done = json.loads((place / "done.json").read_text())
    found = pd.read_csv(place / "forecast.csv", dtype={"unique_id": "str"}).set_index("unique_id")
    point = np.stack([found.loc[[one], model].to_numpy() for one in series.names])
    scores = Scores(task, series)
    scores.add(TestWindows.of(task, series), Forecast(point, np.repeat(point[..., None], len(LEVELS), -1)))
    return {"task": name, "model": model, "steps": steps, "MASE": scores.figures()["MASE"], **done}


def ours(name):
    """The figures of one network of the recipe."""
    from forecastlab.benchmarks.benchmark import benchmark

    results = benchmark(TASKS[name][0], tasks=(name,)).results
    chosen = (results["task_name"] == name) & results["model_name"].str.startswith("forecastlab")
    (row,) = results[chosen].to_dict("records")
    found = {"MASE": row["MASE"], "cpu_s": row["cpu_s"], "version": row["forecastlab_version"]}
    return {"task": name, "model": OURS, "steps": None, **found}


def keep(rows):
    """Writes rows in the place of those of the same task, model and steps."""
    keys = ["task", "model", "steps"]
    kept = pd.concat([pd.read_csv(STORED), pd.DataFrame(rows)]).drop_duplicates(keys, keep="last")
    kept = kept.sort_values("task", key=lambda names: names.map(list(TASKS).index), kind="stable")
    kept.astype({"steps": "Int64"}).to_csv(STORED, index=False)
    print(kept.to_string(), flush=True)


def main(python=None, folder=None):
    for name in TASKS:
        own = ours(name)
        keep([own])
        for model in MODELS if python else ():
            row = scored(python, Path(folder), name, model, STEPS)
            keep([row])
            if (share := own["cpu_s"] / row["cpu_s"]) > 1.2:
                keep([scored(python, Path(folder), name, model, round(STEPS * share))])


if __name__ == "__main__":
    if sys.argv[1:2] == ["train"]:
        train(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    else:
        main(*sys.argv[1:])
