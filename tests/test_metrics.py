from itertools import pairwise

import numpy as np
import pytest
import torch
import torchmetrics
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import (
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_pinball_loss,
    mean_squared_error,
    r2_score,
)

from forecastlab.batch import Reference
from forecastlab.metrics import (
    ForecastMetrics,
    IntervalCoverage,
    IntervalWidth,
    MeanAbsoluteScaledError,
    PercentageError,
    PinballLoss,
    QuantileCRPS,
    RootMeanSquaredScaledError,
    Skill,
    SymmetricPercentageError,
    WeightedPercentageError,
    WinklerScore,
    central_interval,
)

LEVELS = (0.1, 0.25, 0.5, 0.9)


def drawn(size=50):
    generator = np.random.default_rng(0)
    return (torch.as_tensor(generator.normal(20, 5, size), dtype=torch.float32) for _ in range(3))


def updated(metric, *columns):
    metric.update(*(torch.as_tensor(column, dtype=torch.float32) for column in columns))
    return metric


# ---- scaled errors ----


def test_mase_is_the_mean_absolute_error_over_the_seasonal_naive_error():
    forecast, truth, _ = drawn()
    metric = updated(MeanAbsoluteScaledError(), forecast, truth, torch.full((50,), 2.5))
    assert metric.compute().item() == pytest.approx(mean_absolute_error(truth, forecast) / 2.5, rel=1e-6)


def test_mase_of_several_targets_scales_each_by_its_own_error():
    metric = updated(MeanAbsoluteScaledError(), [1, 20], [0, 0], [1, 10])
    assert metric.compute().item() == 1.5


def test_rmsse_is_the_root_mean_squared_error_over_that_of_the_seasonal_naive_forecast():
    forecast, truth, _ = drawn()
    metric = updated(RootMeanSquaredScaledError(), forecast, truth, torch.full((50,), 6.25))
    assert metric.compute().item() == pytest.approx(mean_squared_error(truth, forecast) ** 0.5 / 2.5, rel=1e-6)


def test_rmsse_of_several_series_scales_each_before_the_root():
    metric = updated(RootMeanSquaredScaledError(), [1, 30], [0, 0], [1, 100])
    assert metric.compute().item() == pytest.approx(5**0.5)  # (1 + 900 / 100) / 2


@pytest.mark.parametrize("cls", [MeanAbsoluteScaledError, RootMeanSquaredScaledError])
@pytest.mark.parametrize("forecast", [5.0, 7.0])
def test_a_scaled_error_is_infinite_where_the_training_rows_are_constant(forecast, cls):
    assert updated(cls(), [forecast, 3], [5, 3], [0, 1]).compute().item() == np.inf


def test_skill_against_the_mean_is_the_coefficient_of_determination():
    forecast, truth, _ = drawn()
    metric = updated(Skill(), forecast, truth, truth.mean().expand(50))
    assert metric.compute().item() == pytest.approx(r2_score(truth, forecast), rel=1e-5)


@pytest.mark.parametrize(
    ("forecast", "reference", "expected"),
    [([1, 2, 3], [9, 9, 9], 1), ([2, 3, 4], [0, 1, 2], 0), ([3, 4, 5], [2, 3, 4], -3), ([2, 2, 3], [1, 2, 3], -np.inf)],
)
def test_skill_is_1_for_a_perfect_forecast_and_0_for_one_like_the_reference(forecast, reference, expected):
    assert updated(Skill(), forecast, [1, 2, 3], reference).compute().item() == expected


# ---- percentages ----


def test_percentages_are_those_of_scikit_learn_and_torchmetrics():
    forecast, truth, _ = drawn()
    percent = {
        PercentageError: mean_absolute_percentage_error(truth, forecast),
        SymmetricPercentageError: torchmetrics.SymmetricMeanAbsolutePercentageError()(forecast, truth).item(),
        WeightedPercentageError: torchmetrics.WeightedMeanAbsolutePercentageError()(forecast, truth).item(),
    }
    for cls, wanted in percent.items():
        assert updated(cls(), forecast, truth).compute().item() == pytest.approx(100 * wanted, rel=1e-6)


@pytest.mark.parametrize(
    ("forecast", "truth", "mape", "smape", "wape"),
    [
        ([150, -50], [100, -100], 50, (40 + 200 / 3) / 2, 50),
        ([5, 1], [0, 1], np.inf, 100, 500),
        ([0, 2], [0, 1], 50, 100 / 3, 100),  # a truth of 0 forecast exactly is no error
        ([0, 0], [0, 0], 0, 0, 0),
        ([1, 0], [0, 0], np.inf, 100, np.inf),
        ([0, 0], [3, -3], 100, 200, 100),
        ([-1, 2], [1, -2], 200, 200, 200),
        ([1e-9, 2e-9], [2e-9, 1e-9], 75, 200 / 3, 200 / 3),  # small units change nothing
    ],
)
def test_percentages_worked_by_hand(forecast, truth, mape, smape, wape):
    for cls, wanted in ((PercentageError, mape), (SymmetricPercentageError, smape), (WeightedPercentageError, wape)):
        assert updated(cls(), forecast, truth).compute().item() == pytest.approx(wanted, rel=1e-6)


