"""Bounds the memory of a network that a file describes, before any of it is taken."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from forecastlab import limits
from forecastlab.errors import DataError
from forecastlab.limits import in_units

_MAKERS = ("arange", "empty", "eye", "full", "linspace", "ones", "rand", "randn", "zeros")
"""What makes a tensor from numbers, in torch and as `new_...` of a tensor."""


@contextmanager
def bounded_network(weights: Mapping[str, torch.Tensor] | None = None) -> Iterator[None]:
    """Within the block, building a network that does not fit in the memory raises an error.

    The size of every tensor is checked before it is made, so a `hidden_size` of millions costs nothing.

    Args:
        weights: the `state_dict` that the network is to take, which says how many parameters it may have.

    Raises:
        DataError: if the network needs more memory, or has more parameters.
    """
    registered = 0

    def count(module: torch.nn.Module, name: str, parameter: torch.nn.Parameter | None) -> None:
        nonlocal registered
        registered += parameter is not None
        if weights is not None and registered > 4 * len(weights) + 100:  # a parameter may be replaced, or shared
            raise DataError(
                f"the network that is described has more than {registered - 1} parameters, but there are weights for "
                f"{len(weights)}: its settings and its weights do not belong together"
            )

    hook = register_module_parameter_registration_hook(count)
    try:
        with _BoundedTensors():
            yield
    finally:
        hook.remove()


class _BoundedTensors(TorchFunctionMode):
    """Adds up the sizes of the tensors that are made from numbers, and ends before they take more than there is."""

    def __init__(self) -> None:
        super().__init__()
        self.most = limits.available_memory() or math.inf
        self.taken = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.taken += _bytes_asked_for(func, args, kwargs or {})
        if self.taken > self.most:
            raise DataError(
                f"the network that is described needs at least {in_units(self.taken)} of memory, but only "
                f"{in_units(int(self.most))} are available: lower its sizes"
            )
        return func(*args, **(kwargs or {}))


def _bytes_asked_for(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
    """The size of the tensor that a function makes from numbers; 0 for one that makes none."""
    name = getattr(func, "__name__", "").removeprefix("new_")
    if name not in _MAKERS:
        return 0
    given = [value for value in (*args, *kwargs.values()) if not isinstance(value, torch.Tensor)]
    shape = next((value for value in given if isinstance(value, list | tuple)), given)
    sizes = [value for value in shape if isinstance(value, int) and not isinstance(value, bool)]
    count = max(sizes, default=0) if name in ("arange", "linspace") else math.prod(sizes)
    return count * (kwargs.get("dtype") or torch.get_default_dtype()).itemsize
