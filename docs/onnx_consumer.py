"""Forecasts of an exported network as CSV, with NumPy and ONNX Runtime alone.

python onnx_consumer.py best.onnx rows.csv            from each series' last row with a target
python onnx_consumer.py best.step.onnx rows.csv       from each row, one after the other

rows.csv has the columns of the training's data and a row for every step. Rows behind the last target hold what is known
in advance. A column that the network reads and rows.csv has not is made as the network's metadata say.
"""

import csv
import json
import sys
from datetime import datetime

import numpy as np
import onnxruntime

path, table = sys.argv[1:]
network = onnxruntime.InferenceSession(path)
about = json.loads(network.get_modelmeta().custom_metadata_map["forecastlab"])
made, horizon, lookback = about["rows"], about["horizon"], about["lookback"]
outputs = [output.name for output in network.get_outputs()]


def run(**inputs):
    """Inputs by name, of which the network may not read all -> outputs by name."""
    read = {
        name: np.asarray(values, about["dtypes"][name]) for name, values in inputs.items() if name in about["inputs"]
    }
    return dict(zip(outputs, network.run(None, read), strict=True))


def label(row, columns):
    """The words of some columns that are not empty."""
    return "/".join(row[name] for name in columns if row[name])


def times_of(rows):
    """When each row was observed."""
    return [datetime.fromisoformat(" ".join(row[part] for part in made["time"])) for row in rows]


def column(name, rows):
    """The values of a column, NaN where one is missing."""
    if name in rows[0]:
        return np.array([float(row[name] or "nan") for row in rows])
    for source, texts in made["categories"].items():
        if name in [f"{source}={text}" for text in texts]:
            return np.array([float(name == f"{source}={row[source]}") if row[source] else np.nan for row in rows])
    if name in made["derive"]:
        return sum(factor * column(source, rows) for source, factor in made["derive"][name].items())
    cycle, _, wave = name.rpartition("_")
    if cycle in made["calendar"]:
        place = {
            "hour": lambda time: time.hour + time.minute / 60 + time.second / 3600,
            "day_of_week": lambda time: time.weekday(),
            "day_of_year": lambda time: time.timetuple().tm_yday,
        }[cycle]
        angles = 2 * np.pi * np.array([place(time) for time in times_of(rows)]) / made["calendar"][cycle]
        return {"sin": np.sin, "cos": np.cos}[wave](angles)
    if name == "elapsed" and made["elapsed"] == "hour":
        times = np.array([time.timestamp() / 3600 for time in times_of(rows)])
        return np.diff(times, prepend=times[:1])
    if name == "padded":
        return np.zeros(len(rows))
    if name.endswith("_observed") and made["missing"] == "mask":
        return np.isfinite(column(name.removesuffix("_observed"), rows)).astype(float)
    sys.exit(f"{table} has no column {name}, which the network reads")


def held(name, rows):
    """A column whose missing values are filled as they were in training."""
    values = column(name, rows)
    there = np.isfinite(values)
    if not there.all() and made["missing"] not in ("ffill", "mask"):
        sys.exit(
            f"{table}: {name} has missing values; fill them, since the training filled none or looked at later ones"
        )
    values = values[np.maximum.accumulate(np.where(there, np.arange(len(rows)), 0))]
    if made["missing"] != "mask" and np.isnan(values).any():
        sys.exit(f"{table}: {name} begins with missing values; begin with a whole row")
    return np.nan_to_num(values)


def columns(names, rows):
    """(rows, names): filled columns."""
    return np.stack([held(name, rows) for name in names], 1) if names else np.zeros((len(rows), 0))


def forecasts(name, rows):
    """The origins of a series and the outputs of the network for each."""
    observed = np.isfinite([column(target, rows) for target in about["targets"]]).any(0)
    if not observed.any():
        sys.exit(f"series {name} has no target")
    rows = rows[int(observed.argmax()) :] if made["missing"] == "mask" else rows
    stop = len(rows) - int(observed[::-1].argmax())
    past, last = columns(about["features"], rows[:stop]), columns(about["targets"], rows[:stop])
    for column_name in about["known"]:
        if column_name in rows[0] and np.isnan(column(column_name, rows)).any():
            sys.exit(f"{table}: {column_name} is known in advance and must have a value in every row")
    known = columns(about["known"], rows)
    same = {"static": columns(about["static"], rows)[-1:]}
    if "series" in about["inputs"]:
        if name not in about["series"] and not made["new_series"]:
            sys.exit(f"series {name} was not among those the network was trained on")
        same["series"] = [about["series"].index(name) if name in about["series"] else -1]

    def at(origin):
        ahead = known[origin + 1 : origin + 1 + horizon]
        if "known" in about["inputs"] and len(ahead) < horizon:
            sys.exit(f"series {name} needs {horizon} rows behind its last target, with {', '.join(about['known'])}")
        return {"last": last[origin, None], "known": ahead[None], **same}

    if "history" in about["inputs"]:
        window = past if lookback == "full" else past[-lookback:]
        least = 1 if lookback == "full" else made["min_history"] or lookback
        if len(window) < least:
            sys.exit(f"series {name} has {len(window)} rows; the network forecasts from {least}")
        if lookback != "full" and len(window) < lookback:  # padded with its first row
            before = np.repeat(window[:1], lookback - len(window), 0)
            before[:, about["features"].index("padded")] = 1
            window = np.concatenate([before, window])
        yield rows[stop - 1], run(history=window[None], **at(stop - 1))
        return
    state = {part["input"]: np.full((1, *part["shape"]), part["value"], part["dtype"]) for part in about["state"]}
    lacking = max(stop + horizon - len(rows), 0) if "known" in about["inputs"] else 0
    for origin in range(stop - lacking):  # what is known in advance ends there
        found = run(row=past[origin, None], **at(origin), **state)
        state = {part["input"]: found[part["output"]] for part in about["state"]}
        if np.isfinite([column(target, rows[origin : origin + 1]) for target in about["targets"]]).any():
            yield rows[origin], found


series = {}
with open(table, newline="", encoding="utf-8") as file:
    for number, row in enumerate(csv.DictReader(file), 1):
        series.setdefault(label(row, made["series"]), []).append({"row": str(number), **row})
lines = csv.writer(sys.stdout, lineterminator="\n")
levels = [f"q{level:g}" for level in about["levels"]]
lines.writerow(["unique_id", "target", "cutoff", "step", "forecast", *levels])
for name, rows in series.items():
    for origin, found in forecasts(name, rows):
        cutoff = label(origin, made["time"] or ["row"])
        for place, target in enumerate(about["targets"]):
            for step in range(horizon):
                values = [found["forecast"][0, step, place]]
                values += list(found["quantiles"][0, step, place]) if levels else []
                lines.writerow([name, target, cutoff, step + 1, *values])
