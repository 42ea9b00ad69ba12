"""Activation functions by name, for the cells that leave them free."""

from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor
from torch.nn import functional

Activation: TypeAlias = Literal[
    "tanh", "sigmoid", "hard_sigmoid", "relu", "leaky_relu", "elu", "softplus", "softsign", "identity"
]
"""Names of the activation functions; "identity" leaves its input as it is."""


def _identity(x: Tensor) -> Tensor:
    return x


_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "hard_sigmoid": functional.hardsigmoid,
    "relu": torch.relu,
    "leaky_relu": functional.leaky_relu,
    "elu": functional.elu,
    "softplus": functional.softplus,
    "softsign": functional.softsign,
    "identity": _identity,
}


def activation_function(name: str) -> Callable[[Tensor], Tensor]:
    """The elementwise function of a name.

    Raises:
        ValueError: for an unknown name.
    """
    if name not in _FUNCTIONS:
        raise ValueError(f"unknown activation {name!r}; available: {', '.join(get_args(Activation))}")
    return _FUNCTIONS[name]
