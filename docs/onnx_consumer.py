"""Forecasts of an exported network, with NumPy and ONNX Runtime alone: a line of numbers per forecast.

python onnx_consumer.py best.onnx rows.csv            from the last row, of all rows as one history
python onnx_consumer.py best.step.onnx rows.csv       from each row, one after the other

rows.csv has a header, and among its columns the network's features and targets.
"""

import csv
import json
import sys

import numpy as np
import onnxruntime

path, table = sys.argv[1:]
network = onnxruntime.InferenceSession(path)
about = json.loads(network.get_modelmeta().custom_metadata_map["forecastlab"])
outputs = [output.name for output in network.get_outputs()]


def run(**inputs):
    """Inputs by name, of which the network may not read all -> outputs by name."""
    read = {name: values for name, values in inputs.items() if name in about["inputs"]}
    return dict(zip(outputs, network.run(None, read), strict=True))


with open(table) as file:
    rows = list(csv.DictReader(file))
features, targets = (
    np.array([[row[name] for name in about[kind]] for row in rows], np.float64) for kind in ("features", "targets")
)

if "history" in about["inputs"]:
    print(*run(history=features[None], last=targets[-1:])["forecast"].flat)
else:
    state = {part["input"]: np.full((1, *part["shape"]), part["value"], part["dtype"]) for part in about["state"]}
    for row, last in zip(features, targets, strict=True):
        found = run(row=row[None], last=last[None], **state)
        state = {part["input"]: found[part["output"]] for part in about["state"]}
        print(*found["forecast"].flat)
