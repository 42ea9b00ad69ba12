"""How often 90 % intervals of counts hold the truth, at each level of the series."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.conftest import existing
from tests.models.counts import LIKELIHOOD, RECIPES, by_level, forecasts, negative_binomial, vehicle_trips

pytestmark = pytest.mark.filterwarnings("ignore::forecastlab.errors.ReadingNote")
SIZE = 4.0
QUICK = {
    **LIKELIHOOD,
    "data.windows_per_epoch": 1280,
    "trainer.max_epochs": 20,
    "model.backbone.hidden_size": 16,
    "model.optimizer.lr": 0.01,
}


def test_the_groups_count_what_lies_in_below_and_above_the_interval():
    table = pd.DataFrame(
        {
            "unique_id": ["a", "a", "b", "b"],
            "level": [1.0, 1.0, 9.0, 9.0],
            "y": [0, 3, 5, 20],
            "forecast-lo-90": [0.0, 0.0, 6.0, 6.0],
            "forecast-hi-90": [2.0, 3.0, 12.0, 12.0],
        }
    )
    found = by_level(table, 2)
    assert found[["inside", "below", "above"]].to_numpy().tolist() == [[1, 0, 0], [0, 0.5, 0.5]]
    assert found[["from", "to", "values", "width"]].to_numpy().tolist() == [[1, 1, 2, 2.5], [9, 9, 2, 6]]


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
    found = by_level(forecasts(vehicle_trips(real_data), RECIPES["automatic recipe"]))
    assert found["inside"].between(0.86, 0.96).all()
    assert found["values"].min() > 400