# ---- quantiles and intervals ----


def normal_quantiles(mean, deviation, levels):
    return torch.as_tensor(norm.ppf(np.array(levels), mean[:, None], deviation))


def test_the_pinball_loss_is_scikit_learns_over_all_levels():
    _, truth, mean = drawn()
    quantiles = normal_quantiles(mean.numpy(), 4, LEVELS)
    wanted = [mean_pinball_loss(truth, quantiles[:, k], alpha=level) for k, level in enumerate(LEVELS)]
    assert updated(PinballLoss(LEVELS), quantiles, truth).compute().item() == pytest.approx(np.mean(wanted), rel=1e-6)


def test_crps_of_the_quantiles_of_an_ensemble_is_that_of_the_ensemble():
    generator = np.random.default_rng(0)
    truth, ensemble = generator.normal(size=30), np.sort(generator.normal(size=(30, 9)))
    levels = (np.arange(9) + 0.5) / 9
    spread = np.abs(ensemble[:, :, None] - ensemble[:, None]).mean((1, 2))
    wanted = np.abs(ensemble - truth[:, None]).mean(1) - spread / 2  # Gneiting and Raftery 2007, equation 21
    assert updated(QuantileCRPS(levels), ensemble, truth).compute().item() == pytest.approx(wanted.mean(), rel=1e-6)


def test_crps_of_many_quantiles_approaches_that_of_the_distribution():
    _, truth, mean = (column.double().numpy() for column in drawn())
    z = (truth - mean) / 4
    wanted = 4 * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
    levels = (np.arange(500) + 0.5) / 500
    metric = updated(QuantileCRPS(levels), normal_quantiles(mean, 4, levels), truth)
    assert metric.compute().item() == pytest.approx(wanted.mean(), rel=2e-3)


def test_crps_of_a_point_forecast_is_its_mean_absolute_error():
    forecast, truth, _ = drawn()
    metric = updated(QuantileCRPS([0.5]), forecast[:, None], truth)
    assert metric.compute().item() == pytest.approx(mean_absolute_error(truth, forecast), rel=1e-6)


def test_coverage_counts_the_bounds_and_width_is_their_distance():
    lower, upper, truth = [0, 0, 0, 0, 0], [1, 1, 1, 3, 1], [0, 1, 0.5, 4, -1]
    assert updated(IntervalCoverage(), lower, upper, truth).compute().item() == pytest.approx(0.6)
    assert updated(IntervalWidth(), lower, upper).compute().item() == pytest.approx(7 / 5)


def test_the_winkler_score_charges_misses_by_2_over_alpha():
    metric = updated(WinklerScore(0.1), [0, 0, 0], [4, 4, 4], [2, -0.5, 5])
    assert metric.compute().item() == pytest.approx((4 + (4 + 20 * 0.5) + (4 + 20)) / 3)


def test_the_winkler_score_is_made_of_the_pinball_losses_of_its_bounds():
    _, truth, mean = drawn()
    lower, upper = normal_quantiles(mean.numpy(), 1, [0.1, 0.9]).T
    wanted = 2 / 0.2 * sum(mean_pinball_loss(truth, q, alpha=a) for q, a in ((lower, 0.1), (upper, 0.9)))
    assert updated(WinklerScore(0.2), lower, upper, truth).compute().item() == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("alpha", [0, 1, 5.0, float("nan")])
def test_an_alpha_that_is_no_share_is_refused(alpha):
    with pytest.raises(ValueError, match=f"alpha must lie between 0 and 1, got {alpha}"):
        WinklerScore(alpha)


@pytest.mark.parametrize(
    ("levels", "wanted"),
    [
        ((), None),
        ((0.5,), None),
        ((0.05, 0.5, 0.95), (0, 2)),
        ((0.1, 0.3, 0.5, 0.7, 0.95), (1, 3)),
        ((0.025, 0.05, 0.1, 0.9, 0.95, 0.975), (0, 5)),
        ((0.1, 0.2, 0.9), (0, 2)),
        ((0.1, 0.25, 0.5), None),
        ((0.6, 0.7), None),
    ],
)
def test_the_central_interval_has_the_outermost_two_symmetric_levels(levels, wanted):
    assert central_interval(levels) == wanted


