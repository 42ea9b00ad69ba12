"""Training and scores are the same on one device and on two: in processes of their own, as Lightning starts them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

SCRIPT = """
import json, sys
from functools import partial
import numpy as np, torch
from torch.optim import SGD
from forecastlab.backbones.lstm import LSTM
from forecastlab.training.callbacks import AtomicCheckpointIO, Checkpoints, ForecastFigure, PredictionWriter, RunLogger
from forecastlab.training.callbacks import RandomState, TrainingCurves
from forecastlab.training.forecaster import Forecaster
from tests.series import Series, noise, trainer

devices, root = int(sys.argv[1]), sys.argv[2]
raw = noise(123)
raw.iloc[[20, 33, 34, 51, 70, 100], 1] = np.nan  # so that the devices' batches differ in weight
data = Series(raw, splits=4, fold=3, lookback=5, horizon=2, validation="tail", batch_size=12 // devices)
torch.manual_seed(0)
model = Forecaster(partial(LSTM, hidden_size=4), optimizer=partial(SGD, lr=0.3), anchor="last", schema=data.schema)
running = trainer(
    max_epochs=3, devices=devices, strategy="ddp" if devices > 1 else "auto", enable_checkpointing=True,
    logger=RunLogger(root, "run", 0), plugins=[AtomicCheckpointIO()],
    callbacks=[Checkpoints(), RandomState(), TrainingCurves(), PredictionWriter(), ForecastFigure()],
)
running.fit(model, data)
(metrics,) = running.test(model, data, verbose=False)
running.predict(model, data, return_predictions=False)
if running.is_global_zero:
    print(json.dumps(metrics))
"""


def ran(folder: Path, devices: int):
    """The test metrics, the curves, the predictions and the weights of a run."""
    folder.mkdir()
    script = folder / "script.py"
    script.write_text(SCRIPT)
    repository = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(repository), "PL_GLOBAL_SEED": "3", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error::UserWarning", str(script), str(devices), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, timeout=300)
    assert done.returncode == 0, done.stderr
    run = folder / "run" / "version_0"
    weights = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    metrics = json.loads(done.stdout.splitlines()[-1])
    return metrics, pd.read_csv(run / "metrics.csv"), pd.read_csv(run / "predictions.csv"), weights


@pytest.mark.slow
def test_two_devices_train_score_and_predict_as_one(tmp_path):
    metrics, curves, predictions, weights = ran(tmp_path / "one", 1)
    others, other_curves, other_predictions, other_weights = ran(tmp_path / "two", 2)
    for name, value in weights.items():
        torch.testing.assert_close(other_weights[name], value, rtol=1e-4, atol=1e-5)
    assert others == pytest.approx(metrics, rel=1e-4)
    pd.testing.assert_frame_equal(other_curves, curves, rtol=1e-4)
    pd.testing.assert_frame_equal(other_predictions, predictions, rtol=1e-4)
    assert not predictions.duplicated(["cutoff", "ds"]).any()
