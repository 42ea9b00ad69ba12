import math
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from lightning.pytorch.cli import ReduceLROnPlateau
from sklearn.metrics import mean_absolute_error, mean_absolute_percentage_error, mean_squared_error
from torch import nn
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import StepLR

from forecastlab.backbones.bn_lstm import BNLSTM
from forecastlab.backbones.gru import GRU
from forecastlab.backbones.larnn import LARNN
from forecastlab.backbones.lstm import LSTM
from forecastlab.backbones.stepping import Stepped
from forecastlab.batch import Batch, Schema
from forecastlab.data.ozone_datamodule import OzoneDataModule
from forecastlab.decoders import Linear, Seq2Seq
from forecastlab.errors import ConfigError, DataError, NotFiniteError
from forecastlab.hybrids.bidirectional import Bidirectional
from forecastlab.hybrids.parallel import Parallel
from forecastlab.hybrids.series import Series as InSeries
from forecastlab.losses import MAE, MSE, Quantile
from forecastlab.penalties import ActivationPenalty, Penalty
from forecastlab.training.forecaster import Forecaster
from tests.frames import module, panel
from tests.series import Series, as_if_trained, counting, loss_of, noise, trainer

SCHEMA = Schema(("x", "y", "hour_sin"), ("y",), known=("hour_sin",), horizon=2, lookback=5)
SMALL = partial(LSTM, hidden_size=4)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


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


# ---- what it computes ----


@pytest.mark.parametrize("origins", [1, 3])
def test_a_network_of_zeros_anchored_at_the_last_value_forecasts_exactly_that(origins):
    model, x = zeroed(forecaster(SMALL, anchor="last", linear_skip=True)), batch(samples=500, origins=origins)
    x = x._replace(last=10 * torch.randn_like(x.last))  # scaling them there and back would lose digits
    assert torch.equal(model(x), x.last[:, :, None].expand(500, origins, 2, 1))


def test_a_network_of_zeros_without_an_anchor_forecasts_the_centre():
    model = zeroed(forecaster(SMALL))
    assert torch.equal(model(batch()), model.scaling.target_center.expand(3, 1, 2, 1))


@pytest.mark.parametrize("anchor", ["none", "last"])
def test_the_forecast_is_that_of_the_parts_in_original_units(anchor):
    model, x = forecaster(SMALL, anchor=anchor, linear_skip=True), batch(origins=2)
    scaling = dict(model.scaling.named_buffers())
    scaled = ((x.history - scaling["feature_center"]) / scaling["feature_scale"]).float()
    known = ((x.known - scaling["known_center"]) / scaling["known_scale"]).float()
    encoded, _ = model.backbone(scaled)
    raw = model.decoder.linear(torch.cat([encoded[:, -2:], known.flatten(2)], -1)) + model.skip(scaled[:, -2:])
    raw = raw.view(3, 2, 2, 1)
    if anchor == "last":
        expected = x.last[:, :, None] + raw * scaling["target_scale"]
    else:
        expected = scaling["target_center"] + raw * scaling["target_scale"]
    torch.testing.assert_close(model(x), expected)


