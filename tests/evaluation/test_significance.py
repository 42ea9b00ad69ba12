import math

import numpy as np
import pytest

from forecastlab.errors import ConfigError
from forecastlab.evaluation.comparison import Comparison
from forecastlab.evaluation.results import CrossvalRun
from forecastlab.evaluation.significance import (
    Difference,
    Series,
    block_bootstrap,
    block_length_of,
    paired_difference,
)
from tests.evaluation.folders import write_run

Z = 1.959964  # of a 95 % interval of the normal distribution


def autoregressive(size, phi, seed, mean=0.0):
    """AR(1) with innovations of variance 1; the standard error of its mean tends to 1 / (1 - phi) / sqrt(size)."""
    noise = np.random.default_rng(seed).standard_normal(size + 200)
    values = np.zeros(size + 200)
    for t in range(1, size + 200):
        values[t] = phi * values[t - 1] + noise[t]
    return mean + values[200:]


def interval(values, length=None, **options):
    folds = [Series.single(values)]
    return np.quantile(block_bootstrap(folds, length or block_length_of(folds), **options), [0.025, 0.975])


def test_independent_differences_have_the_analytic_interval():
    values = np.random.default_rng(1).normal(0.3, 2.0, 2000)
    half = Z * values.std(ddof=1) / math.sqrt(2000)
    low, high = interval(values)
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_autocorrelated_differences_have_the_analytic_interval():
    values = autoregressive(5000, 0.7, seed=3)
    half = Z / (1 - 0.7) / math.sqrt(5000)
    low, high = interval(values)
    assert (high - low) / 2 == pytest.approx(half, rel=0.15)


def test_blocks_that_are_shorter_than_the_dependence_are_made_up_for():
    # the rows' own standard deviation is 1 / sqrt(1 - 0.49): alone, an interval of 0.42 times the width
    half = Z / (1 - 0.7) / math.sqrt(5000)
    for length in (1, 3):
        low, high = interval(autoregressive(5000, 0.7, seed=3), length)
        assert (high - low) / 2 == pytest.approx(half, rel=0.1)


def overlapping(size, steps, seed):
    """Sums of `steps` neighbours of white noise, as errors that are summed over overlapping forecasts."""
    return np.convolve(np.random.default_rng(seed).standard_normal(size + steps - 1), np.ones(steps), "valid")


@pytest.mark.parametrize(
    ("differences", "horizon"),
    [
        (lambda seed: [autoregressive(600, 0.6, seed)], 1),
        (lambda seed: [autoregressive(365, 0.95, seed)], 28),
        (lambda seed: [overlapping(365, 28, seed)], 28),
        (lambda seed: [autoregressive(250, 0.9, [seed, fold]) for fold in range(5)], 1),
        (lambda seed: [overlapping(13, 12, seed)], 12),
        (lambda seed: [autoregressive(13, 0.9, seed)], 12),
    ],
    ids=["a usual year", "a year of months", "a year of sums", "five folds", "an airline", "a slow airline"],
)
def test_the_interval_holds_the_true_mean_about_as_often_as_it_says(differences, horizon):
    covered = 0
    for seed in range(200):
        folds = [Series.single(values) for values in differences(seed)]
        means = block_bootstrap(folds, block_length_of(folds, at_least=horizon), resamples=400, seed=seed)
        low, high = np.quantile(means, [0.025, 0.975])
        covered += low <= 0 <= high
    assert covered >= 0.9 * 200


def test_many_independent_rows_are_not_called_less_sure_than_they_are():
    widths = []
    for seed in range(50):
        low, high = interval(np.random.default_rng(seed).normal(size=365), resamples=1000)
        widths.append(high - low)
    assert np.mean(widths) == pytest.approx(2 * Z / math.sqrt(365), rel=0.1)


def test_drawing_is_what_a_plain_loop_does():
    values = autoregressive(17, 0.3, seed=12)
    length, resamples = 5, 40
    found = block_bootstrap([Series.single(values)], length, resamples, seed=4)
    random = np.random.default_rng(4)
    starts = random.integers(0, 17 - length + 1, (resamples, 4))
    means = []
    for row in starts:
        drawn = [values[start : start + length] for start in row]
        means.append(np.concatenate(drawn)[:17].mean())
    centred = values - values.mean()
    correlation = (17 * (centred[1:] * centred[:-1]).sum() / (centred**2).sum() + 1) / 14
    assert 0.2 < correlation < 0.9

    def variance(size):
        return (correlation ** np.abs(np.subtract.outer(np.arange(size), np.arange(size)))).mean()

    grown = math.sqrt(variance(17) / (length / 17 * (variance(length) - variance(17))))
    freedom = 17 / length - 1
    spread = np.sqrt(random.chisquare(freedom, resamples) / freedom)
    expected = values.mean() + (np.array(means) - np.mean(means)) * grown / spread
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_few_blocks_are_widened_as_by_student():
    values = np.array([1.0, -1.0, -1.0, 1.0, 1.0, -1.0])  # pairs of no mean: blocks of 1, correlation below 0
    deviations = block_bootstrap([Series.single(values)], 1, 200_000) / math.sqrt(1 / 5)
    quantiles = np.quantile(deviations, [0.025, 0.975])
    np.testing.assert_allclose(quantiles, [-2.571, 2.571], rtol=0.03)  # of t with 5 degrees of freedom


