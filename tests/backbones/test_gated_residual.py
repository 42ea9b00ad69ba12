import numpy as np
import pytest
import torch

from forecastlab.backbones.gated_residual import GatedResidual, VariableSelection
from tests.hybrids.gated import gated_residual, layer_norm, linear, sigmoid, variable_selection


@pytest.fixture(autouse=True)
def _double():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def moved(part):
    """Weights away from their start, where LayerNorm has ones and zeros."""
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return part


@pytest.mark.parametrize(("outputs", "context"), [(4, 0), (4, 3), (5, 3)])
def test_a_gated_residual_network_equals_its_transcription(outputs, context):
    part = moved(GatedResidual(4, 6, outputs, context))
    a, c = torch.randn(2, 7, 4), torch.randn(2, 7, 3) if context else None
    expected = gated_residual(part, a.numpy(), None if c is None else c.numpy())
    np.testing.assert_allclose(part(a, c).detach().numpy(), expected, atol=1e-12)


def test_a_gate_without_elu_or_with_the_skip_after_layer_norm_is_another_network():
    part, a = moved(GatedResidual(4, 6, 4)), torch.randn(5, 4)
    y = part(a).detach().numpy()
    halves = np.split(linear(part.gate.linear, linear(part.hidden, linear(part.input, a.numpy()))), 2, -1)
    without_elu = layer_norm(part.gate.norm, a.numpy() + halves[0] * sigmoid(halves[1]))
    assert np.abs(y - without_elu).max() > 1e-2
    outside = gated_residual(part, a.numpy()) - a.numpy()
    assert np.abs(y - (layer_norm(part.gate.norm, outside) + a.numpy())).max() > 1e-2


def test_a_closed_gate_leaves_the_skip_connection_alone():
    part, a = GatedResidual(4, 6, 4), torch.randn(5, 4)
    with torch.no_grad():
        part.gate.linear.weight.zero_()
        part.gate.linear.bias.copy_(torch.cat([torch.ones(4), torch.full((4,), -1e3)]))
    torch.testing.assert_close(part(a), torch.nn.functional.layer_norm(a, (4,)))


@pytest.mark.parametrize("context", [0, 3])
@pytest.mark.parametrize("variables", [1, 2, 5])
def test_a_selection_equals_its_transcription(variables, context):
    part = moved(VariableSelection(variables, 4, context))
    x, c = torch.randn(2, 7, variables), torch.randn(2, 7, 3) if context else None
    selected, weights = part(x, c)
    expected, shares = variable_selection(part, x.numpy(), None if c is None else c.numpy())
    np.testing.assert_allclose(selected.detach().numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(weights.detach().numpy(), shares, atol=1e-12)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 7))


def test_two_variables_can_have_any_weights():
    part = moved(VariableSelection(2, 4))
    _, weights = part(torch.randn(200, 2))
    assert weights[:, 0].unique().numel() > 100  # LayerNorm of two scores would leave two values


def test_variables_do_not_share_weights():
    part, x = VariableSelection(2, 4), torch.randn(1, 2)
    swapped = part(x.flip(-1))[0]
    assert not torch.allclose(part(x)[0], swapped, atol=1e-3)