# ---- every one ----


def columns_of(cls):
    """A metric and columns for its update."""
    forecast, truth, other = drawn()
    quantiles = normal_quantiles(other.numpy(), 4, LEVELS).float()
    if cls in (PinballLoss, QuantileCRPS):
        return cls(LEVELS), [quantiles, truth]
    if cls in (IntervalCoverage, WinklerScore, IntervalWidth):
        metric = cls(0.1) if cls is WinklerScore else cls()
        return metric, [other - 4, other + 4, truth][: 2 if cls is IntervalWidth else 3]
    scaled = cls in (MeanAbsoluteScaledError, RootMeanSquaredScaledError, Skill)
    return cls(), [forecast, truth, other][: 3 if scaled else 2]


CLASSES = [
    IntervalCoverage,
    IntervalWidth,
    MeanAbsoluteScaledError,
    PercentageError,
    PinballLoss,
    QuantileCRPS,
    RootMeanSquaredScaledError,
    Skill,
    SymmetricPercentageError,
    WeightedPercentageError,
    WinklerScore,
]
every = pytest.mark.parametrize("cls", CLASSES)


@every
@given(cuts=st.lists(st.integers(1, 49), unique=True, max_size=10))
def test_none_depends_on_how_the_values_come_in_batches(cls, cuts):
    parts, columns = columns_of(cls)
    whole = updated(columns_of(cls)[0], *columns).compute().item()
    for start, stop in pairwise([0, *sorted(cuts), 50]):
        parts.update(*(column[start:stop] for column in columns))
    assert parts.compute().item() == pytest.approx(whole, rel=1e-5)


@every
def test_none_depends_on_how_the_values_are_spread_over_devices(cls):
    whole, columns = columns_of(cls)
    updated(whole, *columns)
    first, second = (
        updated(columns_of(cls)[0], *(column[rows] for column in columns)) for rows in (slice(7), slice(7, 50))
    )
    first.merge_state(second)
    assert first.compute().item() == pytest.approx(whole.compute().item(), rel=1e-5)


@every
def test_no_values_in_a_batch_change_nothing(cls):
    metric, columns = columns_of(cls)
    updated(metric, *columns)
    before = metric.compute()
    metric.update(*(column[:0] for column in columns))
    assert torch.equal(metric.compute(), before)


@every
def test_their_sums_are_in_double_precision(cls):
    sums = [value for value in columns_of(cls)[0].metric_state.values() if value.is_floating_point()]
    assert {value.dtype for value in sums} == {torch.float64}


# ---- the metrics of a test ----


def forecasts(samples=40, origins=2, horizon=3, targets=2):
    """Forecasts, truth, weights of 0 and 1, last values and series, and the units of 3 series of 2 targets."""
    generator = np.random.default_rng(1)
    unit = np.array([1.0, 1000.0])
    forecast, truth = (generator.normal(20, 5, (samples, origins, horizon, targets)) * unit for _ in range(2))
    weight = generator.integers(0, 2, truth.shape)
    last = generator.normal(20, 5, (samples, origins, targets)) * unit
    reference = Reference(*(torch.as_tensor(generator.uniform(1, 30, (3, 2)) * unit**k) for k in (2, 1, 2)))
    columns = [torch.as_tensor(part, dtype=torch.float32) for part in (forecast, truth, weight, last)]
    return [*columns, torch.as_tensor(generator.integers(0, 3, samples))], reference


def test_the_metrics_of_a_test_equal_scikit_learns_over_the_scored_values():
    columns, reference = forecasts()
    metrics = ForecastMetrics(reference)
    metrics.update(*columns)
    forecast, truth, weight, last, series = (column.double().numpy() for column in columns)
    counts = weight > 0
    variance, naive, squared = (
        np.broadcast_to(unit.numpy()[series.astype(int), None, None], truth.shape)[counts] for unit in reference
    )
    persistence = np.broadcast_to(last[:, :, None], truth.shape)[counts]
    forecast, truth = forecast[counts], truth[counts]
    mse = mean_squared_error(truth, forecast)
    error = np.abs(truth - forecast)
    assert {name: value.item() for name, value in metrics.compute().items()} == pytest.approx(
        {
            "test/mse_scaled": mean_squared_error(truth / variance**0.5, forecast / variance**0.5),
            "test/mae": mean_absolute_error(truth, forecast),
            "test/rmse": np.sqrt(mse),
            "test/mase": mean_absolute_error(truth / naive, forecast / naive),
            "test/skill": 1 - mse / mean_squared_error(truth, persistence),
            "test/rmsse": mean_squared_error(truth / squared**0.5, forecast / squared**0.5) ** 0.5,
            "test/mape": 100 * mean_absolute_percentage_error(truth, forecast),
            "test/smape": 100 * np.mean(2 * error / (np.abs(truth) + np.abs(forecast))),
            "test/wape": 100 * error.sum() / np.abs(truth).sum(),
        },
        rel=1e-5,
    )


