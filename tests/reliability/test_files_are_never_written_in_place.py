"""Promise: who reads a file sees the old one or the new one: a name is moved to a new file, the old stays as it was."""

import os
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from forecastlab.evaluation.gather import gather, write_result
from forecastlab.evaluation.scores import Evaluation
from forecastlab.export.files import write as write_export
from forecastlab.runs.files import write_output as write_page
from forecastlab.runs.run import write_whole
from forecastlab.training.callbacks import PredictionWriter, forecast_figure
from forecastlab.training.callbacks.checkpoint_io import AtomicCheckpointIO
from forecastlab.training.callbacks.predictions import WrittenTable

ROWS = pd.DataFrame(
    {"unique_id": ["a"], "target": ["y"], "ds": ["2020"], "cutoff": ["2019"], "y": [1.0], "forecast": [2.0]}
)


def drawn(path, monkeypatch):
    monkeypatch.setattr(forecast_figure, "forecast_figure", lambda *args, **given: Figure())
    written = PredictionWriter()
    written.path, written.written = path.with_suffix(".csv"), WrittenTable(path.parent)
    written.written.add(ROWS)
    trainer = SimpleNamespace(callbacks=[written], loggers=[], datamodule=SimpleNamespace(panel=None))
    forecast_figure.ForecastFigure().on_predict_end(trainer, None)


WRITERS = {
    "result.json": lambda path, _: write_result(path.parent, {"fit": {}}),
    "results.csv": lambda path, _: gather(path.parent, "x", [("persistence", 1, Evaluation({"test/mae": 1.0}, ROWS))]),
    "predictions.csv": lambda path, _: gather(path.parent, "x", [("persistence", 1, Evaluation({}, ROWS))]),
    "config.yaml": lambda path, _: write_whole(path, "new"),
    "report.html": lambda path, _: write_page("new", path),
    "x.onnx": lambda path, _: write_export(path, b"new"),
    "last.ckpt": lambda path, _: AtomicCheckpointIO().save_checkpoint({"epoch": torch.tensor(1)}, path),
    "forecast.png": drawn,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_somebody_reads_is_not_changed_under_the_reader(tmp_path, name, monkeypatch):
    path = tmp_path / name
    path.write_text("old")
    os.link(path, tmp_path / "reader")  # the file that the name stood for, as who has it open sees it
    WRITERS[name](path, monkeypatch)
    assert path.read_bytes() != b"old"
    assert (tmp_path / "reader").read_text() == "old"
    assert sorted(set(os.listdir(tmp_path)) - {"results.csv", "predictions.csv"}) == sorted(
        {name, "reader"}
        - {
            "results.csv",
            "predictions.csv",
        }
    )
