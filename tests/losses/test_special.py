"""Distribution functions and quantiles beside those of scipy."""

import numpy as np
import pytest
import torch
from scipy import special, stats

from forecastlab.losses import NegativeBinomial, Poisson
from forecastlab.losses.special import betainc, student_t_cdf, student_t_quantile

LEVELS = torch.tensor([0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999], dtype=torch.float64)


@pytest.mark.parametrize(("least", "relative", "absolute"), [(-1, 1e-6, 1e-30), (-3, 0, 1e-5)])
def test_the_incomplete_beta_function_is_scipys_on_both_sides(least, relative, absolute):
    random = np.random.default_rng(0)
    a, b = 10 ** random.uniform(least, 6, (2, 20_000))
    width = np.minimum(np.sqrt((a + b) / (a * b)), 20)
    logit = np.log(a / b) + random.uniform(-8, 8, a.size) * width
    below, above = (part.numpy() for part in betainc(*map(torch.as_tensor, (a, b, logit))))
    swapped = logit > 0  # scipy is given the smaller of x and 1 - x, which has all its digits
    first, second, x = np.where(swapped, b, a), np.where(swapped, a, b), special.expit(-np.abs(logit))
    lower, upper = special.betainc(first, second, x), special.betaincc(first, second, x)
    wanted, rest = np.where(swapped, upper, lower), np.where(swapped, lower, upper)
    small, found = np.where(wanted < rest, (wanted, below), (rest, above))
    np.testing.assert_allclose(found, small, rtol=relative, atol=absolute)
    np.testing.assert_allclose(below + above, 1, rtol=1e-12)


def test_the_distribution_function_of_student_is_scipys():
    df, t = torch.meshgrid(10 ** torch.linspace(0, 6, 40).double(), torch.linspace(-40, 40, 81).double(), indexing="ij")
    wanted = stats.t.cdf(t.numpy(), df.numpy())
    np.testing.assert_allclose(student_t_cdf(df, t), wanted, rtol=3e-8, atol=1e-300)


def test_the_quantiles_of_student_are_scipys():
    df = torch.cat([torch.linspace(2, 10, 100), 10 ** torch.linspace(1, 6, 100)]).double()[:, None]
    levels = torch.cat([LEVELS, torch.tensor([1e-6, 0.49, 0.5, 1 - 1e-6], dtype=torch.float64)])
    wanted = stats.t.ppf(levels.numpy(), df.numpy())
    np.testing.assert_allclose(student_t_quantile(df, levels), wanted, rtol=1e-8, atol=0)


def test_the_quantiles_of_counts_are_scipys_at_every_size_and_dispersion():
    random = np.random.default_rng(0)
    mean, dispersion = 10 ** random.uniform(-2, 5, 2000), 10 ** random.uniform(-4, 1, 2000)
    raw = torch.as_tensor(np.stack([mean, dispersion], -1))
    size, chance = (part[:, None] for part in (1 / dispersion, 1 / (1 + dispersion * mean)))
    found = NegativeBinomial().quantiles_at(raw, LEVELS).numpy()
    # a count is the quantile if F reaches the level there and not before; the margin is what F is known to
    assert (stats.nbinom.cdf(found, size, chance) >= LEVELS.numpy() - 1e-7).all()
    assert (stats.nbinom.cdf(found - 1, size, chance) < LEVELS.numpy() + 1e-7).all()
    assert (found == stats.nbinom.ppf(LEVELS.numpy(), size, chance)).mean() > 0.999
    found = Poisson().quantiles_at(raw[:, :1], LEVELS).numpy()
    np.testing.assert_array_equal(found, stats.poisson.ppf(LEVELS.numpy(), mean[:, None]))


@pytest.mark.parametrize(("mean", "dispersion"), [(1e-6, 1e-6), (1e6, 1e-8), (1e6, 30.0), (3e-6, 1e3)])
def test_extreme_counts_have_finite_quantiles_in_order(mean, dispersion):
    found = NegativeBinomial().quantiles_at(torch.tensor([mean, dispersion], dtype=torch.float64), LEVELS)
    assert found.isfinite().all()
    assert (found.diff() >= 0).all()
    assert found.min() >= 0