def test_the_linear_skip_alone_is_a_linear_map_of_the_last_row():
    model, x = forecaster(SMALL, linear_skip=True), batch()
    with torch.no_grad():
        for parameter in (*model.backbone.parameters(), *model.decoder.parameters()):
            parameter.zero_()
        model.skip.weight.copy_(torch.tensor([[1.0, 2.0, 3.0], [0.0, -1.0, 0.0]]))
        model.skip.bias.copy_(torch.tensor([0.5, -0.5]))
    s = {name: buffer.double().numpy() for name, buffer in model.scaling.named_buffers()}
    row = (x.history[:, -1].double().numpy() - s["feature_center"]) / s["feature_scale"]
    expected = row @ np.array([[1, 0], [2, -1], [3, 0]]) + [0.5, -0.5]
    expected = expected * s["target_scale"] + s["target_center"]
    np.testing.assert_allclose(model(x)[:, 0, :, 0].detach().numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("anchor", ["none", "last"])
@pytest.mark.parametrize("loss", [MSE, MAE])
def test_the_loss_is_taken_in_scaled_units_and_over_the_values_that_count(anchor, loss):
    model, x = forecaster(SMALL, loss=loss, anchor=anchor), batch(origins=2)
    x = x._replace(weight=(torch.rand(x.weight.shape) > 0.4).float())
    difference = (model(x) - x.target) / model.scaling.target_scale
    difference = difference[x.weight > 0].detach().numpy()
    expected = (difference**2).mean() if loss is MSE else np.abs(difference).mean()
    np.testing.assert_allclose(loss_of(model, x).item(), expected, rtol=1e-5)


def test_what_has_no_weight_changes_neither_loss_nor_gradient():
    model, x = forecaster(SMALL), batch()
    x.weight[1, 0, 1] = 0
    gradients = []
    for filled in (0.0, 1e6):
        x.target[1, 0, 1] = filled
        model.zero_grad()
        loss_of(model, x).backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_no_forecast_depends_on_another_row_of_the_batch_or_on_its_target():
    model, x = forecaster(SMALL, anchor="last", linear_skip=True), batch(samples=4)
    alone = torch.cat([model(Batch(*(part[row : row + 1] for part in x))) for row in range(4)])
    torch.testing.assert_close(model(x), alone)
    assert torch.equal(model(x._replace(target=x.target * 3, weight=x.weight * 0)), model(x))


@pytest.mark.parametrize("scaler", ["standard", "minmax", "robust", "none"])
def test_forecasts_are_in_original_units_whatever_the_scaler(scaler):
    raw = noise(200)
    raw["y"] = 5000 + 100 * raw["y"]
    data = Series(raw, scaler=scaler, lookback=4, validation="tail")
    model = Forecaster(SMALL, anchor="last", optimizer=partial(Adam, lr=1e-3), schema=data.schema)
    running = trainer(max_epochs=1)
    running.fit(model, data)
    for key, expected in data.scaling.state_dict().items():
        assert torch.equal(model.scaling.state_dict()[key], expected)
    test = [model.predict_step(x) for x in data.test_dataloader()]
    for prediction in [*test, *running.predict(model, data)]:
        assert ((prediction.forecast - prediction.target).abs()[prediction.weight > 0] < 3000).all()
        assert (prediction.forecast > 3000).all()


# ---- training equals a loop by hand ----


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
    model = Forecaster(SMALL, optimizer=partial(Adam, lr=0.01), schema=data.schema)
    running = trainer(max_epochs=3)
    running.fit(model, data)

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
    model = Forecaster(SMALL, optimizer=partial(SGD, lr=0.0), schema=data.schema)
    first = trainer(max_epochs=1)
    first.fit(model, data)
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
    model = Forecaster(SMALL, optimizer=partial(SGD, lr=1.0), lr_scheduler=schedule, schema=data.schema)
    running = trainer(max_epochs=4)
    running.fit(model, data)
    assert running.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.01)


def test_a_schedule_that_waits_for_a_plateau_watches_the_validation_loss():
    data = Series(noise(60), fold=2)
    schedule = partial(ReduceLROnPlateau, monitor="val/loss", patience=0, factor=0.5)
    model = Forecaster(SMALL, optimizer=partial(SGD, lr=0.0), lr_scheduler=schedule, schema=data.schema)
    running = trainer(max_epochs=1)
    running.fit(model, data)
    (config,) = running.lr_scheduler_configs
    assert (config.monitor, config.reduce_on_plateau) == ("val/loss", True)


def test_dropout_acts_in_training_only():
    model, x = forecaster(SMALL, dropout=0.5), batch()
    assert torch.equal(model(x), model(x))
    model.train()
    assert not torch.equal(model(x), model(x))


# ---- static covariates ----


@pytest.mark.parametrize("linear_skip", [False, True])
def test_static_covariates_are_inputs_of_every_step(linear_skip):
    schema = Schema(("x", "y"), ("y",), static=("area", "height"), horizon=2, lookback=5)
    model = forecaster(SMALL, linear_skip=linear_skip, schema=schema)
    x = batch(schema)._replace(static=100 * torch.randn(3, 2).double())
    s = dict(model.scaling.named_buffers())
    inputs = torch.cat(
        [
            (x.history - s["feature_center"]) / s["feature_scale"],
            ((x.static - s["static_center"]) / s["static_scale"])[:, None].repeat(1, 5, 1),
        ],
        -1,
    ).float()
    assert model.backbone.input_size == 4
    hidden, _ = model.backbone.rnn(inputs)
    raw = model.decoder.linear(hidden[:, -1])
    if linear_skip:
        raw = raw + model.skip(inputs[:, -1])
    expected = raw.view(3, 1, 2, 1) * s["target_scale"] + s["target_center"]
    torch.testing.assert_close(model(x), expected)
    assert not torch.allclose(model(x._replace(static=x.static + 50)), expected)


