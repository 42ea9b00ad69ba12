"""The reason why an export fails, in words."""

import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from forecastlab.backbones.any_length import GrowingStateError

_TORCH = str(Path(torch.__file__).parent)
_HERE = str(Path(__file__).parent)


def obstacle(error: BaseException) -> str | None:
    """The operation at which an export failed: its name, or the line that calls it; None if the error has neither."""
    for cause in _chain(error):
        if isinstance(cause, GrowingStateError):
            return str(cause)
        if match := re.search(r"No ONNX function found for <OpOverload\(op='([\w.]+)'", str(cause)):
            return f"{match[1]} has no counterpart in ONNX"
    for cause in _chain(error):
        for where in _lines(traceback.extract_tb(cause.__traceback__)):
            return f"{where}: {first_line(cause)}"
    return None


def first_line(error: BaseException) -> str:
    """The kind of an error and the first line of its message, without how to make torch say more."""
    line = f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]
    return line.partition(" For more information, run with TORCH_LOGS")[0]


class LengthWatch(nn.Module):
    """Calls a function of a sequence, and records the first line that turns an unknown length into a number.

    Args:
        function: the function.
        lines: a list that receives the line. Attributes of a module would not do: an export resets them.
    """

    def __init__(self, function: nn.Module, lines: list[str]) -> None:
        super().__init__()
        self.function = function
        self.lines = lines

    def forward(self, history: Tensor, **others: Tensor) -> Any:
        """Calls the function."""
        with _Watch(history.shape[1], self.lines):
            return self.function(history, **others)


class _Watch(TorchFunctionMode):
    def __init__(self, length: Any, lines: list[str]) -> None:
        super().__init__()
        self.length = length
        self.lines = lines

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if not self.lines and self.length.node.expr.is_number:
            self.lines += [
                f"{where} needs the number of rows in advance" for where in _lines(traceback.extract_stack())
            ]
        return result


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _lines(frames: traceback.StackSummary) -> list[str]:
    """The lines of a network, innermost first, as "file.py, line 3 (`h = h[-1]`)"."""
    return [
        f"{Path(frame.filename).name}, line {frame.lineno} (`{frame.line}`)"
        for frame in reversed(frames)
        if frame.line and not frame.filename.startswith((_TORCH, _HERE, "<"))
    ]
