"""Training equals a loop by hand, and test metrics equal those of scikit-learn."""

import math
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from lightning.pytorch.cli import ReduceLROnPlateau
from sklearn.metrics import mean_absolute_error, mean_absolute_percentage_error, mean_squared_error
from torch import nn
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import StepLR

from forecastlab.data.ozone_datamodule import OzoneDataModule
from forecastlab.errors import ConfigError, NotFiniteError
from forecastlab.penalties import ActivationPenalty, Penalty
from forecastlab.training.forecaster import Forecaster
from tests.frames import module, panel
from tests.series import Series, as_if_trained, counting, noise, trainer
from tests.training.networks import SMALL, batch, forecaster, trained, zeroed


def by_hand(values, ends, time, origins, center, scale, orders, epochs):
    """Trains nn.LSTM and nn.Linear on windows of a frame with columns x, y; the weights and the mean losses."""
    torch.manual_seed(3)
    lstm, linear = nn.LSTM(2, 4, batch_first=True), nn.Linear(4, 1)
    optimizer = Adam([*lstm.parameters(), *linear.parameters()], lr=0.01)
    losses = []
    for epoch in range(epochs):
        total = count = 0
        for samples in orders(epoch):
            rows = [int(ends[sample]) for sample in samples]
            history = torch.stack([values[end + 1 - time : end + 1] for end in rows])
            target = torch.stack([values[end + 2 - origins : end + 2, 1] for end in rows])
            optimizer.zero_grad()
            h, _ = lstm((history - center) / scale)
            y = linear(h[:, -origins:])[..., 0]
            loss = (y - (target - center[1]) / scale[1]).square().mean()
            loss.backward()
            optimizer.step()
            total, count = total + loss.item() * target.numel(), count + target.numel()
        losses.append(total / count)
    return [parameter.detach() for parameter in (*lstm.parameters(), *linear.parameters())], losses


@pytest.mark.parametrize("lookback", [6, "full"])
def test_training_equals_a_loop_by_hand(lookback, monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "5")
    raw = noise(120)
    data = Series(raw, splits=3, fold=2, lookback=lookback, validation="test", batch_size=16)  # n = 60
    torch.manual_seed(3)
    model, running = trained(data, SMALL, optimizer=partial(Adam, lr=0.01), epochs=3)

    values = torch.tensor(raw.to_numpy(), dtype=torch.float32)
    fitted = raw.to_numpy()[:60]
    center, scale = (torch.tensor(part, dtype=torch.float32) for part in (fitted.mean(0), fitted.std(0)))
    if lookback == "full":
        weights, losses = by_hand(values, [58], 59, 59, center, scale, lambda epoch: [[0]], 3)
    else:

        def orders(epoch):
            order = torch.randperm(54, generator=torch.Generator().manual_seed(5 * 1_000_003 + epoch)).tolist()
            return [order[:16], order[16:32], order[32:48], order[48:]]

        weights, losses = by_hand(values, range(5, 59), 6, 1, center, scale, orders, 3)
    for ours, theirs in zip(model.parameters(), weights, strict=True):
        torch.testing.assert_close(ours.detach(), theirs, rtol=0, atol=2e-6)
    assert running.callback_metrics["train/loss"].item() == pytest.approx(losses[-1], rel=1e-5)


def test_the_losses_of_an_epoch_are_means_over_all_values_and_not_over_batches():
    raw = noise(60)
    raw.iloc[[5, 6, 7, 20, 33], 1] = np.nan
    losses = []
    for batch_size in (3, 1000):
        data = Series(raw, fold=2, batch_size=batch_size, horizon=2)
        running = trainer(max_epochs=1)
        torch.manual_seed(0)
        model = Forecaster(SMALL, optimizer=partial(SGD, lr=0.0), schema=data.schema)
        running.fit(model, data)
        losses.append({name: value.item() for name, value in running.callback_metrics.items()})
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_an_interrupted_epoch_leaves_nothing_in_the_next_ones_loss():
    data = Series(noise(60), fold=2)
    model, first = trained(data, SMALL, optimizer=partial(SGD, lr=0.0))
    batch = next(iter(data.train_dataloader()))
    model._means.add("train/loss", torch.tensor(1e6), batch)
    model._means.add("val/loss", torch.tensor(1e6), batch)
    second = trainer(max_epochs=1)
    second.fit(model, data)
    for name in ("train/loss", "val/loss"):
        torch.testing.assert_close(second.callback_metrics[name], first.callback_metrics[name])


def test_a_loss_that_is_not_finite_names_the_rows_of_its_batch():
    raw = noise(60)
    raw.iloc[10, 1] = 1e30
    data = Series(raw, fold=2, scaler="none", batch_size=1)
    model = Forecaster(SMALL, optimizer=partial(SGD, lr=0.0), schema=data.schema)
    expected = r"train/loss is inf in epoch 0, in the batch of the origins at rows 9 \(2020-01-10 \.\. 2020-01-10\)"
    with pytest.raises(NotFiniteError, match=expected):
        trainer(max_epochs=1, limit_val_batches=0).fit(model, data)


