"""Scheduled sampling: the share of training steps in which a decoder reads the truth."""

import math
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

Decay: TypeAlias = Literal["none", "linear", "exponential", "inverse_sigmoid"]


class ScheduledSampling(nn.Module):
    """Draws whether a decoder reads the truth or its own forecast, and counts the training steps.

        ε_i = p                              none
              max(floor, p - slope i)        linear
              p k^i                          exponential, k < 1
              p k / (k + exp(i / k))         inverse_sigmoid, k >= 1

    ε_i is the probability of the truth in training step i = 0, 1, ...; p is `teacher_forcing`. A step is a forward pass
    in training. The count is saved with the weights. Each sequence and forecast step has its own draw, from torch's
    global generator. Source: Bengio et al. 2015, arXiv:1506.03099, section 2.4. There p is the offset of the linear
    decay, and 1 in the other decays.

    Args:
        teacher_forcing: p, at least 0 and at most 1.
        sampling: how the probability decays.
        k: constant of the exponential decay (default 0.999) and of the inverse sigmoid decay (default 150).
        slope: decrease of the linear decay per training step (default 0.0007).
        floor: where the linear decay ends (default 0).

    Raises:
        ValueError: for a value out of its range, an argument that `sampling` does not use, or a decay that starts at 0.
    """

    step: Tensor

    def __init__(
        self,
        teacher_forcing: float = 1.0,
        sampling: Decay = "none",
        k: float | None = None,
        slope: float | None = None,
        floor: float | None = None,
    ) -> None:
        super().__init__()
        if sampling not in ("none", "linear", "exponential", "inverse_sigmoid"):
            raise ValueError(f"sampling must be none, linear, exponential or inverse_sigmoid, got {sampling!r}")
        if not 0 <= teacher_forcing <= 1:
            raise ValueError(f"teacher_forcing must be at least 0 and at most 1, got {teacher_forcing!r}")
        if not teacher_forcing and sampling != "none":
            raise ValueError(f"teacher_forcing must be above 0 for sampling {sampling!r}, which lets it decay")
        if k is not None and sampling not in ("exponential", "inverse_sigmoid"):
            raise ValueError(f"k belongs to exponential and inverse_sigmoid; leave it out for sampling {sampling!r}")
        if (slope, floor) != (None, None) and sampling != "linear":
            raise ValueError(f"slope and floor belong to linear; leave them out for sampling {sampling!r}")
        # all three are at one half after about 700 steps
        self.k = (0.999 if sampling == "exponential" else 150.0) if k is None else k
        self.slope = 0.0007 if slope is None else slope
        self.floor = 0.0 if floor is None else floor
        if sampling == "exponential" and not 0 < self.k < 1:
            raise ValueError(f"k must be above 0 and below 1 for sampling 'exponential', got {k!r}")
        if sampling == "inverse_sigmoid" and not 1 <= self.k < math.inf:
            raise ValueError(f"k must be at least 1 for sampling 'inverse_sigmoid', got {k!r}")
        if not 0 < self.slope < math.inf:
            raise ValueError(f"slope must be above 0, got {slope!r}")
        if not 0 <= self.floor <= teacher_forcing:
            raise ValueError(f"floor must be at least 0 and at most teacher_forcing ({teacher_forcing}), got {floor!r}")
        self.teacher_forcing = teacher_forcing
        self.sampling = sampling
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def probability(self) -> Tensor:
        """ε of the next training step, a scalar. It stays on the device, so that nothing waits for it."""
        if self.sampling == "linear":
            return (self.teacher_forcing - self.slope * self.step).clamp(min=self.floor)
        if self.sampling == "exponential":
            return self.teacher_forcing * torch.exp(math.log(self.k) * self.step)
        if self.sampling == "inverse_sigmoid":  # the same without an exp that overflows
            return self.teacher_forcing * torch.sigmoid(math.log(self.k) - self.step / self.k)
        return torch.full_like(self.step, self.teacher_forcing, dtype=torch.get_default_dtype())

    def forward(self, sequences: int, steps: int) -> Tensor | None:
        """Draws for a training step, and counts it.

        Returns:
            (sequences, steps), boolean: whether the decoder reads the truth. None if it always does; then nothing is
            drawn.
        """
        fed = None
        if self.teacher_forcing < 1 or self.sampling != "none":
            fed = torch.rand(sequences, steps, device=self.step.device) < self.probability()
        self.step += 1
        return fed
