"""Naive2 against statsmodels: its autocorrelation and its classical decomposition."""

import numpy as np
import pytest
from statsmodels.tsa.seasonal import seasonal_decompose
from statsmodels.tsa.stattools import acf

from forecastlab.benchmarks.naive import is_seasonal, naive2, seasonal_indices


def wave(rows, season, size, seed=0):
    generator = np.random.default_rng(seed)
    phase = 2 * np.pi * np.arange(rows) / season
    return (100 + 0.2 * np.arange(rows)) * (1 + size * np.sin(phase)) * generator.uniform(0.97, 1.03, rows)


@pytest.mark.parametrize("season", [4, 7, 12, 24])
@pytest.mark.parametrize("rows", [100, 101, 131])
def test_indices_are_those_of_classical_decomposition(season, rows):
    past = wave(rows, season, 0.3)
    expected = seasonal_decompose(past, model="multiplicative", period=season).seasonal[:season]
    assert seasonal_indices(past, season) == pytest.approx(expected)


@pytest.mark.parametrize("size", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("seed", range(6))
def test_a_season_is_told_by_bartletts_limit(size, seed):
    past = wave(90, 12, size, seed)
    found = acf(past, nlags=12, fft=False)
    limit = 1.645 * np.sqrt((1 + 2 * (found[1:12] ** 2).sum()) / 90)
    assert is_seasonal(past, 12) == (abs(found[12]) > limit)


def test_the_forecast_of_a_seasonal_series_goes_on_with_its_season():
    past = 100 * (1 + 0.3 * np.sin(2 * np.pi * np.arange(60) / 12))
    following = 100 * (1 + 0.3 * np.sin(2 * np.pi * np.arange(60, 80) / 12))
    assert naive2(past, 12, 20) == pytest.approx(following)


@pytest.mark.parametrize("rows", [35, 200])
def test_without_a_season_the_last_value_is_repeated(rows):
    past = np.random.default_rng(3).uniform(1, 2, rows).cumsum() if rows == 35 else np.full(rows, 5.0)
    assert naive2(past, 12, 5).tolist() == [past[-1]] * 5
