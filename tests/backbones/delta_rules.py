"""The layer of the gated DeltaNet and of DeltaProduct in NumPy, from the equations of their papers."""

import numpy as np
from scipy.special import expit as logistic


def silu(a):
    return a * logistic(a)


def convolved(a, layer):
    """Each channel's own filter over the present and earlier steps, zeros before the first."""
    weight, bias = layer.conv.weight.detach().numpy(), layer.conv.bias.detach().numpy()
    y = np.empty_like(a)
    for t in range(a.shape[1]):
        y[:, t] = bias
        for j in range(weight.shape[1]):
            if t - j >= 0:
                y[:, t] += weight[:, -1 - j] * a[:, t - j]
    return y


def projections(layer, x, smooth=silu, unit=True, largest=None):
    """q (batch, time, heads, d), k and v (batch, time, heads, writes, d), z, beta (.., writes) and a (.., heads)."""
    rows = {}
    for name in layer.gates:
        weight, _, bias = (part.detach().numpy() for part in layer.gate(name))
        rows[name] = x @ weight.T + bias
    sizes = np.cumsum([rows[name].shape[-1] for name in ("query", "key")])
    mixed = convolved(np.concatenate([rows[name] for name in ("query", "key", "value")], -1), layer)
    q, k, v = np.split(smooth(mixed), sizes, -1)
    start, heads = x.shape[:2], layer.num_heads
    q, k, v = q.reshape(*start, heads, -1), *(part.reshape(*start, heads, layer.writes, -1) for part in (k, v))
    if unit:
        q, k = (part / np.sqrt(np.square(part).sum(-1, keepdims=True) + 1e-6) for part in (q, k))
    beta = (layer.largest if largest is None else largest) * logistic(rows["write"]).reshape(*start, heads, -1)
    a = np.ones((*start, heads))
    if layer.A_log is not None:
        a = np.exp(-np.exp(layer.A_log.detach().numpy()) * np.logaddexp(0, rows["decay"]))
    return q, k, v, silu(rows["output"]), beta, a


def paper(layer, x, norm_first=True, rule="product", late=False, **reading):
    """h (batch, time, hidden) and the last state: H_t = a_t A_t H_{t-1} + B_t of the DeltaProduct's section 3.

    A_t is the product of all I - beta k kᵀ, and B_t is the sum of all beta k vᵀ, each times those factors that follow
    it. H is the transpose of the other paper's S. With one write this is the gated delta rule.
    """
    q, k, v, z, beta, a = projections(layer, x, **reading)
    d, norm = q.shape[-1], layer.norm.detach().numpy()
    H, h = np.zeros((len(x), layer.num_heads, d, d)), np.empty_like(q)
    for row, t, head in np.ndindex(*q.shape[:3]):
        before = H[row, head].copy()
        A, B = np.eye(d), np.zeros((d, d))
        for key, value, gate in zip(k[row, t, head], v[row, t, head], beta[row, t, head], strict=True):
            factor = np.eye(d) - gate * np.outer(key, key) if rule == "product" else np.eye(d)
            A, B = factor @ A, factor @ B + gate * np.outer(key, value)
        decay = a[row, t, head]
        H[row, head] = decay * (A @ before + B) if rule == "decays all" else decay * A @ before + B
        read = (before if late else H[row, head]).T @ q[row, t, head]
        gate = z[row, t].reshape(layer.num_heads, d)[head]
        read = read if norm_first else read * gate
        scaled = read / np.sqrt(np.square(read).mean() + 1e-6) * norm
        h[row, t, head] = scaled * gate if norm_first else scaled
    return h.reshape(*x.shape[:2], -1), np.swapaxes(H, -1, -2)


def stacked(model, x, **reading):
    """The output of all layers, and their states."""
    x, states = x.numpy(), []
    for layer in model.layers:
        x, S = paper(layer, x, **reading)
        states.append(S)
    return x, states


WRONG = {
    "keys as they are": {"unit": False},
    "no activation after the convolution": {"smooth": lambda a: a},
    "nothing is erased": {"rule": "sum"},
    "what is written decays too": {"rule": "decays all"},
    "the state of the step before is read": {"late": True},
    "the gate stands before the norm": {"norm_first": False},
}
