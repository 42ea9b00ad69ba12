"""Helpers that call the kernels from torch: tensors as arrays, and steps that all gradients share."""

from typing import Any

import torch
from torch import Tensor


def call(function: type[torch.autograd.Function], *arguments: Any) -> Any:
    """Applies an autograd function (whose `apply` has no types)."""
    apply: Any = function.apply
    return apply(*arguments)


def array(tensor: Tensor) -> Any:
    """The values of a tensor as a C-contiguous array that shares its memory where it can."""
    return tensor.detach().contiguous().numpy()


def changing(tensor: Tensor) -> Tensor:
    """A contiguous copy of a tensor, for a kernel to write into."""
    return tensor.detach().clone(memory_format=torch.contiguous_format)


def empty(like: Tensor, *shape: int) -> Tensor:
    """Room for results, of the dtype of another tensor."""
    return torch.empty(shape, dtype=like.dtype)


def ones_or(mask: Tensor | None, like: Tensor) -> Tensor:
    """The mask, or ones of the shape of `like` where there is none."""
    return torch.ones_like(like, memory_format=torch.contiguous_format) if mask is None else mask


def differentiated(*tensors: Tensor | None) -> bool:
    """Whether a backward pass may follow; if so, the gates of all steps must be kept."""
    return torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)


def refuse_second_derivatives() -> None:
    """Raises RuntimeError if the backward pass itself would be differentiated."""
    if torch.is_grad_enabled():
        raise RuntimeError("compiled kernels have no second derivatives: build the backbone with fused=False")


def seen_before(h: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """The inputs of the recurrent weights at every step, (batch * time, hidden): the masked state before the step."""
    return torch.cat([h.unsqueeze(1), y[:, :-1]], 1).mul_(mask.unsqueeze(1)).flatten(0, 1)
