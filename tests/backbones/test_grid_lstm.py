import numpy as np
import pytest
import torch
from scipy.special import expit as sigmoid
from torch import nn

from forecastlab.backbones import grid_lstm
from forecastlab.backbones.grid_lstm import GridLSTM
from tests.backbones.states import in_pieces, unrolled

BATCH, TIME, WIDTH, HIDDEN = 3, 6, 2, 4


def build(**arguments):
    return GridLSTM(WIDTH, HIDDEN, **arguments).double()


def inputs(time=TIME):
    return torch.randn(BATCH, time, WIDTH, dtype=torch.float64)


def lstm(gates, m, squash_gated):
    i, f, g, o = np.split(gates, 4, axis=-1)
    m = sigmoid(f) * m + sigmoid(i) * np.tanh(g)
    return (np.tanh(sigmoid(o) * m) if squash_gated else sigmoid(o) * np.tanh(m)), m


def numpy_grid(net, x, num_layers, priority=False, squash_gated=False, mask=1.0):
    """The blocks one by one, all layers of a step before the next step, with one matrix over H = [h_depth ; h_time]."""
    blocks = []
    for layer in net.layers:
        p = {name: value.detach().numpy() for name, value in layer.named_parameters()}
        both = np.concatenate([p["weight_ih"], p["weight_hh"]], axis=1)
        blocks.append([(both[rows], p["bias"][rows]) for rows in (slice(0, 4 * HIDDEN), slice(4 * HIDDEN, None))])
    blocks = blocks * num_layers if len(blocks) < num_layers else blocks
    w_in, b_in = (value.detach().numpy() for value in net.projection.parameters())
    zeros = np.zeros((x.shape[0], HIDDEN))
    h_time, m_time = [zeros] * num_layers, [zeros] * num_layers
    outputs = []
    for t in range(x.shape[1]):
        h_depth, m_depth = np.split(x[:, t].numpy() @ w_in.T + b_in, 2, axis=1)
        for layer, ((w_time, b_time), (w_depth, b_depth)) in enumerate(blocks):
            H = np.concatenate([h_depth, h_time[layer] * mask], axis=1)
            h_time[layer], m_time[layer] = lstm(H @ w_time.T + b_time, m_time[layer], squash_gated)
            if priority:
                H = np.concatenate([h_depth, h_time[layer] * mask], axis=1)
            h_depth, m_depth = lstm(H @ w_depth.T + b_depth, m_depth, squash_gated)
        outputs.append(h_depth)
    return np.stack(outputs, 1)


@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("tie_weights", [False, True])
@pytest.mark.parametrize("priority", [False, True])
@pytest.mark.parametrize("squash_gated", [False, True])
def test_equals_the_equations_block_by_block(num_layers, tie_weights, priority, squash_gated):
    net = build(num_layers=num_layers, tie_weights=tie_weights, priority=priority, squash_gated=squash_gated)
    x = inputs()
    expected = numpy_grid(net, x, num_layers, priority, squash_gated)
    np.testing.assert_allclose(net(x)[0].detach().numpy(), expected, atol=1e-12)


def test_with_priority_depth_reads_the_new_hidden_state_of_time_and_without_it_the_old_one():
    with_priority, without = build(priority=True), build(priority=False)
    without.load_state_dict(with_priority.state_dict())
    x = inputs(1)
    first = with_priority(x)[0].detach().numpy()
    np.testing.assert_allclose(first, numpy_grid(with_priority, x, 2, priority=True), atol=1e-12)
    assert np.abs(first - without(x)[0].detach().numpy()).max() > 1e-3  # already at the first step


