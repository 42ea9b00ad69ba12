"""When a loop over time is left to the compiled kernels."""

from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from forecastlab.adapters.torch import is_traced, is_transformed

MIN_STEPS = 16
"""The shortest sequence for which a kernel is worth its compilation (seconds, once per machine)."""


@cache
def loops() -> Any:
    """The module of the kernels, or None where numba is not installed or does not fit the installed numpy."""
    try:
        return import_module("forecastlab.backbones.kernels.loops")  # takes half a second: not before it is needed
    except ImportError:
        return None


def usable(inputs: Tensor, *others: Tensor | None) -> bool:
    """Whether a kernel can run a sequence and is likely to be faster than the loop in Python.

    That depends on sizes, dtypes and the device, never on values.

    Args:
        inputs: (batch, time, width), the input projections of all steps.
        others: states, weights and masks that go with it.
    """
    return (
        not torch.compiler.is_compiling()  # before any size is asked for, which would fix it
        and not is_traced()
        and inputs.shape[1] >= MIN_STEPS
        and inputs.dtype in (torch.float32, torch.float64)
        and all(_plain(tensor) and tensor.dtype == inputs.dtype for tensor in (inputs, *others) if tensor is not None)
        and not torch.is_autocast_enabled("cpu")
        and not is_transformed()
        and loops() is not None
    )


def _plain(tensor: Tensor) -> bool:
    # Fake tensors, which stand for shapes only, say that they are on a CPU too.
    return tensor.device.type == "cpu" and type(tensor) in (Tensor, torch.nn.Parameter)
