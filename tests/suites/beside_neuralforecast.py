"""Trains neuralforecast's LSTM and GRU on three tasks of the suites, and scores them as the suites score ours.

    python -m tests.suites.beside_neuralforecast PYTHON FOLDER

`PYTHON` is that of an environment with neuralforecast 3.3, which runs `train` below and imports nothing of ours. Each
model has the defaults of the package, then as many steps as take the CPU time of our recipe, if the defaults take less.
The rows go to `neuralforecast.csv` beside this file; `python -m tests.suites.page` shows them.
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
    """The stored MASE of our recipe, and its CPU seconds."""
    from tests.suites.page import stored

    results = stored(TASKS[name][0])
    chosen = (results["task_name"] == name) & results["model_name"].str.startswith("forecastlab")
    (row,) = results[chosen].to_dict("records")
    return row["MASE"], row["cpu_s"]


def main(python, folder):
    rows = []
    for name in TASKS:
        _, cpu = ours(name)
        for model in MODELS:
            rows.append(scored(python, folder, name, model, STEPS))
            if (share := cpu / rows[-1]["cpu_s"]) > 1.2:
                rows.append(scored(python, folder, name, model, round(STEPS * share)))
            pd.DataFrame(rows).to_csv(STORED, index=False)
            print(pd.DataFrame(rows).to_string(), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "train":
        train(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    else:
        main(sys.argv[1], Path(sys.argv[2]))