@pytest.mark.parametrize("lookback", [5, "full"])
@pytest.mark.parametrize("flag", [{"fast_dev_run": True}, {"overfit_batches": 1}, {"limit_train_batches": 1}])
def test_lightnings_ways_to_try_a_run_out_work(flag, lookback):
    data = Series(noise(60), fold=2, lookback=lookback, batch_size=4)
    running = trainer(max_epochs=2, **flag)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You requested to overfit")
        running.fit(Forecaster(SMALL, schema=data.schema), data)
    assert math.isfinite(running.callback_metrics["train/loss"])


def test_a_schedule_steps_once_an_epoch():
    data = Series(noise(60), fold=2)
    schedule = partial(StepLR, step_size=2, gamma=0.1)
    _, running = trained(data, SMALL, optimizer=partial(SGD, lr=1.0), lr_scheduler=schedule, epochs=4)
    assert running.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.01)


def test_a_schedule_that_waits_for_a_plateau_watches_the_validation_loss():
    data = Series(noise(60), fold=2)
    schedule = partial(ReduceLROnPlateau, monitor="val/loss", patience=0, factor=0.5)
    _, running = trained(data, SMALL, optimizer=partial(SGD, lr=0.0), lr_scheduler=schedule)
    (config,) = running.lr_scheduler_configs
    assert (config.monitor, config.reduce_on_plateau) == ("val/loss", True)


def test_dropout_acts_in_training_only():
    model, x = forecaster(SMALL, dropout=0.5), batch()
    assert torch.equal(model(x), model(x))
    model.train()
    assert not torch.equal(model(x), model(x))


