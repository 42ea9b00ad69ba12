from functools import partial

import numpy as np
import pytest
import torch

from forecastlab.backbones.gru import GRU
from forecastlab.backbones.lstm import LSTM
from forecastlab.hybrids.bidirectional import Bidirectional
from forecastlab.hybrids.temporal_fusion import TemporalFusion
from tests.hybrids.gated import gated_residual, gated_skip, variable_selection


def built(static=(), backbone=LSTM):
    model = TemporalFusion(5, partial(backbone, hidden_size=6), hidden_size=4, static=static).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("backbone", [LSTM, GRU])
@pytest.mark.parametrize("static", [(), (4,), (3, 1)])
def test_the_encoder_equals_its_transcription(static, backbone):
    model, x = built(static, backbone), torch.randn(2, 7, 5).double()
    varying = [place for place in range(5) if place not in static]
    start = selection = enrichment = None
    if static:
        chosen, shares = variable_selection(model.select_static, x[..., list(static)].numpy())
        selection, start, enrichment = (gated_residual(part, chosen) for part in model.contexts)
        np.testing.assert_allclose(model.trace(x)["static_selection"].detach().numpy(), shares, atol=1e-12)
    xi, weights = variable_selection(model.select, x[..., varying].numpy(), selection)
    read = xi if start is None else np.concatenate([xi, start], -1)
    phi = model.branches[0](torch.from_numpy(read))[0].detach().numpy()
    expected = gated_residual(model.enrich, gated_skip(model.locality, phi, xi), enrichment)
    np.testing.assert_allclose(model(x)[0].detach().numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(model.trace(x)["selection"].detach().numpy(), weights, atol=1e-12)


def test_without_its_gated_skip_or_the_static_start_it_is_another_network():
    model, x = built((4,)), torch.randn(2, 7, 5).double()
    y = model(x)[0]
    selected = model._selected(x)
    phi = model.branches[0](torch.cat([selected.values, selected.start], -1))[0]
    no_skip = model.enrich(model.locality(phi, torch.zeros_like(selected.values)), selected.enrichment)
    assert (y - no_skip).abs().max() > 1e-2
    phi = model.branches[0](torch.cat([selected.values, torch.zeros_like(selected.start)], -1))[0]
    assert (y - model.enrich(model.locality(phi, selected.values), selected.enrichment)).abs().max() > 1e-3


def test_a_static_input_changes_which_of_the_others_are_read():
    model, x = built((4,)), torch.randn(1, 3, 5).double()
    other = x.clone()
    other[..., 4] += 3
    one, two = (model.trace(given)["selection"] for given in (x, other))
    assert (one - two).abs().max() > 1e-2


def test_it_reads_ahead_only_if_its_backbone_does():
    assert TemporalFusion(3).causal
    assert not TemporalFusion(3, Bidirectional).causal


@pytest.mark.parametrize("static", [(5,), (1, 1), (0, 1, 2), (-1,)])
def test_positions_that_are_no_inputs_or_all_of_them_are_refused(static):
    with pytest.raises(ValueError, match="static must be different positions of 3 inputs, and not all of them"):
        TemporalFusion(3, static=static)
