"""Networks whose intervals a training calibrates, and the margins that they must have."""

import math
from functools import partial

import numpy as np
import torch
from torch.optim import SGD
from torch.optim.lr_scheduler import StepLR

from forecastlab.backbones.lstm import LSTM
from forecastlab.losses import MSE
from forecastlab.training.callbacks import Checkpoints, RunLogger
from forecastlab.training.forecaster import Forecaster
from tests.series import trainer

SMALL = partial(LSTM, hidden_size=4)


def conformal_quantile(scores, coverage):
    """The ceil((n + 1) coverage)-th smallest of n scores (Romano, Patterson and Candès 2019, eq. 8)."""
    return np.sort(scores)[math.ceil(round((len(scores) + 1) * coverage, 9)) - 1]


def trained(data, folder, loss=MSE, anchor="none", intervals=(0.9,)):
    """Trains four epochs down the gradient and four up again; the network of best.ckpt."""
    checkpoints = Checkpoints(write_interval=1e9)
    model = Forecaster(
        SMALL,
        loss=loss,
        optimizer=partial(SGD, lr=0.3),
        lr_scheduler=partial(StepLR, step_size=4, gamma=-1.0),
        anchor=anchor,
        intervals=intervals,
        schema=data.schema,
    )
    running = trainer(
        max_epochs=8,
        gradient_clip_val=1.0,
        callbacks=[checkpoints],
        logger=RunLogger(folder, "run", 0),
        enable_checkpointing=True,
    )
    running.fit(model, data)
    assert checkpoints.best_epoch < 7
    best = Forecaster.load(checkpoints.best_model_path)
    assert not torch.equal(best.intervals.margin, model.intervals.margin)
    return best
