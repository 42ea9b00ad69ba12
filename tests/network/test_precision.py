"""Original units are in double precision: no digit of a series is lost before it is scaled, or after it is forecast."""

from copy import deepcopy
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from forecastlab.backbones.gru import GRU
from forecastlab.baselines import Persistence, Ridge
from forecastlab.batch import Batch, Scaling
from forecastlab.data.table_datamodule import TableDataModule
from forecastlab.decoders.seq2seq import Seq2Seq
from forecastlab.errors import ConfigError
from forecastlab.evaluation.scores import evaluate
from forecastlab.export import load_safetensors
from forecastlab.losses import MAPE, Quantile
from forecastlab.network.window_norm import WindowNorm
from forecastlab.training.callbacks import PredictionWriter
from forecastlab.training.forecaster import Forecaster
from tests.series import Series, loss_of, noise, trainer

OLD = Path(__file__).parents[1] / "data"
"""Files of a network that was trained when a scaling was in single precision."""

LEVELS = {
    "a billion": (1e9, 1.0),
    "below zero": (-1e12, 1.0),
    "tiny": (0.0, 2.0**-40),
    "huge": (0.0, 2.0**66),
}
"""What is added to a series, and before it what it is multiplied by; both leave every digit of it."""

NETWORKS = {
    "level": {},
    "change": {"anchor": "last"},
    "windows": {"anchor": "last", "window_norm": "standard", "intervals": (0.5,)},
    "decoder": {"decoder": Seq2Seq, "loss": partial(Quantile, quantiles=(0.25, 0.5, 0.75))},
}


def waves(rows=90):
    """Two columns, a weekly wave of 50 with noise of 5 and what leads it, in eighths, so that a level can be added."""
    random, steps = np.random.default_rng(0), np.arange(rows)
    y = 50 * np.sin(steps * 2 * np.pi / 7) + 5 * random.standard_normal(rows)
    frame = pd.DataFrame({"x": np.roll(y, -1), "y": y}, index=pd.date_range("2024-01-01", periods=rows))
    return (frame * 8).round() / 8


def module(frame, **arguments):
    return Series(frame, splits=2, fold=2, horizon=2, validation="tail", batch_size=16, **{"lookback": 7, **arguments})


def trained(data, **settings):
    """A network after two epochs, and its test metrics."""
    torch.manual_seed(0)
    model = Forecaster(partial(GRU, hidden_size=4), schema=data.schema, **settings)
    running = trainer(max_epochs=2)
    running.fit(model, data)
    (metrics,) = running.test(model, data, verbose=False)
    return model, metrics


def ahead(model, frame):
    """The forecasts beyond the end of a frame: (steps, columns)."""
    return model.forecast(frame).loc[:, "forecast":].to_numpy()


def streamed(model, frame):
    stream = model.stream()
    for row in frame.rename_axis("time").reset_index().to_dict("records"):
        table = stream.update(row)
    return table.loc[:, "forecast":].to_numpy()


