"""How often 90 % intervals of counts hold the truth, at each level of the series."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.conftest import existing
from tests.models.counts import (
    BETWEEN_MARKS,
    LIKELIHOOD,
    PAGE,
    RECIPES,
    SIZE,
    STORED,
    block,
    by_level,
    columns_of_levels,
    forecasts,
    negative_binomial,
    sampled,
    vehicle_trips,
    with_truth,
)

pytestmark = pytest.mark.filterwarnings("ignore::forecastlab.errors.ReadingNote")
WHOLE = columns_of_levels().values()
QUICK = {
    **LIKELIHOOD,
    "data.windows_per_epoch": 1280,
    "trainer.max_epochs": 20,
    "model.backbone.hidden_size": 16,
    "model.optimizer.lr": 0.01,
}


def test_the_groups_count_what_lies_in_the_interval_with_and_without_its_ends():
    bounds = {column: [0.0, 0.0, 6.0, 6.0] if "lo" in column else [2.0, 3.0, 12.0, 12.0] for column in WHOLE}
    told = {"unique_id": ["a", "a", "b", "b"], "level": [1.0, 1, 9, 9], "scale": [2.0, 2, np.nan, np.nan]}
    table = pd.DataFrame({**told, "y": [1, 3, 6, 20], "forecast": [1.0, 1, 9, 9], **bounds})
    found = by_level(table, 2)
    assert found[["inside_90", "within_90"]].to_numpy().tolist() == [[1, 0.5], [0.5, 0]]
    assert found[["up_to", "values", "zeros", "width_90"]].to_numpy().tolist() == [[1, 2, 0, 2.5], [9, 2, 0, 6]]
    assert found["MASE"].tolist()[0] == 0.5  # errors of 0 and 2, in units of 2; the other series has no scale
    # below the median level t loses t (y - 0), above it (1 - t) (end - y); 0.25 is the mean of the four levels
    assert found["CRPS"].tolist()[0] == pytest.approx(2 * ((0.25 * 1 + 0.25 * 1) / 2 + (0.25 * 3 + 0) / 2) / 2 / 2)


def test_errors_are_in_units_of_the_seasonal_naive_before_them():
    frame = pd.DataFrame({"unique_id": "a", "ds": pd.date_range("2024-01-01", periods=35), "y": 0})
    frame["y"] = [0] * 7 + [3] * 7 + [4] * 7 + [100] * 14
    told = frame.tail(14).drop(columns="y").assign(forecast=0.0)
    table = with_truth(told, frame)
    assert (table["scale"] == 2).all()
    assert (table["level"] == 7 / 3).all()


def test_a_sample_of_trips_has_its_share_of_them():
    frame = pd.DataFrame({"y": [0, 10_000, 40_000]})
    assert sampled(frame, 20)["y"].tolist() == pytest.approx([0, 500, 2000], abs=150)


def test_the_page_shows_the_stored_figures():
    assert BETWEEN_MARKS.findall(PAGE.read_text()) == [block(pd.read_csv(STORED))], (
        "python -m tests.models.counts writes them"
    )


@pytest.fixture(scope="module")
def known():
    """Forecasts of a panel whose distribution is known, with the probability of each interval and of the true one."""
    frame, mean = negative_binomial(series=80, size=SIZE)
    table = forecasts(frame, QUICK)
    row = (table["ds"] - frame["ds"].min()).dt.days.to_numpy()
    truth = stats.nbinom(SIZE, SIZE / (SIZE + mean[table["unique_id"].str[1:].astype(int), row]))

    def probability(low, high):
        return truth.cdf(high) - truth.cdf(low - 1)

    own = probability(np.ceil(table["forecast-lo-90"]), np.floor(table["forecast-hi-90"]))
    return table.assign(own=own, true=probability(truth.ppf(0.05), truth.ppf(0.95)))


def test_intervals_of_a_negative_binomial_are_neither_too_wide_nor_too_narrow_at_any_level(known):
    for _, own in known.groupby(pd.qcut(known["level"], 10)):
        assert own["own"].mean() == pytest.approx(own["true"].mean(), abs=0.06)
        inside = own["y"].between(own["forecast-lo-90"], own["forecast-hi-90"])
        low, high = stats.binom.ppf([1e-4, 1 - 1e-4], len(own), own["own"].mean())  # the draws are independent
        assert low <= inside.sum() <= high


def test_the_share_of_all_truths_in_the_intervals_is_that_of_the_true_ones(known):
    inside = known["y"].between(known["forecast-lo-90"], known["forecast-hi-90"]).sum()
    low, high = stats.binom.ppf([1e-4, 1 - 1e-4], len(known), known["true"].mean())
    assert low <= inside <= high


@pytest.mark.slow
@pytest.mark.real
def test_the_automatic_recipe_covers_real_counts_at_every_level(real_data):
    existing(real_data / "benchmarks" / "monash")
    found = by_level(forecasts(vehicle_trips(real_data), RECIPES["quantiles"]))
    assert found["inside_90"].between(0.86, 0.98).all()  # too wide rather than too narrow, as docs/recipes.md says
    assert found["values"].min() > 400
