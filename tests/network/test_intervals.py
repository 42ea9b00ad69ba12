import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch.optim import SGD
from torch.optim.lr_scheduler import StepLR

from forecastlab.backbones.lstm import LSTM
from forecastlab.errors import ConfigError
from forecastlab.losses import MSE, GaussianNLL, JointMeanQuantile, Quantile
from forecastlab.network.intervals import SplitConformal
from forecastlab.training.callbacks import Checkpoints, RunLogger
from forecastlab.training.forecaster import Forecaster
from tests.frames import module, panel, wide
from tests.series import Series, noise, trainer

SMALL = partial(LSTM, hidden_size=4)
NOTHING = torch.empty(0)


def conformal_quantile(scores, coverage):
    """The ceil((n + 1) coverage)-th smallest of n scores (Romano, Patterson and Candès 2019, eq. 8)."""
    return np.sort(scores)[math.ceil(round((len(scores) + 1) * coverage, 9)) - 1]


# ---- the margins ----


@pytest.mark.parametrize("count", [9, 10, 19, 57, 200])
def test_the_margin_is_the_rank_of_split_conformal_prediction(count):
    random = np.random.default_rng(count)
    point, target = random.normal(size=(2, count, 3, 2)).astype("f")
    intervals = SplitConformal([0.5, 0.9], (), horizon=3, targets=2)
    errors = intervals.errors(torch.tensor(point), NOTHING.expand(count, 3, 2, 0), torch.tensor(target))
    intervals.fit(errors, torch.ones(count, 3, 2))
    for number, coverage in enumerate((0.5, 0.9)):
        for step in range(3):
            for which in range(2):
                expected = conformal_quantile(np.abs(target - point)[:, step, which], coverage)
                assert intervals.margin[number, step, which].item() == expected


def test_with_quantiles_it_is_conformalised_quantile_regression():
    random = np.random.default_rng(0)
    target = random.normal(size=(40, 2, 1)).astype("f")
    quantiles = np.sort(random.normal(size=(40, 2, 1, 5)).astype("f"), -1)
    levels = (0.05, 0.25, 0.5, 0.75, 0.95)
    intervals = SplitConformal([0.9, 0.5], levels, horizon=2, targets=1)
    assert intervals.levels == levels
    intervals.fit(intervals.errors(NOTHING, torch.tensor(quantiles), torch.tensor(target)), torch.ones(target.shape))
    new = np.sort(random.normal(size=(7, 2, 1, 5)).astype("f") * 9, -1)  # so wide apart that nothing crosses
    found = intervals(torch.tensor(new[..., 2]), torch.tensor(new)).numpy()
    for step in range(2):
        for low, high, coverage in ((0, 4, 0.9), (1, 3, 0.5)):
            y, q = target[:, step, 0], quantiles[:, step, 0]
            margin = conformal_quantile(np.maximum(q[:, low] - y, y - q[:, high]), coverage)
            moved = new[:, step, 0].copy()
            moved[:, low] -= margin
            moved[:, high] += margin
            kept = (np.diff(moved) > 0).all(1)
            assert kept.any()
            np.testing.assert_allclose(found[kept, step, 0][:, [low, high]], moved[kept][:, [low, high]], rtol=1e-6)


def test_without_quantiles_an_interval_is_the_point_and_the_margin_on_both_sides():
    intervals = SplitConformal([0.8, 0.5], (), horizon=2, targets=1)
    intervals.margin.copy_(torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]]))  # of 50 %, then of 80 %
    assert intervals.coverages == (0.5, 0.8)
    np.testing.assert_allclose(intervals.levels, [0.1, 0.25, 0.75, 0.9])
    found = intervals(torch.tensor([[10.0], [20.0]]), NOTHING)
    assert found.tolist() == [[[7, 9, 11, 13]], [[16, 18, 22, 24]]]


def test_what_has_no_weight_does_not_count():
    intervals = SplitConformal([0.5], (), horizon=1, targets=1)
    errors = torch.arange(1.0, 12.0).view(11, 1, 1, 1)
    weight = (torch.arange(11) < 5).float().view(11, 1, 1)
    intervals.fit(errors, weight)
    assert intervals.margin.item() == 3  # of 1 2 3 4 5, the ceil(6 / 2)-th


