"""Likelihoods beside the distributions of scipy and torch."""

import json
import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from scipy import integrate, special, stats

from forecastlab.losses import (
    Bernoulli,
    GaussianNLL,
    Likelihood,
    LogNormal,
    Loss,
    Mixture,
    NegativeBinomial,
    Poisson,
    StudentT,
    ZeroInflated,
)
from forecastlab.network.factory import build, describe, subclasses

LEVELS = (0.01, 0.1, 0.5, 0.75, 0.95)
SHAPE = (3, 2, 4, 2)
UNITS = torch.tensor(0.0), torch.tensor(1.0)

NORMAL, STUDENT = partial(GaussianNLL, LEVELS), partial(StudentT, LEVELS)
MADE = {
    "GaussianNLL": NORMAL,
    "StudentT": STUDENT,
    "LogNormal": partial(LogNormal, LEVELS),
    "Poisson": partial(Poisson, LEVELS),
    "NegativeBinomial": partial(NegativeBinomial, LEVELS),
    "ZeroInflated": partial(ZeroInflated, partial(NegativeBinomial, LEVELS)),
    "ZeroInflated(Poisson)": partial(ZeroInflated, partial(Poisson, LEVELS)),
    "Bernoulli": partial(Bernoulli, LEVELS),
    "Mixture": partial(Mixture, NORMAL),
    "Mixture(StudentT)": partial(Mixture, STUDENT, 2),
}
COUNTS = ("Poisson", "NegativeBinomial", "ZeroInflated", "ZeroInflated(Poisson)", "Bernoulli")
every = pytest.mark.parametrize("name", MADE)


def softplus(x):
    return np.logaddexp(0, x)


class OfParts:
    """A mixture of scipy's distributions; a point mass at 0 stands for extra zeros."""

    def __init__(self, weights, parts):
        self.weights, self.parts = weights, parts

    def sum(self, name, *arguments):
        return sum(w * getattr(part, name)(*arguments) for w, part in zip(self.weights, self.parts, strict=True))

    def logpdf(self, x):
        return special.logsumexp([part.logpdf(x) for part in self.parts], b=self.weights)

    def cdf(self, x):
        return self.sum("cdf", x)

    def mean(self):
        return self.sum("mean")


class Zero:
    logpdf = staticmethod(lambda x: 0.0 if x == 0 else -np.inf)
    cdf = staticmethod(lambda x: (np.asarray(x) >= 0) * 1.0)
    mean = staticmethod(lambda: 0.0)


class Mass:
    """A distribution of counts of scipy whose probabilities are called as densities are."""

    def __init__(self, of):
        self.logpdf, self.cdf, self.mean = of.logpmf, of.cdf, of.mean


def reference(name, x):
    """scipy's distribution of one forecast, from the decoder's outputs (outputs,), in the decoder's unit."""
    tiny = 1e-6
    match name:
        case "GaussianNLL":
            return stats.norm(x[0], 1e-3 + softplus(x[1]))
        case "StudentT":
            return stats.t(2.001 + softplus(x[2]), x[0], 1e-3 + softplus(x[1]))
        case "LogNormal":
            return stats.lognorm(1e-3 + softplus(x[1]), scale=np.exp(x[0]))
        case "Poisson":
            return Mass(stats.poisson(tiny + softplus(x[0])))
        case "NegativeBinomial":
            mean, alpha = tiny + softplus(x[0]), tiny + softplus(x[1])
            return Mass(stats.nbinom(1 / alpha, 1 / (1 + alpha * mean)))
        case "Bernoulli":
            return Mass(stats.bernoulli(1 / (1 + np.exp(-x[0]))))
    if name.startswith("ZeroInflated"):
        zero = 1 / (1 + np.exp(-x[0]))
        return OfParts([zero, 1 - zero], [Zero, reference("Poisson" if "(" in name else "NegativeBinomial", x[1:])])
    count, part, width = (2, "StudentT", 3) if "(" in name else (3, "GaussianNLL", 2)
    weights = np.exp(x[:count]) / np.exp(x[:count]).sum()
    parts = [reference(part, x[count + width * k : count + width * (k + 1)]) for k in range(count)]
    return OfParts(weights, parts)


def drawn(name):
    """A likelihood, its outputs, the forecasts and targets that it can take, in double precision."""
    likelihood = MADE[name]()
    outputs = 1.5 * torch.randn(*SHAPE, likelihood.outputs, dtype=torch.float64)
    target = torch.randn(SHAPE, dtype=torch.float64)
    if name == "LogNormal":
        target = target.exp()
    elif name == "Bernoulli":
        target = (target > 0).double()
    elif name in COUNTS:
        target = (2 * target).exp().floor()
    return likelihood, outputs, likelihood.double().parameters_of(outputs), target


def each(name, outputs):
    return [reference(name, row) for row in outputs.reshape(-1, outputs.shape[-1]).numpy()]


def test_every_likelihood_is_listed_here():
    ours = {cls for cls in subclasses(Likelihood).values() if cls.__module__.startswith("forecastlab.")}
    assert ours == {type(made()) for made in MADE.values()}


