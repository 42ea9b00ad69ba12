import math

import numpy as np
import pytest
import torch
from scipy.special import expit as sigmoid
from torch import nn

from forecastlab.backbones import larnn
from forecastlab.backbones.larnn import LARNN, encode_ages
from tests.backbones.states import in_pieces

BATCH, TIME, WIDTH, HIDDEN, HEADS, WINDOW = 4, 9, 3, 6, 2, 4
EPS = 1e-5


def build(**arguments):
    net = LARNN(WIDTH, HIDDEN, num_heads=HEADS, window=WINDOW, **arguments).double()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith(("scale", "shift")):
                parameter.uniform_(0.5, 1.5)
            else:
                parameter.mul_(2)  # far enough from linear that every mistake shows
    return net


def inputs(time=TIME):
    return torch.randn(BATCH, time, WIDTH, dtype=torch.float64)


def elu(u):
    return np.where(u > 0, u, np.exp(np.minimum(u, 0)) - 1)


def encoding(age):
    """The positional encoding of one age, written out wave by wave."""
    waves = math.ceil(math.log2(4 * WINDOW))
    cosines = [math.cos(2 * math.pi * age / 2**j) for j in range(1, waves + 1)]
    sines = [math.sin(2 * math.pi * age / 2**j) for j in range(2, waves + 2)]
    return np.array(cosines + sines, dtype=np.float32)


