import numpy as np
import pytest
import torch
from scipy.special import expit as sigmoid
from torch.overrides import TorchFunctionMode

from forecastlab.backbones.mlstm import MLSTM, MLSTMLayer
from forecastlab.backbones.slstm import NOTHING
from tests.backbones.states import in_pieces, unrolled

ROWS = ("query", "key", "value", "output", "input", "forget")


def log_forget(a, forget):
    return -np.logaddexp(0, -a) if forget == "sigmoid" else a


def projections(layer, x):
    """q, k / sqrt(d), v, o (batch, time, heads, d) and the pre-activations of i, f (batch, time, heads)."""
    a = {}
    for name in ROWS:
        weight, _, bias = (p.detach().numpy() for p in layer.gate(name))
        a[name] = x @ weight.T + bias
    heads, d = layer.num_heads, layer.hidden_size // layer.num_heads
    q, k, v, o = (a[name].reshape(*x.shape[:2], heads, d) for name in ROWS[:4])
    return q, k / np.sqrt(d), v, sigmoid(o), a["input"], a["forget"]


def unstabilised(layer, x):
    """The thesis's eq. 2.53-2.55 with C, n unstabilised, step by step: outputs, C and n after the last step."""
    q, k, v, o, i, f = projections(layer, x)
    i, f = np.exp(i), np.exp(log_forget(f, layer.forget))
    C, n = np.zeros((*q[:, 0].shape, q.shape[-1])), np.zeros_like(q[:, 0])
    h = np.zeros_like(q)
    for t in range(x.shape[1]):
        for b in range(len(x)):
            for a in range(layer.num_heads):
                C[b, a] = f[b, t, a] * C[b, a] + i[b, t, a] * np.outer(v[b, t, a], k[b, t, a])
                n[b, a] = f[b, t, a] * n[b, a] + i[b, t, a] * k[b, t, a]
                h[b, t, a] = o[b, t, a] * (C[b, a] @ q[b, t, a]) / max(abs(n[b, a] @ q[b, t, a]), 1)
    return h.reshape(*x.shape[:2], -1), C, n


def stabilised(layer, x, floor=lambda m: np.exp(-m), naive=False):
    """Beck et al. 2024, section 2.3 and appendix A: outputs and (C, n, m) after the last step."""
    q, k, v, o, i, f = projections(layer, x)
    log_i, log_f = i, log_forget(f, layer.forget)
    if naive:
        log_i, log_f = np.log(np.exp(log_i)), np.log(np.exp(log_f))
    C, n, m = np.zeros((*q[:, 0].shape, q.shape[-1])), np.zeros_like(q[:, 0]), np.full(i[:, 0].shape, -np.inf)
    h = []
    for t in range(x.shape[1]):
        m_new = np.maximum(log_f[:, t] + m, log_i[:, t])
        f_t, i_t = np.exp(log_f[:, t] + m - m_new)[..., None], np.exp(log_i[:, t] - m_new)[..., None]
        C = f_t[..., None] * C + i_t[..., None] * v[:, t, :, :, None] * k[:, t, :, None, :]
        n, m = f_t * n + i_t * k[:, t], m_new
        read, dot = np.einsum("bavk,bak->bav", C, q[:, t]), np.einsum("bak,bak->ba", n, q[:, t])
        h.append(o[:, t] * read / np.maximum(np.abs(dot), floor(m))[..., None])
    return np.stack(h, 1).reshape(*x.shape[:2], -1), (C, n, m)


def attended(layer, x):
    """The parallel form written out: no state, every step weighs all steps before it."""
    q, k, v, o, i, f = projections(layer, x)
    f = np.exp(log_forget(f, layer.forget))
    h = np.zeros_like(q)
    for t in range(x.shape[1]):
        weight = np.stack([np.exp(i[:, s]) * f[:, s + 1 : t + 1].prod(1) for s in range(t + 1)], 1)
        score = weight * np.einsum("bak,bsak->bsa", q[:, t], k[:, : t + 1])
        read = np.einsum("bsa,bsav->bav", score, v[:, : t + 1])
        h[:, t] = o[:, t] * read / np.maximum(np.abs(score.sum(1)), 1)[..., None]
    return h.reshape(*x.shape[:2], -1)


