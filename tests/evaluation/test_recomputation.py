"""Every printed metric is recomputed from predictions.csv and the raw file, by NumPy and pandas alone."""

import numpy as np
import pandas as pd
import pytest
import torch

from forecastlab.losses import GaussianNLL, Quantile
from forecastlab.training.callbacks import PredictionWriter
from forecastlab.training.forecaster import Forecaster
from tests.frames import module, wide
from tests.series import as_if_trained, trainer

pytestmark = pytest.mark.filterwarnings("ignore::forecastlab.errors.ReadingNote")  # what was seen is not asked here


def scored(data, folder, loss):
    """The metrics of a network that forecasts near the last value, and its predictions.csv."""
    torch.manual_seed(0)
    network = as_if_trained(Forecaster(anchor="last", loss=loss, schema=data.schema))
    writer = PredictionWriter()
    (metrics,) = trainer(callbacks=[writer], default_root_dir=folder).test(network, data, verbose=False)
    return metrics, pd.read_csv(writer.path, parse_dates=["ds", "cutoff"], dtype={"unique_id": str}), writer.table


def recomputed(table, raw, season=1, levels=()):
    """The figures of a test.

    Args:
        table: predictions.csv.
        raw: (unique_id, target) -> observed values by time, on the calendar of days, NaN where there was none.
        season: rows of a season.
        levels: of the quantiles.
    """
    begins = table["ds"].min()
    each = {}
    for (name, target), part in table.groupby(["unique_id", "target"], sort=False):
        values = raw[name, target]
        known = values[values.index < begins]
        variance = known.var(ddof=0)
        steps = (known - known.shift(season)).dropna()
        last = values.ffill().reindex(part["cutoff"]).to_numpy()
        y, error = part["y"].to_numpy(), (part["forecast"] - part["y"]).to_numpy()
        scaled = np.nan if known.nunique() < 2 else variance
        naive = np.nan if not len(steps) or not steps.abs().max() else steps.abs().mean()
        row = {
            "mse_scaled": (error**2).mean() / scaled,
            "persistence": ((last - y) ** 2).mean() / scaled,
            "mae": np.abs(error).mean(),
            "rmse": np.sqrt((error**2).mean()),
            "mase": np.abs(error).mean() / naive,
            "rmsse": np.nan if np.isnan(naive) else np.sqrt((error**2).mean() / (steps**2).mean()),
            "mape": 100 * (np.abs(error) / np.abs(y)).mean(),
            "smape": 200 * (np.abs(error) / (np.abs(y) + np.abs(error + y))).mean(),
            "absolute": np.abs(error).sum(),
            "size": np.abs(y).sum(),
        }
        if levels:
            q = part[["forecast-lo-90", "forecast", "forecast-hi-90"]].to_numpy()
            loss = [np.maximum(level * (y - q[:, k]), (level - 1) * (y - q[:, k])) for k, level in enumerate(levels)]
            row["pinball"] = np.mean(loss)
            row["coverage"] = ((q[:, 0] <= y) & (y <= q[:, 2])).mean()
            row["width"] = (q[:, 2] - q[:, 0]).mean()
            row["winkler"] = (q[:, 2] - q[:, 0] + 20 * (np.maximum(q[:, 0] - y, 0) + np.maximum(y - q[:, 2], 0))).mean()
        each[name, target] = row
    each = pd.DataFrame(each).T
    targets = each.groupby(level=1, sort=False)
    found = each[["mse_scaled", "mase", "rmsse", "mape", "smape"]].mean().to_dict()
    found["skill"] = 1 - each["mse_scaled"].mean() / each["persistence"].mean()
    found["wape"] = (100 * targets["absolute"].sum() / targets["size"].sum()).mean()
    for name in ("mae", "rmse", "pinball", "width", "winkler"):
        if name in each:
            of_target = targets[name].mean()
            several = len(of_target) > 1
            found |= {f"{name}/{target}" if several else name: value for target, value in of_target.items()}
    if levels:
        found["coverage"] = each["coverage"].mean()
    if len(raw) > 1:
        found["series_scored"], found["series_in_units"] = len(each), each["mse_scaled"].notna().sum()
    if len({name for name, _ in raw}) > 1:
        found |= {f"{name}_median": each[name].median() for name in ("mse_scaled", "mase", "rmsse")}
    return {f"test/{name}": value for name, value in found.items()}


