import numpy as np
import pytest
import torch
from sklearn.metrics import mean_absolute_error, mean_squared_error

from forecastlab.factory import subclasses
from forecastlab.losses import MAE, MSE, Loss

SHAPE = (5, 4, 3, 2)
REFERENCES = {MSE: mean_squared_error, MAE: mean_absolute_error}


def drawn():
    """Raw outputs, targets and weights of 0 and 1."""
    torch.manual_seed(0)
    return torch.randn(*SHAPE, 1), torch.randn(SHAPE), (torch.rand(SHAPE) > 0.4).float()


@pytest.mark.parametrize("loss", REFERENCES)
def test_a_loss_equals_scikit_learns_over_the_values_that_count(loss):
    raw, target, weight = drawn()
    counts = weight.numpy() > 0
    expected = REFERENCES[loss](target.numpy()[counts], raw[..., 0].numpy()[counts])
    np.testing.assert_allclose(loss()(raw, target, weight).item(), expected, rtol=1e-6)


@pytest.mark.parametrize("loss", REFERENCES)
def test_fractional_weights_are_those_of_a_weighted_mean(loss):
    raw, target, weight = drawn()
    weight = weight * torch.rand(SHAPE)
    expected = REFERENCES[loss](target.flatten(), raw.flatten(), sample_weight=weight.flatten())
    np.testing.assert_allclose(loss()(raw, target, weight).item(), expected, rtol=1e-6)


@pytest.mark.parametrize("loss", REFERENCES)
def test_a_value_without_weight_has_no_gradient(loss):
    raw, target, weight = drawn()
    raw.requires_grad_()
    loss()(raw, target, weight).backward()
    assert torch.equal(raw.grad[..., 0] != 0, weight > 0)


@pytest.mark.parametrize("loss", REFERENCES)
def test_the_loss_of_each_value_has_the_shape_of_the_target(loss):
    raw, target, _ = drawn()
    values = loss().elementwise(raw, target)
    assert values.shape == SHAPE
    index = (4, 1, 2, 0)
    difference = raw[index].item() - target[index].item()
    assert values[index].item() == pytest.approx(difference**2 if loss is MSE else abs(difference))


@pytest.mark.parametrize("loss", REFERENCES)
def test_the_point_forecast_is_the_raw_output(loss):
    raw, _, _ = drawn()
    assert torch.equal(loss().point(raw), raw[..., 0])
    assert loss.outputs == 1


def test_the_best_constant_is_the_mean_for_mse_and_the_median_for_mae():
    target = torch.tensor([0.0, 1.0, 2.0, 3.0, 100.0]).view(1, 5, 1, 1)
    for loss, best in ((MSE, 21.2), (MAE, 2.0)):
        candidates = torch.arange(0, 30, 0.1)
        values = [loss()(c.expand(1, 5, 1, 1, 1), target, torch.ones_like(target)).item() for c in candidates]
        assert candidates[int(np.argmin(values))].item() == pytest.approx(best, abs=0.06)


def test_every_loss_has_a_reference_here():
    assert {cls for cls in subclasses(Loss).values() if cls.__module__ == "forecastlab.losses"} == set(REFERENCES)
