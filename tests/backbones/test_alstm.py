import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from forecastlab.backbones.alstm import ALSTM
from tests.backbones.states import unrolled

BATCH, TIME, WIDTH, HIDDEN, HEADS, KEY = 3, 8, 4, 6, 2, 5


def sequence(time=TIME):
    return torch.randn(BATCH, time, WIDTH, dtype=torch.float64)


def equation_3(model, x, a=np.tanh, scale=None, mask_after_normalising=False):
    """Van Diepen's eq. 3 in NumPy, row by row and head by head: exp, mask, row sums, sum over the heads."""
    x = x.numpy()
    for layer in model.layers:
        width = x.shape[2]
        q, k, theta = (p.detach().numpy().reshape(layer.num_heads, -1, width) for p in layer.parameters())
        d = layer.key_size
        lower = np.tril(np.ones((x.shape[1], x.shape[1])))
        rows = []
        for X in x:
            H = 0
            for head in range(layer.num_heads):
                S = np.exp((d**-0.5 if scale is None else scale) * X @ q[head].T @ k[head] @ X.T)
                if mask_after_normalising:
                    W = S / S.sum(1, keepdims=True) * lower
                else:
                    W = (S * lower) / (S * lower).sum(1, keepdims=True)
                H = H + W @ a(X @ theta[head].T)
            rows.append(H)
        x = np.stack(rows)
    return x


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("key_size", [KEY, None, 9])
def test_equals_equation_3_in_numpy(num_layers, key_size):
    model = ALSTM(WIDTH, HIDDEN, num_layers, HEADS, key_size).double()
    x = sequence()
    np.testing.assert_allclose(model(x)[0].detach(), equation_3(model, x), rtol=0, atol=1e-13)


def test_scale_and_activation_are_free():
    model, x = ALSTM(WIDTH, HIDDEN, num_heads=HEADS, scale=2.0, activation="relu").double(), sequence()
    expected = equation_3(model, x, lambda u: np.maximum(u, 0), 2.0)
    np.testing.assert_allclose(model(x)[0].detach(), expected, rtol=0, atol=1e-13)


def test_masking_after_normalising_is_another_model():
    model, x = ALSTM(WIDTH, HIDDEN, num_heads=HEADS).double(), sequence()
    wrong = equation_3(model, x, mask_after_normalising=True)
    assert abs(model(x)[0].detach().numpy() - wrong)[:, :-1].max() > 1e-2


def test_first_output_is_the_sum_of_the_heads_values():
    model, x = ALSTM(WIDTH, HIDDEN, num_heads=HEADS).double(), sequence()
    values = torch.tanh(x[:, 0] @ model.layers[0].value.T).view(BATCH, HEADS, HIDDEN)
    torch.testing.assert_close(model(x)[0][:, 0], values.sum(1))


def test_scores_beyond_the_range_of_exp_stay_finite():
    model = ALSTM(WIDTH, HIDDEN, num_heads=HEADS).double()
    x = 1e4 * sequence()
    with np.errstate(over="ignore", invalid="ignore"):
        assert not np.isfinite(equation_3(model, x)).all()
    assert model(x)[0].isfinite().all()


def test_trace_gives_the_attention_weights_of_equation_3():
    model, x = ALSTM(WIDTH, HIDDEN, num_heads=HEADS).double(), sequence()
    weights = model.trace(x)["layers.0.attention"]
    assert weights.shape == (BATCH, TIME, HEADS, TIME)
    torch.testing.assert_close(weights.sum(-1), torch.ones(BATCH, TIME, HEADS).double())
    assert not weights.transpose(1, 2).triu(1).any()
    layer = model.layers[0]
    q, k = (weight.view(HEADS, HIDDEN, WIDTH)[1] for weight in (layer.query, layer.key))
    score = (x[2, 5] @ q.T @ k @ x[2, :6].T) / HIDDEN**0.5
    torch.testing.assert_close(weights[2, 5, 1, :6], score.exp() / score.exp().sum())


def test_trace_of_a_continued_sequence_covers_the_past_too():
    model, x = ALSTM(WIDTH, HIDDEN, num_heads=HEADS).double(), sequence()
    whole, rest = model.trace(x), model.trace(x[:, 3:], model(x[:, :3])[1])
    assert rest["layers.0.attention"].shape == (BATCH, TIME - 3, HEADS, TIME)
    torch.testing.assert_close(rest["layers.0.attention"], whole["layers.0.attention"][:, 3:])


def test_1250_steps_equal_the_parallel_forward():
    model = ALSTM(9, 32, num_layers=2).eval()
    x = torch.randn(1, 1250, 9)
    with torch.no_grad():
        y, _ = model(x)
        steps, _ = unrolled(model, x, model.initial_state(1))
    assert (steps - y).abs().max() <= 1e-5 * y.abs().max()


class LargestTensor(TorchDispatchMode):
    """Notes the size of the largest tensor that an operation gives."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for item in result if isinstance(result, tuple | list) else [result]:
            if isinstance(item, torch.Tensor):
                self.elements = max(self.elements, item.numel())
        return result


@pytest.mark.parametrize("past", [100, 400])
def test_step_handles_nothing_larger_than_the_cache(past):
    model = ALSTM(WIDTH, HIDDEN, num_layers=2, num_heads=HEADS).double().eval()
    x = sequence(past + 1)
    with torch.no_grad():
        state = model(x[:, :past])[1]
        with LargestTensor() as largest:
            model.step(x[:, past], state)
    assert largest.elements == BATCH * HEADS * (past + 1) * HIDDEN  # past * past would be 11 or 44 times as large


def test_there_are_no_biases():
    model = ALSTM(WIDTH, HIDDEN, num_layers=2)
    assert [name for name, _ in model.named_parameters()] == [
        f"layers.{layer}.{name}" for layer in range(2) for name in ("query", "key", "value")
    ]
    assert not model(torch.zeros(1, 3, WIDTH))[0].any()


@pytest.mark.parametrize("bad", [{"num_heads": 0}, {"key_size": 0}, {"hidden_size": 0}, {"num_layers": 0}])
def test_size_below_one_raises(bad):
    with pytest.raises(ValueError, match=f"{next(iter(bad))} must be a positive integer, got 0"):
        ALSTM(WIDTH, **bad)
