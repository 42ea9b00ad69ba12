"""Cells with compiled kernels, for their tests."""

from functools import partial

import pytest
import torch

from forecastlab.backbones.gru import GRU
from forecastlab.backbones.kernels.choice import MIN_STEPS
from forecastlab.backbones.lru import LRU
from forecastlab.backbones.min_gru import MinGRU
from forecastlab.backbones.min_lstm import MinLSTM
from forecastlab.backbones.peephole_lstm import PeepholeLSTM
from forecastlab.backbones.residual_lstm import ResidualLSTM
from forecastlab.backbones.rglru import RGLRU
from forecastlab.backbones.rnn import RNN
from forecastlab.backbones.s5 import S5
from forecastlab.backbones.slstm import SLSTM

WIDTH, HIDDEN, TIME = 5, 11, 2 * MIN_STEPS + 3
CELLS = {
    "RNN": partial(RNN, WIDTH, HIDDEN, 2),
    "RNN(relu)": partial(RNN, WIDTH, HIDDEN, activation="relu"),
    "GRU": partial(GRU, WIDTH, HIDDEN, 2),
    "GRU(reset before)": partial(GRU, WIDTH, HIDDEN, 2, reset_after=False),
    "LRU": partial(LRU, WIDTH, HIDDEN, 2),
    "MinGRU": partial(MinGRU, WIDTH, HIDDEN, 2),
    "MinLSTM(positive)": partial(MinLSTM, WIDTH, HIDDEN, 2, candidate="positive"),
    "PeepholeLSTM": partial(PeepholeLSTM, WIDTH, HIDDEN, 2),
    "ResidualLSTM": partial(ResidualLSTM, WIDTH, HIDDEN, 2),
    "ResidualLSTM(bare)": partial(ResidualLSTM, WIDTH, WIDTH, peephole="none", projection=False),
    "RGLRU": partial(RGLRU, WIDTH, HIDDEN, 2),
    "S5": partial(S5, WIDTH, HIDDEN, 2),
    "S5(elapsed)": partial(S5, WIDTH, HIDDEN, 2, elapsed=3),
    "SLSTM": partial(SLSTM, WIDTH, HIDDEN, 2),
    "SLSTM(exp, heads)": partial(SLSTM, WIDTH, 12, forget="exp", num_heads=3),
}
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5}

every = pytest.mark.parametrize("name", CELLS)
both_dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=["float64", "float32"])


def sequence(batch=2, time=TIME, dtype=torch.float64):
    return torch.randn(batch, time, WIDTH, dtype=dtype)


def pair(cell, dtype=torch.float64):
    """The same network with and without kernels."""
    fused, plain = cell().to(dtype), cell(fused=False).to(dtype)
    plain.load_state_dict(fused.state_dict())
    return fused, plain
