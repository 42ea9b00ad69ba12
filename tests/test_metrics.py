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
    crps_of_quantiles,
    determines_crps,
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


def normal_crps(mean, deviation, truth):
    z = (truth - mean) / deviation
    return deviation * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))


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


def of_one_target():
    """The same of the first target alone."""
    columns, reference = forecasts()
    return [*(part[..., :1] for part in columns[:4]), columns[4]], Reference(*(unit[:, :1] for unit in reference))


def by_series(columns, *further):
    """The scored values of each series and target: numbers of both, forecast, truth, persistence and what else."""
    forecast, truth, weight, last, series = (column.double().numpy() for column in columns)
    persistence = np.broadcast_to(last[:, :, None], truth.shape)
    for number in np.unique(series.astype(int)):
        for target in range(truth.shape[-1]):
            counts = (weight > 0) & (series[:, None, None, None] == number)
            kept = counts[..., target]
            yield (number, target, *(part[..., target][kept] for part in (forecast, truth, persistence, *further)))


def test_the_metrics_of_a_test_are_means_over_the_series_of_scikit_learns():
    columns, reference = forecasts()
    metrics = ForecastMetrics(reference, targets=["small", "large"])
    metrics.update(*columns)
    found = {name: [] for name in ("mse", "persistence", "mae", "rmse", "mase", "rmsse", "mape", "smape")}
    absolute, size = np.zeros(2), np.zeros(2)
    for number, target, forecast, truth, persistence in by_series(columns):
        variance, naive, squared = (unit[number, target].item() for unit in reference)
        mse, error = mean_squared_error(truth, forecast), np.abs(truth - forecast)
        found["mse"].append(mse / variance)
        found["persistence"].append(mean_squared_error(truth, persistence) / variance)
        found["mae"].append((target, mean_absolute_error(truth, forecast)))
        found["rmse"].append((target, np.sqrt(mse)))
        found["mase"].append(mean_absolute_error(truth, forecast) / naive)
        found["rmsse"].append(np.sqrt(mse / squared))
        found["mape"].append(100 * mean_absolute_percentage_error(truth, forecast))
        found["smape"].append(100 * np.mean(2 * error / (np.abs(truth) + np.abs(forecast))))
        absolute[target] += error.sum()
        size[target] += np.abs(truth).sum()
    wanted = {f"test/{name}": np.mean(found[name]) for name in ("mase", "rmsse", "mape", "smape")}
    for number, target in enumerate(("small", "large")):
        for name in ("mae", "rmse"):
            wanted[f"test/{name}/{target}"] = np.mean([value for of, value in found[name] if of == number])
    wanted |= {
        "test/mse_scaled": np.mean(found["mse"]),
        "test/skill": 1 - np.mean(found["mse"]) / np.mean(found["persistence"]),
        "test/wape": np.mean(100 * absolute / size),
        "test/series_scored": 6,
        "test/series_in_units": 6,
        "test/mse_scaled_median": np.median(found["mse"]),
        "test/mase_median": np.median(found["mase"]),
        "test/rmsse_median": np.median(found["rmsse"]),
    }
    assert {name: value.item() for name, value in metrics.compute().items()} == pytest.approx(wanted, rel=1e-9)


def test_quantiles_add_their_scores_and_those_of_their_central_interval():
    columns, reference = of_one_target()
    forecast = columns[0]
    levels = (0.1, 0.5, 0.8, 0.9)
    quantiles = torch.stack([forecast - 3, forecast, forecast + 2, forecast + 4], -1)
    metrics = ForecastMetrics(reference, levels)
    metrics.update(*columns, quantiles)
    found = {name: value.item() for name, value in metrics.compute().items()}
    wanted = {"pinball": [], "coverage": [], "winkler": []}
    ends = [part.double().numpy() for part in quantiles.unbind(-1)]
    for _, _, _, truth, _, *values in by_series(columns, *ends):
        pinball = [mean_pinball_loss(truth, values[k], alpha=level) for k, level in enumerate(levels)]
        wanted["pinball"].append(np.mean(pinball))
        wanted["coverage"].append(np.mean((truth >= values[0]) & (truth <= values[3])))
        wanted["winkler"].append(10 * (pinball[0] + pinball[3]))
    without = ForecastMetrics(reference)
    without.update(*columns)
    assert found == pytest.approx(
        {
            **{name: value.item() for name, value in without.compute().items()},
            **{f"test/{name}": np.mean(values) for name, values in wanted.items()},
            "test/width": 7,
        },
        rel=1e-6,
    )