class OfTheEncoding(Penalty):
    """Keeps what it is given."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.factor = factor
        self.seen = []

    def forward(self, output, dropped, weight=None):
        self.seen.append((output.detach(), dropped.detach(), weight))
        return self.factor * dropped.square().mean()


def test_penalties_add_to_what_is_trained_and_not_to_the_losses_that_are_logged():
    data, runs = Series(noise(60), fold=2), []
    for penalties in ([], [partial(OfTheEncoding, factor=2.0), OfTheEncoding]):
        torch.manual_seed(0)
        model, running = trained(data, SMALL, optimizer=partial(SGD, lr=0.0), penalties=penalties)
        x = next(iter(data.train_dataloader()))
        runs.append((running.callback_metrics, model.training_step(x).item(), model, x))
    (plain, loss, *_), (penalised, with_penalty, model, x) = runs
    assert penalised == plain
    encoded, _ = model.backbone(model.scaled(x).inputs)
    assert with_penalty == pytest.approx(loss + 3 * encoded.square().mean().item(), rel=1e-5)


def test_penalties_pull_at_the_weights():
    data, sizes = Series(noise(60), fold=2), []
    for penalties in ([], [partial(ActivationPenalty, alpha=1e3, beta=0.0)]):
        torch.manual_seed(0)
        model, _ = trained(data, SMALL, penalties=penalties, optimizer=partial(Adam, lr=0.1), epochs=3)
        encoded, _ = model.backbone(model.scaled(next(iter(data.test_dataloader()))).inputs)
        sizes.append(encoded.abs().mean().item())
    assert sizes[1] < 0.2 * sizes[0]


def test_a_penalty_sees_the_encoding_before_and_after_dropout():
    data = Series(noise(60), fold=2, batch_size=16)
    model, _ = trained(data, SMALL, penalties=[OfTheEncoding], dropout=0.5)
    output, dropped, weight = model.penalties[0].seen[0]
    dead = dropped == 0
    assert 0.3 < dead.float().mean() < 0.7
    torch.testing.assert_close(dropped[~dead], 2 * output[~dead])
    assert weight is None, "nothing is padded"


def test_a_penalty_is_told_where_a_shorter_sequence_is_padded(tmp_path):
    frame = panel(40)
    frame = frame[~((frame["unique_id"] == "b") & (frame["ds"] < "2020-01-11"))]  # b begins ten rows later
    data = module(tmp_path, frame, series_column="unique_id", lookback="full", fold=3)
    model, _ = trained(data, SMALL, penalties=[OfTheEncoding])
    _, _, weight = model.penalties[0].seen[0]
    lengths = sorted(weight.sum(1).tolist())
    assert lengths == [weight.shape[1] - 10, weight.shape[1], weight.shape[1]]
    assert (weight.diff(dim=1) <= 0).all(), "what is padded is at the end"


def test_test_metrics_equal_scikit_learns_on_the_same_rows():
    raw = noise(120)
    raw.iloc[[70, 80, 81], 1] = np.nan
    data = Series(raw, splits=3, fold=2, lookback=4, horizon=2, validation="tail", season_length=7)
    model, running = trained(data, SMALL, anchor="last", epochs=2)
    (found,) = running.test(model, data, verbose=False)
    with model.evaluating():
        predictions = [model.predict_step(x) for x in data.test_dataloader()]
    columns = [torch.cat([getattr(part, name) for part in predictions]) for name in ("forecast", "target", "weight")]
    index = torch.cat([part.index for part in predictions])
    y = raw["y"].ffill().to_numpy()
    rows = range(59, 88)  # of 89 the second target is behind the range
    assert index.flatten().tolist() == [row for row in rows if raw["y"].iloc[row + 1 : row + 3].notna().any()]
    counts = columns[2] > 0
    assert counts.sum() == 2 * 29 - 6
    forecast, target = (column[counts].double().numpy() for column in columns[:2])
    last = torch.tensor(y)[index][:, :, None, None].expand_as(counts)[counts].numpy()
    seasonal = np.abs(y[7:60] - y[:53])
    error = np.abs(forecast - target)
    mse = mean_squared_error(target, forecast)
    assert found == pytest.approx(
        {
            "test/mse_scaled": mse / y[:60].var(),
            "test/mae": mean_absolute_error(target, forecast),
            "test/rmse": math.sqrt(mse),
            "test/mase": mean_absolute_error(target, forecast) / seasonal.mean(),
            "test/skill": 1 - mse / mean_squared_error(target, last),
            "test/rmsse": math.sqrt(mse / (seasonal**2).mean()),
            "test/mape": 100 * mean_absolute_percentage_error(target, forecast),
            "test/smape": 100 * np.mean(2 * error / (np.abs(forecast) + np.abs(target))),
            "test/wape": 100 * error.sum() / np.abs(target).sum(),
        },
        rel=1e-4,
    )


@pytest.mark.parametrize("lookback", [4, "full"])
def test_test_metrics_do_not_depend_on_the_batch_size(lookback):
    found = []
    for batch_size in (1, 7, 1000):
        data = Series(noise(120), splits=3, fold=2, lookback=lookback, batch_size=batch_size)
        torch.manual_seed(0)
        model = as_if_trained(Forecaster(SMALL, schema=data.schema))
        found += trainer().test(model, data, verbose=False)
    assert found[0] == pytest.approx(found[2], rel=2e-6)
    assert found[1] == pytest.approx(found[2], rel=2e-6)


def test_several_targets_are_scaled_each_by_its_own_variance():
    raw = noise(120)
    raw["x"] *= 1000
    data = Series(raw, targets=["x", "y"], splits=3, fold=2)
    model = zeroed(Forecaster(SMALL, anchor="last", schema=data.schema))
    (found,) = trainer().test(model, data, verbose=False)
    values = raw.to_numpy()
    change = values[60:90] - values[59:89]
    assert found["test/mse_scaled"] == pytest.approx((change**2 / values[:60].var(0)).mean(), rel=1e-5)
    naive = np.abs(np.diff(values[:60], axis=0)).mean(0)
    assert found["test/mase"] == pytest.approx((np.abs(change) / naive).mean(), rel=1e-5)
    assert found["test/skill"] == 0


def test_a_full_sequence_is_scored_on_its_test_rows_only():
    data = Series(counting(10), lookback="full")
    model = zeroed(Forecaster(SMALL, anchor="last", schema=data.schema))
    (found,) = trainer().test(model, data, verbose=False)
    assert found["test/mae"] == found["test/rmse"] == found["test/mase"] == 1
    assert found["test/mse_scaled"] == pytest.approx(1 / 1.25)


@pytest.mark.real
@pytest.mark.parametrize("lookback", [30, "full"])
@pytest.mark.parametrize(("fold", "expected"), [(1, 0.2755), (2, 0.1898), (3, 0.1201), (4, 0.3111), (5, 0.2185)])
def test_persistence_on_the_ozone_data_has_the_published_errors(real_ozone, fold, expected, lookback):
    data = OzoneDataModule(path=str(real_ozone), fold=fold, lookback=lookback)
    model = zeroed(Forecaster(SMALL, anchor="last", schema=data.schema))
    (found,) = trainer().test(model, data, verbose=False)
    assert found["test/mse_scaled"] == pytest.approx(expected, abs=5e-5)
    assert found["test/skill"] == 0


def test_testing_without_a_data_module_says_what_to_pass():
    data = Series(counting(10))
    data.setup("test")
    model = as_if_trained(Forecaster(SMALL, schema=data.schema))
    with pytest.raises(ConfigError, match="pass the data module"):
        trainer().test(model, data.test_dataloader(), verbose=False)
