"""Compiled chunks of steps, for cells without a kernel of their own and for GPUs."""

from collections.abc import Callable
from functools import cache, partial
from types import CodeType, FunctionType
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from forecastlab.backbones.any_length import loop, of_any_length
from forecastlab.backbones.base import require_positive
from forecastlab.batch import State

Step = Callable[[Tensor, State], tuple[Tensor, State, tuple[Tensor, ...]]]
"""One step: an input (batch, width) and a state -> an output, the next state, and the inner signals that led there."""


class Chunks(NamedTuple):
    """How the loop over time of a module is compiled."""

    steps: int
    """Steps in a chunk."""
    backend: str
    """The backend of torch.compile."""


class Stepped(nn.Module):
    """A module with a loop over time; `compile_steps` sets its `chunks`."""

    chunks: Chunks | None = None

    def scan(
        self, step: Step, inputs: Tensor, state: State, keep_parts: bool = False
    ) -> tuple[Tensor, State, list[Tensor]]:
        """As the function `scan`; in compiled chunks if these are set and no parts are kept."""
        chunks = self.chunks
        if chunks is None or keep_parts or torch.compiler.is_compiling() or inputs.shape[1] < chunks.steps:
            return scan(step, inputs, state, keep_parts)
        run = _compiled(_code(step), chunks.backend)
        outputs = []
        for piece in inputs.split(chunks.steps, 1):
            if piece.shape[1] == chunks.steps:
                y, state = run(step, piece, state)
            else:  # the rest is not worth its own compilation
                y, state, _ = scan(step, piece, state)
            outputs.append(y)
        return torch.cat(outputs, 1), state, []


def compile_steps(backbone: nn.Module, chunk: int = 16, backend: str = "inductor") -> None:
    """Has torch.compile turn each `chunk` steps of every loop over time below a module into one call.

    A loop in Python costs a dozen calls of torch per step. A chunk costs one call, on CPUs and GPUs, and computes the
    same up to rounding. The price is the compilation at the first sequence: once for training and once for evaluation,
    in each process, and again for each new batch size. It takes tens of seconds per kind of layer, and more for longer
    chunks. So it pays for long trainings with batches of one size. Some parts are not compiled: the steps left over at
    the end of a sequence, sequences shorter than a chunk, `step`, `trace`, and modules without a loop (torch.nn's
    networks and attention). If a compiled kernel of ours fits (`kernels.choice`), it runs instead.

    Copies and pickles of the module are compiled too; weights and their names do not change.

    Args:
        backbone: the module, changed in place.
        chunk: number of steps in a chunk.
        backend: of torch.compile; "inductor" needs a C++ compiler on a CPU.

    Raises:
        ValueError: if `chunk` is not positive.
    """
    require_positive(chunk=chunk)
    for module in backbone.modules():
        if isinstance(module, Stepped):
            module.chunks = Chunks(chunk, backend)


def scan(step: Step, inputs: Tensor, state: State, keep_parts: bool = False) -> tuple[Tensor, State, list[Tensor]]:
    """Runs a step function along time.

    Args:
        step: maps an input (batch, width) and a state to an output (batch, output width), the next state, and the
            inner signals (parts) that led there.
        inputs: (batch, time, width), usually the input projection of all steps, computed as one matrix product.
        state: the state before the first step.
        keep_parts: whether the parts are collected.

    Returns:
        The outputs (batch, time, output width), the state after the last step, and the parts stacked along time, each
        (batch, time, ...) (empty without `keep_parts`).
    """
    if of_any_length(inputs) and not keep_parts:
        return *loop(step, inputs, state), []
    outputs, kept = [], []
    for x_t in inputs.unbind(1):
        y_t, state, parts = step(x_t, state)
        outputs.append(y_t)
        if keep_parts:
            kept.append(parts)
    return torch.stack(outputs, 1), state, [torch.stack(part, 1) for part in zip(*kept, strict=True)]


def _chunk(step: Step, inputs: Tensor, state: State) -> tuple[Tensor, State]:
    outputs = []
    for x_t in inputs.unbind(1):
        y_t, state, _ = step(x_t, state)
        outputs.append(y_t)
    return torch.stack(outputs, 1), state


@cache
def _compiled(code: CodeType, backend: str) -> Any:
    # torch.compile counts recompilations per code object and stops at a limit, so each cell gets its own copy.
    copied = FunctionType(_chunk.__code__.replace(co_name=f"_chunk_of_{code.co_name}"), _chunk.__globals__)
    return torch.compile(copied, backend=backend, dynamic=False)


def _code(step: Step) -> CodeType:
    function: Any = step.func if isinstance(step, partial) else step
    return cast(CodeType, function.__code__)
