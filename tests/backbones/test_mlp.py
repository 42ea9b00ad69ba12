import math

import numpy as np
import pytest
import torch
from torch import nn

from forecastlab.backbones.mlp import MLP
from tests.backbones.states import in_pieces

BATCH, TIME, WIDTH, WINDOW = 3, 9, 2, 4

# the thesis's eq. 2.2-2.7, one number at a time
EQUATIONS = {
    "step": lambda x: 1.0 if x >= 0 else 0.0,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": lambda x: (math.exp(x) - math.exp(-x)) / (math.exp(x) + math.exp(-x)),
    "relu": lambda x: max(0.0, x),
    "leaky_relu": lambda x: x if x > 0 else 0.01 * x,
    "elu": lambda x: x if x > 0 else math.exp(x) - 1,
    "identity": lambda x: x,  # not the thesis's
}


def windows(x):
    """The window of every position as one vector, oldest step first, written out with slices."""
    rows = []
    for t in range(x.shape[1]):
        steps = [x[:, i] if i >= 0 else np.zeros_like(x[:, 0]) for i in range(t - WINDOW + 1, t + 1)]
        rows.append(np.concatenate(steps, axis=1))
    return np.stack(rows, axis=1)


@pytest.mark.parametrize("activation", EQUATIONS)
def test_equals_the_equations_on_every_window(activation):
    net = MLP(WIDTH, 5, num_layers=2, window=WINDOW, activation=activation).double()
    x = torch.randn(BATCH, TIME, WIDTH, dtype=torch.float64)
    f = np.vectorize(EQUATIONS[activation])
    a = windows(x.numpy())
    for layer in net.layers:
        a = f(a @ layer.weight.detach().numpy().T + layer.bias.detach().numpy())
    np.testing.assert_allclose(net(x)[0].detach().numpy(), a, atol=1e-12)


def test_equals_torch_linear_layers_by_weight_copy():
    net = MLP(WIDTH, 5, num_layers=2, window=WINDOW, activation="leaky_relu")
    twin = nn.Sequential(nn.Linear(WINDOW * WIDTH, 5), nn.LeakyReLU(), nn.Linear(5, 5), nn.LeakyReLU())
    twin.load_state_dict({f"{2 * int(key[7])}{key[8:]}": value for key, value in net.state_dict().items()})
    x = torch.randn(BATCH, TIME, WIDTH)
    expected = twin(torch.from_numpy(windows(x.numpy())))
    torch.testing.assert_close(net(x)[0], expected)


def test_a_step_older_than_the_window_cannot_reach_the_output_and_the_oldest_in_it_can():
    net = MLP(WIDTH, 5, window=WINDOW, activation="tanh")
    x = torch.randn(BATCH, TIME, WIDTH)
    other = x.clone()
    other[:, 2] += 1
    changed = (net(x)[0] != net(other)[0]).any(2).any(0)
    assert changed.tolist() == [2 <= t < 2 + WINDOW for t in range(TIME)]


def test_the_identity_makes_it_a_linear_map_of_the_window():
    net = MLP(WIDTH, 5, num_layers=2, window=WINDOW, activation="identity").double()
    x, other = torch.randn(2, BATCH, TIME, WIDTH, dtype=torch.float64)
    outputs = [net(each)[0] for each in (x, other, 2 * x - 3 * other, 0 * x)]
    first, second, mixed, zero = (each.detach().numpy() for each in outputs)
    np.testing.assert_allclose(mixed - zero, 2 * (first - zero) - 3 * (second - zero), atol=1e-12)


def test_a_window_of_one_step_keeps_no_past():
    net = MLP(WIDTH, 5, window=1)
    x = torch.randn(BATCH, TIME, WIDTH)
    y, state = net(x)
    assert state.shape == (BATCH, 0, WIDTH)
    torch.testing.assert_close(y, net(x.flatten(0, 1).unsqueeze(1))[0].view_as(y))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_sequence_in_pieces_equals_the_whole_and_the_state_holds_the_last_inputs(dtype):
    net = MLP(WIDTH, 5, window=WINDOW, activation="elu").to(dtype)
    x = torch.randn(BATCH, TIME, WIDTH, dtype=dtype)
    whole, end = net(x)
    pieces, state = in_pieces(net, x, [1, 2, 5, 1], net.initial_state(BATCH))
    torch.testing.assert_close(pieces, whole)
    torch.testing.assert_close(state, end)
    torch.testing.assert_close(state, x[:, 1 - WINDOW :])


def test_the_step_function_gives_zeros_and_ones_and_passes_the_gradient_straight_through():
    net = MLP(1, 3, window=1, activation="step")
    with torch.no_grad():
        net.layers[0].weight.copy_(torch.tensor([[2.0], [-3.0], [0.0]]))
        net.layers[0].bias.zero_()
    x = torch.tensor([[[1.0]]], requires_grad=True)
    y, _ = net(x)
    y.sum().backward()
    assert y.flatten().tolist() == [1, 0, 1]  # 0 is on the upper side
    assert x.grad.item() == 2 - 3 + 0


def test_the_trace_gives_the_activations_of_every_layer():
    net = MLP(WIDTH, 5, num_layers=2, window=WINDOW)
    x = torch.randn(BATCH, TIME, WIDTH)
    signals = net.trace(x)
    assert set(signals) == {"output", "layers.0.hidden", "layers.1.hidden"}
    torch.testing.assert_close(signals["output"], net(x)[0])
    torch.testing.assert_close(net.layers[1](signals["layers.0.hidden"]).relu(), signals["layers.1.hidden"])


def test_dropout_acts_between_the_layers_in_training_only():
    net = MLP(WIDTH, 50, num_layers=2, window=WINDOW, activation="sigmoid", dropout=0.5)
    x = torch.randn(BATCH, TIME, WIDTH)
    assert not torch.equal(net(x)[0], net(x)[0])
    assert (net(x)[0] > 0).all()  # the output itself is never dropped
    single = MLP(WIDTH, 50, window=WINDOW, dropout=0.5)
    assert torch.equal(single(x)[0], single(x)[0])  # nor are the inputs
    assert torch.equal(net.eval()(x)[0], net(x)[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window": 0}, "window must be a positive integer"),
        ({"num_layers": 0}, "num_layers must be a positive integer"),
        ({"dropout": 1.0}, "dropout must be"),
        ({"activation": "swish"}, "activation must be one of step, sigmoid"),
    ],
)
def test_bad_arguments_are_refused_at_construction(arguments, message):
    with pytest.raises(ValueError, match=message):
        MLP(WIDTH, **arguments)
