"""Small data and networks that explanations can be checked on."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from forecastlab.backbones.base import Backbone
from forecastlab.backbones.rnn import RNN
from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.data.windows import Windows
from forecastlab.explanation.selection import of_series
from forecastlab.training.forecaster import Forecaster
from tests.series import Series

COLUMNS = ("T0", "T1", "wind", "y")


def weather(rows: int = 60, seed: int = 0) -> pd.DataFrame:
    """Four columns of noise, of different size."""
    values = np.random.default_rng(seed).normal(size=(rows, 4)) * [1, 2, 3, 4] + [10, 0, -5, 20]
    return pd.DataFrame(values, columns=list(COLUMNS), index=pd.date_range("2020-01-01", periods=rows, freq="D"))


def data(**arguments: Any) -> Series:
    """The columns as walk-forward folds of 15 rows; the first fold tests on rows 15..29."""
    return Series(weather(), features=COLUMNS, **arguments)


def network(module: ForecastDataModule, backbone: Callable[[int], Backbone] = RNN, **arguments: Any) -> Forecaster:
    """A network with random weights and the data's scaling."""
    torch.manual_seed(0)
    model = Forecaster(backbone, schema=module.schema, **arguments)
    model.scaling.load_state_dict(module.scaling.state_dict())
    return model.eval()


def linear(module: ForecastDataModule, weights: Mapping[str, float], **arguments: Any) -> Forecaster:
    """A linear map of the last row in scaled units: what the backbone gives is multiplied by zero."""
    model = network(module, linear_skip=True, **arguments)
    with torch.no_grad():
        model.decoder.linear.weight.zero_()
        model.decoder.linear.bias.zero_()
        model.skip.bias.fill_(0.1)
        model.skip.weight.copy_(torch.tensor([[weights.get(name, 0.0) for name in module.schema["features"]]]))
    return model


def samples(module: ForecastDataModule, number: int = 0) -> Windows:
    """The test samples of a series."""
    module.setup("test")
    return of_series(module.test_dataloader().dataset, number)
