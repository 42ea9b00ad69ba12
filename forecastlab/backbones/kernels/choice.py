"""The choice between a compiled kernel and a loop in Python."""

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

    The answer depends on sizes, dtypes and the device, never on values.

    Args:
        inputs: (batch, time, width), the input projections of all steps.
        others: the states, weights and masks of the same call; None for those it does not have.
    """
    return computed(inputs, *others) and inputs.shape[1] >= MIN_STEPS and loops() is not None


def computed(first: Tensor, *others: Tensor | None) -> bool:
    """Whether numbers of one precision are computed on a CPU now: nothing is compiled, traced, transformed or cast.

    Args:
        first: a tensor that takes part.
        others: those that take part beside it; None for those that are missing.
    """
    return (
        not torch.compiler.is_compiling()  # asked first: reading a size would fix it
        and not is_traced()
        and first.dtype in (torch.float32, torch.float64)
        and all(_plain(tensor) and tensor.dtype == first.dtype for tensor in (first, *others) if tensor is not None)
        and not torch.is_autocast_enabled("cpu")
        and not is_transformed()
    )


def _plain(tensor: Tensor) -> bool:
    # Fake tensors hold shapes only, but also say that they are on a CPU.
    return tensor.device.type == "cpu" and type(tensor) in (Tensor, torch.nn.Parameter)
