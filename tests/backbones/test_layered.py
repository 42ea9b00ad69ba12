import pytest
import torch
from torch import Tensor

from forecastlab.backbones.alstm import ALSTM
from forecastlab.backbones.layered import GatedLayer, Layer, Layered, dropout_mask


class Sum(Layer):
    """Adds up what it reads: running sums that are easy to follow."""

    parts = ("before",)

    def run(self, x, state, keep_parts=False):
        return self.scan(lambda x_t, total: (total + x_t, total + x_t, (total,)), x, state, keep_parts)

    def initial_state(self, batch_size):
        return torch.zeros(batch_size, 1)


class Gates(GatedLayer):
    gates = ("one", "two")
    parts = ()

    def run(self, x, state, keep_parts=False):
        recur = self.recurrence(self.mask(state))
        half = self.hidden_size
        return self.scan(lambda x_t, h: (*[(x_t + recur(h))[:, :half]] * 2, ()), self.project(x), state, keep_parts)

    def initial_state(self, batch_size):
        return self.bias.new_zeros(batch_size, self.hidden_size)


def column(*values):
    return torch.tensor(values).view(1, -1, 1)


def test_each_layer_reads_the_one_below():
    model = Layered(1, [Sum(), Sum()], 1)
    y, state = model(column(1.0, 1.0, 1.0))
    assert y.flatten().tolist() == [1.0, 3.0, 6.0]
    assert [part.item() for part in state] == [3.0, 6.0]
    assert model(column(1.0), state)[0].item() == 10.0


def test_trace_names_signals_by_layer():
    signals = Layered(1, [Sum(), Sum()], 1).trace(column(1.0, 1.0, 1.0))
    assert {name: signal.flatten().tolist() for name, signal in signals.items()} == {
        "layers.0.before": [0.0, 1.0, 2.0],
        "layers.1.before": [0.0, 1.0, 3.0],
        "output": [1.0, 3.0, 6.0],
    }


def test_dropout_acts_between_layers_only():
    torch.manual_seed(0)
    x = torch.ones(1, 400, 1)
    below = torch.arange(1.0, 401)
    one = Layered(1, [Sum()], 1, dropout=0.5)
    assert torch.equal(one(x)[0].flatten(), below)
    two = Layered(1, [Sum(), Sum()], 1, dropout=0.5)
    read = two(x)[0].flatten().diff(prepend=torch.zeros(1))
    kept = read > 0
    assert 140 < kept.sum() < 260
    torch.testing.assert_close(read[kept], 2 * below[kept], rtol=0, atol=0.1)


def test_dropout_mask_keeps_the_mean_and_is_none_where_nothing_is_dropped():
    torch.manual_seed(0)
    like = torch.randn(200, 50, dtype=torch.float64)
    mask = dropout_mask(like, 0.2, training=True)
    assert isinstance(mask, Tensor)
    assert mask.dtype == like.dtype
    assert set(mask.unique().tolist()) == {0.0, 1.25}
    assert mask.mean().item() == pytest.approx(1.0, abs=0.02)
    assert dropout_mask(like, 0.2, training=False) is None
    assert dropout_mask(like, 0.0, training=True) is None


def test_gated_layer_computes_all_gates_from_its_three_parameters():
    torch.manual_seed(0)
    layer = Gates(3, 2)
    x, h = torch.randn(4, 5, 3), torch.randn(4, 2)
    torch.testing.assert_close(layer.project(x), x @ layer.weight_ih.T + layer.bias)
    torch.testing.assert_close(layer.recurrence(None)(h), h @ layer.weight_hh.T)
    two = layer.gate("two")
    assert torch.equal(two.weight_ih, layer.weight_ih[2:])
    assert torch.equal(two.weight_hh, layer.weight_hh[2:])
    assert torch.equal(two.bias, layer.bias[2:])


def test_recurrence_hides_the_same_units_until_another_mask_is_drawn():
    torch.manual_seed(0)
    layer = Gates(3, 50, recurrent_dropout=0.5)
    h = torch.ones(4, 50)
    recur = layer.recurrence(layer.mask(h))
    assert torch.equal(recur(h), recur(h))
    assert not torch.equal(recur(h), layer.recurrence(layer.mask(h))(h))
    layer.eval()
    assert layer.mask(h) is None


def test_gate_of_a_backbone_is_its_layers():
    model = Layered(3, [Gates(3, 2), Gates(2, 2)], 2)
    with torch.no_grad():
        model.gate(1, "one").bias.fill_(9.0)
    assert model.layers[1].bias.tolist()[:2] == [9.0, 9.0]
    with pytest.raises(ValueError, match="unknown gate 'three'; Gates has one, two"):
        model.gate(0, "three")
    with pytest.raises(ValueError, match="the layers of ALSTM have no gates"):
        ALSTM(3).gate(0, "one")


def test_bad_arguments_raise():
    with pytest.raises(ValueError, match="num_layers must be a positive integer, got 0"):
        Layered(1, [], 1)
    with pytest.raises(ValueError, match="dropout must be at least 0 and below 1, got 1"):
        Layered(1, [Sum()], 1, dropout=1.0)
    with pytest.raises(ValueError, match="recurrent_dropout must be"):
        Gates(1, 1, recurrent_dropout=2.0)