def test_static_covariates_of_a_file_reach_the_network_scaled_over_the_series(tmp_path):
    data = module(tmp_path, panel(30), series_column="unique_id", static=["area"])
    model = Forecaster(SMALL, schema=data.schema)
    trainer(max_epochs=1).fit(model, data)
    x = next(iter(data.test_dataloader()))
    area = (x.series + 1 - 2) / np.sqrt(2 / 3)  # the mean and the standard deviation of 1 2 3
    torch.testing.assert_close(model.scaled(x).inputs[..., -1], area.float()[:, None].repeat(1, 4))


# ---- penalties ----


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
        model = Forecaster(SMALL, optimizer=partial(SGD, lr=0.0), penalties=penalties, schema=data.schema)
        running = trainer(max_epochs=1)
        running.fit(model, data)
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
        model = Forecaster(SMALL, penalties=penalties, optimizer=partial(Adam, lr=0.1), schema=data.schema)
        trainer(max_epochs=3).fit(model, data)
        encoded, _ = model.backbone(model.scaled(next(iter(data.test_dataloader()))).inputs)
        sizes.append(encoded.abs().mean().item())
    assert sizes[1] < 0.2 * sizes[0]


def test_a_penalty_sees_the_encoding_before_and_after_dropout():
    data = Series(noise(60), fold=2, batch_size=16)
    model = Forecaster(SMALL, penalties=[OfTheEncoding], dropout=0.5, schema=data.schema)
    trainer(max_epochs=1).fit(model, data)
    output, dropped, weight = model.penalties[0].seen[0]
    dead = dropped == 0
    assert 0.3 < dead.float().mean() < 0.7
    torch.testing.assert_close(dropped[~dead], 2 * output[~dead])
    assert weight is None, "nothing is padded"


def test_a_penalty_is_told_where_a_shorter_sequence_is_padded(tmp_path):
    frame = panel(40)
    frame = frame[~((frame["unique_id"] == "b") & (frame["ds"] < "2020-01-11"))]  # b begins ten rows later
    data = module(tmp_path, frame, series_column="unique_id", lookback="full", fold=3)
    model = Forecaster(SMALL, penalties=[OfTheEncoding], schema=data.schema)
    trainer(max_epochs=1).fit(model, data)
    _, _, weight = model.penalties[0].seen[0]
    lengths = sorted(weight.sum(1).tolist())
    assert lengths == [weight.shape[1] - 10, weight.shape[1], weight.shape[1]]
    assert (weight.diff(dim=1) <= 0).all(), "what is padded is at the end"


# ---- the metrics ----


def test_test_metrics_equal_scikit_learns_on_the_same_rows():
    raw = noise(120)
    raw.iloc[[70, 80, 81], 1] = np.nan
    data = Series(raw, splits=3, fold=2, lookback=4, horizon=2, validation="tail", season_length=7)
    model = Forecaster(SMALL, anchor="last", schema=data.schema)
    running = trainer(max_epochs=2)
    running.fit(model, data)
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


# ---- saved and loaded ----

