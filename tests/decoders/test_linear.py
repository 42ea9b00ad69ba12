import numpy as np
import pytest
import torch
from torch import nn

from forecastlab.decoders import Linear

BATCH, TIME, WIDTH, HORIZON, TARGETS, KNOWN, OUTPUTS = 3, 7, 4, 5, 2, 3, 6


def inputs(origins, known=KNOWN):
    """Encoding, known covariates and last values."""
    return torch.randn(BATCH, TIME, WIDTH), torch.randn(BATCH, origins, HORIZON, known), torch.randn(BATCH, origins, 2)


@pytest.mark.parametrize("origins", [1, 3, TIME])
@pytest.mark.parametrize("known", [0, KNOWN])
def test_every_value_is_a_linear_map_of_the_encoding_at_its_origin_and_of_all_known_covariates(origins, known):
    decoder = Linear(WIDTH, HORIZON, TARGETS, known, OUTPUTS)
    encoded, covariates, last = inputs(origins, known)
    y = decoder(encoded, covariates, last)
    assert y.shape == (BATCH, origins, HORIZON, TARGETS, OUTPUTS)
    weight = decoder.linear.weight.detach().numpy().reshape(HORIZON, TARGETS, OUTPUTS, WIDTH + HORIZON * known)
    bias = decoder.linear.bias.detach().numpy().reshape(HORIZON, TARGETS, OUTPUTS)
    for b in range(BATCH):
        for o in range(origins):
            read = np.concatenate([encoded[b, TIME - origins + o], covariates[b, o].flatten()])
            np.testing.assert_allclose(y[b, o].detach().numpy(), weight @ read + bias, atol=1e-5)


def test_an_origin_reads_no_later_step_and_no_other_row():
    decoder = Linear(WIDTH, HORIZON, TARGETS, KNOWN, OUTPUTS)
    encoded, covariates, last = inputs(TIME)
    encoded.requires_grad_()
    decoder(encoded, covariates, last)[1, 3].sum().backward()
    reached = encoded.grad.abs().sum(-1) > 0
    assert reached.nonzero().tolist() == [[1, 3]]


def test_neither_the_last_value_nor_the_truth_is_read():
    decoder = Linear(WIDTH, HORIZON, TARGETS, KNOWN, OUTPUTS)
    encoded, covariates, last = inputs(2)
    nothing = torch.full((BATCH, 2, HORIZON, TARGETS), torch.nan)
    expected = decoder(encoded, covariates, last)
    assert torch.equal(decoder(encoded, covariates, last * torch.nan, nothing), expected)


def test_without_known_covariates_it_is_one_torch_layer():
    decoder = Linear(WIDTH, HORIZON, TARGETS, 0, 1)
    assert [tuple(p.shape) for p in decoder.parameters()] == [(HORIZON * TARGETS, WIDTH), (HORIZON * TARGETS,)]
    assert isinstance(decoder.linear, nn.Linear)
