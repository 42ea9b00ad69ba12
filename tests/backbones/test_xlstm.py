import math

import numpy as np
import pytest
import torch
from scipy.special import expit as sigmoid
from torch.nn.functional import layer_norm

from forecastlab.backbones.slstm import NOTHING, SLSTMLayer
from forecastlab.backbones.xlstm import XLSTM, MBlock, SBlock, block_linear
from tests.backbones.states import leaves

erf = np.vectorize(math.erf)


def swish(a):
    return a * sigmoid(a)


def gelu(a):
    return 0.5 * a * (1 + erf(a / math.sqrt(2)))


def numbers(module):
    return {name: p.detach().numpy() for name, p in module.named_parameters()}


def normalise(x, groups, weight, bias):
    """Each group of neighbouring units of each step to mean 0 and variance 1, then scaled and shifted by unit."""
    parts = x.reshape(*x.shape[:-1], groups, -1)
    parts = (parts - parts.mean(-1, keepdims=True)) / np.sqrt(parts.var(-1, keepdims=True) + 1e-5)
    return parts.reshape(x.shape) * weight + bias


def convolve(x, weight, bias):
    """Every channel filtered by itself, the last weight at the present step, zeros before the start."""
    y = np.zeros_like(x)
    for t in range(x.shape[1]):
        for back in range(weight.shape[1]):
            if t - back >= 0:
                y[:, t] += weight[:, -1 - back] * x[:, t - back]
    return y + bias


def dense(weight):
    """Square blocks, one below the other, as the block-diagonal matrix that they are."""
    block = weight.shape[1]
    matrix = np.zeros((len(weight), len(weight)))
    for row in range(len(weight)):
        start = row // block * block
        matrix[row, start : start + block] = weight[row]
    return matrix


def forget_gate(a, forget):
    return sigmoid(a) if forget == "sigmoid" else np.exp(a)


def sblock(block, x):
    """The paper's residual block with post up-projection around its sLSTM (section 2.2), without a stabiliser."""
    p, hidden = numbers(block), x.shape[-1]
    u = normalise(x, 1, p["norm.weight"], p["norm.bias"])
    a = swish(convolve(u, p["conv.weight"], p["conv.bias"]))
    W = [dense(rows) for rows in np.split(p["cell.weight_ih"], 4)]
    R = [dense(rows) for rows in np.split(p["cell.weight_hh"], 4)]
    b = np.split(p["cell.bias"], 4)
    h = c = n = np.zeros((len(x), hidden))
    outputs = []
    for t in range(x.shape[1]):
        i, f, z, o = (
            source[:, t] @ W_g.T + h @ R_g.T + b_g for source, W_g, R_g, b_g in zip((a, a, u, u), W, R, b, strict=True)
        )
        i, f = np.exp(i), forget_gate(f, block.cell.forget)
        c, n = f * c + i * np.tanh(z), f * n + i
        h = sigmoid(o) * c / n
        outputs.append(h)
    h = normalise(np.stack(outputs, 1), block.cell.num_heads, p["group_norm.weight"], p["group_norm.bias"])
    wide = h @ p["up.weight"].T + p["up.bias"]
    half = wide.shape[-1] // 2
    return x + (gelu(wide[..., :half]) * wide[..., half:]) @ p["down.weight"].T + p["down.bias"]


def mblock(block, x):
    """The paper's residual block with pre up-projection around its mLSTM (section 2.3), without a stabiliser."""
    p, heads, width = numbers(block), block.num_heads, 2 * x.shape[-1]
    u = normalise(x, 1, p["norm.weight"], p["norm.bias"]) @ p["up.weight"].T + p["up.bias"]
    v, g = u[..., :width], u[..., width:]
    a = swish(convolve(v, p["conv.weight"], p["conv.bias"]))
    d = width // heads
    q, k, v = (part.reshape(*x.shape[:2], heads, d) for part in (a @ dense(p["query"]).T, a @ dense(p["key"]).T, v))
    gates = a @ p["gates.weight"].T + p["gates.bias"]
    i, f = np.exp(gates[..., :heads]), forget_gate(gates[..., heads:], block.forget)
    C, n, h = np.zeros((len(x), heads, d, d)), np.zeros((len(x), heads, d)), np.zeros_like(q)
    for t in range(x.shape[1]):
        scaled = i[:, t, :, None] * k[:, t] / np.sqrt(d)
        C = f[:, t, :, None, None] * C + v[:, t, :, :, None] * scaled[:, :, None, :]
        n = f[:, t, :, None] * n + scaled
        read, dot = (C @ q[:, t, :, :, None])[..., 0], (n * q[:, t]).sum(-1)
        h[:, t] = read / np.maximum(np.abs(dot), 1)[..., None]
    h = normalise(h.reshape(*x.shape[:2], width), heads, p["group_norm.weight"], p["group_norm.bias"])
    return x + ((h + p["skip"] * a) * swish(g)) @ p["down.weight"].T + p["down.bias"]