PARTS = {
    "defaults": {},
    "classes": {"backbone": GRU, "decoder": Linear, "loss": MAE, "optimizer": AdamW},
    "partials": {
        "backbone": partial(LSTM, hidden_size=5, num_layers=2, dropout=0.1),
        "optimizer": partial(Adam, lr=0.02, betas=(0.8, 0.99)),
        "lr_scheduler": partial(StepLR, step_size=3),
        "anchor": "last",
        "linear_skip": True,
        "dropout": 0.25,
        "penalties": [partial(ActivationPenalty, alpha=0.5), ActivationPenalty],
    },
    "intervals": {"loss": partial(Quantile, quantiles=[0.1, 0.5, 0.9]), "intervals": [0.8], "decoder": Seq2Seq},
    "nested": {
        "backbone": partial(
            Parallel,
            branches=[SMALL, partial(InSeries, branches=(partial(GRU, hidden_size=3), SMALL), feed="prediction")],
        )
    },
    "mappings": {"backbone": {"class_path": "forecastlab.backbones.gru.GRU", "init_args": {"hidden_size": 3}}},
}


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
def test_a_checkpoint_alone_rebuilds_the_network_and_its_forecasts(tmp_path, parts):
    settings = {"lookback": 5, "horizon": 2, "calendar": ["day_of_week"], "validation": "tail"}
    data = Series(noise(80), fold=2, **settings)
    model = Forecaster(**parts, schema=data.schema)
    running = trainer(max_epochs=1)
    running.fit(model, data)
    running.save_checkpoint(tmp_path / "x.ckpt")
    loaded = Forecaster.load_from_checkpoint(tmp_path / "x.ckpt", weights_only=True).eval()
    x = next(iter(data.test_dataloader()))
    for again in (loaded, Forecaster.load(tmp_path / "x.ckpt")):
        for ours, theirs in zip(again.predict_step(x), model.eval().predict_step(x), strict=True):
            assert torch.equal(ours, theirs)
    assert loaded.hparams == model.hparams
    assert loaded.schema == model.schema
    optimizers = [
        built["optimizer"] if isinstance(built, dict) else built
        for built in (model.configure_optimizers(), loaded.configure_optimizers())
    ]
    assert type(optimizers[0]) is type(optimizers[1])
    settings = [{k: v for k, v in o.param_groups[0].items() if k != "params"} for o in optimizers]
    assert settings[0] == settings[1]


def test_a_checkpoint_is_loaded_without_running_code(tmp_path):
    data = Series(noise(60), fold=2)
    model = Forecaster(PARTS["nested"]["backbone"], dropout=np.float64(0.1), schema=data.schema)
    running = trainer(max_epochs=1)
    running.fit(model, data)
    running.save_checkpoint(tmp_path / "x.ckpt")
    checkpoint = torch.load(tmp_path / "x.ckpt", weights_only=True)
    assert checkpoint["hyper_parameters"]["schema"] == data.schema
    assert checkpoint["hyper_parameters"]["dropout"] == 0.1
    assert checkpoint["state_dict"]["scaling.target_center"] == data.scaling.target_center


def test_a_checkpoint_that_names_a_foreign_class_is_refused_without_importing_it(tmp_path, monkeypatch):
    mark = tmp_path / "was_imported"
    (tmp_path / "evil_network.py").write_text(f"open({str(mark)!r}, 'w').close()\nfrom torch.nn import GRU\n")
    monkeypatch.syspath_prepend(tmp_path)
    data = Series(noise(60), fold=2)
    running = trainer(max_epochs=1)
    running.fit(Forecaster(SMALL, schema=data.schema), data)
    running.save_checkpoint(tmp_path / "x.ckpt")
    checkpoint = torch.load(tmp_path / "x.ckpt", weights_only=True)
    for part in ("backbone", "optimizer", "loss", "decoder"):
        evil = {"class_path": "evil_network.GRU", "init_args": {}}
        hyper_parameters = {**checkpoint["hyper_parameters"], part: evil}
        torch.save({**checkpoint, "hyper_parameters": hyper_parameters}, tmp_path / "evil.ckpt")
        with pytest.raises(ConfigError, match=r"evil_network.GRU is not imported.*--allow-import evil_network"):
            Forecaster.load_from_checkpoint(tmp_path / "evil.ckpt", weights_only=True).configure_optimizers()
    assert not mark.exists()


def test_testing_leaves_nothing_in_the_weights():
    data = Series(noise(60), fold=2)
    model = as_if_trained(Forecaster(SMALL, schema=data.schema))
    before = set(model.state_dict())
    trainer().test(model, data, verbose=False)
    assert set(model.state_dict()) == before


def test_evaluation_keeps_the_scaling_of_the_checkpoint():
    data = Series(noise(60), fold=2)
    model = as_if_trained(Forecaster(SMALL, schema=data.schema))
    model.scaling.target_center.fill_(123)
    trainer().test(model, data, verbose=False)
    trainer().validate(model, data, verbose=False)
    assert model.scaling.target_center.tolist() == [[123]]
    trainer(max_epochs=1).fit(model, data)
    assert torch.equal(model.scaling.target_center, data.scaling.target_center)


# ---- weights to begin with ----


