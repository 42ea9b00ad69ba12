import numpy as np
import pandas as pd
import pytest

from forecastlab.data.predictions import column_levels, quantile_columns
from forecastlab.evaluation.calibration import calibration, quantile_rows
from forecastlab.evaluation.comparison import Comparison
from forecastlab.evaluation.results import CrossvalRun
from tests.evaluation.folders import edit, write_run
from tests.evaluation.panels import write_panel


def compare(*folders):
    return Comparison.of([CrossvalRun.load(folder) for folder in folders])


@pytest.fixture(scope="module")
def panel(tmp_path_factory):
    folder, rows = write_panel(tmp_path_factory.mktemp("panel"))
    return compare(folder), rows[rows["model"] == "net"]


def with_quantiles(folder, columns):
    """Writes columns of quantiles to the rows of the network `lstm`."""

    def add(table):
        for name, values in columns.items():
            table[name] = ""
            network = table["model"] == "lstm"
            table.loc[network, name] = [str(value) for value in np.resize(values, network.sum())]
        return table

    edit(folder / "predictions.csv", add)
    return folder


def test_the_levels_of_columns_are_those_that_they_were_named_after():
    levels = [0.005, 0.05, 0.1, 1 / 6, 0.25, 0.5, 0.75, 5 / 6, 0.9, 0.95, 0.999]
    found = column_levels(["ds", "forecast", "forecast-std", *quantile_columns(levels)])
    assert list(found.values()) == pytest.approx([level for level in levels if level != 0.5])
    assert list(found)[:2] == ["forecast-q-0.5", "forecast-lo-90"]


def test_shares_are_those_of_the_truths_at_or_below_each_quantile(panel):
    comparison, rows = panel
    found = calibration(comparison, "net")
    assert found.levels.tolist() == pytest.approx([0.05, 0.25, 0.75, 0.95])
    columns = ["forecast-lo-90", "forecast-lo-50", "forecast-hi-50", "forecast-hi-90"]
    shares = [np.mean(rows["y"] <= rows[name]) for name in columns]
    np.testing.assert_allclose(found.below["share"], shares)
    np.testing.assert_allclose(found.between["share"], np.diff([0, *shares, 1]), atol=1e-12)


def test_the_shares_of_intervals_agree_with_their_coverage(panel):
    comparison, rows = panel
    found = calibration(comparison, "net")
    held = rows["y"].between(rows["forecast-lo-50"], rows["forecast-hi-50"])
    assert found.between["share"][2] == pytest.approx(held.mean())  # no truth lies on a bound


def test_of_independent_truths_the_interval_of_a_share_is_as_wide_as_the_binomial_one(tmp_path):
    # 2 folds of 200 days: errors of a normal distribution, and the quantiles of another one that is as wide
    random = np.random.default_rng(0)
    errors = {fold: random.normal(0, 1, 200).tolist() for fold in (1, 2)}
    folder = write_run(tmp_path, networks={0: errors}, baselines={}, variance={1: 1.0, 2: 1.0})

    def apart(table):
        day = (table["fold"].astype(int) - 1) * 300
        for column in ("ds", "cutoff"):
            table[column] = (pd.to_datetime(table[column]) + pd.to_timedelta(day, unit="D")).dt.strftime("%Y-%m-%d")
        truth = table["y"].astype(float)
        low = truth + np.array([*errors[1], *errors[2]]) - 0.6745
        return table.assign(**{"forecast-lo-50": low, "forecast-hi-50": truth + 9})

    edit(folder / "predictions.csv", apart)
    below = calibration(compare(folder), "lstm").below.iloc[0]
    assert below["low"] < 0.25 < below["high"]
    binomial = 2 * 1.96 * np.sqrt(0.25 * 0.75 / 400)
    assert below["high"] - below["low"] == pytest.approx(binomial, rel=0.35)


def test_a_truth_counts_once_however_many_seeds_forecast_it(tmp_path):
    # the truths of the first four days are 10 to 13, those of the second fold 14 to 17
    folder = with_quantiles(write_run(tmp_path), {"forecast-lo-80": [11.5], "forecast-hi-80": [99.0]})

    def of_one_seed(table):
        table.loc[table["seed"] == "1", "forecast-lo-80"] = "98.0"
        return table

    edit(folder / "predictions.csv", of_one_seed)
    found = calibration(compare(folder), "lstm").below["share"]
    # in fold 1 seed 0 has 2 of 4 below, in fold 2 none; seed 1 has all
    assert found.tolist() == pytest.approx([(2 / 4 + 0 + 1 + 1) / 4, 1])


def test_every_series_counts_the_same_however_many_rows_it_has(tmp_path):
    folder, rows = write_panel(tmp_path, series=2, horizon=1)

    def shorter(table):
        dropped = (table["unique_id"] == "s1") & (table["cutoff"] >= "2020-03-04") & (table["fold"] == "1")
        table.loc[table["unique_id"] == "s1", "forecast-lo-90"] = "1e9"  # above every truth
        return table[~dropped]

    edit(folder / "predictions.csv", shorter)
    kept = rows[(rows["model"] == "net") & (rows["unique_id"] == "s0")]
    share = np.mean(kept["y"] <= kept["forecast-lo-90"])
    edit(folder / "results.csv", lambda table: _restated(folder, table))
    found = calibration(compare(folder), "net").below["share"]
    assert found[0] == pytest.approx((share + 1) / 2)


def _restated(folder, table):
    """results.csv with the mean absolute errors of the rows that are left."""
    left = pd.read_csv(folder / "predictions.csv")
    each = (left["forecast"] - left["y"]).abs().groupby([left["model"], left["fold"], left["unique_id"]]).mean()
    mean = each.groupby(level=["model", "fold"]).mean()
    table["test/mae"] = [str(mean[one, int(fold)]) for one, fold in zip(table["model"], table["fold"], strict=True)]
    return table


def test_a_model_without_quantiles_has_no_calibration(panel):
    assert calibration(panel[0], "persistence") is None
    assert [name for name in quantile_rows(panel[0], "persistence") if name.startswith("forecast-")] == []


def test_a_single_origin_in_a_fold_does_not_say_how_sure_a_share_is(tmp_path):
    folder, _ = write_panel(tmp_path, origins=1)
    found = calibration(compare(folder), "net")
    assert found.below["share"].notna().all()
    assert found.below[["low", "high"]].isna().all(axis=None)