def test_each_series_has_the_margins_of_its_own_errors_if_they_are_enough():
    random = np.random.default_rng(0)
    series = random.permutation(np.repeat([0, 1, 2], [40, 25, 5]))
    errors = (np.abs(random.normal(size=(70, 2, 1, 1))) * np.array([1.0, 100.0, 7.0])[series, None, None, None]).astype(
        "f"
    )
    weight = np.ones((70, 2, 1), "f")
    weight[series == 1, 1] = np.arange(25)[:, None] < 8  # of its second step 8 errors count, which is one too few
    intervals = SplitConformal([0.5, 0.9], (), horizon=2, targets=1, series=4)
    intervals.fit(*(torch.tensor(part) for part in (np.tile(errors, 2), weight, series)))
    found = intervals.margins(torch.tensor([0, 1, 2, 3, -1]))
    assert found.shape == (5, 2, 2, 1)
    for number, coverage in enumerate((0.5, 0.9)):
        for step in range(2):
            counts = weight[:, step, 0] > 0
            pooled = conformal_quantile(errors[counts, step, 0, 0], coverage)
            few = step == 1 and coverage == 0.9
            own = [
                pooled if few and n == 1 else conformal_quantile(errors[counts & (series == n), step, 0, 0], coverage)
                for n in (0, 1)
            ]
            short = pooled if coverage == 0.9 else conformal_quantile(errors[series == 2, step, 0, 0], coverage)
            expected = [*own, short, pooled, pooled]
            assert found[:, number, step, 0].tolist() == expected


def test_a_series_is_given_its_own_margins_by_its_name(tmp_path):
    frame = panel(60, scales=(1.0, 100.0))
    data = module(tmp_path, frame, series_column="unique_id", validation="tail")
    model = trained(data, tmp_path, intervals=(0.5,))
    assert model.schema.panel == ("a", "b")

    def widths(table):
        return (table["forecast-hi-50"] - table["forecast-lo-50"]).groupby(table["unique_id"]).first()

    scale = model.scaling.target_scale.item()
    own = {name: 2 * scale * model.intervals.own[number, 0, 0, 0].item() for number, name in enumerate("ab")}
    assert own["b"] > 3 * own["a"]
    assert widths(model.forecast(frame)).to_dict() == pytest.approx(own, rel=1e-4)
    turned = pd.concat([frame[frame["unique_id"] == name] for name in ("b", "a")])
    new = frame[frame["unique_id"] == "a"].assign(unique_id="new")
    pool = 2 * scale * model.intervals.margin.item()
    again = Forecaster.rebuild(model.hparams, model.state_dict())
    for each in (model, again):
        assert widths(each.forecast(pd.concat([turned, new]))).to_dict() == pytest.approx(
            {**own, "new": pool}, rel=1e-4
        )


def test_a_checkpoint_without_margins_of_each_series_is_read(tmp_path):
    frame = panel(60, scales=(1.0, 100.0))
    model = trained(module(tmp_path, frame, series_column="unique_id"), tmp_path, intervals=(0.5,))
    settings = {**model.hparams, "schema": {k: v for k, v in model.hparams["schema"].items() if k != "panel"}}
    weights = {name: value for name, value in model.state_dict().items() if name != "intervals.own"}
    old = Forecaster.rebuild(settings, weights)
    table = old.forecast(frame)
    width = table["forecast-hi-50"] - table["forecast-lo-50"]
    assert width.to_numpy() == pytest.approx(
        2 * old.scaling.target_scale.item() * old.intervals.margin.item(), rel=1e-4
    )


@pytest.mark.parametrize(("coverage", "least"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99)])
def test_too_few_errors_say_how_many_it_takes(coverage, least):
    intervals = SplitConformal([coverage], (), horizon=2, targets=1)
    errors, weight = torch.rand(least, 2, 1, 1), torch.ones(least, 2, 1)
    intervals.fit(errors, weight)
    assert torch.equal(intervals.margin[0, :, 0], errors.amax(0)[:, 0, 0])
    weight[0, 1] = 0
    expected = f"intervals of {100 * coverage:g} % need {least} forecasts .* step 2 has {least - 1}: enlarge it"
    with pytest.raises(ValueError, match=expected):
        intervals.fit(errors, weight)


@pytest.mark.parametrize("coverages", [[0.0], [1.0], [-0.5], [90], [0.9, 0.9], [float("nan")]])
def test_what_is_no_probability_is_refused(coverages):
    with pytest.raises(ValueError, match="different probabilities between 0 and 1"):
        SplitConformal(coverages, (), 1, 1)


