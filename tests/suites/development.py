"""Trains and scores the recipe on rows that no suite scores, on which its rules may be derived.

`python -m tests.suites.development FOLDER SET HORIZON [NAME=VALUE ...]` prints the MSE and MAE of every test window as
`ltsf` defines them: 70 % of the rows train, 10 % validate, 20 % test, in units of the training rows. SET is one of
`power`, `births`, `ozone` and `sunspots`. The SET `m4_hourly` is the rows that train in the M4 competition: the last
ones of each series stand for its test, and OWA, sMAPE and MASE are printed. A NAME is a setting of the config, a VALUE
is JSON. Files are read from $FORECASTLAB_DATA.
"""

import json
import os
import sys
from pathlib import Path

import pandas as pd

from forecastlab.benchmarks.scoring import SCORED, Scoring, score
from forecastlab.benchmarks.series import SeriesSet, monash
from forecastlab.benchmarks.suites import SUITES, AtTheEnd, DataSet, Sliding, Task
from forecastlab.benchmarks.training import TRAINED, Training, train

DATA = Path(os.environ["FORECASTLAB_DATA"])


def columns(frame, start):
    """The columns of a frame of days; what is missing is filled on a straight line."""
    filled = frame.interpolate().bfill()
    values = [filled[name].to_numpy(float) for name in filled]
    return SeriesSet([str(name) for name in filled], values, [pd.Timestamp(start)] * len(values), "D", together=True)


def power(paths):
    """Consumption, wind and solar power of Germany by day, from 2012 on, when all three were observed."""
    frame = pd.read_csv(DATA / "electricity" / "opsd_germany_daily.csv", index_col="Date")
    return columns(frame.loc["2012":, ["Consumption", "Wind", "Solar"]], "2012-01-01")


def ozone(paths):
    """Wind, temperature, pressure and the like of the Ozone data: seven columns."""
    frame = pd.read_csv(DATA / "ozone" / "eighthr.data", header=None, na_values="?")
    return columns(frame[[1, 26, 27, 51, 52, 53, 61]], "1998-01-01")


def births(paths):
    """Births in the United States by day."""
    return columns(pd.DataFrame({"births": of_monash("us_births_dataset.tsf")}), "1969-01-01")


def sunspots(paths):
    """The last 12,000 days of sunspots."""
    spots = of_monash("sunspot_dataset_without_missing_values.tsf")[-12000:]
    return columns(pd.DataFrame({"spots": spots}), "1980-01-01")


def m4_hourly(paths):
    """The hourly series of M4 without their official test rows."""
    frame = pd.read_csv(DATA / "benchmarks" / "m4" / "Hourly-train.csv", index_col=0)
    return SeriesSet(list(frame.index), [row.dropna().to_numpy(float) for _, row in frame.iterrows()], None, "")


def of_monash(name):
    """The only series of a file."""
    return monash("D")([DATA / "benchmarks" / "monash" / name]).values[0]


def task_of(name, horizon):
    """A set and a horizon as a task."""
    if name == "m4_hourly":
        data, figures = DataSet((), m4_hourly), ("OWA", "sMAPE", "MASE")
        return Task(f"{name}/{horizon}", data, horizon, AtTheEnd(1), 24, figures, development=True)
    data = DataSet((), {"power": power, "births": births, "ozone": ozone, "sunspots": sunspots}[name])
    rows = data.load(None).lengths[0]
    shares = Sliding(int(rows * 0.7), rows - int(rows * 0.2), rows)
    return Task(f"{name}/{horizon}", data, horizon, shares, 1, ("MSE", "MAE"), development=True)


if __name__ == "__main__":
    task = task_of(sys.argv[2], int(sys.argv[3]))
    SUITES["ltsf"].tasks[task.name] = task
    settings = {name: json.loads(value) for name, value in (text.split("=", 1) for text in sys.argv[4:])}
    folder = Path(sys.argv[1]).absolute() / task.name.replace("/", "_")
    (folder / "seed_0").mkdir(parents=True)
    train(Training(folder / "seed_0", "ltsf", task.name, 0, "auto", settings), lambda share, text: None)
    score(Scoring(folder, "ltsf", task.name, (0,)), lambda share, text: None)
    trained = json.loads((folder / "seed_0" / TRAINED).read_text())
    print(task.name, json.loads((folder / SCORED).read_text())["figures"], trained)