def test_drawing_in_parts_is_drawing_at_once(monkeypatch):
    values = np.random.default_rng(0).normal(size=50)
    whole = block_bootstrap([Series.single(values)], 4, 100)
    monkeypatch.setattr("forecastlab.evaluation.significance._CHUNK", 13 * 7)
    np.testing.assert_allclose(block_bootstrap([Series.single(values)], 4, 100), whole, rtol=1e-12)


def test_origins_with_more_values_count_more():
    # the totals and counts of two origins, again and again: every block of two has the mean 10 / 4
    fold = Series(np.tile([1.0, 9.0], 30), np.tile([1.0, 3.0], 30))
    assert fold.mean == 2.5
    np.testing.assert_allclose(block_bootstrap([fold], 2, 100), 2.5, rtol=1e-12)


def test_folds_are_drawn_apart_and_count_equally():
    folds = [Series.single(np.full(10, 1.0)), Series.single(np.full(40, -3.0))]
    np.testing.assert_allclose(block_bootstrap(folds, 3, 50), -1.0, rtol=1e-12)


def test_equal_models_differ_by_exactly_nothing():
    assert interval(np.zeros(100)).tolist() == [0.0, 0.0]


def test_a_seed_repeats_the_interval():
    values = np.random.default_rng(2).normal(size=100)
    assert interval(values, seed=5).tolist() == interval(values, seed=5).tolist()
    assert interval(values, seed=5).tolist() != interval(values, seed=6).tolist()


@pytest.mark.parametrize(("size", "phi", "reference"), [(1250, 0.85, 32.84), (5000, 0.85, 62.45), (5000, 0.6, 33.56)])
def test_the_block_length_is_that_of_politis_and_white(size, phi, reference):
    # reference: arch 8.0, optimal_block_length(...)["circular"], on the same series
    noise = np.random.default_rng(7).standard_normal(size)
    values = noise.copy()
    for t in range(1, size):
        values[t] = phi * values[t - 1] + noise[t]
    assert block_length_of([Series.single(values)]) == pytest.approx(reference, rel=0.05)


def test_the_block_length_is_at_least_the_cube_root_and_the_horizon():
    folds = [Series.single(np.random.default_rng(0).normal(size=1000))]
    assert block_length_of(folds) == 10
    assert block_length_of(folds, at_least=24) == 24


def test_the_block_length_is_at_most_half_of_the_shortest_fold():
    folds = [Series.single(autoregressive(size, 0.95, 0)) for size in (30, 500)]
    assert block_length_of(folds) == 15
    assert block_length_of([Series.single(np.array([1.0, 2.0]))]) == 1


@pytest.mark.parametrize("length", [0, 10])
def test_an_impossible_block_length_is_refused(length):
    with pytest.raises(ConfigError, match=f"less than the 10 origins of the shortest fold, got {length}"):
        block_bootstrap([Series.single(np.zeros(10)), Series.single(np.zeros(20))], length)


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    random = np.random.default_rng(0)
    base = {fold: random.normal(0, 2, 300).tolist() for fold in (1, 2)}
    better = {0: {fold: (0.5 * np.array(errors)).tolist() for fold, errors in base.items()}}
    folder = write_run(tmp_path_factory.mktemp("runs"), networks=better, baselines={"persistence": base, "twin": base})
    return Comparison.of([CrossvalRun.load(folder)])


def test_the_difference_is_that_of_the_table(comparison):
    found = paired_difference(comparison, "lstm", "persistence")
    means = comparison.by_fold("mse_scaled").mean(axis=1)
    assert found.mean == pytest.approx(means["lstm"] - means["persistence"])
    assert found.low < found.mean < found.high < 0
    assert found.decided
    assert found.origins == 600
    absolute = paired_difference(comparison, "lstm", "persistence", "mae")
    means = comparison.by_fold("mae").mean(axis=1)
    assert absolute.mean == pytest.approx(means["lstm"] - means["persistence"])


def test_turning_the_pair_round_turns_the_difference_round(comparison):
    one = paired_difference(comparison, "lstm", "persistence")
    other = paired_difference(comparison, "persistence", "lstm")
    assert other.mean == pytest.approx(-one.mean)
    assert other.low == pytest.approx(-one.high, rel=0.05)
    assert one.sentence.startswith("lstm has the lower error than persistence, by ")
    assert other.sentence.startswith("lstm has the lower error than persistence, by ")


def test_equal_forecasts_are_said_to_be_equal(comparison):
    found = paired_difference(comparison, "persistence", "twin")
    assert (found.mean, found.low, found.high) == (0, 0, 0)
    assert not found.decided
    assert found.sentence == "persistence and twin have the same error on every row."


@pytest.mark.parametrize("level", [0, 1, -0.5])
def test_a_level_outside_0_to_1_is_refused(comparison, level):
    with pytest.raises(ConfigError, match="level must be between 0 and 1"):
        paired_difference(comparison, "lstm", "twin", level=level)


def test_the_sentence_says_what_the_interval_says():
    def sentence(mean, low, high, origins=1000):
        return Difference("a", "b", mean, low, high, 0.95, 10, origins, 10_000, 0).sentence

    assert sentence(-0.02, -0.03, -0.01) == (
        "a has the lower error than b, by 0.0200 (95% interval 0.0100 to 0.0300); the interval leaves out 0: on rows "
        "like these the difference is unlikely to be chance."
    )
    assert sentence(0.02, -0.01, 0.05) == (
        "b has the lower error than a, by 0.0200 (95% interval -0.0100 to 0.0500); the interval holds 0: these rows do "
        "not decide which of the two is better."
    )
    assert "only 99 origins, the interval itself is a rough guess" in sentence(0.02, 0.01, 0.05, origins=99)
