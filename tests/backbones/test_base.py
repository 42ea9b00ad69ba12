import pytest
import torch

from forecastlab.backbones.base import Backbone, require_positive, require_probability


class Doubled(Backbone):
    """The least a backbone can be: no parameters, no memory."""

    source = "this test"

    def forward(self, x, state=None):
        if state is not None:
            self.require_causal()
        self.require_sequence(x)
        return 2 * x, ()

    def initial_state(self, batch_size):
        return ()


def test_step_is_a_sequence_of_one():
    y, state = Doubled(3, 3).step(torch.tensor([[1.0, 2.0, 3.0]]), ())
    assert y.tolist() == [[2.0, 4.0, 6.0]]
    assert state == ()


def test_trace_gives_the_output_unless_a_class_knows_more():
    x = torch.randn(2, 4, 3)
    signals = Doubled(3, 3).trace(x)
    assert list(signals) == ["output"]
    assert torch.equal(signals["output"], 2 * x)


def test_backbone_that_is_not_causal_refuses_steps_and_states():
    model = Doubled(3, 3, causal=False)
    with pytest.raises(RuntimeError, match=r"Doubled is not causal.* Use it with an integer lookback"):
        model.step(torch.zeros(1, 3), ())
    with pytest.raises(RuntimeError, match="Doubled is not causal"):
        model(torch.zeros(1, 2, 3), torch.zeros(1, 1))


@pytest.mark.parametrize("shape", [(4, 3), (2, 4, 2), (2, 4, 3, 1)])
def test_input_of_another_shape_raises_with_both_shapes(shape):
    with pytest.raises(ValueError, match=r"Doubled expects an input of shape \(batch, time, 3\), got \(\d, "):
        Doubled(3, 3)(torch.zeros(shape))


def test_new_zeros_follow_the_parameters():
    model = Doubled(3, 3)
    assert model.new_zeros(2).dtype == torch.float32
    model.weight = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    assert model.new_zeros(2, 1).dtype == torch.float64
    assert model.new_zeros(2, 1).tolist() == [[0.0], [0.0]]


@pytest.mark.parametrize("size", [0, -1, 1.0, True, None, "3"])
def test_size_that_is_not_a_positive_integer_raises(size):
    with pytest.raises(ValueError, match=f"hidden_size must be a positive integer, got {size!r}"):
        require_positive(input_size=1, hidden_size=size)


@pytest.mark.parametrize("probability", [-0.1, 1.0, float("nan")])
def test_probability_outside_its_range_raises(probability):
    with pytest.raises(ValueError, match=f"dropout must be at least 0 and below 1, got {probability}"):
        require_probability(dropout=probability)
    require_probability(dropout=0.0, recurrent_dropout=0.999)
