"""Quantiles of normal distributions and their scores in closed form."""

import numpy as np
import torch
from scipy.stats import norm


def normal_quantiles(mean, deviation, levels):
    return torch.as_tensor(norm.ppf(np.array(levels), mean[:, None], deviation))


def normal_crps(mean, deviation, truth):
    z = (truth - mean) / deviation
    return deviation * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
