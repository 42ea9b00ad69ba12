"""Every private name of torch that is used, behind a function or a class with a public one.

`tests/reliability/test_torch_is_as_relied_on.py` fails when torch changes one of them.
"""

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

__all__ = [
    "FollowsDevicesOnly",
    "event_writer",
    "is_traced",
    "is_transformed",
    "onednn_linear",
    "scan",
    "tree_flatten",
    "tree_leaves",
    "tree_map",
    "tree_unflatten",
    "writes",
]


class FollowsDevicesOnly(nn.Module):
    """A module whose buffers go to other devices with the network, but keep their own precision."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(lambda buffer: buffer.to(fn(buffer).device), recurse)  # type: ignore[no-untyped-call]  # torch's
        return self


def scan(body: Callable[[Any, Tensor], tuple[Any, Tensor]], start: Any, inputs: Tensor) -> tuple[Any, Tensor]:
    """A loop over the first axis of `inputs` that stays a loop in an exported program.

    Args:
        body: takes the state and one slice of the inputs; gives the next state and an output.
        start: the state before the first slice.
        inputs: (steps, ...).

    Returns:
        The state after the last slice, and the outputs, (steps, ...).
    """
    from torch._higher_order_ops import scan  # takes seconds: only where a program is exported

    last, outputs = scan(body, start, inputs)
    return last, outputs


def is_traced() -> bool:
    """Whether torch.jit.trace records what is computed now."""
    return torch._C._is_tracing()


def is_transformed() -> bool:
    """Whether torch.func transforms what is computed now, as vmap and grad do."""
    return torch._C._are_functorch_transforms_active()


def onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """As torch.nn.functional.linear, by oneDNN, in single precision and without derivatives."""
    y: Tensor = torch.ops.mkldnn._linear_pointwise.default(x, weight, bias, "none", [], "")
    return y


def writes(tensor: Tensor) -> int:
    """How often a tensor, or a view of it, was written to in place."""
    return tensor._version


def event_writer(writer: Any) -> Any:
    """What writes the events of a `SummaryWriter`; opened again if it was closed."""
    return writer._get_file_writer()
