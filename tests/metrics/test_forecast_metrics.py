import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.metrics import (
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_pinball_loss,
    mean_squared_error,
)

from forecastlab.batch import Reference
from forecastlab.metrics import (
    ForecastMetrics,
)
from tests.metrics.normal import normal_crps


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
