"""Naive2: the reference of the M4 competition."""

import numpy as np

from forecastlab.benchmarks.series import Floats

_CRITICAL = 1.645
"""The 95 % quantile of a normal distribution, as the organisers rounded it."""


def naive2(past: Floats, season: int, horizon: int) -> Floats:
    """The last value of the seasonally adjusted series, times the seasonal indices, (horizon,).

    The series is adjusted by classical multiplicative decomposition if its autocorrelation at the season is
    significant (Makridakis, Spiliotis and Assimakopoulos 2020, "The M4 Competition").

    Args:
        past: (rows,)
        season: rows of it.
        horizon: steps.
    """
    if season == 1 or not is_seasonal(past, season):
        return np.repeat(past[-1], horizon)
    indices = seasonal_indices(past, season)
    phase = np.arange(len(past), len(past) + horizon) % season
    return np.asarray(past[-1] / indices[(len(past) - 1) % season] * indices[phase])


def is_seasonal(past: Floats, season: int) -> bool:
    """Whether the autocorrelation at a season exceeds Bartlett's limit of 90 %; it needs three seasons.

    Args:
        past: (rows,)
        season: rows of it.
    """
    rows = len(past)
    if rows < 3 * season:
        return False
    deviation = past - past.mean()
    variance = deviation @ deviation
    if variance == 0:
        return False
    correlations = np.array([deviation[lag:] @ deviation[: rows - lag] for lag in range(1, season + 1)]) / variance
    limit = _CRITICAL * np.sqrt((1 + 2 * (correlations[:-1] ** 2).sum()) / rows)
    return bool(abs(correlations[-1]) > limit)


def seasonal_indices(past: Floats, season: int) -> Floats:
    """The multiplicative indices of a season, (season,), from its first row on; their mean is 1.

    Args:
        past: (rows,), at least two seasons.
        season: rows of it.
    """
    weights = np.ones(season) if season % 2 else np.concatenate([[0.5], np.ones(season - 1), [0.5]])
    trend = np.convolve(past, weights / season, mode="valid")
    before = len(weights) // 2
    ratio = np.full(-(-len(past) // season) * season, np.nan)
    ratio[before : before + len(trend)] = past[before : before + len(trend)] / trend
    indices = np.nanmean(ratio.reshape(-1, season), 0)
    return np.asarray(indices / indices.mean())