def saved(path, data, epochs=1, **settings):
    """A network trained on data, and the checkpoint of it."""
    model = Forecaster(SMALL, **settings, schema=data.schema)
    running = trainer(max_epochs=epochs)
    running.fit(model, data)
    running.save_checkpoint(path)
    return model


def test_a_warm_start_is_the_weights_of_the_checkpoint_and_the_scaling_of_the_new_data(tmp_path):
    old = saved(tmp_path / "old.ckpt", Series(noise(160), fold=3, validation="tail"), intervals=[0.9])
    data = Series(10 + 3 * noise(160, seed=1), fold=3, validation="tail")
    new = Forecaster(
        SMALL,
        optimizer=partial(SGD, lr=0.0),
        weights_from=str(tmp_path / "old.ckpt"),
        intervals=[0.9],
        schema=data.schema,
    )
    trainer(max_epochs=1).fit(new, data)
    ours, theirs = new.state_dict(), old.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in dict(new.named_parameters()))
    for name, value in data.scaling.state_dict().items():
        assert torch.equal(ours[f"scaling.{name}"], value)
    assert not torch.equal(new.intervals.margin, old.intervals.margin)


def test_a_warm_start_trains_as_one_whose_weights_were_copied_by_hand(tmp_path):
    old = saved(tmp_path / "old.ckpt", Series(noise(60), fold=2))
    trained = []
    for path in (None, str(tmp_path / "old.ckpt")):
        data = Series(noise(80, seed=1), fold=2)
        torch.manual_seed(9)
        model = Forecaster(SMALL, weights_from=path, schema=data.schema)
        if path is None:
            for ours, theirs in zip(model.parameters(), old.parameters(), strict=True):
                ours.data.copy_(theirs)
        trainer(max_epochs=2).fit(model, data)
        trained.append(model.state_dict())
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in trained[0])


def test_a_warm_start_may_leave_calibrated_intervals_behind_or_begin_them(tmp_path):
    data = Series(noise(160), fold=3, validation="tail")
    saved(tmp_path / "with.ckpt", data, intervals=[0.9])
    saved(tmp_path / "without.ckpt", data)
    for name, intervals in (("with", []), ("without", [0.9]), ("with", [0.5, 0.8])):
        model = Forecaster(SMALL, weights_from=str(tmp_path / f"{name}.ckpt"), intervals=intervals, schema=data.schema)
        trainer(max_epochs=1).fit(model, data)
        assert len(model.levels) == 2 * len(intervals)


def test_a_checkpoint_that_was_begun_with_others_weights_needs_their_file_no_more(tmp_path):
    data = Series(noise(60), fold=2)
    saved(tmp_path / "old.ckpt", data)
    model = saved(tmp_path / "new.ckpt", data, weights_from=str(tmp_path / "old.ckpt"))
    (tmp_path / "old.ckpt").unlink()
    loaded = Forecaster.load(tmp_path / "new.ckpt")
    x = next(iter(data.test_dataloader()))
    assert torch.equal(loaded(x), model.eval()(x))
    resumed = Forecaster(SMALL, weights_from=str(tmp_path / "old.ckpt"), schema=data.schema)
    trainer(max_epochs=2).fit(resumed, data, ckpt_path=tmp_path / "new.ckpt", weights_only=True)
    trainer().test(resumed, data, verbose=False)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"backbone": partial(LSTM, hidden_size=5)}, r"weight_ih_l0: expected \(20, 2\), got \(16, 2\)"),
        ({"backbone": partial(LSTM, hidden_size=4, num_layers=2)}, r"_l1: expected \(16, 4\), got none"),
        ({"linear_skip": True}, r"skip.weight: expected \(1, 2\), got none"),
        ({"loss": Quantile}, r"decoder.linear.weight: expected \(3, 4\), got \(1, 4\)"),
    ],
)
def test_weights_of_another_network_are_refused_by_name(tmp_path, settings, words):
    data = Series(noise(60), fold=2)
    saved(tmp_path / "old.ckpt", data)
    arguments = {"backbone": SMALL, **settings}
    model = Forecaster(**arguments, weights_from=str(tmp_path / "old.ckpt"), schema=data.schema)
    with pytest.raises(ConfigError, match=f"model.weights_from: .*old.ckpt are those of another network.*{words}"):
        trainer(max_epochs=1).fit(model, data)