def test_the_time_dimension_of_the_lowest_layer_is_torchs_lstm_over_the_projected_input():
    net = build(num_layers=1)
    layer = net.layers[0]
    twin = nn.LSTM(HIDDEN, HIDDEN, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        twin.weight_ih_l0.copy_(layer.weight_ih[: 4 * HIDDEN])
        twin.weight_hh_l0.copy_(layer.weight_hh[: 4 * HIDDEN])
        twin.bias_ih_l0.copy_(layer.bias[: 4 * HIDDEN])
        twin.bias_hh_l0.zero_()
    x = inputs()
    h, (h_last, m_last) = twin(net.projection(x)[..., :HIDDEN])
    torch.testing.assert_close(net.trace(x)["layers.0.time_hidden"], h)
    torch.testing.assert_close(net(x)[1], ((h_last[0], m_last[0]),))


def test_the_memory_goes_up_through_the_layers():
    net = build(num_layers=2)
    signals = net.trace(inputs())
    lower, upper = signals["layers.0.depth_cell"], signals["layers.1.depth_cell"]
    i, f, g = (signals[f"layers.1.depth_{name}"] for name in ("input_gate", "forget_gate", "candidate"))
    torch.testing.assert_close(upper, f * lower + i * g)


def test_tied_weights_are_held_once_and_used_in_every_layer():
    tied, untied = build(num_layers=3, tie_weights=True), build(num_layers=3)
    assert sum(name.endswith("weight_hh") for name in tied.state_dict()) == 1
    assert len(tied(inputs())[1]) == 3
    with torch.no_grad():
        untied.projection.load_state_dict(tied.projection.state_dict())
        for layer in untied.layers:
            layer.load_state_dict(tied.layers[0].state_dict())
    x = inputs()
    torch.testing.assert_close(tied(x), untied(x))


@pytest.mark.parametrize("priority", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_sequence_in_pieces_and_step_by_step_equals_the_whole(priority, dtype):
    net, x = build(num_layers=2, priority=priority).to(dtype), inputs().to(dtype)
    whole, end = net(x)
    pieces, state = in_pieces(net, x, [1, 3, 2], net.initial_state(BATCH))
    torch.testing.assert_close(pieces, whole)
    torch.testing.assert_close(state, end)
    steps, state = unrolled(net, x, net.initial_state(BATCH))
    torch.testing.assert_close(steps, whole)
    torch.testing.assert_close(state, end)


@pytest.mark.parametrize("priority", [False, True])
def test_recurrent_dropout_hides_the_same_units_at_every_step_and_only_in_training(priority, monkeypatch):
    masks = []
    draw = grid_lstm.dropout_mask
    monkeypatch.setattr(grid_lstm, "dropout_mask", lambda *arguments: masks.append(draw(*arguments)) or masks[-1])
    net, x = build(num_layers=1, priority=priority, recurrent_dropout=0.5), inputs()
    y = net(x)[0].detach().numpy()
    assert len(masks) == 1
    assert set(masks[0].unique().tolist()) == {0, 2}
    np.testing.assert_allclose(y, numpy_grid(net, x, 1, priority, mask=masks[0].numpy()), atol=1e-12)
    net.eval()(x)
    assert masks[1] is None


def test_dropout_between_the_layers_leaves_the_memory_alone(monkeypatch):
    monkeypatch.setattr(grid_lstm, "drop", lambda h, probability, training: h * 0 if training else h)
    net, x = build(num_layers=2, dropout=0.5), inputs()
    signals = net.trace(x)
    i, f, g = (signals[f"layers.1.depth_{name}"] for name in ("input_gate", "forget_gate", "candidate"))
    torch.testing.assert_close(signals["layers.1.depth_cell"], f * signals["layers.0.depth_cell"] + i * g)
    gate = net.layers[1].gate("depth_input")
    torch.testing.assert_close(i[:, 0], torch.sigmoid(gate.bias).expand(BATCH, -1))  # neither h_depth nor h_time
    assert not torch.equal(net.eval()(x)[0], signals["output"])


def test_the_trace_gives_every_gate_and_state_of_both_dimensions():
    net, x = build(num_layers=2), inputs()
    signals = net.trace(x)
    names = {"input_gate", "forget_gate", "candidate", "output_gate", "cell", "hidden"}
    expected = {f"layers.{layer}.{axis}_{name}" for layer in (0, 1) for axis in ("time", "depth") for name in names}
    assert set(signals) == {"output"} | expected
    assert all(signal.shape == (BATCH, TIME, HIDDEN) for signal in signals.values())
    torch.testing.assert_close(signals["output"], net(x)[0])
    torch.testing.assert_close(signals["layers.1.depth_hidden"], signals["output"])
    o, m, h = (signals[f"layers.0.time_{name}"] for name in ("output_gate", "cell", "hidden"))
    torch.testing.assert_close(h, o * torch.tanh(m))


def test_a_gates_parameters_are_views_in_the_documented_order():
    net = build()
    layer = net.layers[1]
    assert layer.gates[4:] == ("depth_input", "depth_forget", "depth_candidate", "depth_output")
    with torch.no_grad():
        net.gate(1, "depth_forget").bias.fill_(7)
    assert (layer.bias == 7).nonzero().flatten().tolist() == list(range(5 * HIDDEN, 6 * HIDDEN))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden_size": 0}, "hidden_size must be a positive integer"),
        ({"num_layers": 0}, "num_layers must be a positive integer"),
        ({"recurrent_dropout": 1.0}, "recurrent_dropout must be"),
        ({"dropout": 1.5}, "dropout must be"),
    ],
)
def test_bad_arguments_are_refused_at_construction(arguments, message):
    with pytest.raises(ValueError, match=message):
        GridLSTM(WIDTH, **arguments)
