"""Loops over time in programs that are exported for sequences of any length."""

from types import CellType, FunctionType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from forecastlab.adapters.torch import scan, tree_leaves, tree_map
from forecastlab.batch import State

if TYPE_CHECKING:
    from forecastlab.backbones.stepping import Step


class GrowingStateError(RuntimeError):
    """A state changes its shape from step to step, and the loop needs a constant shape."""


def of_any_length(x: Tensor) -> bool:
    """Whether torch.export is tracing a program that does not know the length of the sequence (batch, time, ...)."""
    length: Any = x.shape[1]  # a number, or a symbol for one
    return not isinstance(length, int) and torch.compiler.is_exporting()


def loop(step: "Step", inputs: Tensor, state: State) -> tuple[Tensor, State]:
    """Runs a step function along time as one operation: torch's `scan`, which has a counterpart in ONNX.

    Without it, torch.nn's networks and loops in Python become one operation for each step of the example.

    Args:
        step: as for `stepping.scan`.
        inputs: (batch, time, width).
        state: the state before the first step.

    Returns:
        The outputs (batch, time, output width) and the state after the last step.

    Raises:
        GrowingStateError: if the state changes its shape from step to step.
    """
    separate = _without_shared_memory(step)

    def body(state: State, x_t: Tensor) -> tuple[State, Tensor]:
        y_t, state, _ = separate(x_t, state)
        return tree_map(_copy, state), _copy(y_t)

    start = tree_map(_copy, state)
    try:
        last, outputs = scan(body, start, inputs.transpose(0, 1))
    except Exception as error:
        _, after, _ = step(inputs[:, 0], state)
        for number, (ours, theirs) in enumerate(zip(tree_leaves(state), tree_leaves(after), strict=True)):
            if ours.shape[1:] != theirs.shape[1:]:
                raise GrowingStateError(
                    f"tensor {number} of the state changes from {_shape(ours)} to {_shape(theirs)} in a step, "
                    "but torch's scan and ONNX's Scan need a constant shape"
                ) from error
        raise
    return outputs.transpose(0, 1), last


def _copy(tensor: Tensor) -> Tensor:
    # scan wants states of one memory layout, which share no memory with each other nor with its inputs
    return tensor.clone(memory_format=torch.contiguous_format)


def _without_shared_memory(step: "Step") -> "Step":
    """The same function with copies of the tensors that it closes over: scan refuses two views of one tensor."""
    if not isinstance(step, FunctionType):
        return step
    cells = tuple(CellType(_own(cell.cell_contents)) for cell in step.__closure__ or ())
    return FunctionType(step.__code__, step.__globals__, step.__name__, step.__defaults__, cells)


def _own(content: Any) -> Any:
    return content.clone() if isinstance(content, Tensor) else content


def _shape(tensor: Tensor) -> str:
    return f"(batch, {', '.join(map(str, tensor.shape[1:]))})"
