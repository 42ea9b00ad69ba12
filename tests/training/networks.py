"""Small networks of the tests, batches for them, and trainings that leave nothing behind."""

from functools import partial

import torch

from forecastlab.backbones.lstm import LSTM
from forecastlab.batch import Batch, Schema
from forecastlab.training.forecaster import Forecaster
from tests.series import as_if_trained, trainer

SCHEMA = Schema(("x", "y", "hour_sin"), ("y",), known=("hour_sin",), horizon=2, lookback=5)
SMALL = partial(LSTM, hidden_size=4)


def batch(schema=SCHEMA, samples=3, origins=1, time=5):
    """A batch of noise around 20, with targets around 100."""
    targets = len(schema.targets)
    shape = (samples, origins, schema.horizon, targets)
    return Batch(
        history=20 + torch.randn(samples, time, len(schema.features)).double(),
        known=torch.randn(samples, origins, schema.horizon, len(schema.known)).double(),
        static=torch.empty(samples, 0).double(),
        last=100 + 5 * torch.randn(samples, origins, targets).double(),
        target=100 + 5 * torch.randn(shape).double(),
        weight=torch.ones(shape),
        index=torch.arange(origins).expand(samples, origins),
        series=torch.zeros(samples, dtype=torch.int64),
    )


def forecaster(*arguments, schema=SCHEMA, scaled=True, **settings):
    """A network with a scaling that is not the identity."""
    model = Forecaster(*arguments, schema=schema.as_dict(), **settings).eval()
    if scaled:
        for name, buffer in model.scaling.named_buffers():
            buffer.copy_(7 + torch.rand_like(buffer) if name.endswith("scale") else 15 + torch.rand_like(buffer))
    return model


def zeroed(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    return as_if_trained(model)


def trained(data, *arguments, epochs=1, **settings):
    """A network that is trained on data, and its trainer."""
    model = Forecaster(*arguments, **settings, schema=data.schema)
    running = trainer(max_epochs=epochs)
    running.fit(model, data)
    return model, running


def saved(path, data, epochs=1, **settings):
    """A network trained on data, and the checkpoint of it."""
    model, running = trained(data, SMALL, epochs=epochs, **settings)
    running.save_checkpoint(path)
    return model