def test_quantiles_add_their_scores_and_those_of_their_central_interval():
    columns, reference = forecasts()
    forecast, truth, weight = columns[:3]
    levels = (0.1, 0.5, 0.8, 0.9)
    quantiles = torch.stack([forecast - 3, forecast, forecast + 2, forecast + 4], -1)
    metrics = ForecastMetrics(reference, levels)
    metrics.update(*columns, quantiles)
    found = {name: value.item() for name, value in metrics.compute().items()}
    counts = weight.numpy() > 0
    truth, quantiles = truth.double().numpy()[counts], quantiles.double().numpy()[counts]
    pinball = [mean_pinball_loss(truth, quantiles[:, k], alpha=level) for k, level in enumerate(levels)]
    without = ForecastMetrics(reference)
    without.update(*columns)
    assert found == pytest.approx(
        {
            **{name: value.item() for name, value in without.compute().items()},
            "test/pinball": np.mean(pinball),
            "test/crps": 2 * np.mean(pinball),
            "test/coverage": np.mean((truth >= quantiles[:, 0]) & (truth <= quantiles[:, 3])),
            "test/width": 7,
            "test/winkler": 10 * (pinball[0] + pinball[3]),
        },
        rel=1e-5,
    )


def test_no_quantiles_may_come_as_an_empty_tensor():
    columns, reference = forecasts()
    metrics = ForecastMetrics(reference)
    metrics.update(*columns, columns[0][..., None][..., :0])
    assert "test/pinball" not in metrics.compute()


def test_quantiles_without_a_central_interval_have_no_scores_of_one():
    columns, reference = forecasts()
    metrics = ForecastMetrics(reference, (0.1, 0.5))
    metrics.update(*columns, torch.stack([columns[0] - 1, columns[0]], -1))
    assert list(metrics.compute())[-3:] == ["test/wape", "test/pinball", "test/crps"]


def test_the_metrics_of_a_test_do_not_depend_on_its_batches_nor_on_what_is_not_scored():
    columns, reference = forecasts()
    whole, parts = ForecastMetrics(reference), ForecastMetrics(reference)
    whole.update(*columns)
    columns[0][columns[2] == 0] = -1e9
    for start in range(0, 40, 7):
        parts.update(*(column[start : start + 7] for column in columns))
    assert {name: value.item() for name, value in parts.compute().items()} == pytest.approx(
        {name: value.item() for name, value in whole.compute().items()}, rel=2e-6
    )


def test_a_small_error_of_large_values_keeps_its_digits():
    metrics = ForecastMetrics(Reference(*torch.tensor([[[4.0]], [[1.0]], [[1.0]]])))
    truth = torch.full((10, 1, 1, 1), 10_000.0)
    metrics.update(truth + 0.5, truth, torch.ones_like(truth), truth[:, :, 0], torch.zeros(10, dtype=torch.int64))
    assert metrics.compute()["test/mse_scaled"].item() == 0.0625


@pytest.mark.parametrize("error", [0.0, 1.0])
def test_what_is_divided_by_a_constant_training_series_is_infinite(error):
    metrics = ForecastMetrics(Reference(*torch.tensor([[4.0], [0.0]]).expand(3, 2, 1)))
    truth = torch.full((2, 1, 1, 1), 5.0)
    metrics.update(truth + error, truth, torch.ones_like(truth), truth[:, :, 0] + 1, torch.tensor([0, 1]))
    found = {name: value.item() for name, value in metrics.compute().items()}
    assert found["test/mse_scaled"] == found["test/mase"] == found["test/rmsse"] == np.inf
    assert found["test/mae"] == error


def test_a_forecast_that_is_not_a_number_is_not_passed_over():
    columns, reference = forecasts()
    columns[0][columns[2] > 0] = torch.nan
    metrics = ForecastMetrics(reference)
    metrics.update(*columns)
    assert all(value.isnan() for value in metrics.compute().values())


@pytest.mark.parametrize(("levels", "given_levels"), [((0.1, 0.9), 0), ((), 2), ((0.1, 0.5, 0.9), 2)])
def test_quantiles_of_other_levels_are_refused(levels, given_levels):
    columns, reference = forecasts()
    quantiles = torch.stack([columns[0]] * given_levels, -1) if given_levels else None
    with pytest.raises(ValueError, match=r"expected the quantiles of the levels .* got"):
        ForecastMetrics(reference, levels).update(*columns, quantiles)
