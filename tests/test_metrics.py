import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from forecastlab.batch import Reference
from forecastlab.metrics import ForecastMetrics, MeanAbsoluteScaledError, Skill


def drawn(size=50):
    generator = np.random.default_rng(0)
    return (torch.as_tensor(generator.normal(20, 5, size), dtype=torch.float32) for _ in range(3))


def updated(metric, *columns):
    metric.update(*(torch.as_tensor(column, dtype=torch.float32) for column in columns))
    return metric


def test_mase_is_the_mean_absolute_error_over_the_seasonal_naive_error():
    forecast, truth, _ = drawn()
    metric = updated(MeanAbsoluteScaledError(), forecast, truth, torch.full((50,), 2.5))
    assert metric.compute().item() == pytest.approx(mean_absolute_error(truth, forecast) / 2.5, rel=1e-6)


def test_mase_of_several_targets_scales_each_by_its_own_error():
    metric = updated(MeanAbsoluteScaledError(), [1, 20], [0, 0], [1, 10])
    assert metric.compute().item() == 1.5


@pytest.mark.parametrize("forecast", [5.0, 7.0])
def test_mase_is_infinite_where_the_training_rows_are_constant(forecast):
    assert updated(MeanAbsoluteScaledError(), [forecast, 3], [5, 3], [0, 1]).compute().item() == np.inf


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


@given(cuts=st.lists(st.integers(1, 49), unique=True, max_size=10))
def test_neither_depends_on_how_the_values_come_in_batches(cuts):
    columns = list(drawn())
    for cls in (MeanAbsoluteScaledError, Skill):
        whole = updated(cls(), *columns).compute().item()
        parts = cls()
        for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), 50], strict=True):
            parts.update(*(column[start:stop] for column in columns))
        assert parts.compute().item() == pytest.approx(whole, rel=1e-5)


def test_no_values_in_a_batch_change_nothing():
    columns = list(drawn())
    for cls in (MeanAbsoluteScaledError, Skill):
        metric = updated(cls(), *columns)
        before = metric.compute()
        metric.update(*(column[:0] for column in columns))
        assert torch.equal(metric.compute(), before)


def test_their_sums_fit_gpus_without_double_precision():
    for cls in (MeanAbsoluteScaledError, Skill):
        assert torch.float64 not in {value.dtype for value in cls().metric_state.values()}


def forecasts(samples=40, origins=2, horizon=3, targets=2):
    """Forecasts, truth, weights of 0 and 1, last values, and the reference of two targets in unlike units."""
    generator = np.random.default_rng(1)
    unit = np.array([1.0, 1000.0])
    forecast, truth = (generator.normal(20, 5, (samples, origins, horizon, targets)) * unit for _ in range(2))
    weight = generator.integers(0, 2, truth.shape)
    last = generator.normal(20, 5, (samples, origins, targets)) * unit
    reference = Reference(torch.tensor([25.0, 16e6]).double(), torch.tensor([4.0, 5000.0]).double())
    return [torch.as_tensor(part, dtype=torch.float32) for part in (forecast, truth, weight, last)], reference


def test_the_metrics_of_a_test_equal_scikit_learns_over_the_scored_values():
    columns, reference = forecasts()
    metrics = ForecastMetrics(reference)
    metrics.update(*columns)
    forecast, truth, weight, last = (column.double().numpy() for column in columns)
    counts = weight > 0
    deviation = np.broadcast_to(reference.variance.sqrt(), truth.shape)[counts]
    naive = np.broadcast_to(reference.seasonal_error, truth.shape)[counts]
    persistence = np.broadcast_to(last[:, :, None], truth.shape)[counts]
    forecast, truth = forecast[counts], truth[counts]
    mse = mean_squared_error(truth, forecast)
    assert {name: value.item() for name, value in metrics.compute().items()} == pytest.approx(
        {
            "test/mse_scaled": mean_squared_error(truth / deviation, forecast / deviation),
            "test/mae": mean_absolute_error(truth, forecast),
            "test/rmse": np.sqrt(mse),
            "test/mase": mean_absolute_error(truth / naive, forecast / naive),
            "test/skill": 1 - mse / mean_squared_error(truth, persistence),
        },
        rel=1e-5,
    )


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
    metrics = ForecastMetrics(Reference(torch.tensor([4.0]), torch.tensor([1.0])))
    truth = torch.full((10, 1, 1, 1), 10_000.0)
    metrics.update(truth + 0.5, truth, torch.ones_like(truth), truth[:, :, 0])
    assert metrics.compute()["test/mse_scaled"].item() == 0.0625
