"""The gradient of devices whose batches differ in weight is that of all their samples together."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch

from forecastlab.backbones.lstm import LSTM
from forecastlab.training.forecaster import Forecaster
from tests.series import Series, noise


def gradients(model, batch, world_size, total):
    """Those of one device of several; `total` is the weight of all devices' batches."""

    def reduce(ours, reduce_op):
        assert reduce_op == "sum"
        assert ours[0] == batch.weight.sum()
        return torch.stack([total, torch.zeros_like(total)])

    model._trainer = SimpleNamespace(world_size=world_size, strategy=SimpleNamespace(reduce=reduce))
    model.zero_grad()
    model.training_step(batch).backward()
    return [weight.grad.clone() for weight in model.parameters()]


@pytest.mark.parametrize("first", [1, 9, 10])
def test_devices_average_to_the_gradient_of_all_samples_whatever_their_shares(first):
    raw = noise(60)
    raw.iloc[[7, 8, 15], 1] = float("nan")
    data = Series(raw, lookback=3, horizon=2, fold=3, batch_size=20)
    data.setup("fit")
    torch.manual_seed(0)
    model = Forecaster(partial(LSTM, hidden_size=3), schema=data.schema)
    batch = next(iter(data.train_dataloader()))
    shares = [type(batch)(*(part[rows] for part in batch)) for rows in (slice(0, first), slice(first, None))]
    assert shares[0].weight.sum() != shares[1].weight.sum()
    total = batch.weight.sum()
    whole = gradients(model, batch, 1, total)
    each = [gradients(model, share, 2, total) for share in shares]
    for found, one, two in zip(whole, *each, strict=True):
        torch.testing.assert_close((one + two) / 2, found, rtol=1e-4, atol=1e-6)
