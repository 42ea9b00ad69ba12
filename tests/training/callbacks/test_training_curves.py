from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
from lightning.pytorch import Callback
from torch.optim import SGD
from torch.optim.lr_scheduler import ExponentialLR, StepLR

from forecastlab.backbones.lstm import LSTM
from forecastlab.training.callbacks import RunLogger, TrainingCurves
from forecastlab.training.forecaster import Forecaster
from tests.series import Series, noise, trainer


class Norms(Callback):
    """Keeps the 2-norm of the gradients of each step of each epoch."""

    def __init__(self):
        self.epochs = []

    def on_train_epoch_start(self, trainer, pl_module):
        self.epochs.append([])

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        squares = sum((parameter.grad.double() ** 2).sum() for parameter in pl_module.parameters())
        self.epochs[-1].append(float(squares) ** 0.5)


def trained(root, schedule=None, **arguments):
    """What was logged, an epoch a row, and the norms."""
    data = Series(noise(60), fold=2)
    model = Forecaster(
        partial(LSTM, hidden_size=4), optimizer=partial(SGD, lr=0.1), lr_scheduler=schedule, schema=data.schema
    )
    norms, logger = Norms(), RunLogger(root, "run", 0)
    trainer(max_epochs=4, callbacks=[TrainingCurves(), norms], logger=logger, **arguments).fit(model, data)
    return pd.read_csv(Path(logger.log_dir, "metrics.csv")), norms.epochs


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        (None, [0.1, 0.1, 0.1, 0.1]),
        (partial(StepLR, step_size=2), [0.1, 0.1, 0.01, 0.01]),
        (partial(ExponentialLR, gamma=0.5), [0.1, 0.05, 0.025, 0.0125]),
    ],
)
def test_the_rate_is_the_one_that_the_epoch_was_trained_with(tmp_path, schedule, rates):
    rows, _ = trained(tmp_path, schedule)
    assert rows["train/learning_rate"].tolist() == pytest.approx(rates, rel=1e-6)


@pytest.mark.parametrize("clip", [None, 0.01])
def test_the_gradient_norm_is_the_mean_over_the_steps_before_clipping(tmp_path, clip):
    rows, epochs = trained(tmp_path, gradient_clip_val=clip)
    assert [len(norms) for norms in epochs] == [7] * 4
    expected = [sum(norms) / len(norms) for norms in epochs]
    assert rows["train/gradient_norm"].tolist() == pytest.approx(expected, rel=1e-5)
    assert min(expected) > 0.05


def test_what_an_interrupted_epoch_left_does_not_count():
    curves = TrainingCurves()
    curves._norms.append(torch.tensor(1e6))
    curves.on_train_epoch_start(None, None)
    assert not curves._norms
