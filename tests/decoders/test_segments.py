import numpy as np
import pytest
import torch
from torch import nn

from forecastlab.decoders import Segments

BATCH, TIME, WIDTH, HORIZON, TARGETS, OUTPUTS = 3, 7, 4, 5, 2, 6


@pytest.mark.parametrize("origins", [1, 3])
@pytest.mark.parametrize("known", [0, 3])
@pytest.mark.parametrize("length", [1, 2, 5, 8])
def test_each_segment_follows_from_the_encoding_at_its_origin_and_from_its_position(length, known, origins):
    decoder = Segments(WIDTH, HORIZON, TARGETS, known, OUTPUTS, length=length, hidden_size=3, position_size=2).double()
    encoded, covariates = torch.randn(BATCH, TIME, WIDTH).double(), torch.randn(BATCH, origins, HORIZON, known).double()
    y = decoder(encoded, covariates, torch.zeros(BATCH, origins, TARGETS)).detach().numpy()
    assert y.shape == (BATCH, origins, HORIZON, TARGETS, OUTPUTS)
    cell = nn.GRUCell(2, 3).double()
    cell.load_state_dict(decoder.cell.state_dict())
    length = min(length, HORIZON)
    for o in range(origins):
        start = torch.tanh(decoder.start(encoded[:, TIME - origins + o]))
        for k in range(-(-HORIZON // length)):
            z = cell(decoder.position[k].expand(BATCH, -1), start)
            own = np.zeros((BATCH, length, known))
            steps = range(k * length, min((k + 1) * length, HORIZON))
            own[:, : len(steps)] = covariates[:, o, list(steps)]
            read = torch.cat([z, torch.from_numpy(own.reshape(BATCH, length * known))], -1)
            expected = decoder.linear(read).detach().numpy().reshape(BATCH, length, TARGETS, OUTPUTS)
            np.testing.assert_allclose(y[:, o, list(steps)], expected[:, : len(steps)], atol=1e-12)


def test_no_segment_reads_another_and_none_reads_later_rows():
    decoder = Segments(WIDTH, 6, 1, 1, 1, length=2, hidden_size=3)
    encoded = torch.randn(BATCH, TIME, WIDTH, requires_grad=True)
    known = torch.randn(BATCH, 3, 6, 1, requires_grad=True)
    decoder(encoded, known, torch.zeros(BATCH, 3, 1))[1, 1, 2].sum().backward()
    assert (encoded.grad.abs().sum(-1) > 0).nonzero().tolist() == [[1, TIME - 2]]
    assert (known.grad.abs().sum(-1) > 0).nonzero().tolist() == [[1, 1, 2], [1, 1, 3]]


@pytest.mark.parametrize("arguments", [{"length": 0}, {"hidden_size": 0}, {"position_size": 0}, {"dropout": 1.0}])
def test_impossible_sizes_are_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        Segments(WIDTH, HORIZON, TARGETS, 0, OUTPUTS, **arguments)
