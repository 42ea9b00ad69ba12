from itertools import pairwise

import numpy as np
import pytest
import torch
import torchmetrics
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import expon, gamma, laplace, norm, uniform
from sklearn.metrics import (
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_pinball_loss,
    mean_squared_error,
    r2_score,
)

from forecastlab.metrics import (
    CRPS,
    EnergyScore,
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
    crps_of_quantiles,
    determines_crps,
)
from tests.metrics.normal import normal_crps, normal_quantiles

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


def test_the_pinball_loss_is_scikit_learns_over_all_levels():
    _, truth, mean = drawn()
    quantiles = normal_quantiles(mean.numpy(), 4, LEVELS)
    wanted = [mean_pinball_loss(truth, quantiles[:, k], alpha=level) for k, level in enumerate(LEVELS)]
    assert updated(PinballLoss(LEVELS), quantiles, truth).compute().item() == pytest.approx(np.mean(wanted), rel=1e-6)


@pytest.mark.parametrize("levels", [(0.05, 0.95), (0.05, 0.5, 0.95), (0.1, 0.25, 0.5, 0.9), (0.6, 0.7)])
def test_crps_of_any_quantiles_of_a_normal_distribution_is_that_of_the_distribution(levels):
    _, truth, mean = (column.double().numpy() for column in drawn())
    found = updated(QuantileCRPS(levels), normal_quantiles(mean, 4, levels), truth).compute().item()
    assert found == pytest.approx(normal_crps(mean, 4, truth).mean(), rel=1e-6)


@pytest.mark.parametrize("truth", [-40.0, -3.0, -1.0, 0.5, 2.0, 2.5, 9.0, 40.0])
def test_crps_of_quantiles_is_the_integral_over_their_distribution(truth):
    levels, quantiles = np.array([0.1, 0.3, 0.6, 0.8, 0.95]), np.array([-1.0, 0.0, 2.0, 2.0, 7.0])
    z = norm.ppf(levels)

    def quantile(level):
        inner = np.interp(norm.ppf(level), z, quantiles)
        below = quantiles[0] + (norm.ppf(level) - z[0]) * (quantiles[1] - quantiles[0]) / (z[1] - z[0])
        above = quantiles[-1] + (norm.ppf(level) - z[-1]) * (quantiles[-1] - quantiles[-2]) / (z[-1] - z[-2])
        return np.where(level < levels[0], below, np.where(level > levels[-1], above, inner))

    grid = (np.arange(2_000_000) + 0.5) / 2_000_000
    error = truth - quantile(grid)
    wanted = 2 * np.maximum(grid * error, (grid - 1) * error).mean()
    found = crps_of_quantiles(torch.tensor(quantiles), torch.tensor(truth), torch.tensor(levels)).item()
    assert found == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize(("truth", "wanted"), [(3.0, 0.0), (1.0, 2.0), (10.0, 7.0)])
def test_crps_of_quantiles_that_are_all_equal_is_the_absolute_error(truth, wanted):
    levels = torch.tensor([0.1, 0.5, 0.9])
    assert crps_of_quantiles(torch.full((3,), 3.0), torch.tensor(truth), levels).item() == pytest.approx(wanted)


@pytest.mark.parametrize("distribution", [expon(), uniform(), laplace(), gamma(2), expon(scale=1e-20)])
def test_enough_levels_give_the_crps_of_any_distribution_within_two_percent(distribution):
    levels = np.arange(1, 10) / 10
    grid = distribution.ppf((np.arange(20_000) + 0.5) / 20_000)
    truth = np.sort(grid[::20])
    below = np.searchsorted(grid, truth)
    total, sums = grid.sum(), np.concatenate([[0], np.cumsum(grid)])
    apart = (truth * below - sums[below] + total - sums[below] - truth * (len(grid) - below)) / len(grid)
    spread = (2 * np.arange(len(grid)) - len(grid) + 1) @ grid * 2 / len(grid) ** 2
    wanted = (apart - spread / 2).mean()  # Gneiting and Raftery 2007, equation 21
    quantiles = torch.as_tensor(distribution.ppf(levels)).expand(len(truth), -1)
    found = crps_of_quantiles(quantiles, torch.as_tensor(truth), torch.as_tensor(levels)).mean().item()
    assert found == pytest.approx(wanted, rel=0.02)
    assert determines_crps(levels)


@pytest.mark.parametrize(
    "levels",
    [
        (),
        (0.05, 0.95),
        (0.05, 0.5, 0.95),
        np.linspace(0.1, 0.9, 8),
        np.linspace(0.2, 0.8, 20),
        np.linspace(0.1, 0.7, 9),
    ],
)
def test_few_levels_or_those_of_the_middle_alone_do_not_determine_a_crps(levels):
    assert not determines_crps(levels)
    assert not determines_crps(np.array([0.05, 0.5, 0.6, 0.7, 0.8, 0.81, 0.82, 0.83, 0.84, 0.95]))
    assert determines_crps(np.array([0.005, 0.025, 0.165, 0.25, 0.5, 0.75, 0.835, 0.975, 0.995]))  # those of M5


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
    if cls in (CRPS, EnergyScore):
        samples = other.unsqueeze(-1) + torch.linspace(-4, 4, 6)
        return cls(), [samples, truth] if cls is CRPS else [samples.unsqueeze(-1), truth.unsqueeze(-1)]
    if cls in (IntervalCoverage, WinklerScore, IntervalWidth):
        metric = cls(0.1) if cls is WinklerScore else cls()
        return metric, [other - 4, other + 4, truth][: 2 if cls is IntervalWidth else 3]
    scaled = cls in (MeanAbsoluteScaledError, RootMeanSquaredScaledError, Skill)
    return cls(), [forecast, truth, other][: 3 if scaled else 2]


CLASSES = [
    CRPS,
    EnergyScore,
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
def test_their_sums_are_of_double_precision(cls):
    assert {value.dtype for value in columns_of(cls)[0].metric_state.values()} <= {torch.float64, torch.int64}
    metric, columns = columns_of(cls)
    assert updated(metric, *columns).compute().dtype == torch.float64


@pytest.mark.parametrize("cls", [MeanAbsoluteScaledError, RootMeanSquaredScaledError, Skill])
@pytest.mark.parametrize("size", [1e-25, 1e25])
def test_squares_of_large_and_of_small_values_are_numbers(cls, size):
    found = updated(cls(), [3 * size], [size], [2 * size]).compute().item()
    assert np.isfinite(found)
    assert found != 0