def test_a_score_of_the_networks_own_distribution_is_averaged_as_the_others():
    (forecast, truth, weight, last, series), reference = of_one_target()
    metrics = ForecastMetrics(reference)
    scores = torch.arange(40.0)[:, None, None, None].expand_as(truth)
    metrics.update(forecast, truth, torch.ones_like(weight), last, series, crps=scores)
    wanted = np.mean([np.arange(40.0)[series.numpy() == number].mean() for number in range(3)])
    assert metrics.compute()["test/crps"].item() == pytest.approx(wanted)


def test_no_quantiles_may_come_as_an_empty_tensor():
    columns, reference = forecasts()
    metrics = ForecastMetrics(reference)
    metrics.update(*columns, columns[0][..., None][..., :0])
    assert "test/pinball" not in metrics.compute()


def test_quantiles_without_a_central_interval_have_no_scores_of_one():
    columns, reference = forecasts()
    metrics = ForecastMetrics(reference, (0.1, 0.5))
    metrics.update(*columns, torch.stack([columns[0] - 1, columns[0]], -1))
    assert not any(name.startswith(("test/coverage", "test/width", "test/crps")) for name in metrics.compute())
    assert "test/pinball/1" in metrics.compute()


def test_a_crps_is_reported_where_the_levels_determine_it():
    columns, reference = of_one_target()
    levels = np.linspace(0.1, 0.9, 9)
    metrics = ForecastMetrics(reference, levels)
    metrics.update(*columns, columns[0][..., None] + torch.as_tensor(norm.ppf(levels, scale=4)))
    scores = [normal_crps(forecast, 4, truth).mean() for _, _, forecast, truth, _ in by_series(columns)]
    assert metrics.compute()["test/crps"].item() == pytest.approx(np.mean(scores), rel=1e-6)


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


def constant(units, error):
    """Two series, of which those whose unit is 0 have constant training rows."""
    metrics = ForecastMetrics(Reference(*torch.tensor(units)[:, None].expand(3, -1, 1)))
    truth = torch.full((len(units), 1, 1, 1), 5.0)
    numbers = torch.arange(len(units))
    metrics.update(truth + error, truth, torch.ones_like(truth), truth[:, :, 0] + 1, numbers)
    return metrics, {name.removeprefix("test/"): value.item() for name, value in metrics.compute().items()}


@pytest.mark.parametrize("error", [0.0, 1.0])
def test_what_is_divided_by_constant_training_rows_is_infinite_where_no_series_has_others(error):
    for units in ([0.0], [0.0, 0.0]):
        _, found = constant(units, error)
        assert found["mse_scaled"] == found["mase"] == found["rmsse"] == np.inf
        assert found["mae"] == error
    assert constant([0.0], error)[1]["skill"] == 1 - error  # of one series the unit cancels


def test_a_series_without_a_unit_is_left_out_of_what_divides_by_one_and_named():
    metrics, found = constant([4.0, 0.0, 4.0], 2.0)
    assert found["mse_scaled"] == found["mse_scaled_median"] == 1
    assert found["mase"] == 0.5
    assert found["rmsse"] == 1
    assert found["skill"] == -3
    assert (found["series_scored"], found["series_in_units"]) == (3, 2)
    scaled, seasonal = metrics.notes(["a", "closed", "c"])
    assert scaled.startswith("test/mse_scaled and test/skill are over 2 of 3 series; left out, ")
    assert scaled.endswith(": closed")
    assert seasonal.startswith("test/mase and test/rmsse are over 2 of 3 series")


def test_series_that_are_not_scored_are_counted_and_named():
    columns, reference = of_one_target()
    metrics = ForecastMetrics(reference)
    columns[2][columns[4] == 1] = 0
    metrics.update(*columns)
    assert metrics.compute()["test/series_scored"].item() == 2
    (note,) = metrics.notes(["a", "delisted", "c"])
    assert note.startswith("the test scores 2 of 3 series; not scored, ")
    assert note.endswith(": delisted")