def test_an_interval_whose_quantiles_are_not_forecast_is_refused():
    with pytest.raises(
        ValueError, match=r"needs the quantile 0.1, but the loss forecasts those of \[0.05, 0.5, 0.95\]"
    ):
        SplitConformal([0.8], (0.05, 0.5, 0.95), 1, 1)


# ---- what it promises ----


@pytest.mark.parametrize(("count", "coverage"), [(9, 0.9), (19, 0.9), (10, 0.8), (50, 0.5), (99, 0.95)])
def test_exchangeable_errors_are_covered_as_often_as_promised(count, coverage):
    trials = 4000  # each a step of its own
    random = np.random.default_rng(0)
    heavy = torch.tensor(random.standard_t(2, size=(count + 1, trials, 1)), dtype=torch.float32)
    intervals = SplitConformal([coverage], (), horizon=trials, targets=1)
    point = torch.zeros(count + 1, trials, 1)
    intervals.fit(intervals.errors(point, NOTHING, heavy)[:count], torch.ones(count, trials, 1))
    low, high = intervals(point[-1], NOTHING)[..., 0, :].unbind(-1)
    covered = ((low <= heavy[-1, :, 0]) & (heavy[-1, :, 0] <= high)).double().mean().item()
    exact = math.ceil(round((count + 1) * coverage, 9)) / (count + 1)  # without ties
    assert exact >= coverage
    assert covered == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / trials))


def test_quantiles_that_are_wrong_are_put_right():
    trials, count = 3000, 29
    random = np.random.default_rng(1)
    spread = random.uniform(0.1, 10, size=(count + 1, trials, 1))
    target = torch.tensor(spread * random.normal(size=spread.shape), dtype=torch.float32)
    claimed = torch.tensor(spread[..., None] * [-0.3, 0.0, 0.7], dtype=torch.float32)  # far too narrow, and askew
    intervals = SplitConformal([0.9], (0.05, 0.5, 0.95), horizon=trials, targets=1)
    intervals.fit(intervals.errors(NOTHING, claimed, target)[:count], torch.ones(count, trials, 1))
    found = intervals(NOTHING, claimed[-1])
    covered = ((found[..., 0] <= target[-1]) & (target[-1] <= found[..., -1])).double().mean().item()
    assert covered == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / trials))


def test_quantiles_that_are_too_wide_shrink():
    target = torch.linspace(-1, 1, 99).view(99, 1, 1)
    claimed = torch.tensor([-5.0, 0.0, 5.0]).expand(99, 1, 1, 3)
    intervals = SplitConformal([0.9], (0.05, 0.5, 0.95), horizon=1, targets=1)
    intervals.fit(intervals.errors(NOTHING, claimed, target), torch.ones(99, 1, 1))
    assert -5 < intervals.margin.item() < -4


@pytest.mark.parametrize("seed", range(5))
def test_quantiles_never_cross(seed):
    torch.manual_seed(seed)
    levels = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
    intervals = SplitConformal([0.9, 0.5, 0.8], levels, horizon=3, targets=2)
    intervals.margin.copy_(3 * torch.randn(intervals.margin.shape))  # negative ones among them
    quantiles = torch.randn(50, 3, 2, 7).sort(-1).values
    found = intervals(quantiles[..., 3], quantiles)
    assert found.shape == quantiles.shape
    assert (found.diff(dim=-1) >= 0).all()


# ---- in a training ----


def trained(data, folder, loss=MSE, anchor="none", intervals=(0.9,)):
    """Trains four epochs down the gradient and four up again; the network of best.ckpt."""
    checkpoints = Checkpoints(write_interval=1e9)
    model = Forecaster(
        SMALL,
        loss=loss,
        optimizer=partial(SGD, lr=0.3),
        lr_scheduler=partial(StepLR, step_size=4, gamma=-1.0),
        anchor=anchor,
        intervals=intervals,
        schema=data.schema,
    )
    running = trainer(
        max_epochs=8,
        gradient_clip_val=1.0,
        callbacks=[checkpoints],
        logger=RunLogger(folder, "run", 0),
        enable_checkpointing=True,
    )
    running.fit(model, data)
    assert checkpoints.best_epoch < 7
    best = Forecaster.load(checkpoints.best_model_path)
    assert not torch.equal(best.intervals.margin, model.intervals.margin)
    return best


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
    assert best.intervals.own.isnan().all()  # no series has nine errors
    np.testing.assert_allclose(half, best.intervals.margin.item() * scale, rtol=1e-3)
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
