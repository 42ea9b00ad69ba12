"""Penalties on the encoding, which are added to the training loss."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Penalty(nn.Module, ABC):
    """A number to minimise beside the loss, from the backbone's output."""

    @abstractmethod
    def forward(self, output: Tensor, dropped: Tensor, weight: Tensor | None = None) -> Tensor:
        """The penalty, a scalar.

        Args:
            output: (batch, time, width): the backbone's output, before dropout.
            dropped: the same after dropout, as the decoder reads it; without dropout, `output` itself.
            weight: (batch, time): 1 for a step, 0 for padding of a shorter sequence; None without padding.
        """


class ActivationPenalty(Penalty):
    """AR and TAR: alpha * mean(dropped²) + beta * mean((h_t - h_{t-1})²), over batch, time and width.

    The first term keeps activations small. It reads the output after dropout. The second term keeps them from changing
    fast along time. It reads the output before dropout, and is 0 for sequences of one step. Time is the second axis
    here. Public code has time as its first axis; a copy of it that keeps that axis compares the rows of a batch. The
    paper's formulas have norms; its authors' code and this class use means of squares. Source: Merity, McCann and
    Socher 2017.

    Args:
        alpha: weight of the activations.
        beta: weight of their changes.

    Raises:
        ValueError: if one is negative.
    """

    def __init__(self, alpha: float = 2.0, beta: float = 1.0) -> None:
        super().__init__()
        for name, value in (("alpha", alpha), ("beta", beta)):
            if not value >= 0:
                raise ValueError(f"{name} must be 0 or a positive number, got {value!r}")
        self.alpha = alpha
        self.beta = beta

    def forward(self, output: Tensor, dropped: Tensor, weight: Tensor | None = None) -> Tensor:
        change = output[:, 1:] - output[:, :-1]
        both = None if weight is None else weight[:, 1:] * weight[:, :-1]  # no step into the padding
        return self.alpha * _mean_square(dropped, weight) + self.beta * _mean_square(change, both)


def _mean_square(values: Tensor, weight: Tensor | None) -> Tensor:
    """Mean of squares over the steps that count, a scalar; 0 if no step counts.

    Args:
        values: (batch, time, width)
        weight: (batch, time), 0 or 1; None if all count.
    """
    if weight is None:
        weight = values.new_ones(values.shape[:2])
    return (values.square().mean(-1) * weight).sum() / weight.sum().clamp(min=1)