def test_weights_of_a_larger_network_are_refused_too(tmp_path):
    data = Series(noise(60), fold=2)
    saved(tmp_path / "old.ckpt", data, linear_skip=True)
    model = Forecaster(SMALL, weights_from=str(tmp_path / "old.ckpt"), schema=data.schema)
    with pytest.raises(ConfigError, match=r"skip.weight: expected none, got \(1, 2\)"):
        trainer(max_epochs=1).fit(model, data)


@pytest.mark.parametrize(("content", "words"), [(None, "there is no checkpoint"), (b"PK..", "damaged or not a check")])
def test_weights_that_cannot_be_read_are_named(tmp_path, content, words):
    path = tmp_path / "old.ckpt"
    if content is not None:
        path.write_bytes(content)
    data = Series(noise(60), fold=2)
    with pytest.raises(DataError, match=words):
        trainer(max_epochs=1).fit(Forecaster(SMALL, weights_from=str(path), schema=data.schema), data)


# ---- refusals ----


class _TakesTwo(Linear):
    def __init__(self, width, horizon):
        raise AssertionError


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"backbone": Linear}, "model.backbone: there is no Backbone .*Linear: a class of"),
        ({"backbone": lambda width: LSTM(width)}, "model.backbone: expected a class"),
        ({"backbone": LSTM(3)}, "model.backbone: expected a class"),
        ({"backbone": partial(LSTM, hidden_size=0)}, "model.backbone: hidden_size must be a positive integer, got 0"),
        ({"backbone": partial(LSTM, hidden=3)}, "model.backbone: .*unexpected keyword argument 'hidden'"),
        ({"backbone": partial(Parallel, branches=())}, "model.backbone: branches must name at least one backbone"),
        ({"backbone": partial(Parallel, branches=[MSE])}, "model.backbone: "),
        ({"backbone": {"class_path": "not_there.LSTM"}}, "model.backbone: not_there.LSTM is not imported"),
        ({"decoder": LSTM}, "model.decoder: there is no Decoder .*LSTM: a class of"),
        ({"decoder": _TakesTwo}, "model.decoder: .*takes 3 positional arguments but 6 were given"),
        ({"loss": nn.MSELoss}, "model.loss: there is no Loss .*MSELoss: a class of"),
        ({"lr_scheduler": "StepLR"}, "model.lr_scheduler: expected a class"),
        ({"penalties": [MSE]}, "model.penalties.0: there is no Penalty .*MSE: a class of"),
        ({"penalties": [ActivationPenalty, partial(ActivationPenalty, beta=-1)]}, "model.penalties.1: beta must be 0"),
        ({"linear_skip": True, "decoder": Seq2Seq}, "linear_skip cannot be added to the forecasts of Seq2Seq"),
        ({"anchor": "Last"}, "model.anchor must be"),
        ({"dropout": 1.0}, "model.dropout must be at least 0 and below 1"),
        ({"dropout": -0.1}, "model.dropout must be at least 0 and below 1"),
    ],
)
def test_a_part_that_does_not_fit_is_refused(arguments, words):
    with pytest.raises(ConfigError, match=words) as caught:
        Forecaster(**arguments, schema=SCHEMA.as_dict())
    assert len(str(caught.value).splitlines()) <= 10


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"optimizer": partial(Adam, lr=-1.0)}, "model.optimizer: Invalid learning rate: -1"),
        ({"optimizer": MSE}, "model.optimizer: there is no Optimizer .*MSE: a class of"),
        ({"lr_scheduler": StepLR}, "model.lr_scheduler: .*step_size"),
        ({"lr_scheduler": Adam}, "model.lr_scheduler: there is no LRScheduler .*Adam: a class of"),
    ],
)
def test_an_optimizer_that_cannot_be_built_is_refused_before_the_training(arguments, words):
    data = Series(noise(60), fold=2)
    with pytest.raises(ConfigError, match=words):
        trainer(max_epochs=1).fit(Forecaster(SMALL, **arguments, schema=data.schema), data)


@pytest.mark.parametrize(
    "network", [BNLSTM, partial(LARNN, batch_norm=True), partial(Parallel, branches=[LSTM, BNLSTM])]
)
def test_a_backbone_that_normalises_over_sequences_is_not_trained_on_one(network):
    data = Series(noise(60), fold=2, lookback="full")
    with pytest.raises(ConfigError, match=r"normalises over the sequences of a batch.*Set --data.lookback"):
        trainer(max_epochs=1).fit(Forecaster(network, schema=data.schema), data)