@pytest.mark.parametrize("settings", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize(("level", "unit"), LEVELS.values(), ids=LEVELS)
def test_a_series_of_another_level_or_unit_is_trained_scored_and_forecast_alike(level, unit, settings):
    plain = waves()
    moved = plain * unit + level
    assert ((moved - level) / unit).equals(plain)
    (model, metrics), (other, found) = (trained(module(frame), **settings) for frame in (plain, moved))
    for name in ("test/mse_scaled", "test/mase", "test/skill", "test/rmsse"):
        assert found[name] == pytest.approx(metrics[name], rel=1e-4)
    for name in ("test/mae", "test/rmse"):
        assert found[name] == pytest.approx(metrics[name] * unit, rel=1e-4)
    expected = ahead(model, plain)
    np.testing.assert_allclose((ahead(other, moved) - level) / unit, expected, atol=1e-2)
    np.testing.assert_allclose((streamed(other, moved) - level) / unit, expected, atol=1e-2)


def test_a_whole_sequence_of_a_high_level_is_streamed_from_its_state():
    frame = waves() + 1e9
    model, _ = trained(module(frame, lookback="full"), anchor="last")
    plain, _ = trained(module(frame - 1e9, lookback="full"), anchor="last")
    np.testing.assert_allclose(streamed(model, frame) - 1e9, ahead(plain, frame - 1e9), atol=1e-2)


@pytest.mark.parametrize("baseline", [Persistence, Ridge])
def test_baselines_see_the_digits_of_a_high_level(baseline):
    plain, moved = (evaluate(baseline(), module(frame)) for frame in (waves(), waves() + 1e9))
    for name in ("test/mse_scaled", "test/mae", "test/rmse", "test/mase"):
        assert moved.metrics[name] == pytest.approx(plain.metrics[name], rel=1e-5)


def test_the_percentage_loss_of_a_high_level_is_that_of_its_values():
    frame = waves() + 1e9
    data = module(frame)
    model = Forecaster(partial(GRU, hidden_size=4), loss=MAPE, schema=data.schema)
    trainer(max_epochs=1).fit(model, data)
    batch = next(iter(data.test_dataloader()))
    with torch.no_grad():
        loss, forecast = loss_of(model, batch), model(batch)
    expected = 100 * ((forecast - batch.target).abs() / batch.target.abs()).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


TEXTS = ["1000000048.37", "999999951.1234567", "-0.1", "3", "1e-7", "123456789012345.6", "0.30000000000000004", "7.0e3"]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "64-true"])
def test_predictions_hold_the_truth_as_the_file_has_it(tmp_path, precision):
    times = pd.date_range("2024-01-01", periods=64)
    file = pd.DataFrame({"ds": times.strftime("%Y-%m-%d"), "y": [TEXTS[row * 5 % 8] for row in range(64)]})
    file.to_csv(tmp_path / "data.csv", index=False)
    data = TableDataModule(tmp_path / "data.csv", lookback=4, horizon=3, splits=2, fold=2)
    model = Forecaster(partial(GRU, hidden_size=4), schema=data.schema)
    running = trainer(max_epochs=1, precision=precision, callbacks=[PredictionWriter()], default_root_dir=tmp_path)
    running.fit(model, data)
    running.test(model, data, verbose=False)
    found = pd.read_csv(tmp_path / "predictions.csv", dtype=str)
    assert len(found)
    assert list(found["y"].map(float)) == list(found["ds"].map(file.set_index("ds")["y"]).map(float))


def test_static_numbers_that_are_nearly_the_same_stay_apart(tmp_path):
    frame = pd.concat([noise(30).assign(item=item, code=code) for item, code in (("a", 100100037), ("b", 100100038))])
    frame.rename_axis("ds").to_csv(tmp_path / "data.csv")
    data = TableDataModule(tmp_path / "data.csv", series_column="item", static=["code"], lookback=3)
    assert data.rows.static.flatten().tolist() == [100100037, 100100038]
    scaled = data.scaling.scale("static", data.rows.static, torch.arange(2))
    np.testing.assert_allclose(scaled.flatten(), [-1, 1])


def test_fitting_a_scaler_leaves_the_rows_as_they_are():
    raw = noise(40)
    raw.iloc[[5, 6, 20], 0] = np.nan
    data = Series(raw, recipe={"missing": "mask"}, lookback=3)
    before = deepcopy(data.rows)
    assert data.scaling.feature_center[0, 0].isfinite()
    for name in ("features", "known", "target", "observed", "static"):
        assert torch.equal(getattr(data.rows, name), getattr(before, name))


# ---- the scaling, and networks of another precision ----


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_scaling_keeps_its_digits_when_the_network_changes_its_precision(dtype):
    data = module(waves() + 1e9)
    model = Forecaster(partial(GRU, hidden_size=4), schema=data.schema)
    model.scaling.load_state_dict(data.scaling.state_dict())
    model = deepcopy(model.to(dtype))
    for name, buffer in data.scaling.named_buffers():
        assert model.scaling.get_buffer(name).dtype == torch.float64
        assert torch.equal(model.scaling.get_buffer(name), buffer)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize("settings", NETWORKS.values(), ids=NETWORKS)
def test_a_network_of_any_precision_forecasts_in_double_precision(settings, dtype):
    frame = waves() + 1e9
    model, _ = trained(module(frame), **settings)
    expected = ahead(model, frame)
    found = ahead(model.to(dtype), frame)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=0, atol=5 if dtype == torch.bfloat16 else 1e-4)


def test_a_scaling_follows_the_network_to_another_device():
    scaling = Scaling(2, 0, 1).to("meta")
    assert {buffer.device.type for buffer in scaling.buffers()} == {"meta"}
    assert {buffer.dtype for buffer in scaling.buffers()} == {torch.float64}


