"""Intervals that a training calibrates, and what is reported of them."""

from functools import partial

import numpy as np
import pytest
import torch

from forecastlab.errors import ConfigError
from forecastlab.losses import MSE, GaussianNLL, JointMeanQuantile, Quantile
from forecastlab.training.forecaster import Forecaster
from tests.frames import module, panel, wide
from tests.network.calibrated import SMALL, conformal_quantile, trained
from tests.series import Series, noise, trainer


def residuals(model, data, quantiles=False):
    """Truth and forecasts of the validation range in units of the scaling: (values, horizon[, levels]), one target."""
    parts = [(batch, model.predict_step(batch)) for batch in data.val_dataloader()]
    truth = torch.cat([(x.target / units(model, x))[x.weight.amin((2, 3)) > 0][..., 0] for x, _ in parts])
    if quantiles:
        raw = [(x, model.loss.quantiles(model.run(model.scaled(x)).raw)) for x, _ in parts]
        center = model.scaling.target_center[0] / model.scaling.target_scale[0]
        forecast = torch.cat([(q + center)[x.weight.amin((2, 3)) > 0][..., 0, :] for x, q in raw])
    else:
        forecast = torch.cat([(p.forecast / units(model, x))[x.weight.amin((2, 3)) > 0][..., 0] for x, p in parts])
    return truth.numpy(), forecast.detach().numpy()


def units(model, batch):
    return model.scaling.target_scale[batch.series if model.schema.series else 0].view(-1, 1, 1, 1)


@pytest.mark.parametrize("anchor", ["none", "last"])
@pytest.mark.parametrize("lookback", [4, "full"])
def test_the_margins_of_the_best_checkpoint_are_those_of_its_weights(tmp_path, anchor, lookback):
    data = Series(noise(160), splits=3, fold=3, lookback=lookback, horizon=2, validation="tail")
    best = trained(data, tmp_path, anchor=anchor)
    truth, forecast = residuals(best, data)
    assert len(truth) == len(data.ranges.validation) - 1
    for step in range(2):
        expected = conformal_quantile(np.abs(truth - forecast)[:, step], 0.9)
        assert best.intervals.margin[0, step, 0].item() == pytest.approx(expected, rel=1e-4)


def test_so_are_those_of_quantiles(tmp_path):
    data = Series(noise(160), splits=3, fold=3, lookback=4, validation="tail")
    best = trained(data, tmp_path, loss=partial(Quantile, quantiles=[0.1, 0.5, 0.9]), intervals=[0.8])
    truth, forecast = residuals(best, data, quantiles=True)
    scores = np.maximum(forecast[:, 0, 0] - truth[:, 0], truth[:, 0] - forecast[:, 0, -1])
    assert best.intervals.margin.item() == pytest.approx(conformal_quantile(scores, 0.8), abs=1e-4)


def test_each_series_has_the_margin_in_its_own_units(tmp_path):
    data = module(tmp_path, panel(60), series_column="unique_id", scale_by="series", fold=3)
    best = trained(data, tmp_path, anchor="last")
    truth, forecast = residuals(best, data)
    assert len(truth) == 3 * len(data.ranges.validation)
    assert best.intervals.margin.item() == pytest.approx(
        conformal_quantile(np.abs(truth - forecast)[:, 0], 0.9), rel=1e-4
    )
    table = best.forecast(panel(60))
    half = ((table["forecast-hi-90"] - table["forecast-lo-90"]) / 2).to_numpy()
    scale = best.scaling.target_scale[:, 0].numpy()
    own = best.intervals.own[:, 0, 0, 0].numpy()  # no series has nine errors: those of the others fill them up
    np.testing.assert_allclose(half, own * scale, rtol=1e-3)
    assert half.max() / half.min() > 1000


@pytest.mark.parametrize("anchor", ["none", "last"])
def test_reported_intervals_lie_around_the_forecast_in_original_units(tmp_path, anchor):
    data = module(tmp_path, wide(120), fold=3, horizon=2, features=["y", "x"])
    model = Forecaster(SMALL, anchor=anchor, intervals=[0.9, 0.5], schema=data.schema)
    running = trainer(max_epochs=1)
    running.fit(model, data)
    table = model.forecast(wide(160))
    assert list(table)[5:] == ["forecast", "forecast-lo-90", "forecast-lo-50", "forecast-hi-50", "forecast-hi-90"]
    scale = model.scaling.target_scale.item()
    for number, name in enumerate(("50", "90")):
        margin = scale * model.intervals.margin[number, :, 0].numpy()
        np.testing.assert_allclose(table[f"forecast-lo-{name}"], table["forecast"] - margin, rtol=1e-5)
        np.testing.assert_allclose(table[f"forecast-hi-{name}"], table["forecast"] + margin, rtol=1e-5)