def test_a_backbone_that_sees_the_future_is_refused_where_every_step_is_an_origin():
    two_ways = partial(Bidirectional, backbone=SMALL)
    full = Series(noise(60), fold=2, lookback="full")
    with pytest.raises(ConfigError, match=r"Bidirectional is not causal.*Set --data.lookback"):
        Forecaster(two_ways, schema=full.schema)
    with pytest.raises(ConfigError, match="Parallel is not causal"):
        Forecaster(partial(Parallel, branches=[SMALL, two_ways]), schema=full.schema)
    model = Forecaster(two_ways, schema=Series(noise(60), fold=2, lookback=5).schema)
    with pytest.raises(ConfigError, match="Bidirectional is not causal"):
        trainer().test(model, full, verbose=False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"features": ["x"]}, r"features differ .*: missing \['y'\], unknown \[\]"),
        ({"features": ["y", "x"]}, "features come in another order .*number 1, y instead of x"),
        ({"targets": ["x"]}, r"targets differ .*: missing \['y'\], unknown \['x'\]"),
        ({"horizon": 2}, "built for horizon=1, but the data have 2"),
        ({"calendar": ["hour"]}, r"features differ .*unknown \['hour_sin', 'hour_cos'\]"),
    ],
)
@pytest.mark.parametrize("stage", ["fit", "validate", "test", "predict"])
def test_data_of_another_schema_are_refused(stage, arguments, words):
    model = Forecaster(SMALL, schema=Series(noise(60), fold=2).schema)
    with pytest.raises(ConfigError, match=words):
        getattr(trainer(max_epochs=1), stage)(model, datamodule=Series(noise(60), fold=2, **arguments))


@pytest.mark.parametrize("stage", ["fit", "validate", "test", "predict"])
def test_weights_for_other_columns_are_refused_where_the_shapes_are_the_same(tmp_path, stage):
    saved(tmp_path / "x.ckpt", Series(noise(60), fold=2))
    for arguments, words in (
        ({"features": ["y", "x"]}, "features come in another order"),
        ({"targets": ["x"]}, "targets differ"),
    ):
        data = Series(noise(60), fold=2, **arguments)
        model = Forecaster(SMALL, schema=data.schema)
        with pytest.raises(ConfigError, match=words):
            getattr(trainer(max_epochs=2), stage)(model, data, ckpt_path=tmp_path / "x.ckpt", weights_only=True)


def test_weights_for_series_in_another_order_are_refused_where_each_has_its_own_scaling(tmp_path):
    frame = panel(30)
    settings = {"series_column": "unique_id", "scale_by": "series"}
    saved(tmp_path / "x.ckpt", module(tmp_path, frame, **settings))
    data = module(tmp_path, frame.sort_values("unique_id", ascending=False, kind="stable"), **settings)
    with pytest.raises(ConfigError, match="series come in another order than those the network was trained on"):
        trainer().test(Forecaster(SMALL, schema=data.schema), data, ckpt_path=tmp_path / "x.ckpt", weights_only=True)


def test_data_of_another_frequency_are_refused():
    model = Forecaster(SMALL, schema=Series(noise(60), fold=2).schema)
    hourly = Series(counting(60, "h"), "h", fold=2)
    with pytest.raises(ConfigError, match="trained on data of frequency D, but these have h"):
        trainer().test(model, hourly, verbose=False)


def test_a_network_for_windows_serves_windows_of_another_length():
    model = as_if_trained(Forecaster(SMALL, anchor="last", schema=Series(noise(60), fold=2, lookback=5).schema))
    (found,) = trainer().test(model, Series(noise(60), fold=2, lookback=9), verbose=False)
    assert math.isfinite(found["test/mae"])


def test_compiled_steps_are_asked_for_by_argument_and_kept_with_the_network():
    plain, compiled = forecaster(BNLSTM), forecaster(BNLSTM, compile=True)
    loops = [module for module in compiled.modules() if isinstance(module, Stepped)]
    assert loops
    assert all(module.chunks is not None for module in loops)
    assert not any(module.chunks for module in plain.modules() if isinstance(module, Stepped))
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    assert compiled.hparams["compile"] is True
