"""Networks whose streams are tested, and the rows of frames."""

from functools import partial

import pandas as pd
import torch

from forecastlab.backbones.alstm import ALSTM
from forecastlab.backbones.gru import GRU
from forecastlab.backbones.lstm import LSTM
from forecastlab.backbones.slstm import SLSTM
from forecastlab.decoders import AttentionPooling, Linear, Seq2Seq
from forecastlab.hybrids.parallel import Parallel
from forecastlab.training.forecaster import Forecaster
from tests.frames import module
from tests.series import as_if_trained

SMALL = partial(LSTM, hidden_size=4)


def network(folder, frame, backbone=SMALL, anchor="none", dropout=0.0, window_norm="none", **arguments):
    """A network of random weights, with the scaling of its data."""
    parts = {name: arguments.pop(name) for name in ("decoder", "loss", "embeddings") if name in arguments}
    data = module(folder, frame, **{"frequency": "D", **arguments})
    torch.manual_seed(0)
    settings = {"anchor": anchor, "dropout": dropout, "window_norm": window_norm}
    model = Forecaster(backbone, **parts, **settings, schema=data.schema)
    model.scaling.load_state_dict(data.scaling.state_dict())
    return as_if_trained(model).eval()


def rows_of(frame):
    """The rows of a frame as mappings; missing values are left out."""
    return [{name: value for name, value in row.items() if not pd.isna(value)} for row in frame.to_dict("records")]


BACKBONES = {
    "lstm": partial(LSTM, hidden_size=4, num_layers=2),
    "gru": partial(GRU, hidden_size=4),
    "alstm": ALSTM,
    "slstm": SLSTM,
    "parallel": partial(Parallel, branches=[SMALL, partial(GRU, hidden_size=3)]),
}
DECODERS = {
    "linear": Linear,
    "pooling": AttentionPooling,
    "seq2seq": partial(Seq2Seq, hidden_size=5),
    "additive": partial(Seq2Seq, hidden_size=5, attention="additive"),
    "plain": partial(Seq2Seq, hidden_size=5, attention="none", cell="gru"),
}