def one_series(folder):
    frame = wide(120)
    raw = {("series", "y"): frame.set_index("ds")["y"]}
    return module(folder, frame, lookback=5, horizon=3, season_length=7), raw, 7


def several_targets_with_a_mask(folder):
    frame = wide(160)
    frame["x"] = 1000 + 3 * frame["x"]
    frame.loc[:60, "x"] = np.nan
    frame.loc[[20, 90, 100, 101], "y"] = np.nan
    raw = {("series", name): frame.set_index("ds")[name] for name in ("y", "x")}
    return module(folder, frame, targets=["y", "x"], missing="mask", lookback=5, horizon=2), raw, 1


def a_panel_of_unlike_series(folder):
    parts = []
    for number, (name, scale, span) in enumerate(
        (("a", 1.0, (0, 120)), ("b", 1000.0, (10, 95)), ("closed", 0.0, (0, 120)), ("late", 5.0, (82, 120)))
    ):
        part = wide(120, seed=number).iloc[slice(*span)]
        parts.append(part.assign(y=0.1 + scale * part["y"], unique_id=name))
    raw = {(part["unique_id"].iloc[0], "y"): part.set_index("ds")["y"] for part in parts}
    return module(folder, pd.concat(parts), series_column="unique_id", lookback=4, horizon=2), raw, 1


def business_days_that_are_filled(folder):
    days = pd.bdate_range("2020-01-01", periods=200)
    walk = 100 + np.random.default_rng(0).normal(size=200).cumsum()
    raw = {("series", "y"): pd.Series(walk, days).asfreq("D")}
    return module(folder, pd.DataFrame({"ds": days, "y": walk}), frequency="D", missing="ffill", lookback=5), raw, 1


@pytest.mark.parametrize(
    "case", [one_series, several_targets_with_a_mask, a_panel_of_unlike_series, business_days_that_are_filled]
)
@pytest.mark.parametrize("loss", [Quantile, GaussianNLL])
def test_every_metric_follows_from_the_predictions_and_the_file(tmp_path, case, loss):
    data, raw, season = case(tmp_path)
    metrics, table, exact = scored(data, tmp_path, loss)
    assert len(table) == len(exact)
    levels = (0.05, 0.5, 0.95) if loss is Quantile else ()
    wanted = recomputed(table, raw, season, levels)
    if loss is GaussianNLL:  # its two levels have other names of columns, and its score comes from the distribution
        ours = ("coverage", "width", "winkler", "pinball")
        assert any(name.startswith("test/crps") for name in metrics)
        metrics = {k: v for k, v in metrics.items() if not k.startswith(tuple(f"test/{n}" for n in (*ours, "crps")))}
    assert not any(name.startswith("test/crps") for name in metrics), "three levels determine none"
    assert metrics == pytest.approx(wanted, rel=1e-9)


def test_the_crps_of_a_normal_distribution_is_the_integral_over_its_quantiles(tmp_path):
    data, _, _ = one_series(tmp_path)
    metrics, table, _ = scored(data, tmp_path, GaussianNLL)
    low, high = table["forecast-lo-90"].to_numpy(), table["forecast-hi-90"].to_numpy()
    middle, deviation = (low + high) / 2, (high - low) / 2 / 1.6448536269514722
    grid = np.random.default_rng(0).normal(size=400_000)
    spread = np.abs(grid[:200_000] - grid[200_000:]).mean() / 2
    y = (table["y"].to_numpy() - middle) / deviation
    wanted = (deviation * (np.array([np.abs(grid - each).mean() for each in y]) - spread)).mean()
    assert metrics["test/crps"] == pytest.approx(wanted, rel=5e-3)
