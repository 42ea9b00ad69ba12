"""The blocks of the Temporal Fusion Transformer, transcribed into NumPy from its equations."""

import numpy as np


def linear(layer, x):
    y = x @ layer.weight.detach().numpy().T
    return y if layer.bias is None else y + layer.bias.detach().numpy()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def layer_norm(norm, x):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + norm.eps)
    return x * norm.weight.detach().numpy() + norm.bias.detach().numpy()


def gated_linear(layer, x):
    """GLU, eq. 5: the first half of the layer's outputs times the gate, the second half."""
    y = linear(layer, x)
    half = y.shape[-1] // 2
    return y[..., :half] * sigmoid(y[..., half:])


def gated_skip(part, x, skip):
    """LayerNorm(skip + GLU(x)), eqs. 17, 20 and 22."""
    y = skip + gated_linear(part.linear, x)
    return layer_norm(part.norm, y) if hasattr(part.norm, "eps") else y


def gated_residual(part, a, context=None):
    """GRN, eqs. 2 to 4."""
    eta = linear(part.input, a)
    if context is not None:
        eta = eta + linear(part.context, context)
    eta = np.where(eta > 0, eta, np.exp(np.minimum(eta, 0)) - 1)
    skip = linear(part.skip, a) if hasattr(part.skip, "weight") else a
    return gated_skip(part.gate, linear(part.hidden, eta), skip)


def variable_selection(part, x, context=None):
    """Eqs. 6 to 8 -> the selection and the weights."""
    variables = x.shape[-1]
    weight, bias = part.weight.detach().numpy(), part.bias.detach().numpy()
    vectors = [x[..., j : j + 1] * weight[j] + bias[j] for j in range(variables)]
    scores = (
        np.zeros_like(x) if part.score is None else gated_residual(part.score, np.concatenate(vectors, -1), context)
    )
    weights = softmax(scores)
    own = [gated_residual(each, vector) for each, vector in zip(part.own, vectors, strict=True)]
    return sum(weights[..., j : j + 1] * own[j] for j in range(variables)), weights
