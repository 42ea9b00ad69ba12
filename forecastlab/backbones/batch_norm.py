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

    def forward(self, u: Tensor, step: Tensor) -> Tensor:
        """Normalises one time step.

        Args:
            u: (batch, size).
            step: (batch,), integer: the time step of each row, counted from 0; in training it is the same for all rows.

        Returns:
            (batch, size).

        Raises:
            ValueError: for a single row in training.
        """
        if not self.training:
            entry = torch.minimum(step, (self.reached - 1).clamp(0))
            u = (u - self.running_mean[entry]) * torch.rsqrt(self.running_variance[entry] + self.eps) * self.scale
            return u if self.shift is None else u + self.shift
        if u.shape[0] < 2:
            raise ValueError(
                "batch normalisation needs at least 2 sequences in each training batch, got 1: train on windows "
                "(an integer lookback) and choose a batch size that leaves no last batch of one"
            )
        entry = step[:1].clamp(max=self.max_length - 1)
        mean, variance = self.running_mean[entry].squeeze(0), self.running_variance[entry].squeeze(0)
        u = batch_norm(u, mean, variance, self.scale, self.shift, training=True, momentum=self.momentum, eps=self.eps)
        with torch.no_grad():  # batch_norm has moved the copies; no step is read back to the CPU
            self.running_mean.index_copy_(0, entry, mean.unsqueeze(0))
            self.running_variance.index_copy_(0, entry, variance.unsqueeze(0))
            self.reached.copy_(torch.maximum(self.reached, entry[0] + 1))
        return u
