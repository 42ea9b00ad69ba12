"""Scores of draws beside their definitions."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from forecastlab.losses.samples import crps_of_samples, energy_score
from forecastlab.metrics import CRPS, EnergyScore


def drawn(number=7, size=30, width=3):
    random = np.random.default_rng(0)
    return random.normal(2, 3, (size, number, width)), random.normal(2, 3, (size, width))


def test_the_score_of_draws_is_the_integral_that_defines_it():
    samples, target = (part[..., 0] for part in drawn())
    for x, y, found in zip(samples, target, crps_of_samples(*map(torch.as_tensor, (samples, target))), strict=True):
        cuts = np.sort(np.append(x, y))  # the distribution of the draws is constant between two of them
        middle = (cuts[1:] + cuts[:-1]) / 2
        squared = ((x[:, None] <= middle).mean(0) - (middle >= y)) ** 2
        assert found.item() == pytest.approx((squared * np.diff(cuts)).sum())


def test_the_energy_score_is_the_mean_distance_from_the_truth_less_half_of_that_of_two_draws():
    samples, target = drawn()
    first = np.sqrt(((samples - target[:, None]) ** 2).sum(-1)).mean(1)
    pairs = np.sqrt(((samples[:, :, None] - samples[:, None]) ** 2).sum(-1)).mean((1, 2))
    np.testing.assert_allclose(energy_score(*map(torch.as_tensor, (samples, target))), first - pairs / 2)


def test_the_energy_score_of_numbers_is_their_crps():
    samples, target = (torch.as_tensor(part[..., :1]) for part in drawn())
    torch.testing.assert_close(energy_score(samples, target), crps_of_samples(samples[..., 0], target[..., 0]))


def test_many_draws_have_the_score_of_their_distribution():
    quantiles = torch.as_tensor(norm.ppf((np.arange(20_000) + 0.5) / 20_000))
    y = torch.tensor([-2.0, 0.3]).double()
    z = y.numpy()
    wanted = z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi)  # Gneiting and Raftery 2007
    np.testing.assert_allclose(crps_of_samples(quantiles.expand(2, -1), y), wanted, rtol=1e-3)


def test_one_draw_is_a_point_forecast():
    samples, target = (torch.as_tensor(part) for part in drawn(number=1))
    torch.testing.assert_close(crps_of_samples(samples[..., 0], target[..., 0]), (samples[:, 0] - target)[:, 0].abs())
    torch.testing.assert_close(energy_score(samples, target), (samples[:, 0] - target).norm(dim=-1))


def test_the_energy_score_sees_a_wrong_dependence_which_the_crps_does_not():
    random = np.random.default_rng(0)
    paths = np.cumsum(random.normal(size=(400, 200, 6)), -1)
    truth = torch.as_tensor(np.cumsum(random.normal(size=(400, 6)), -1))
    mixed = np.stack([random.permuted(paths[..., step], axis=1) for step in range(6)], -1)
    together, apart = torch.as_tensor(paths), torch.as_tensor(mixed)
    torch.testing.assert_close(crps_of_samples(together.mT, truth), crps_of_samples(apart.mT, truth))
    assert energy_score(together, truth).mean() < energy_score(apart, truth).mean()


def test_the_metrics_are_means():
    samples, target = (torch.as_tensor(part) for part in drawn())
    for metric, values, arguments in (
        (CRPS(), crps_of_samples(samples[..., 0], target[..., 0]), (samples[..., 0], target[..., 0])),
        (EnergyScore(), energy_score(samples, target), (samples, target)),
    ):
        metric.update(*(part[:10] for part in arguments))
        metric.update(*(part[10:] for part in arguments))
        assert metric.compute().item() == pytest.approx(values.mean().item())
