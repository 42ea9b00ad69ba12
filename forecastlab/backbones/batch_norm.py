"""Batch normalisation inside a recurrence."""

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from forecastlab.backbones.base import require_positive


class StepBatchNorm(nn.Module):
    """Batch normalisation over the rows of a batch, with statistics of its own for every time step.

        training:    BN(u)_n = β + γ ⊙ (u_n - mean over the rows) / sqrt(variance over the rows + eps)
        evaluation:  BN(u)_n = β + γ ⊙ (u_n - running_mean[s]) / sqrt(running_variance[s] + eps)

    where s is the time step of row n. In training the running statistics of the present step move towards those of the
    batch by `momentum`, as torch.nn.BatchNorm1d's do (variance with Bessel's correction). Steps from `max_length` - 1
    on share the last entry. In evaluation, a step that training never reached uses the entry of the last step that
    training reached, since later entries were never estimated.

    Rows influence each other in training, and one row alone has no variance, so training needs two or more.

    A row may have several places, such as the cells of a queue. Mean and variance are then over all rows and those of
    their places that count.

    Args:
        size: width of the values that are normalised.
        max_length: number of time steps with statistics of their own.
        scale: start value of the gains γ.
        shift: whether there are offsets β; they start from 0.
        momentum: weight of the present batch in the running statistics.
        eps: added to the variance.
    """

    needs_several_rows = True
    """The trainer reads it: a batch of one sequence cannot be normalised."""

    running_mean: Tensor
    running_variance: Tensor
    reached: Tensor

    def __init__(
        self,
        size: int,
        max_length: int,
        scale: float = 0.1,
        shift: bool = True,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        require_positive(size=size, max_length=max_length)
        self.max_length = max_length
        self.momentum = momentum
        self.eps = eps
        self.scale = nn.Parameter(torch.full((size,), scale))
        self.shift = nn.Parameter(torch.zeros(size)) if shift else None
        self.register_buffer("running_mean", torch.zeros(max_length, size))
        self.register_buffer("running_variance", torch.ones(max_length, size))
        self.register_buffer("reached", torch.zeros((), dtype=torch.long))

    def forward(self, u: Tensor, step: Tensor, counted: Tensor | None = None) -> Tensor:
        """Normalises one time step.

        Args:
            u: (batch, size), or (batch, places, size).
            step: (batch,), integer: the time step of each row, counted from 0; in training it is the same for all rows.
            counted: (batch, places), boolean: which places count; None for rows without places.

        Returns:
            The shape of u.

        Raises:
            ValueError: for a single row in training.
        """
        if not self.training:
            entry = torch.minimum(step, (self.reached - 1).clamp(0))
            mean, variance = self.running_mean[entry], self.running_variance[entry]
            if counted is not None:
                mean, variance = mean.unsqueeze(1), variance.unsqueeze(1)
            return self._normalised(u, mean, variance)
        if u.shape[0] < 2:
            raise ValueError(
                "batch normalisation needs at least 2 sequences in each training batch, got 1: train on windows "
                "(an integer lookback) and choose a batch size that leaves no last batch of one"
            )
        entry = step[:1].clamp(max=self.max_length - 1)
        mean, variance = self.running_mean[entry].squeeze(0), self.running_variance[entry].squeeze(0)
        if counted is None:
            u = batch_norm(u, mean, variance, self.scale, self.shift, True, self.momentum, self.eps)
        else:
            u = self._over_places(u, counted, mean, variance)
        with torch.no_grad():  # the copies have moved; no step is read back to the CPU
            self.running_mean.index_copy_(0, entry, mean.unsqueeze(0))
            self.running_variance.index_copy_(0, entry, variance.unsqueeze(0))
            self.reached.copy_(torch.maximum(self.reached, entry[0] + 1))
        return u

    def _over_places(self, u: Tensor, counted: Tensor, running_mean: Tensor, running_variance: Tensor) -> Tensor:
        """What torch's batch_norm does, over the places that count; it moves the running statistics."""
        weight = counted.unsqueeze(-1).to(self.running_mean.dtype)
        count = weight.sum()
        mean = (u * weight).sum((0, 1)) / count
        variance = ((u - mean).square() * weight).sum((0, 1)) / count
        with torch.no_grad():
            running_mean.lerp_(mean, self.momentum)
            running_variance.lerp_(variance * count / (count - 1), self.momentum)
        return self._normalised(u, mean, variance)

    def _normalised(self, u: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        u = (u - mean) * torch.rsqrt(variance + self.eps) * self.scale
        return u if self.shift is None else u + self.shift
