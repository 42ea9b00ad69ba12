"""Forecasts of exported networks, with NumPy and ONNX Runtime alone.

python onnx_consumer.py best.onnx rows.csv            a window: the forecast from the last row
python onnx_consumer.py best.step.onnx rows.csv       step by step: the forecast from each row

rows.csv has a header, and in it the network's features and targets; other columns do not matter.
"""

import csv
import json
import sys

import numpy as np
import onnxruntime


class Network:
    """An exported network: `about` says what it is, calling it runs it."""

    def __init__(self, path):
        self.session = onnxruntime.InferenceSession(path)
        self.about = json.loads(self.session.get_modelmeta().custom_metadata_map["forecastlab"])
        self.outputs = [output.name for output in self.session.get_outputs()]

    def __call__(self, **inputs):
        """Inputs by name -> outputs by name; of the inputs, what the network does not read is passed over."""
        read = {name: np.asarray(inputs[name], np.float32) for name in self.about["inputs"] if name in inputs}
        return dict(zip(self.outputs, self.session.run(None, read), strict=True))


class Stream:
    """The forecast from each row, as the rows come; of a network that was exported with --step."""

    def __init__(self, network):
        self.network = network
