import numpy as np
import pytest
import torch
from scipy.special import expit as sigmoid
from torch import nn

from forecastlab.backbones import layered
from forecastlab.backbones.batch_norm import StepBatchNorm
from forecastlab.backbones.bn_lstm import BNLSTM
from tests.backbones.states import in_pieces

BATCH, TIME, WIDTH, HIDDEN = 5, 6, 3, 4
EPS = 1e-5


def build(**arguments):
    """A network in float64 whose gains and offsets are far from each other and from their start."""
    net = BNLSTM(WIDTH, HIDDEN, **arguments).double()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith(("scale", "shift")):
                parameter.uniform_(0.5, 1.5)
    return net


def inputs(time=TIME, batch=BATCH):
    # the spread grows along time, so that no two steps have statistics alike
    x = torch.randn(batch, time, WIDTH, dtype=torch.float64)
    return x * torch.linspace(0.2, 5, time).double().view(1, -1, 1) + torch.arange(time).view(1, -1, 1)


def numpy_bnlstm(net, x, statistics, normalise_cell=True, mask=1.0):
    """The equations for one layer; `statistics(name, t, u)` gives the mean and the variance to normalise with."""
    p = {name.removeprefix("layers.0."): value.detach().numpy() for name, value in net.named_parameters()}

    def bn(name, t, u):
        mean, variance = statistics(name, t, u)
        return p[f"{name}.scale"] * (u - mean) / np.sqrt(variance + EPS) + p.get(f"{name}.shift", 0)

    x = x.numpy()
    h = c = np.zeros((x.shape[0], HIDDEN))
    outputs = []
    for t in range(x.shape[1]):
        gates = bn("normalise_input", t, x[:, t] @ p["weight_ih"].T)
        gates = gates + bn("normalise_hidden", t, (h * mask) @ p["weight_hh"].T) + p["bias"]
        i, f, g, o = np.split(gates, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(bn("normalise_cell", t, c) if normalise_cell else c)
        outputs.append(h)
    return np.stack(outputs, 1)


def batch_statistics(name, t, u):
    return u.mean(0), u.var(0)


def running_statistics(net, entry):
    layer = net.layers[0]

    def statistics(name, t, u):
        norm = getattr(layer, name)
        return norm.running_mean[entry(t)].numpy(), norm.running_variance[entry(t)].numpy()

    return statistics


def train_once(net, times=3, time=TIME):
    net.train()
    for _ in range(times):
        net(inputs(time))
    return net.eval()


def test_in_training_it_equals_the_equations_with_the_statistics_of_the_batch():
    net, x = build(), inputs()
    expected = numpy_bnlstm(net, x, batch_statistics)
    np.testing.assert_allclose(net(x)[0].detach().numpy(), expected, atol=1e-12)
    without = numpy_bnlstm(net, x, batch_statistics, normalise_cell=False)
    assert np.abs(expected - without).max() > 1e-2


def test_in_evaluation_it_equals_the_equations_with_each_steps_own_running_statistics():
    net, x = train_once(build()), inputs()
    y = net(x)[0].detach().numpy()
    np.testing.assert_allclose(y, numpy_bnlstm(net, x, running_statistics(net, lambda t: t)), atol=1e-12)
    shared = numpy_bnlstm(net, x, running_statistics(net, lambda t: TIME - 1))
    assert np.abs(y - shared).max() > 1e-2  # statistics shared over time are another model


def test_the_running_statistics_equal_those_of_one_torch_batch_norm_per_step():
    net = build(momentum=0.3)
    layer = net.layers[0]
    twins = [nn.BatchNorm1d(4 * HIDDEN, momentum=0.3, dtype=torch.float64) for _ in range(TIME)]
    for _ in range(3):
        x = inputs()
        net(x)
        for t, twin in enumerate(twins):
            twin(x[:, t] @ layer.weight_ih.T)
    for t, twin in enumerate(twins):
        torch.testing.assert_close(layer.normalise_input.running_mean[t], twin.running_mean)
        torch.testing.assert_close(layer.normalise_input.running_variance[t], twin.running_var)
    means = layer.normalise_input.running_mean[:TIME]
    assert torch.cdist(means, means)[~torch.eye(TIME, dtype=torch.bool)].min() > 0.1


def test_in_evaluation_steps_beyond_max_length_use_the_last_steps_statistics():
    net = train_once(build(max_length=4))
    x = inputs(9)
    expected = numpy_bnlstm(net, x, running_statistics(net, lambda t: min(t, 3)))
    np.testing.assert_allclose(net(x)[0].detach().numpy(), expected, atol=1e-12)


def test_in_evaluation_steps_that_training_never_reached_use_the_last_one_that_it_did():
    net = train_once(build(max_length=100))
    x = inputs(9)
    expected = numpy_bnlstm(net, x, running_statistics(net, lambda t: min(t, TIME - 1)))
    np.testing.assert_allclose(net(x)[0].detach().numpy(), expected, atol=1e-12)


def test_in_training_steps_beyond_max_length_still_use_the_statistics_of_their_own_batch():
    net, x = build(max_length=2), inputs()
    np.testing.assert_allclose(net(x)[0].detach().numpy(), numpy_bnlstm(net, x, batch_statistics), atol=1e-12)


def test_gains_start_at_a_tenth_and_the_gates_have_no_offset_of_their_own():
    layer = BNLSTM(WIDTH, HIDDEN).layers[0]
    for norm in (layer.normalise_input, layer.normalise_hidden, layer.normalise_cell):
        assert (norm.scale == 0.1).all()
    assert layer.normalise_input.shift is layer.normalise_hidden.shift is None
    assert (layer.normalise_cell.shift == 0).all()


def test_rows_influence_each_other_in_training_and_not_in_evaluation():
    net, x = build(), inputs()
    other = x.clone()
    other[0] += 3
    assert not torch.allclose(net(x)[0][1:], net(other)[0][1:])
    net.eval()
    torch.testing.assert_close(net(x)[0][1:], net(other)[0][1:], rtol=0, atol=0)
    torch.testing.assert_close(net(x[:1])[0], net(x)[0][:1])


def test_a_single_row_is_refused_in_training_with_what_to_do():
    with pytest.raises(ValueError, match="at least 2 sequences in each training batch, got 1: train on windows"):
        BNLSTM(WIDTH)(torch.randn(1, TIME, WIDTH))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pieces_and_single_steps_equal_the_whole_and_leave_the_same_running_statistics(training, dtype):
    def fresh():
        torch.manual_seed(1)
        return train_once(build(num_layers=2, max_length=4)).train(training).to(dtype)

    x = inputs().to(dtype)
    net = fresh()
    whole, end = net(x)
    for lengths in ([1, 3, 2], [1] * TIME):
        other = fresh()
        outputs, state = in_pieces(other, x, lengths, other.initial_state(BATCH))
        torch.testing.assert_close(outputs, whole)
        torch.testing.assert_close(state, end)
        torch.testing.assert_close(other.state_dict(), net.state_dict())
    assert end[0][2].tolist() == [TIME] * BATCH


def test_in_evaluation_each_row_is_normalised_by_its_own_step_count():
    net, x = train_once(build()), inputs()
    _, ((h, c, t),) = net(x[:, :3])
    late = net(x[:1, 3:4], ((h[:1], c[:1], t[:1]),))[0]
    early = net(x[1:2, :1])[0]
    mixed = tuple(torch.cat([part[:1], zero]) for part, zero in zip((h, c, t), net.initial_state(1)[0], strict=True))
    both = net(torch.cat([x[:1, 3:4], x[1:2, :1]]), (mixed,))[0]
    torch.testing.assert_close(both, torch.cat([late, early]))


def test_recurrent_dropout_hides_the_same_units_at_every_step_and_only_in_training(monkeypatch):
    masks = []
    draw = layered.dropout_mask
    monkeypatch.setattr(layered, "dropout_mask", lambda *arguments: masks.append(draw(*arguments)) or masks[-1])
    net, x = build(recurrent_dropout=0.5), inputs()
    y = net(x)[0].detach().numpy()
    assert len(masks) == 1
    assert set(masks[0].unique().tolist()) == {0, 2}
    np.testing.assert_allclose(y, numpy_bnlstm(net, x, batch_statistics, mask=masks[0].numpy()), atol=1e-12)
    net.eval()(x)
    assert masks[1] is None


def test_the_trace_gives_gates_and_states_that_obey_the_equations():
    net, x = train_once(build(num_layers=2)), inputs()
    signals = net.trace(x)
    names = ("input_gate", "forget_gate", "candidate", "output_gate", "cell", "hidden")
    assert set(signals) == {"output"} | {f"layers.{layer}.{name}" for layer in (0, 1) for name in names}
    torch.testing.assert_close(signals["output"], net(x)[0])
    torch.testing.assert_close(signals["layers.1.hidden"], signals["output"])
    i, f, g, o, c, h = (signals[f"layers.0.{name}"] for name in names)
    torch.testing.assert_close(c[:, 1:], f[:, 1:] * c[:, :-1] + i[:, 1:] * g[:, 1:])
    torch.testing.assert_close(c[:, 0], i[:, 0] * g[:, 0])
    norm = net.layers[0].normalise_cell
    steps = torch.arange(TIME)
    normalised = torch.stack([norm(c[:, t], steps[t].expand(BATCH)) for t in range(TIME)], 1)
    torch.testing.assert_close(h, o * torch.tanh(normalised))


def test_a_gates_parameters_are_views_in_the_documented_order():
    net = BNLSTM(WIDTH, HIDDEN)
    layer = net.layers[0]
    assert layer.gates == ("input", "forget", "candidate", "output")
    with torch.no_grad():
        net.gate(0, "candidate").weight_ih.fill_(7)
    assert (layer.weight_ih == 7).all(1).nonzero().flatten().tolist() == list(range(2 * HIDDEN, 3 * HIDDEN))


def test_gradients_pass_a_numerical_check_in_training():
    net = BNLSTM(2, 2).double()
    x = torch.randn(4, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: net(x)[0], x)


def test_the_norm_without_an_offset_equals_torchs_with_an_offset_of_zero():
    norm, twin = StepBatchNorm(3, 2, scale=0.7, shift=False), nn.BatchNorm1d(3)
    nn.init.constant_(twin.weight, 0.7)
    u = torch.randn(6, 3)
    torch.testing.assert_close(norm(u, torch.zeros(6, dtype=torch.long)), twin(u))
    norm.eval(), twin.eval()
    torch.testing.assert_close(norm(u, torch.zeros(6, dtype=torch.long)), twin(u))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden_size": 0}, "hidden_size must be a positive integer"),
        ({"num_layers": 0}, "num_layers must be a positive integer"),
        ({"max_length": 0}, "max_length must be a positive integer"),
        ({"recurrent_dropout": 1.0}, "recurrent_dropout must be"),
        ({"dropout": -0.1}, "dropout must be"),
    ],
)
def test_bad_arguments_are_refused_at_construction(arguments, message):
    with pytest.raises(ValueError, match=message):
        BNLSTM(WIDTH, **arguments)