@pytest.mark.parametrize(
    ("loss", "intervals", "levels", "columns"),
    [
        (MSE, [], (), []),
        (MSE, [0.8], (0.1, 0.9), ["lo-80", "hi-80"]),
        (Quantile, [], (0.05, 0.5, 0.95), ["lo-90", "hi-90"]),
        (partial(Quantile, quantiles=[0.1, 0.3, 0.5]), [], (0.1, 0.3, 0.5), ["q-10", "q-30"]),
        (GaussianNLL, [0.9], (0.05, 0.95), ["lo-90", "hi-90"]),
        (partial(JointMeanQuantile, quantiles=[0.025, 0.5, 0.975]), [0.95], (0.025, 0.5, 0.975), ["lo-95", "hi-95"]),
    ],
)
def test_levels_and_columns_are_those_of_the_loss_or_of_the_intervals(tmp_path, loss, intervals, levels, columns):
    data = module(tmp_path, wide(160), fold=3)
    model = Forecaster(SMALL, loss=loss, intervals=intervals, schema=data.schema)
    running = trainer(max_epochs=1)
    running.fit(model, data)
    np.testing.assert_allclose(model.levels, levels)
    table = model.forecast(wide(160))
    assert list(table)[6:] == [f"forecast-{name}" for name in columns]
    (metrics,) = running.test(model, data, verbose=False)
    two_sided = {"test/coverage", "test/width", "test/winkler"}
    assert (two_sided <= set(metrics)) == any(name.startswith("lo") for name in columns)
    assert ("test/pinball" in metrics) == bool(levels)


def test_the_test_metrics_are_those_of_the_intervals_in_the_table(tmp_path):
    data = Series(noise(200), splits=3, fold=3, lookback=4, validation="tail")
    model = Forecaster(SMALL, intervals=[0.8], schema=data.schema)
    running = trainer(max_epochs=3)
    running.fit(model, data)
    (metrics,) = running.test(model, data, verbose=False)
    with model.evaluating():
        found = [model.predict_step(batch) for batch in data.test_dataloader()]
    low, high = torch.cat([part.quantiles for part in found])[:, 0, 0, 0].T.numpy()
    y = torch.cat([part.target for part in found]).flatten().numpy()
    missed = np.maximum(low - y, 0) + np.maximum(y - high, 0)
    assert metrics["test/coverage"] == pytest.approx(np.mean(missed == 0))
    assert metrics["test/width"] == pytest.approx(np.mean(high - low), rel=1e-5)
    assert metrics["test/winkler"] == pytest.approx(np.mean(high - low + 10 * missed), rel=1e-5)


@pytest.mark.parametrize(("trial", "fitted"), [({"num_sanity_val_steps": 2}, True), ({"fast_dev_run": 2}, False)])
def test_lightnings_trials_of_a_few_batches_calibrate_nothing(trial, fitted):
    data = Series(noise(160), splits=3, fold=3, lookback=4, validation="tail", batch_size=2)  # two batches: four errors
    model = Forecaster(SMALL, intervals=[0.9], schema=data.schema)
    trainer(max_epochs=1, **trial).fit(model, data)
    assert model.intervals.fitted == fitted


def test_a_validation_or_test_leaves_the_margins_of_the_training():
    data = Series(noise(160), splits=3, fold=3, lookback=4, validation="tail")
    model = Forecaster(SMALL, intervals=[0.9], schema=data.schema)
    trainer(max_epochs=1).fit(model, data)
    before = model.intervals.margin.clone()
    other = Series(3 * noise(160, seed=1), splits=3, fold=2, lookback=4, validation="tail")
    trainer().validate(model, other, verbose=False)
    trainer().test(model, other, verbose=False)
    assert torch.equal(model.intervals.margin, before)


def test_intervals_without_a_validation_are_not_reported():
    data = Series(noise(160), splits=3, fold=3, lookback=4, validation="tail")
    model = Forecaster(SMALL, intervals=[0.9], schema=data.schema)
    trainer(max_epochs=1, limit_val_batches=0).fit(model, data)
    for stage in ("test", "predict"):
        with pytest.raises(ConfigError, match=r"model\.intervals are not calibrated"):
            getattr(trainer(), stage)(model, data)


def test_a_validation_range_that_is_too_short_is_named():
    data = Series(noise(60), splits=3, fold=2, lookback=4, validation="tail")  # 26 training targets, 5 in the tail
    model = Forecaster(SMALL, intervals=[0.9], schema=data.schema)
    with pytest.raises(ConfigError, match=r"model.intervals: intervals of 90 % need 9 forecasts .* step 1 has 5"):
        trainer(max_epochs=1).fit(model, data)


def test_intervals_are_not_calibrated_on_the_test_range():
    data = Series(noise(60), splits=3, fold=2, validation="test")
    with pytest.raises(ConfigError, match=r"model.intervals are calibrated on the validation range"):
        trainer(max_epochs=1).fit(Forecaster(SMALL, intervals=[0.9], schema=data.schema), data)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"intervals": [90]}, "model.intervals: intervals must be different probabilities"),
        ({"intervals": [0.8], "loss": Quantile}, "model.intervals: an interval needs the quantile 0.1"),
    ],
)
def test_intervals_that_do_not_fit_the_loss_are_refused(arguments, words):
    with pytest.raises(ConfigError, match=words):
        Forecaster(SMALL, **arguments, schema=Series(noise(60)).schema)