def stack(model, x):
    u = x @ model.embed.weight.detach().numpy().T + model.embed.bias.detach().numpy()
    for block in model.blocks.layers:
        u = sblock(block, u) if isinstance(block, SBlock) else mblock(block, u)
    return normalise(u, 1, model.norm.weight.detach().numpy(), model.norm.bias.detach().numpy())


def build(dtype=torch.float64, **arguments):
    torch.manual_seed(1)
    model = XLSTM(3, **{"hidden_size": 12, "num_heads": 2, **arguments}).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():  # away from the ones and zeros of the norms
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def series(dtype=torch.float64, batch=2, time=9):
    return torch.randn(batch, time, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(dtype)


def everything(model, outputs, state):
    """Outputs, state, and the gradients of a weighted sum of both with respect to the parameters."""
    values = [outputs, *leaves(state)]
    loss = sum((value * torch.linspace(-1, 2, value.numel()).view(value.shape)).sum() for value in values)
    return *values, *torch.autograd.grad(loss, list(model.parameters()))


@pytest.mark.parametrize("pattern", ["s", "m", "ms", "smm"])
@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 5e-4)])
def test_the_stack_equals_the_paper_written_out(pattern, forget, dtype, tolerance):
    model, x = build(dtype, pattern=tuple(pattern), forget=forget, num_heads=3), series(dtype)
    y, _ = model(x)
    assert y.dtype == dtype
    expected = stack(model.double(), x.double().numpy())
    np.testing.assert_allclose(y.detach(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kernel_size", [1, 2, 5])
def test_kernels_of_other_sizes_equal_the_convolution_written_out(kernel_size):
    model, x = build(kernel_size=kernel_size), series()
    np.testing.assert_allclose(model(x)[0].detach(), stack(model, x.numpy()), rtol=1e-10, atol=1e-10)


def test_known_errors_would_be_noticed():
    model, x = build(pattern=("m", "s")), series()
    y = model(x)[0]

    def changed(change):
        other = build(pattern=("m", "s"))
        with torch.no_grad():
            change(*other.blocks.layers)
        return (other(x)[0] - y).abs().max()

    assert changed(lambda m, s: m.conv.weight.copy_(m.conv.weight.flip(1))) > 1e-2  # the kernel the wrong way round
    assert changed(lambda m, s: s.conv.weight.copy_(s.conv.weight.flip(1))) > 1e-2
    assert changed(lambda m, s: m.skip.zero_()) > 1e-2  # no skip
    assert changed(lambda m, s: m.query.copy_(m.key)) > 1e-2
    assert changed(lambda m, s: m.up.weight.copy_(m.up.weight.roll(24, 0))) > 1e-2  # value and gate exchanged
    assert changed(lambda m, s: s.up.weight.copy_(s.up.weight.roll(16, 0))) > 1e-2  # gelu on the other half
    assert changed(lambda m, s: s.cell.weight_ih.copy_(s.cell.weight_ih.roll(24, 0))) > 1e-2  # i, f with z, o


def test_the_group_norm_normalises_each_head_by_itself():
    model, x = build(pattern="m"), series()
    block = model.blocks.layers[0]
    hidden = model.trace(x)["layers.0.hidden"]
    heads = hidden.view(2, 9, 2, 12)
    expected = torch.cat([layer_norm(heads[:, :, head], (12,)) for head in (0, 1)], -1)
    found = block.group_norm(hidden.flatten(0, 1)).view_as(hidden)
    torch.testing.assert_close(found, expected * block.group_norm.weight + block.group_norm.bias)


def test_blocks_that_give_nothing_leave_the_stream_alone():
    model, x = build(pattern="msm"), series()
    with torch.no_grad():
        for block in model.blocks.layers:
            block.down.weight.zero_()
            block.down.bias.zero_()
    torch.testing.assert_close(model(x)[0], model.norm(model.embed(x)))


def test_block_linear_maps_block_by_block():
    x, weight = torch.randn(2, 5, 6, dtype=torch.float64), torch.randn(12, 3, dtype=torch.float64)
    matrix = np.concatenate([dense(weight[:6].numpy()), dense(weight[6:].numpy())])
    torch.testing.assert_close(block_linear(x, weight), x @ torch.from_numpy(matrix).T)


@pytest.mark.parametrize("pattern", ["s", "m", "ms"])
@pytest.mark.parametrize(("pieces", "chunk_size"), [([1] * 19, 32), ([2, 1, 16], 32), ([2, 1, 16], 4), ([10, 9], 1)])
def test_a_sequence_in_pieces_equals_the_whole_with_all_gradients(pattern, pieces, chunk_size):
    model, x = build(pattern=pattern, chunk_size=chunk_size), series(time=19)
    whole = everything(model, *model(x))
    state, outputs = model.initial_state(2), []
    for piece in x.split(pieces, 1):
        y, state = model(piece, state) if piece.shape[1] > 1 else model.step(piece[:, 0], state)
        outputs.append(y.view(2, -1, 12))
    for ours, theirs in zip(everything(model, torch.cat(outputs, 1), state), whole, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("pattern", ["s", "m"])
def test_gradients_equal_finite_differences(pattern):
    model, x = build(pattern=pattern, hidden_size=4, chunk_size=2), series(time=5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: model(x)[0], (x,))


@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
def test_a_long_series_of_huge_values_keeps_finite_outputs_and_gradients(forget):
    torch.manual_seed(1)
    model = XLSTM(3, hidden_size=8, num_heads=2, forget=forget)
    x = 1e3 * series(torch.float32, batch=1, time=1500)
    y, _ = model(x)
    y.square().mean().backward()
    assert y.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_the_pattern_is_repeated_up_to_the_number_of_layers():
    def kinds(**arguments):
        model = XLSTM(3, hidden_size=4, num_heads=2, **arguments)
        return "".join("s" if isinstance(block, SBlock) else "m" for block in model.blocks.layers)

    assert kinds() == "ms"
    assert kinds(pattern=["s", "m", "m"]) == "smm"
    assert kinds(pattern=("m", "m", "s"), num_layers=7) == "mmsmmsm"
    assert kinds(num_layers=1) == "m"


def test_the_state_holds_the_convolutions_inputs_and_the_cells_state():
    model, x = build(pattern="ms"), series()
    (past_m, (C, n, m)), (past_s, (h, c, n_s, m_s)) = model.initial_state(5)
    assert (past_m.shape, C.shape, n.shape, m.shape) == ((5, 3, 24), (5, 2, 12, 12), (5, 2, 12), (5, 2))
    assert past_s.shape == (5, 3, 12)
    assert all(part.shape == (5, 12) for part in (h, c, n_s, m_s))
    assert not any(part.any() for part in (past_m, C, n, past_s, h, c, n_s))
    assert (m == NOTHING).all()
    assert (m_s == NOTHING).all()
    _, ((past_m, _), (past_s, _)) = model(x)
    signals = model.trace(x)
    torch.testing.assert_close(past_m, signals["layers.0.value"][:, -3:])
    torch.testing.assert_close(past_s, model.blocks.layers[1].norm(signals["layers.0.stream"])[:, -3:])


@pytest.mark.parametrize("pattern", ["s", "m"])
def test_dropout_drops_what_a_block_adds_and_never_the_stream(pattern):
    model, x = build(pattern=pattern, dropout=0.5), series(batch=8)
    trained, plain = model.train().trace(x), model.eval().trace(x)
    stream = model.embed(x)
    added, expected = trained["layers.0.stream"] - stream, plain["layers.0.stream"] - stream
    ratio = (added / expected).round(decimals=6)
    assert set(ratio.unique().abs().tolist()) == {0.0, 2.0}
    torch.testing.assert_close(plain["output"], model(x)[0], rtol=0, atol=0)


def test_recurrent_dropout_acts_in_sblocks_in_training_only():
    x = series()
    for pattern, acts in (("s", True), ("m", False)):
        model = build(pattern=pattern, recurrent_dropout=0.5)
        expected = model.eval()(x)[0]
        assert (model.train()(x)[0] != expected).any() == acts
        torch.testing.assert_close(model.eval()(x)[0], expected, rtol=0, atol=0)


def test_trace_gives_the_signals_of_both_cells_and_the_same_output():
    model, x = build(pattern="ms", chunk_size=4), series()
    signals = model.trace(x)
    y, _ = model(x)
    torch.testing.assert_close(signals["output"], y, rtol=0, atol=0)
    torch.testing.assert_close(signals["output"], model.norm(signals["layers.1.stream"]))
    assert MBlock.parts == (
        *("query", "key", "value", "output_gate", "input_gate", "forget_gate"),
        *("normaliser", "stabiliser", "hidden", "stream"),
    )
    assert SBlock.parts == (*SLSTMLayer.parts, "stream")
    for number, parts in enumerate((MBlock.parts, SBlock.parts)):
        for name in parts:
            per_head = number == 0 and name in ("input_gate", "forget_gate", "stabiliser")
            width = 2 if per_head else 12 if number or name == "stream" else 24
            assert signals[f"layers.{number}.{name}"].shape == (2, 9, width)
    assert len(signals) == 1 + len(MBlock.parts) + len(SBlock.parts)
    c, n, o, h = (signals[f"layers.1.{name}"] for name in ("cell", "normaliser", "output_gate", "hidden"))
    torch.testing.assert_close(h, o * c / n)


def test_gate_parameters_are_views_that_set_the_network():
    model, x = build(pattern="ms"), series()
    for name in ("input", "forget"):
        assert [tuple(p.shape) for p in model.gate(0, name)] == [(2, 24), (2, 0), (2,)]
    for name in ("input", "forget", "candidate", "output"):
        assert [tuple(p.shape) for p in model.gate(1, name)] == [(12, 6), (12, 6), (12,)]
    with torch.no_grad():
        model.gate(0, "forget").weight_ih.zero_()
        model.gate(0, "forget").bias.fill_(-800.0)
        model.gate(1, "candidate").bias.fill_(800.0)
    signals = model.trace(x)
    assert (signals["layers.0.forget_gate"] == 0).all()
    assert (signals["layers.1.candidate"] == 1).all()
    with pytest.raises(ValueError, match="unknown gate 'output'; MBlock has input, forget"):
        model.gate(0, "output")
    with pytest.raises(ValueError, match="layer must be at least 0 and below 2, got 2"):
        model.gate(2, "input")


def test_the_forget_bias_is_added_at_the_start():
    models = []
    for forget_bias in (2.5, 0.0):
        torch.manual_seed(4)
        models.append(XLSTM(3, forget_bias=forget_bias))
    for layer in (0, 1):
        raised, plain = (model.gate(layer, "forget").bias for model in models)
        torch.testing.assert_close(raised, plain + 2.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pattern": ()}, "pattern must be a sequence of 's' and 'm', one per block, got"),
        ({"pattern": ("s", "x")}, "pattern must be a sequence of 's' and 'm', one per block, got"),
        ({"num_layers": 0}, "num_layers must be a positive integer, got 0"),
        ({"hidden_size": 6}, "hidden_size must be a multiple of num_heads = 4, got 6"),
        ({"hidden_size": 5, "num_heads": 1}, "hidden_size must be even"),
        ({"num_heads": 0}, "num_heads must be a positive integer, got 0"),
        ({"kernel_size": 0}, "kernel_size must be a positive integer, got 0"),
        ({"chunk_size": 0}, "chunk_size must be a positive integer, got 0"),
        ({"forget": "relu"}, "forget must be 'sigmoid' or 'exp', got 'relu'"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
        ({"recurrent_dropout": -0.1}, "recurrent_dropout must be at least 0 and below 1, got -0.1"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        XLSTM(3, **arguments)


def test_an_input_of_another_width_is_refused():
    with pytest.raises(ValueError, match=r"XLSTM expects an input of shape \(batch, time, 3\)"):
        build()(torch.zeros(1, 2, 4, dtype=torch.float64))
