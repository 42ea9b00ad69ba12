"""States of backbones in tests: tensors in nested tuples."""

import torch
from torch import Tensor


def leaves(state):
    """The tensors of a state, in order."""
    if isinstance(state, Tensor):
        return [state]
    assert isinstance(state, tuple)
    return [leaf for part in state for leaf in leaves(part)]


def each_leaf(change, state):
    """The state whose tensors are changed by a function."""
    return change(state) if isinstance(state, Tensor) else tuple(each_leaf(change, part) for part in state)


def unrolled(model, x, state):
    """The outputs of a sequence (batch, time, width) that is fed step by step, and the state after it."""
    outputs = []
    for x_t in x.unbind(1):
        y_t, state = model.step(x_t, state)
        outputs.append(y_t)
    return torch.stack(outputs, 1), state


def assert_near(found, expected, tolerance):
    """Compares shape, dtype and values, relative to the largest value above 1."""
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    size = max(1.0, expected.abs().max().item()) if expected.numel() else 1.0
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * size)


def in_pieces(model, x, lengths, state=None):
    """The outputs of a sequence (batch, time, width) that is fed in pieces, and the state after it."""
    outputs = []
    for piece in x.split(lengths, 1):
        y, state = model(piece, state)
        outputs.append(y)
    return torch.cat(outputs, 1), state
