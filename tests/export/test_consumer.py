"""The program of the documentation that needs NumPy and ONNX Runtime alone, on the columns of the training's data."""

import io
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from forecastlab.backbones.alstm import ALSTM
from forecastlab.backbones.lstm import LSTM
from forecastlab.backbones.s5 import S5
from forecastlab.export import save_onnx
from forecastlab.losses import Quantile
from tests.frames import panel, wide
from tests.network.streams import network

CONSUMER = Path(__file__).parents[2] / "docs" / "onnx_consumer.py"
ALONE = """
import runpy, sys
for name in ("torch", "lightning", "pandas", "forecastlab", "onnx"):
    sys.modules[name] = None  # importing it would fail
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
LEVELS = partial(Quantile, quantiles=[0.1, 0.5, 0.9])
PRICED = {"features": ["x"], "known": ["price"], "horizon": 2}
SHOPS = {**PRICED, "series_column": "unique_id"}


def run(*arguments):
    command = [sys.executable, "-c", ALONE, str(CONSUMER), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def consumed(folder, model, rows, step=False):
    """What the program prints for a network that is exported, as a table."""
    save_onnx(model, folder / "a.onnx", step=step)
    rows.to_csv(folder / "rows.csv", index=False)
    ended = run(folder / "a.onnx", folder / "rows.csv")
    assert (ended.returncode, ended.stderr) == (0, "")
    return pd.read_csv(io.StringIO(ended.stdout))


def weathered(rows):
    """Two targets, one of them of two columns; a text, hours of the day, and gaps. The last rows have times alone."""
    frame = wide(rows, frequency="h")
    frame["load"], frame["wind"] = 3 * frame["y"], frame["x"]
    frame["sky"] = np.where(frame["price"] > 0, "clear", "grey, wet")
    gaps = (np.random.default_rng(1).random(frame.shape) < 0.2) | (frame.index >= rows - 2)[:, None]
    return frame.mask(gaps).assign(ds=frame["ds"])


def exchange():
    """Hours of working days, 9 to 14."""
    frame = wide(600, frequency="h")
    return frame[(frame["ds"].dt.day_of_week < 5) & frame["ds"].dt.hour.between(9, 14)].reset_index(drop=True)


def without_future(frame, steps=3):
    """The last steps of each series hold only what is known in advance."""
    behind = frame.groupby("unique_id").cumcount(ascending=False) < steps if "unique_id" in frame else None
    behind = frame.index >= len(frame) - steps if behind is None else behind
    return frame.assign(y=frame["y"].mask(behind), x=frame["x"].mask(behind))


def shorter(frame):
    """The last series has four rows and the two behind them."""
    return frame[(frame["unique_id"] != "c") | (frame["ds"] >= frame["ds"].max() - pd.Timedelta(days=5))]


CASES = {
    "known, static, a scaling per series, quantiles": (
        without_future(panel(40)),
        {**SHOPS, "static": ["area"], "scale_by": "series", "loss": LEVELS, "anchor": "last"},
    ),
    "texts, cycles, masks, sums, two targets": (
        weathered(60),
        {
            "targets": ["y", "surplus"],
            "features": ["sky"],
            "derive": {"surplus": {"load": 1, "wind": -2}},
            "calendar": ["hour", "day_of_week", "day_of_year"],
            "missing": "mask",
            "frequency": "h",
            "horizon": 2,
        },
    ),
    "padded windows": (
        without_future(shorter(panel(40)), 2),
        {**SHOPS, "features": ["x", "y"], "lookback": 8, "min_history": 3, "window_norm": "mean", "anchor": "last"},
    ),
    "held values, a transform": (
        without_future(wide(40).assign(y=lambda frame: frame["y"].abs().mask(frame.index == 20))),
        {**PRICED, "missing": "ffill", "transform": "log1p"},
    ),
    "steps of unequal length": (
        exchange(),
        {"frequency": "rows", "elapsed": True, "lookback": 12, "backbone": partial(S5, hidden_size=4)},
    ),
    "whole histories": (without_future(panel(30)), {**SHOPS, "lookback": "full", "scale_by": "series"}),
}


@pytest.mark.filterwarnings("ignore::forecastlab.errors.ReadingNote")
@pytest.mark.parametrize("case", CASES)
def test_it_forecasts_as_the_network_does_from_columns_of_the_data(tmp_path, case):
    frame, settings = CASES[case]
    model = network(tmp_path, frame, **settings)
    if "unique_id" in frame:
        frame = frame.sort_values("unique_id", ascending=False, kind="stable")  # not the order of the training
    expected = model.forecast(frame)
    table = consumed(tmp_path, model, frame.drop(columns="x") if "x" not in model.schema.recipe["features"] else frame)
    keys = ["unique_id", "target", "ds"] if "unique_id" in frame else ["target", "ds"]
    expected = expected.sort_values(keys, kind="stable", ignore_index=True)
    table = table.sort_values(["unique_id", "target", "step"], kind="stable", ignore_index=True)
    np.testing.assert_allclose(table["forecast"], expected["forecast"], rtol=1e-5, atol=1e-6)
    assert pd.to_datetime(table["cutoff"]).tolist() == expected["cutoff"].tolist()
    for ours, theirs in {"q0.1": "forecast-lo-80", "q0.9": "forecast-hi-80"}.items():
        assert (ours in table) == (theirs in expected)
        if ours in table:
            np.testing.assert_allclose(table[ours], expected[theirs], rtol=1e-5)


@pytest.mark.filterwarnings("ignore::forecastlab.errors.NewSeriesNote")
def test_a_series_that_the_training_had_not_is_forecast_by_what_all_share(tmp_path):
    frame = panel(40)
    model = network(tmp_path, frame, features=["x"], series_column="unique_id", embeddings={"series": 3})
    torch.nn.init.normal_(model.embeddings.series)
    new = frame[frame["unique_id"] == "b"].assign(unique_id="new")
    table = consumed(tmp_path, model, new)
    np.testing.assert_allclose(table["forecast"], model.forecast(new)["forecast"], rtol=1e-5)


@pytest.mark.parametrize("backbone", [LSTM, pytest.param(ALSTM, marks=pytest.mark.slow)])
def test_row_by_row_it_forecasts_as_a_stream_does(tmp_path, backbone):
    frame = without_future(wide(30))
    model = network(tmp_path, frame, partial(backbone, hidden_size=4), lookback="full", **PRICED, anchor="last")
    stream, rows = model.stream(), frame.to_dict("records")
    expected = [
        stream.update(row, ahead=rows[number + 1 : number + 3])["forecast"] for number, row in enumerate(rows[:27])
    ]
    table = consumed(tmp_path, model, frame, step=True)
    np.testing.assert_allclose(table["forecast"], np.concatenate(expected), rtol=1e-5)
    assert table["cutoff"].iloc[::2].tolist() == [str(time) for time in frame["ds"].dt.date[:27]]


def test_what_cannot_be_forecast_from_is_said_in_a_line(tmp_path):
    frame = without_future(panel(40))
    save_onnx(network(tmp_path, frame, **SHOPS, scale_by="series"), tmp_path / "a.onnx")
    one = frame[frame["unique_id"] == "a"]
    for changed, said in (
        (frame.drop(columns="x"), "has no column x, which the network reads"),
        (frame.dropna(), "series a needs 2 rows behind its last target, with price"),
        (one.assign(unique_id="z"), "series z was not among those the network was trained on"),
        (frame.groupby("unique_id").tail(5), "has 2 rows; the network forecasts from 4"),
    ):
        changed.to_csv(tmp_path / "rows.csv", index=False)
        ended = run(tmp_path / "a.onnx", tmp_path / "rows.csv")
        assert ended.returncode == 1
        assert said in ended.stderr
        assert ended.stderr.count("\n") == 1