@every
def test_the_loss_is_minus_the_logarithm_of_scipys_probability(name):
    likelihood, outputs, raw, target = drawn(name)
    wanted = [-of.logpdf(y) for of, y in zip(each(name, outputs), target.flatten().numpy(), strict=True)]
    constant = math.log(2 * math.pi) / 2 if name == "GaussianNLL" else 0  # which its docstring leaves out
    found = likelihood.elementwise(raw, target, *UNITS).flatten()
    np.testing.assert_allclose(found, np.array(wanted) - constant, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(likelihood.log_prob(raw, target).flatten(), -np.array(wanted), rtol=1e-8, atol=1e-10)


@every
def test_the_distribution_of_torch_agrees_where_there_is_one(name):
    likelihood, _, raw, target = drawn(name)
    distribution = likelihood.distribution(raw)
    if name.startswith("ZeroInflated"):
        assert distribution is None
        return
    torch.testing.assert_close(distribution.log_prob(target), likelihood.log_prob(raw, target), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(distribution.mean, likelihood.point(raw), rtol=1e-9, atol=1e-9)


@every
def test_the_point_forecast_is_the_mean(name):
    likelihood, outputs, raw, _ = drawn(name)
    np.testing.assert_allclose(likelihood.point(raw).flatten(), [of.mean() for of in each(name, outputs)], rtol=1e-9)
    torch.testing.assert_close(likelihood.fed_back(outputs), likelihood.point(raw))


@every
def test_the_distribution_function_reaches_the_level_at_the_quantile_and_not_before(name):
    likelihood, outputs, raw, _ = drawn(name)
    quantiles = likelihood.quantiles(raw).reshape(-1, len(LEVELS)).numpy()
    for of, row in zip(each(name, outputs), quantiles, strict=True):
        if name in COUNTS:
            assert (of.cdf(row) >= np.array(LEVELS) - 1e-9).all()
            assert (of.cdf(row - 1) < LEVELS).all()
        else:
            np.testing.assert_allclose(of.cdf(row), LEVELS, rtol=1e-6)
    assert (np.diff(quantiles) >= 0).all()


@every
def test_draws_have_the_mean_and_the_share_below_each_quantile(name):
    likelihood = MADE[name]().double()
    outputs = torch.tensor([0.4, 0.3, 0.2, -0.8, 0.5, -0.3, 1.0, 0.1, 0.6], dtype=torch.float64)[: likelihood.outputs]
    of, raw = reference(name, outputs.numpy()), likelihood.parameters_of(outputs)
    draws = likelihood.sample(raw.expand(200_000, -1))
    for level in np.unique(likelihood.quantiles(raw).numpy()):
        assert float((draws <= level).double().mean()) == pytest.approx(float(of.cdf(level)), abs=0.005)
    heavy = {"StudentT": 0.03, "Mixture(StudentT)": 0.03}.get(name, 0.01)
    assert float(draws.mean()) == pytest.approx(float(of.mean()), abs=heavy * max(1, abs(of.mean())))


@pytest.mark.parametrize("name", ["GaussianNLL", "StudentT", "Mixture", "Mixture(StudentT)", "LogNormal"])
def test_a_forecast_times_a_unit_is_that_of_the_target_times_the_unit(name):
    likelihood, _, raw, target = drawn(name)
    unit = 0.1 + 3 * torch.rand(SHAPE[0], 1, 1, 2, dtype=torch.float64)
    scaled = likelihood.times(raw, unit)
    torch.testing.assert_close(
        likelihood.log_prob(scaled, target * unit), likelihood.log_prob(raw, target) - unit.log()
    )
    torch.testing.assert_close(likelihood.point(scaled), likelihood.point(raw) * unit)
    torch.testing.assert_close(
        likelihood.quantiles(scaled), likelihood.quantiles(raw) * unit[..., None], rtol=1e-5, atol=1e-6
    )


def test_the_unit_of_a_negative_binomial_multiplies_the_mean_and_divides_the_dispersion_by_its_root():
    raw = NegativeBinomial().times(torch.tensor([2.0, 0.5]), torch.tensor(9.0))
    assert raw.tolist() == pytest.approx([18, 0.5 / 3])
    assert ZeroInflated().times(torch.tensor([0.3, 2.0, 0.5]), torch.tensor(9.0)).tolist() == pytest.approx(
        [0.3, 18, 0.5 / 3]
    )
    assert Bernoulli().times(torch.tensor([0.3]), torch.tensor(9.0)).tolist() == pytest.approx([0.3])


@pytest.mark.parametrize("name", ["GaussianNLL", "StudentT", "Mixture", "Mixture(StudentT)"])
def test_a_change_moves_the_whole_distribution(name):
    likelihood, outputs, raw, target = drawn(name)
    change = torch.randn(SHAPE, dtype=torch.float64)
    moved = likelihood.parameters_of(likelihood.shifted(outputs, change))
    torch.testing.assert_close(likelihood.log_prob(moved, target + change), likelihood.log_prob(raw, target))


@every
def test_every_output_has_a_gradient(name):
    likelihood, outputs, _, target = drawn(name)
    outputs = (outputs / 5).requires_grad_()
    likelihood(likelihood.parameters_of(outputs), target, torch.ones(SHAPE), *UNITS).backward()
    assert (outputs.grad != 0).all()


@every
@pytest.mark.parametrize("size", [-1e4, -60.0, 60.0, 1e3])
def test_extreme_outputs_and_filled_targets_keep_loss_and_gradient_finite(name, size):
    likelihood = MADE[name]()
    outputs = torch.full((2, likelihood.outputs), size)
    if not likelihood.original_units or name == "LogNormal":
        outputs[:, 0] = 0.5
        outputs = outputs.clamp(max=100) if name == "LogNormal" else outputs
    outputs.requires_grad_()
    target, weight = torch.tensor([1.0, -5.0]), torch.tensor([1.0, 0.0])  # a filled value may lie outside
    loss = likelihood(likelihood.parameters_of(outputs), target, weight, *UNITS)
    loss.backward()
    assert loss.isfinite()
    assert outputs.grad.isfinite().all()


def integral(of, y, value, slope, inverse):
    """The score of a continuous distribution at y, as an integral over s with x = value(s)."""

    def squared(s):
        return slope(s) * (of.cdf(value(s)) if value(s) < y else of.sf(value(s))) ** 2

    tails = 10.0 ** -np.arange(1, 13)
    cuts = sorted([inverse(y), *(inverse(of.ppf(level)) for level in (*tails, 0.5, *(1 - tails)))])
    return sum(integrate.quad(squared, *pair, limit=200)[0] for pair in pairwise(cuts))


@pytest.mark.parametrize("name", ["StudentT", "LogNormal", "Poisson", "Bernoulli", "GaussianNLL"])
def test_the_ranked_probability_score_is_the_integral_that_defines_it(name):
    likelihood, outputs, raw, target = drawn(name)
    scores = likelihood.crps(raw, target).flatten()[:8].numpy()
    for of, y, score in zip(each(name, outputs), target.flatten().numpy(), scores, strict=False):
        if name in COUNTS:
            counts = np.arange(2000)
            wanted = ((of.cdf(counts) - (counts >= y)) ** 2).sum()
        else:
            wanted = integral(
                of, y, *((np.exp, np.exp, np.log) if name == "LogNormal" else (float, np.ones_like, float))
            )
        assert score == pytest.approx(wanted, rel=1e-4, abs=1e-6)


def test_no_score_is_given_where_there_is_no_closed_form():
    for name in ("NegativeBinomial", "ZeroInflated", "Mixture"):
        likelihood, _, raw, target = drawn(name)
        assert likelihood.crps(raw, target) is None


@every
def test_half_a_precision_becomes_single(name):
    likelihood = MADE[name]()
    raw = likelihood.parameters_of(torch.ones(2, likelihood.outputs, dtype=torch.bfloat16))
    assert raw.dtype == torch.float32


@pytest.mark.parametrize("cls", [Poisson, NegativeBinomial, StudentT, LogNormal, Bernoulli])
@pytest.mark.parametrize("levels", [[], [0.5, 0.1], [0.0, 0.5], [5, 50, 95]])
def test_levels_that_are_no_ascending_probabilities_are_refused(cls, levels):
    with pytest.raises(ValueError, match="between 0 and 1, each once and in ascending order"):
        cls(levels)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (partial(ZeroInflated, GaussianNLL), "distribution must be Poisson or NegativeBinomial, got GaussianNLL"),
        (partial(ZeroInflated, ZeroInflated), "distribution must be Poisson or NegativeBinomial, got ZeroInflated"),
        (partial(Mixture, Poisson), "distribution must be GaussianNLL or StudentT, got Poisson"),
        (partial(Mixture, components=1), "components must be 2 or more, got 1"),
        (partial(StudentT, min_scale=0), "min_scale must be a positive number, got 0"),
        (partial(LogNormal, min_scale=-1), "min_scale must be a positive number, got -1"),
    ],
)
def test_distributions_that_do_not_fit_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def model(loss: Callable[[], Loss] = GaussianNLL) -> Callable[[], Loss]:
    return loss


@pytest.mark.parametrize(
    ("arguments", "outputs", "levels"),
    [
        (["--loss=StudentT", "--loss.quantiles=[0.1, 0.9]"], 3, (0.1, 0.9)),
        (["--loss=ZeroInflated", "--loss.distribution=Poisson", "--loss.distribution.quantiles=[0.2]"], 2, (0.2,)),
        (["--loss=Mixture", "--loss.distribution=StudentT", "--loss.components=4"], 16, (0.05, 0.95)),
    ],
)
def test_the_command_line_builds_nested_likelihoods_and_a_checkpoint_builds_them_again(arguments, outputs, levels):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_function_arguments(model)
    described = describe(parser.instantiate(parser.parse_args(arguments)).loss)
    loss = build(json.loads(json.dumps(described)), Loss)
    assert (loss.outputs, loss.levels) == (outputs, levels)
