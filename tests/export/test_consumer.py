"""The program of the documentation that needs NumPy and ONNX Runtime alone."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from forecastlab.backbones.alstm import ALSTM
from forecastlab.backbones.lstm import LSTM
from forecastlab.export import save_onnx
from tests.export.networks import network
from tests.series import Series, noise

CONSUMER = Path(__file__).parents[2] / "docs" / "onnx_consumer.py"
ALONE = """
import runpy, sys
for name in ("torch", "lightning", "pandas", "forecastlab", "onnx"):
    sys.modules[name] = None  # importing it would fail
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def consume(*arguments):
    """What the program prints, a row per line."""
    command = [sys.executable, "-c", ALONE, str(CONSUMER), *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stderr) == (0, "")
    return np.array([line.split() for line in ended.stdout.splitlines()], float)


@pytest.mark.parametrize("backbone", [LSTM, pytest.param(ALSTM, marks=pytest.mark.slow)])
def test_it_forecasts_as_the_network_does(tmp_path, backbone):
    frame = noise(30)
    model = network(
        partial(backbone, hidden_size=4), Series(frame, fold=2, lookback="full", horizon=2).schema, anchor="last"
    )
    frame.to_csv(tmp_path / "rows.csv", index_label="time")
    stream = model.stream()
    expected = [stream.update(row)["forecast"] for row in frame.reset_index(names="time").to_dict("records")]
    save_onnx(model, tmp_path / "a.onnx", step=True)
    np.testing.assert_allclose(consume(tmp_path / "a.onnx", tmp_path / "rows.csv"), expected, rtol=1e-5)
    save_onnx(model, tmp_path / "a.onnx")
    np.testing.assert_allclose(consume(tmp_path / "a.onnx", tmp_path / "rows.csv"), expected[-1:], rtol=1e-5)
