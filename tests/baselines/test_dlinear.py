import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge as Reference

from forecastlab.baselines import DLinear
from forecastlab.errors import ConfigError
from tests.series import Series, noise


def module(raw, **arguments):
    settings = {"splits": 2, "fold": 2, "test_size": 20, "horizon": 3, "lookback": 9, **arguments}
    return Series(raw, features=["y"], **settings)


def decomposed(history, kernel):
    """The authors' series decomposition: ends repeated, then torch's average pooling."""
    half = (kernel - 1) // 2
    x = torch.as_tensor(history)[:, None]
    padded = torch.cat([x[..., :1].repeat(1, 1, half), x, x[..., -1:].repeat(1, 1, half)], -1)
    trend = torch.nn.functional.avg_pool1d(padded, kernel, 1)[:, 0].numpy()
    return np.concatenate([trend, history - trend], axis=1)


@pytest.mark.parametrize("kernel", [1, 3, 25])
def test_the_maps_are_scikit_learns_ridge_on_the_authors_decomposition(kernel):
    raw = noise(100)
    baseline, data = DLinear(kernel_size=kernel, alphas=[0.5]), module(raw)
    baseline.fit(data)
    y = raw["y"].to_numpy()
    center, unit = y[:80].mean(), y[:80].std()
    scaled = (y - center) / unit
    history = np.array([scaled[t - 8 : t + 1] for t in range(8, 77)])
    target = np.array([scaled[t + 1 : t + 4] for t in range(8, 77)])
    reference = Reference(alpha=0.5).fit(decomposed(history, kernel), target)
    origins = range(79, 96)
    expected = reference.predict(decomposed(np.array([scaled[t - 8 : t + 1] for t in origins]), kernel))
    np.testing.assert_allclose(baseline.forecast(data, origins)[..., 0], expected * unit + center, rtol=1e-9)


def test_the_decomposition_changes_the_forecast():
    data = module(noise(100))
    forecasts = []
    for kernel in (1, 5):
        baseline = DLinear(kernel_size=kernel, alphas=[100.0])
        baseline.fit(data)
        forecasts.append(baseline.forecast(data, range(79, 96)))
    assert not np.allclose(*forecasts, rtol=1e-3)


@pytest.mark.parametrize("kernel", [0, 4])
def test_an_average_without_a_middle_is_refused(kernel):
    with pytest.raises(ConfigError, match=f"kernel_size must be a positive odd number of rows, got {kernel}"):
        DLinear(kernel_size=kernel)