@pytest.mark.parametrize("precision", ["bf16-true", "16-true"])
def test_a_precision_that_would_round_the_rows_is_refused(precision):
    data = module(waves())
    model = Forecaster(partial(GRU, hidden_size=4), schema=data.schema)
    with pytest.raises(ConfigError, match=f"trainer.precision: {precision} would round values .* set 32-true"):
        trainer(max_epochs=1, precision=precision).fit(model, data)


def test_a_device_without_double_precision_is_refused():
    model = Forecaster(partial(GRU, hidden_size=4), schema=module(waves()).schema)
    strategy = SimpleNamespace(root_device=torch.device("mps"))
    model._trainer = SimpleNamespace(strategy=strategy)
    with pytest.raises(ConfigError, match=r"set --trainer\.accelerator cpu"):
        model.setup("fit")


def test_a_change_in_a_window_is_not_lost_beside_the_range_of_the_series():
    """A counter that has grown to 1e9: what its last week did is 1e-8 of its scale."""
    data = module(waves())
    model = Forecaster(partial(GRU, hidden_size=4), schema=data.schema, anchor="last", window_norm="last")
    model.scaling.target_scale.fill_(1e9)
    model.scaling.feature_scale.fill_(1e9)
    data.setup("test")
    batch = next(iter(data.test_dataloader()))
    high = Batch(*(part + 1e9 if number in (0, 3, 4) else part for number, part in enumerate(batch)))
    change = batch.history[..., 1] - batch.last[:, :, 0]
    torch.testing.assert_close(model.scaled(high).inputs[..., 1].double(), change / 1e9, rtol=1e-6, atol=0)
    ahead = (batch.target - batch.last[:, :, None]) / 1e9
    torch.testing.assert_close(model.scaled(high).target.double(), ahead, rtol=1e-6, atol=0)


# ---- what was written when scalings were in single precision ----


def old_frame():
    """What the network of the old files was trained on."""
    steps, parts = np.arange(60), []
    for name, level, wave in (("a", 50.0, 3.0), ("b", -700.0, 40.0)):
        y, x = level + wave * np.sin(steps * 2 * np.pi / 7), np.cos(steps) * wave
        times = pd.date_range("2024-01-01", periods=60)
        parts.append(pd.DataFrame({"item": name, "ds": times, "y": y, "x": x, "size": level / 10}))
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("load", ["checkpoint", "export", "resumed"])
def test_a_network_with_a_scaling_in_single_precision_forecasts_what_it_did(tmp_path, load):
    frame = old_frame()
    if load == "export":
        model = load_safetensors(OLD / "single_precision.safetensors")
    else:
        model = Forecaster.load(OLD / "single_precision.ckpt")
    if load == "resumed":  # Lightning copies the weights into a network that is there
        again = Forecaster(**{**model.hparams, "schema": model.schema.as_dict()})
        again.load_state_dict(torch.load(OLD / "single_precision.ckpt", weights_only=True)["state_dict"])
        again.trained = True
        model = again
    assert {buffer.dtype for buffer in model.scaling.buffers()} == {torch.float64}
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    expected = pd.read_csv(OLD / "single_precision.csv", parse_dates=["ds", "cutoff"])
    found = model.forecast(frame)
    pd.testing.assert_frame_equal(found, expected, rtol=1e-6, check_dtype=False)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_the_unit_of_a_window_is_computed_in_single_precision_at_least(dtype):
    week = 100 * np.array([0.0, 3, 1, 4, 1, 5, 9])
    values = 500 + np.tile(week, 8) + np.random.default_rng(0).normal(size=56)  # weeks differ by little beside a week
    exact = np.abs(values[7:] - values[:-7]).mean()
    x = torch.from_numpy(values)[None, :, None]
    change, unit = WindowNorm("seasonal", [0], season=7)(x, x[:, -1:, 0, None].abs(), dtype)
    assert (change.dtype, unit.dtype) == (dtype, dtype)
    digits = max(2 * torch.finfo(dtype).eps, 1e-4)
    assert unit.item() == pytest.approx(exact, rel=digits)
    np.testing.assert_allclose(change[0, :, 0].double(), (values - values[-1]) / exact, rtol=digits, atol=1e-12)
