"""What weights of rows do to a training: a row of weight 2 is two rows, in every loss and in batches of any size."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import forecastlab
from forecastlab.backbones.base import Backbone
from forecastlab.backbones.gru import GRU
from forecastlab.batch import Batch
from forecastlab.data.table_datamodule import TableDataModule
from forecastlab.errors import ConfigError
from forecastlab.losses import MAE, MSE, GaussianNLL, NegativeBinomial, Quantile, StudentT
from forecastlab.training.forecaster import Forecaster
from tests.frames import panel, wide
from tests.series import trainer


class Inputs(Backbone):
    """The inputs as they are: with a linear decoder, linear regression on the last row."""

    source = "a test"

    def __init__(self, input_size: int) -> None:
        super().__init__(input_size, output_size=input_size)

    def initial_state(self, batch_size):
        return self.new_zeros(batch_size, 1)

    def forward(self, x, state=None):
        return x, self.initial_state(len(x))


def module(frame, **arguments):
    settings = {"lookback": 3, "splits": 3, "fold": 3, "batch_size": 1000, "scaler": "none", **arguments}
    data = TableDataModule(frame, **settings)
    data.setup("fit")
    return data


def gradient(model, batch):
    """That of a step on one device, all weights in a row."""
    model._trainer = SimpleNamespace(world_size=1)
    model.zero_grad()
    model.training_step(batch).backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters()])


def weighted(rows, seed=1):
    """Days with a weight each, some of them 0."""
    frame = wide(rows)
    return frame.assign(w=np.random.default_rng(seed).choice([0.0, 0.5, 1.0, 4.0], rows))


def test_the_best_weights_are_those_of_weighted_least_squares():
    frame = weighted(60)
    data = module(frame, features=["y", "x"], weight_column="w")
    torch.manual_seed(0)
    model = Forecaster(Inputs, schema=data.schema).double()
    rows = np.arange(3, data.ranges.fit.stop)
    inputs = np.column_stack([frame[["y", "x"]].to_numpy()[rows - 1], np.ones(len(rows))])
    root, target = np.sqrt(frame["w"].to_numpy()[rows]), frame["y"].to_numpy()[rows]
    best = np.linalg.lstsq(inputs * root[:, None], target * root, rcond=None)[0]
    (linear,) = [part for part in model.decoder.modules() if isinstance(part, nn.Linear)]
    (batch,) = data.train_dataloader()
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(best[None, :2]))
        linear.bias.copy_(torch.tensor(best[2:]))
    assert gradient(model, batch).abs().max() < 1e-6  # weights of a batch are in single precision
    unweighted = np.linalg.lstsq(inputs, target, rcond=None)[0]
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(unweighted[None, :2]))
    assert gradient(model, batch).abs().max() > 1e-2


LOSSES = [MSE, MAE, Quantile, GaussianNLL, StudentT, NegativeBinomial]


@pytest.mark.parametrize("loss", LOSSES)
def test_a_series_of_weight_2_trains_as_two_equal_series(loss):
    frame = panel(30, scales=(1.0, 0.5))
    frame["y"] = frame["y"].abs().round()
    frame["w"] = np.where(frame["unique_id"] == "a", 2.0, 1.0)
    again = frame[frame["unique_id"] == "a"].assign(unique_id="a again")
    arguments = {"series_column": "unique_id", "horizon": 2}
    ours = module(frame, weight_column="w", **arguments)
    theirs = module(pd.concat([frame, again]), **arguments)
    torch.manual_seed(0)
    model = Forecaster(partial(GRU, hidden_size=3), loss=loss, schema=ours.schema)
    one = gradient(model, next(iter(ours.train_dataloader())))
    two = gradient(model, next(iter(theirs.train_dataloader())))
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)
    plain = gradient(model, next(iter(module(frame, **arguments).train_dataloader())))
    assert not torch.allclose(plain, two, rtol=1e-2)


def test_small_batches_train_by_the_same_weights_as_all_rows_together():
    data = module(weighted(40), weight_column="w")
    torch.manual_seed(0)
    model = Forecaster(partial(GRU, hidden_size=3), schema=data.schema)
    whole = gradient(model, next(iter(data.train_dataloader())))
    data.batch_size = 1
    each = [gradient(model, batch) for batch in data.train_dataloader()]
    torch.testing.assert_close(torch.stack(each).mean(0), whole, rtol=1e-4, atol=1e-6)


def fitted(frame, epochs=2, **arguments):
    """A network after some epochs, and its trainer."""
    data = module(frame, batch_size=8, scaler="standard", **arguments)
    torch.manual_seed(0)
    model = Forecaster(partial(GRU, hidden_size=3), schema=data.schema)
    runner = trainer(max_epochs=epochs)
    runner.fit(model, data)
    return model, runner


def test_equal_weights_train_as_none_to_the_last_bit_and_only_ratios_count():
    frame = weighted(50)
    plain, plain_runner = fitted(frame)
    equal, equal_runner = fitted(frame.assign(w=0.3), weight_column="w")
    assert plain_runner.callback_metrics == equal_runner.callback_metrics
    assert all(map(torch.equal, plain.state_dict().values(), equal.state_dict().values()))
    one, one_runner = fitted(frame, weight_column="w")
    other, other_runner = fitted(frame.assign(w=frame["w"] * 4096), weight_column="w")
    assert one_runner.callback_metrics == other_runner.callback_metrics
    assert all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))
    assert not torch.equal(next(plain.parameters()), next(one.parameters()))


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_the_validation_loss_is_the_weighted_mean_over_the_rows_whatever_the_batches(size):
    frame = weighted(60)
    data = module(frame, weight_column="w", batch_size=size)
    torch.manual_seed(0)
    model = Forecaster(partial(GRU, hidden_size=3), schema=data.schema)
    model.trained = True
    (found,) = trainer().validate(model, data, verbose=False)
    plain = module(frame)
    (batch,) = plain.val_dataloader()
    with torch.no_grad():
        error = (model(batch) - batch.target).flatten().square().numpy()
    weights = frame["w"].to_numpy()[batch.index.flatten() + 1]
    assert found["val/loss"] == pytest.approx(np.average(error, weights=weights), rel=1e-5)


def test_what_happens_in_rows_of_weight_0_does_not_train():
    frame = weighted(60)
    broken = frame.copy()
    # as a target alone: it is no input of a row that counts
    row = next(row for row in range(10, 40) if not frame["w"][row : row + 4].any() or row == 39)
    frame.loc[row : row + 3, "w"] = broken.loc[row : row + 3, "w"] = 0.0
    broken.loc[row, "y"] = 1e6
    arguments = {"weight_column": "w", "scaler": "none"}
    batches = [next(iter(module(each, **arguments).train_dataloader())) for each in (frame, broken)]
    torch.manual_seed(0)
    model = Forecaster(partial(GRU, hidden_size=3), schema=module(frame).schema)
    assert torch.equal(*(gradient(model, batch) for batch in batches))


def test_a_resumed_training_with_other_weights_is_refused(tmp_path):
    frame = weighted(50)
    _, runner = fitted(frame, epochs=1, weight_column="w")
    runner.save_checkpoint(tmp_path / "last.ckpt")
    for factor, refused in ((1.0, False), (np.arange(50) % 2, True)):
        data = module(frame.assign(w=frame["w"] * factor), batch_size=8, scaler="standard", weight_column="w")
        model = Forecaster(partial(GRU, hidden_size=3), schema=data.schema)
        again = trainer(max_epochs=2)
        if refused:
            with pytest.raises(ConfigError, match="rows"):
                again.fit(model, data, ckpt_path=tmp_path / "last.ckpt")
        else:
            again.fit(model, data, ckpt_path=tmp_path / "last.ckpt")
            straight, _ = fitted(frame, weight_column="w")
            assert all(map(torch.equal, straight.state_dict().values(), model.state_dict().values()))


def test_devices_average_to_the_gradient_of_the_weighted_batch():
    data = module(weighted(60), weight_column="w", horizon=2)
    torch.manual_seed(0)
    model = Forecaster(partial(GRU, hidden_size=3), schema=data.schema)
    (batch,) = data.train_dataloader()
    whole = gradient(model, batch)
    each = []
    for rows in (slice(0, 5), slice(5, None)):
        share = Batch(*(part[rows] for part in batch))
        total = batch.weight.count_nonzero().float()

        def reduce(ours, reduce_op, total=total, share=share):
            assert ours[0] == share.weight.count_nonzero()
            return torch.stack([total, torch.zeros_like(total)])

        model._trainer = SimpleNamespace(world_size=2, strategy=SimpleNamespace(reduce=reduce))
        model.zero_grad()
        model.training_step(share).backward()
        each.append(torch.cat([weight.grad.flatten() for weight in model.parameters()]))
    torch.testing.assert_close(sum(each) / 2, whole, rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore::forecastlab.errors.ReadingNote")
def test_fit_takes_a_column_of_weights_and_its_model_needs_none():
    frame = panel(60, scales=(1.0, 2.0)).drop(columns=["area"]).assign(w=lambda rows: (rows["unique_id"] == "a") * 1.0)
    answers = {"series_column": "unique_id", "settings": {"trainer.max_epochs": 1}}
    model = forecastlab.fit(frame, "y", 2, weight_column="w", **answers)
    assert model.config.values["data"]["init_args"]["weight_column"] == "w"
    forecast = model.forecast(frame.drop(columns=["w"]))
    assert set(forecast["unique_id"]) == {"a", "b"}