def numpy_larnn(net, x, mask=1.0, drop="oldest", age=lambda place, length: length - place):
    """The equations for one layer, whose queue is a plain list of cell states, every key and value made anew.

    `drop` and `age` let the mistakes in that are told apart below.
    """
    (layer,) = net.layers
    p = {name: value.detach().numpy() for name, value in layer.named_parameters()}
    phi, squash = (elu, elu) if layer.activation is torch.nn.functional.elu else ((lambda u: u), np.tanh)
    w_memory = p["memory.weight"]
    if "position.weight" in p:
        w_memory = np.concatenate([w_memory, p["position.weight"]], axis=1)
    w_key, w_value = np.split(w_memory, 2)
    size = HIDDEN // HEADS

    def bn(name, u, over=0):  # at the present step t of the loop below
        norm = getattr(layer, name)
        mean, variance = u.mean(over), u.var(over)
        if not net.training:
            mean, variance = norm.running_mean[t].numpy(), norm.running_variance[t].numpy()
        u = (u - mean) / np.sqrt(variance + EPS)
        return p[f"{name}.scale"] * u + p.get(f"{name}.shift", 0)

    x = x.numpy()
    h = c = np.zeros((x.shape[0], HIDDEN))
    queue, outputs, all_weights = [c], [], []
    for t in range(x.shape[1]):
        cells = []
        for place, cell in enumerate(queue):
            if "position.weight" in p:
                code = np.tile(encoding(age(place, len(queue))), (x.shape[0], 1))
                cell = np.concatenate([cell, code], axis=1)
            cells.append(cell)
        keys = np.stack([phi(cell @ w_key.T) for cell in cells], 1)  # (batch, queue, hidden)
        values = np.stack([phi(cell @ w_value.T) for cell in cells], 1)
        if layer.batch_norm_attention:
            memory = np.concatenate([keys, values], 2) * (t > 0)  # in the first step they have no variance
            memory = bn("normalise_memory", memory, over=(0, 1))
            keys, values = np.split(memory, 2, axis=2)
        query = phi(np.concatenate([x[:, t], h * mask], 1) @ p["query.weight"].T + p["query.bias"])
        heads, weights = [], np.zeros((x.shape[0], HEADS, WINDOW))
        for k in range(HEADS):
            part = slice(k * size, (k + 1) * size)
            e = np.exp((keys[:, :, part] * query[:, None, part]).sum(-1) / math.sqrt(size))
            e = e / e.sum(1, keepdims=True)
            weights[:, k, WINDOW - len(queue) :] = e
            heads.append((e[:, :, None] * values[:, :, part]).sum(1))
        a = phi(np.concatenate(heads, 1) @ p["attended.weight"].T + p["attended.bias"])
        a = bn("normalise_attended", a * (t > 0)) if layer.batch_norm_attention else a
        from_x, from_h, from_a = x[:, t] @ p["weight_ih"].T, (h * mask) @ p["weight_hh"].T, a @ p["weight_ah"].T
        if not layer.batch_norm:
            gates = from_x + from_h + from_a
        elif layer.mode == "layer":
            gates = bn("normalise_gates", from_x + from_h + from_a)
        else:
            gates = bn("normalise_gates", from_x) + bn("normalise_recurrent", from_h) + from_a
        i, f, g, o = np.split(gates + p["bias"], 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * squash(c)
        h = bn("normalise_hidden", h) if layer.batch_norm else h
        queue = [*queue, c]
        if len(queue) > WINDOW:
            queue = queue[1:] if drop == "oldest" else [*queue[:-2], queue[-1]]
        outputs.append(h)
        all_weights.append(weights)
    return np.stack(outputs, 1), np.stack(all_weights, 1)


@pytest.mark.parametrize("mode", ["residual", "layer"])
@pytest.mark.parametrize("elu", [False, True])
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("positional_encoding", [False, True])
def test_equals_the_equations_with_a_queue_that_is_a_plain_list(mode, elu, batch_norm, positional_encoding):
    net = build(mode=mode, elu=elu, batch_norm=batch_norm, positional_encoding=positional_encoding)
    x = inputs()
    output, weights = numpy_larnn(net, x)
    np.testing.assert_allclose(net(x)[0].detach().numpy(), output, atol=1e-10)
    signals = net.trace(x)
    np.testing.assert_allclose(signals["layers.0.attention"].detach().numpy(), weights, atol=1e-10)
    np.testing.assert_allclose(signals["layers.0.attention"].sum(-1).detach().numpy(), 1)


@pytest.mark.parametrize("elu", [False, True])
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("positional_encoding", [False, True])
def test_the_attention_is_normalised_over_the_rows_and_the_cells_of_the_queue(elu, batch_norm, positional_encoding):
    options = {"elu": elu, "batch_norm": batch_norm, "positional_encoding": positional_encoding}
    net, x = build(batch_norm_attention=True, **options), inputs()
    output, weights = numpy_larnn(net, x)
    np.testing.assert_allclose(net(x)[0].detach().numpy(), output, atol=1e-10)
    np.testing.assert_allclose(net.trace(x)["layers.0.attention"].detach().numpy(), weights, atol=1e-10)


@pytest.mark.parametrize(
    "mistake",
    [
        {"drop": "newest but one"},
        {"age": lambda place, length: place + 1},
        {"age": lambda place, length: WINDOW - place},
    ],
    ids=["drops a newer cell", "counts ages from the oldest", "counts ages from a full queue"],
)
def test_a_queue_in_another_order_is_told_apart(mistake):
    net, x = build(), inputs()
    assert np.abs(net(x)[0].detach().numpy() - numpy_larnn(net, x, **mistake)[0]).max() > 1e-4


def test_the_positional_encoding_is_that_of_the_age_with_the_newest_cell_last():
    expected = np.stack([encoding(age) for age in range(WINDOW, 0, -1)])
    np.testing.assert_allclose(encode_ages(WINDOW).numpy(), expected, atol=1e-7)
    assert encode_ages(1).shape == (1, 4)


def test_the_attention_equals_torchs_multi_head_attention_by_weight_copy():
    net, x = build(), inputs()
    layer, signals = net.layers[0], net.trace(x)
    features = layer.ages.shape[1]
    twin = nn.MultiheadAttention(HIDDEN, HEADS, kdim=HIDDEN + features, vdim=HIDDEN + features, batch_first=True)
    twin.double()
    key, value = torch.cat([layer.memory.weight, layer.position.weight], 1).chunk(2)
    with torch.no_grad():
        nn.init.eye_(twin.q_proj_weight)
        twin.k_proj_weight.copy_(key)
        twin.v_proj_weight.copy_(value)
        nn.init.zeros_(twin.in_proj_bias)
        twin.out_proj.load_state_dict(layer.attended.state_dict())
    for t in (5, 6):  # the queue is full
        query = layer.query(torch.cat([x[:, t], signals["layers.0.hidden"][:, t - 1]], 1))
        cells = signals["layers.0.cell"][:, t - WINDOW : t]
        memory = torch.cat([cells, layer.ages.expand(BATCH, -1, -1)], 2)
        expected, weights = twin(query.unsqueeze(1), memory, memory, average_attn_weights=False)
        torch.testing.assert_close(signals["layers.0.attended"][:, t], expected.squeeze(1))
        torch.testing.assert_close(signals["layers.0.attention"][:, t], weights.squeeze(2))


def test_without_attention_it_equals_torchs_lstm_by_weight_copy():
    net, x = build(num_layers=2), inputs()
    twin = nn.LSTM(WIDTH, HIDDEN, num_layers=2, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        for number, layer in enumerate(net.layers):
            layer.weight_ah.zero_()
            getattr(twin, f"weight_ih_l{number}").copy_(layer.weight_ih)
            getattr(twin, f"weight_hh_l{number}").copy_(layer.weight_hh)
            getattr(twin, f"bias_ih_l{number}").copy_(layer.bias)
            getattr(twin, f"bias_hh_l{number}").zero_()
    torch.testing.assert_close(net(x)[0], twin(x)[0])


def test_the_first_step_attends_to_one_zero_cell():
    net = build(positional_encoding=False)
    signals = net.trace(inputs(2))
    assert signals["layers.0.attention"][:, 0].tolist() == [[[0, 0, 0, 1]] * HEADS] * BATCH
    torch.testing.assert_close(signals["layers.0.attended"][:, 0], net.layers[0].attended.bias.expand(BATCH, -1))
    assert (signals["layers.0.attention"][:, 1, :, :2] == 0).all()
    assert (signals["layers.0.attention"][:, 1, :, 2:] > 0).all()


def test_the_two_modes_are_one_function_without_batch_norm_and_two_with_it():
    x = inputs()
    residual, layer = build(mode="residual"), build(mode="layer")
    layer.load_state_dict(residual.state_dict())
    torch.testing.assert_close(residual(x)[0], layer(x)[0])
    residual, layer = build(mode="residual", batch_norm=True), build(mode="layer", batch_norm=True)
    missing = layer.load_state_dict(residual.state_dict(), strict=False)
    assert not missing.missing_keys
    assert not torch.allclose(residual(x)[0], layer(x)[0], atol=1e-2)


def test_every_parameter_is_registered_and_learns():
    net = build(num_layers=2, batch_norm=True, elu=True, batch_norm_attention=True)
    net(inputs())[0].square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in net.parameters())


def test_every_layer_has_a_cell_and_a_queue_of_its_own():
    net, x = build(num_layers=2), inputs()
    signals = net.trace(x)
    upper = build()
    upper.layers[0] = net.layers[1]
    upper.input_size = HIDDEN
    torch.testing.assert_close(upper(signals["layers.0.hidden"])[0], net(x)[0])
    (_, _, lower_queue, _), (_, _, upper_queue, _) = net(x)[1]
    torch.testing.assert_close(lower_queue, net.layers[0].memory(signals["layers.0.cell"][:, -WINDOW:]))
    torch.testing.assert_close(upper_queue, net.layers[1].memory(signals["layers.1.cell"][:, -WINDOW:]))


def test_only_the_newest_cell_is_projected_at_each_step():
    net, seen = build(), []
    net.layers[0].memory.register_forward_hook(lambda module, given, result: seen.append(given[0].shape))
    net(inputs())
    assert seen == [(BATCH, HIDDEN)] * TIME


@pytest.mark.parametrize(
    "arguments", [{}, {"mode": "layer", "elu": True}, {"batch_norm": True}, {"batch_norm_attention": True}], ids=str
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_sequence_in_pieces_and_step_by_step_equals_the_whole(arguments, dtype):
    net, x = build(num_layers=2, **arguments).to(dtype), inputs().to(dtype)
    whole, end = net(x)
    for lengths in ([1, 2, 6], [1] * TIME):
        outputs, state = in_pieces(net, x, lengths, net.initial_state(BATCH))
        torch.testing.assert_close(outputs, whole)
        torch.testing.assert_close(state, end)


def test_in_evaluation_the_batch_norms_use_each_steps_running_statistics_and_rows_are_independent():
    net, x = build(batch_norm=True), inputs()
    for _ in range(3):
        net(inputs())
    net.eval()
    y = net(x)[0]
    torch.testing.assert_close(torch.cat([net(row)[0] for row in x.split(1)]), y)
    for norm in (net.layers[0].normalise_gates, net.layers[0].normalise_hidden):
        norm.running_mean[3] += 1
    changed = (net(x)[0] != y).any(2).any(0)
    assert changed.tolist() == [t >= 3 for t in range(TIME)]


@pytest.mark.parametrize("norms", [{"batch_norm": True}, {"batch_norm_attention": True}], ids=str)
def test_in_evaluation_it_equals_the_equations_with_each_steps_own_running_statistics(norms):
    net, x = build(**norms), inputs()
    for _ in range(20):
        net(inputs())
    output, _ = numpy_larnn(net.eval(), x)
    np.testing.assert_allclose(net(x)[0].detach().numpy(), output, atol=1e-10)
    ((_, _, _, steps),) = net(x)[1]
    assert steps.tolist() == [TIME] * BATCH


@pytest.mark.parametrize("steps", [1, 3])
def test_in_evaluation_the_attention_is_normalised_by_the_statistics_of_many_equal_batches(steps):
    torch.manual_seed(0)
    net, x = build(batch_norm_attention=True), 2 * torch.randn(400, steps, WIDTH, dtype=torch.float64)
    for _ in range(100):
        y = net(x)[0]
    torch.testing.assert_close(net.eval()(x)[0], y, rtol=0, atol=0.01)  # but for Bessel's correction


def test_keys_values_and_result_of_the_first_step_are_offsets_whatever_has_been_learned_since():
    net, x = build(batch_norm_attention=True), inputs(time=2)
    for _ in range(200):  # the running variance of the first step is then nearly 0
        net(x)
    with torch.no_grad():
        net.layers[0].position.weight.add_(0.1)
        net.layers[0].attended.bias.add_(0.1)
    first = net.eval().trace(x)["layers.0.attended"][:, 0]
    torch.testing.assert_close(first, net.layers[0].normalise_attended.shift.expand(BATCH, -1))


@pytest.mark.parametrize("option", ["batch_norm", "batch_norm_attention"])
def test_a_single_row_is_refused_in_training_with_batch_norm_only(option):
    x = inputs()[:1]
    assert build()(x)[0].shape == (1, TIME, HIDDEN)
    with pytest.raises(ValueError, match="at least 2 sequences in each training batch"):
        build(**{option: True})(x)


def test_recurrent_dropout_hides_the_same_units_at_every_step_and_only_in_training(monkeypatch):
    masks = []
    draw = larnn.dropout_mask
    monkeypatch.setattr(larnn, "dropout_mask", lambda *arguments: masks.append(draw(*arguments)) or masks[-1])
    net, x = build(recurrent_dropout=0.5), inputs()
    y = net(x)[0].detach().numpy()
    assert len(masks) == 1
    assert set(masks[0].unique().tolist()) == {0, 2}
    np.testing.assert_allclose(y, numpy_larnn(net, x, mask=masks[0].numpy())[0], atol=1e-10)
    net.eval()(x)
    assert masks[1] is None


def test_the_trace_gives_gates_states_and_attention_of_every_layer():
    net, x = build(num_layers=2), inputs()
    signals = net.trace(x)
    names = ("input_gate", "forget_gate", "candidate", "output_gate", "cell", "hidden", "attended", "attention")
    assert set(signals) == {"output"} | {f"layers.{layer}.{name}" for layer in (0, 1) for name in names}
    assert signals["layers.1.attention"].shape == (BATCH, TIME, HEADS, WINDOW)
    torch.testing.assert_close(signals["output"], net(x)[0])
    i, f, g, o, c, h = (signals[f"layers.1.{name}"] for name in names[:6])
    torch.testing.assert_close(c[:, 1:], f[:, 1:] * c[:, :-1] + i[:, 1:] * g[:, 1:])
    torch.testing.assert_close(h, o * torch.tanh(c))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden_size": 0}, "hidden_size must be a positive integer"),
        ({"num_heads": 5}, "hidden_size must be a multiple of num_heads = 5, got 64"),
        ({"window": 0}, "window must be a positive integer"),
        ({"max_length": 0}, "max_length must be a positive integer"),
        ({"mode": "concat"}, "mode must be 'residual' or 'layer', got 'concat'"),
        ({"recurrent_dropout": 1.0}, "recurrent_dropout must be"),
    ],
)
def test_bad_arguments_are_refused_at_construction(arguments, message):
    with pytest.raises(ValueError, match=message):
        LARNN(WIDTH, **arguments)