def build(dtype=torch.float64, **arguments):
    torch.manual_seed(1)
    model = MLSTM(3, **{"hidden_size": 6, "num_heads": 2, **arguments}).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    return model


def series(dtype=torch.float64, batch=2, time=9):
    return torch.randn(batch, time, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(dtype)


def everything(model, outputs, state, *inputs):
    """Outputs, state, and the gradients of a weighted sum of both with respect to parameters and inputs."""
    leaves = [leaf for layer in state for leaf in layer]
    loss = sum((leaf * torch.linspace(-1, 2, leaf.numel()).view(leaf.shape)).sum() for leaf in (outputs, *leaves))
    return outputs, *leaves, *torch.autograd.grad(loss, [*model.parameters(), *inputs])


@pytest.mark.parametrize("num_heads", [1, 2, 3])
@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
@pytest.mark.parametrize("chunk_size", [4, 9])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_two_layers_equal_the_published_equations(num_heads, forget, chunk_size, dtype, tolerance):
    model = build(dtype, num_heads=num_heads, num_layers=2, forget=forget, chunk_size=chunk_size)
    x = series(dtype)
    y, state = model(x)
    expected = x.double().numpy()
    for layer, got in zip(model.double().layers, state, strict=True):
        expected, last = stabilised(layer, expected)
        for ours, theirs in zip(got, last, strict=True):
            np.testing.assert_allclose(ours.detach(), theirs, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(y.detach(), expected, rtol=tolerance, atol=tolerance)
    assert y.dtype == dtype


@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
def test_it_equals_the_thesiss_unstabilised_cell(forget):
    model, x = build(forget=forget), series()
    y, ((C, n, m),) = model(x)
    expected, cell, normaliser = unstabilised(model.layers[0], x.numpy())
    np.testing.assert_allclose(y.detach(), expected, rtol=1e-11)
    np.testing.assert_allclose((C * m.exp()[..., None, None]).detach(), cell, rtol=1e-11)
    np.testing.assert_allclose((n * m.exp()[..., None]).detach(), normaliser, rtol=1e-11)
    np.testing.assert_allclose(attended(model.layers[0], x.numpy()), expected, rtol=1e-11)


def test_the_first_stabiliser_is_the_input_gates_pre_activation():
    model, x = build(), series(time=1)
    for chunk_size in (1, 32):
        model.layers[0].chunk_size = chunk_size
        _, ((_, _, m),) = model(x)
        gate = model.layers[0].gate("input")
        torch.testing.assert_close(m, x[:, 0] @ gate.weight_ih.T + gate.bias, rtol=0, atol=1e-14)


def test_known_errors_would_be_noticed():
    model, x = build(), series()
    layer, values = model.layers[0], x.numpy()
    y = model(x)[0].detach().numpy()
    assert np.abs(stabilised(layer, values, floor=lambda m: 1.0)[0] - y).max() > 1e-2  # max(|nᵀq|, 1) on stabilised n
    assert np.abs(stabilised(layer, values, floor=lambda m: 0.0)[0] - y).max() > 1e-2  # no max at all
    without_root = build()
    with torch.no_grad():
        for parameter in without_root.layers[0].gate("key"):
            parameter.mul_(3**0.5)  # takes the division by sqrt(d) back
    assert np.abs(without_root(x)[0].detach().numpy() - y).max() > 1e-2
    without_query = build()
    with torch.no_grad():
        for query, key in zip(*(without_query.layers[0].gate(name) for name in ("query", "key")), strict=True):
            query.copy_(key)  # reading with the key
    assert np.abs(without_query(x)[0].detach().numpy() - y).max() > 1e-2


def test_a_value_is_found_again_by_its_key():
    model = MLSTM(6, hidden_size=4).double()
    layer = model.layers[0]
    v, x = torch.tensor([0.3, -1.0, 2.0, 0.5], dtype=torch.float64), torch.zeros(1, 4, 6, dtype=torch.float64)
    with torch.no_grad():  # inputs 0..3 are the key and the query, input 4 opens the input gate, 5 holds the value
        layer.weight_ih.zero_()
        layer.bias.zero_()
        layer.gate("query").weight_ih[:, :4] = 10 * torch.eye(4)
        layer.gate("key").weight_ih[:, :4] = 10 * torch.eye(4)
        layer.gate("value").weight_ih[:, 5] = v
        layer.gate("output").bias.fill_(50.0)
        layer.gate("forget").bias.fill_(50.0)
        layer.gate("input").bias.fill_(-50.0)
        layer.gate("input").weight_ih[:, 4] = 50.0
    x[0, 0] = torch.tensor([1, 0, 0, 0, 1, 1.0])  # writes v under the first key
    x[0, 1] = torch.tensor([0, 1, 0, 0, 1, -7.0])  # writes -7 v under another one
    x[0, 2, 0] = 1  # asks for the first
    x[0, 3, 1] = 1  # asks for the second
    y, _ = model(x)
    torch.testing.assert_close(y[0, 2:], torch.stack([v, -7 * v]))


@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
@pytest.mark.parametrize("chunk_size", [1, 5, 8, 36, 37, 100])
def test_parallel_chunkwise_and_recurrent_forms_agree(forget, chunk_size):
    model = build(forget=forget, chunk_size=chunk_size, num_layers=2)
    x = series(time=37).requires_grad_()
    before = tuple(tuple(leaf.detach() for leaf in layer) for layer in model(series(batch=2, time=3).flip(1))[1])
    for start in (None, before):
        forms = everything(model, *model(x, start), x)
        stepped = unrolled(model, x, model.initial_state(2) if start is None else start)
        steps = everything(model, *stepped, x)
        for ours, theirs in zip(forms, steps, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("chunk_size", [4, 32])
@pytest.mark.parametrize("pieces", [[1, 36], [13, 1, 23], [20, 17]])
def test_a_sequence_in_pieces_equals_the_whole_with_all_gradients(pieces, chunk_size):
    model, x = build(chunk_size=chunk_size), series(time=37)
    whole = everything(model, *model(x))
    split = in_pieces(model, x, pieces, model.initial_state(2))
    for ours, theirs in zip(everything(model, *split), whole, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
@pytest.mark.parametrize("time", [1, 4])
def test_gradients_of_outputs_and_states_equal_finite_differences(forget, time):
    model = build(hidden_size=4, forget=forget, chunk_size=3)
    x = series(time=time).requires_grad_()
    state = tuple(part.detach().requires_grad_() for part in model(series(time=2))[1][0])

    def run(x, *state):
        y, (last,) = model(x, (state,))
        return y, *last

    assert torch.autograd.gradcheck(run, (x, *state))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("time", [1, 20, 200])
@pytest.mark.parametrize("level", [-1000.0, -100.0, 100.0, 1000.0])
def test_extreme_stabilisers_keep_gradients_finite(level, time, dtype):
    model, x = build(dtype), series(dtype, time=time).requires_grad_()
    with torch.no_grad():
        model.layers[0].gate("input").bias.fill_(level)
        model.layers[0].gate("forget").bias.fill_(5.0)
    y, ((_, _, m),) = model(x)
    assert (m - level).abs().max() < 50
    for gradient in torch.autograd.grad(y.sum(), [x, *model.parameters()]):
        assert gradient.isfinite().all()
    if level < 0:
        assert y.abs().max() < 1e-15  # hardly anything was written


def test_a_stabiliser_of_minus_100_is_exact_in_float64():
    model, x = build(), series()
    with torch.no_grad():
        model.layers[0].gate("input").bias.fill_(-100.0)
    y, _ = model(x)
    np.testing.assert_allclose(y.detach(), unstabilised(model.layers[0], x.numpy())[0], rtol=1e-10, atol=0)


def test_a_query_of_zero_reads_zero_even_where_the_floor_vanishes():
    model, x = build(torch.float32), series(torch.float32)
    with torch.no_grad():
        model.layers[0].gate("input").bias.fill_(500.0)
        for parameter in model.layers[0].gate("query"):
            parameter.zero_()
    y, _ = model(x)
    y.sum().backward()
    assert (y == 0).all()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_gates_beyond_the_range_of_exp_stay_exact():
    model, x = build(forget="exp"), series(time=12)
    x[..., 0] = torch.arange(12)
    with torch.no_grad():  # ĩ grows by 900 at every step, and f̃ keeps up with it
        model.layers[0].gate("input").weight_ih[:, 0] = 900
        model.layers[0].gate("forget").bias.add_(900)
    y, _ = model(x)
    expected, _ = stabilised(model.layers[0], x.numpy())
    np.testing.assert_allclose(y.detach(), expected, rtol=1e-6, atol=1e-9)
    with np.errstate(all="ignore"):  # log(exp(.)) overflows where the pre-activation does not
        assert np.isnan(stabilised(model.layers[0], x.numpy(), naive=True)[0]).any()


@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_ten_thousand_steps_keep_finite_outputs_and_gradients(forget, scale):
    model = MLSTM(3, hidden_size=16, num_heads=2, forget=forget)
    x = (scale * series(torch.float32, batch=1, time=10_000)).requires_grad_()
    y, state = model(x)
    y.square().mean().backward()
    assert y.isfinite().all()
    assert all(leaf.isfinite().all() for leaf in state[0])
    assert x.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("scale", [1.0, 30.0, 1e3])
def test_float32_stays_close_to_float64_over_a_long_series(scale):
    x = scale * series(torch.float32, batch=1, time=1000)
    model = MLSTM(3, hidden_size=16, num_heads=2)
    y = model(x)[0].double()
    exact = model.double()(x.double())[0]
    error = (y - exact).abs() / (exact.abs() + 1e-3 * scale)
    assert error.flatten().quantile(0.99) < 1e-4


def test_another_chunk_costs_a_handful_of_calls():
    class Calls(TorchFunctionMode):
        count = 0

        def __torch_function__(self, func, types, args=(), kwargs=None):
            self.count += 1
            return func(*args, **(kwargs or {}))

    def calls(time):
        with Calls() as mode, torch.no_grad():
            model(series(time=time))
        return mode.count

    model = build(chunk_size=16)
    assert (calls(16 * 20) - calls(16 * 10)) / 10 <= 5
    assert calls(16) <= 125


def test_trace_gives_the_signals_of_the_equations_and_the_same_output():
    model, x = build(num_layers=2, chunk_size=4), series()
    signals = model.trace(x)
    torch.testing.assert_close(signals["output"], model(x)[0], rtol=0, atol=0)
    assert MLSTMLayer.parts[:4] == ("query", "key", "value", "output_gate")
    assert MLSTMLayer.parts[4:] == ("input_gate", "forget_gate", "normaliser", "stabiliser", "hidden")
    q, k, v, o, i, f, n, m, h = (signals[f"layers.1.{name}"] for name in MLSTMLayer.parts)
    assert all(signal.shape == (2, 9, 6) for signal in (q, k, v, o, n, h))
    assert all(signal.shape == (2, 9, 2) for signal in (i, f, m))
    torch.testing.assert_close(h, signals["output"], rtol=0, atol=0)
    torch.testing.assert_close(torch.maximum(i, f), torch.ones_like(i))
    n, k = n.view(2, 9, 2, 3), k.view(2, 9, 2, 3) / 3**0.5
    torch.testing.assert_close(n[:, 1:], f[:, 1:, :, None] * n[:, :-1] + i[:, 1:, :, None] * k[:, 1:])
    torch.testing.assert_close(n[:, 0], i[:, 0, :, None] * k[:, 0])
    _, (_, (_, last, _)) = model(x)
    torch.testing.assert_close(n[:, -1], last)
    assert (o > 0).all()
    assert (o < 1).all()
    assert len(signals) == 1 + 2 * 9


def test_a_traced_step_continues_a_traced_sequence():
    model, x = build(), series()
    whole, (_, state) = model.trace(x), model(x[:, :8])
    signals = model.trace(x[:, 8:], state)
    for name, signal in signals.items():
        torch.testing.assert_close(signal, whole[name][:, 8:])


def test_heads_do_not_mix():
    model, x = build(num_heads=3), series()
    y, _ = model(x)
    with torch.no_grad():
        for name in ("query", "key", "value", "output"):
            model.layers[0].gate(name).weight_ih[2:4] += 1.0  # the second head's units
        model.layers[0].gate("input").bias[1] += 1.0
        model.layers[0].gate("forget").bias[1] += 1.0
    assert (model(x)[0] != y).flatten(0, 1).any(0).tolist() == [False, False, True, True, False, False]


def test_gate_parameters_are_views_that_set_the_network():
    model, x = build(), series()
    for names, rows in ((ROWS[:4], 6), (ROWS[4:], 2)):
        for name in names:
            assert [tuple(p.shape) for p in model.gate(0, name)] == [(rows, 3), (rows, 0), (rows,)]
    with torch.no_grad():
        for p in model.gate(0, "value"):
            p.zero_()
    assert (model(x)[0] == 0).all()
    with pytest.raises(ValueError, match="unknown gate 'cell'; MLSTMLayer has query, key, value, output, input"):
        model.gate(0, "cell")
    with pytest.raises(ValueError, match="layer must be at least 0 and below 1, got 1"):
        model.gate(1, "query")


def test_dropout_acts_between_layers_in_training_only():
    model, x = build(num_layers=2, dropout=0.5), series()
    assert (model.train()(x)[0] != model(x)[0]).any()
    torch.testing.assert_close(model.eval()(x)[0], model(x)[0], rtol=0, atol=0)
    torch.testing.assert_close(model.train().trace(x)["layers.0.hidden"], model.eval().trace(x)["layers.0.hidden"])


def test_the_forget_bias_is_added_at_the_start():
    torch.manual_seed(4)
    raised = MLSTM(3, forget_bias=2.5, num_layers=2)
    torch.manual_seed(4)
    plain = MLSTM(3, num_layers=2, forget_bias=0.0)
    for layer in (0, 1):
        torch.testing.assert_close(raised.gate(layer, "forget").bias, plain.gate(layer, "forget").bias + 2.5)
        torch.testing.assert_close(raised.gate(layer, "input").bias, plain.gate(layer, "input").bias)


def test_the_state_before_the_first_step_is_zero_but_for_the_stabiliser():
    for C, n, m in MLSTM(3, hidden_size=6, num_heads=2, num_layers=2).initial_state(5):
        assert (C.shape, n.shape, m.shape) == ((5, 2, 3, 3), (5, 2, 3), (5, 2))
        assert not any(part.any() for part in (C, n))
        assert (m == NOTHING).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_heads": 3, "hidden_size": 4}, "hidden_size must be a multiple of num_heads = 3, got 4"),
        ({"num_heads": 0}, "num_heads must be a positive integer, got 0"),
        ({"hidden_size": 0}, "hidden_size must be a positive integer, got 0"),
        ({"num_layers": 0}, "num_layers must be a positive integer, got 0"),
        ({"chunk_size": 0}, "chunk_size must be a positive integer, got 0"),
        ({"forget": "relu"}, "forget must be 'sigmoid' or 'exp', got 'relu'"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        MLSTM(3, **arguments)