def test_every_series_counts_the_same_however_many_values_it_has():
    metrics = ForecastMetrics(Reference(*torch.ones(3, 2, 1)))
    truth = torch.zeros(10, 1, 1, 1)
    series = torch.tensor([0] * 9 + [1])
    metrics.update(series[:, None, None, None] * 4.0, truth, torch.ones_like(truth), truth[:, :, 0] + 1, series)
    found = metrics.compute()
    assert found["test/mae"].item() == found["test/rmse"].item() == 2
    assert found["test/mse_scaled"].item() == 8


def test_a_forecast_that_is_not_a_number_is_not_passed_over():
    columns, reference = forecasts()
    columns[0][columns[2] > 0] = torch.nan
    metrics = ForecastMetrics(reference)
    metrics.update(*columns)
    assert all(value.isnan() for name, value in metrics.compute().items() if not name.startswith("test/series_"))


# ---- parts of a test ----


def test_the_parts_of_a_test_are_its_figures_on_their_values():
    columns, reference = forecasts()
    index = torch.arange(80).view(40, 2) * 7
    months = np.arange(1000) // 30 % 12 + 1
    metrics = ForecastMetrics(reference, (0.1, 0.9), ["small", "large"], months)
    quantiles = torch.stack([columns[0] - 3, columns[0] + 3], -1)
    metrics.update(*columns, quantiles, index=index)
    metrics.compute()
    month = torch.as_tensor(months)[index[..., None] + torch.arange(1, 4)][..., None]
    series = columns[4][:, None, None, None]
    step = torch.arange(1, 4)[:, None]
    for part, column, value, name in (
        ("series", "unique_id", series, lambda number: "abc"[number]),
        ("horizon", "step", step, int),
        ("month", "month", month, int),
        ("target", "target", None, None),
    ):
        table = metrics.by(part, ["a", "b", "c"])
        for number, target in enumerate(("small", "large")):
            kept = [1] if value is None else value.unique().tolist()
            for each in kept:
                alone = ForecastMetrics(reference, (0.1, 0.9))
                weight = columns[2] * (torch.arange(2) == number)
                weight = weight if value is None else weight * (value == each)
                if not weight.any():
                    continue
                alone.update(*columns[:2], weight, *columns[3:], quantiles)
                wanted = {key.removeprefix("test/"): x.item() for key, x in alone.compute().items()}
                rows = table[table["target"] == target]
                row = rows.iloc[0] if value is None else rows[rows[column] == name(each)].iloc[0]
                assert row["values"] == (weight > 0).sum()
                for key in ("mse_scaled", "mase", "skill", "rmsse", "mape", "smape", "wape"):
                    assert row[key] == pytest.approx(wanted[key], rel=1e-9), (part, each, key)
                for key in ("mae", "rmse", "width", "winkler"):
                    assert row[key] == pytest.approx(wanted[f"{key}/{number + 1}"], rel=1e-9), (part, each, key)
                assert row["coverage-80"] == pytest.approx(wanted["coverage"])


def test_a_series_without_a_unit_has_an_empty_place_in_the_parts():
    table = constant([4.0, 0.0], 2.0)[0].by("series", ["a", "closed"]).set_index("unique_id")
    assert table.loc["closed", ["mse_scaled", "mase", "rmsse"]].isna().all()
    assert table.loc["closed", ["mae", "skill"]].tolist() == [2, -3]
    assert table.loc["a", "mse_scaled"] == 1


@pytest.mark.parametrize(("levels", "given_levels"), [((0.1, 0.9), 0), ((), 2), ((0.1, 0.5, 0.9), 2)])
def test_quantiles_of_other_levels_are_refused(levels, given_levels):
    columns, reference = forecasts()
    quantiles = torch.stack([columns[0]] * given_levels, -1) if given_levels else None
    with pytest.raises(ValueError, match=r"expected the quantiles of the levels .* got"):
        ForecastMetrics(reference, levels).update(*columns, quantiles)
