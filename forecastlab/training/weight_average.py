"""The moving average of the weights of a training."""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from forecastlab.errors import ConfigError


class WeightAverage:
    """The average of the weights after each step of the optimizer, of which the newer ones count more.

        a_t = (1 - c) a_{t-1} + c w_t,      c = (η + 1) / (t + η)

    Steps of a learning rate that does not vanish scatter around a minimum, and their average lies nearer to it. The
    first weights, which are random, are soon forgotten: about the last 1 / (η + 1) of the steps count, however many
    there were. η = 0 is the mean of all steps.

    Outside of validation the module holds the weights that the optimizer changes. Within it, `exchange` lets it hold
    the average. Buffers, such as the statistics of a batch normalisation, stay as they are.

    Args:
        eta: η.

    Attributes:
        weights: the average, in the order of the parameters; within a validation those of the training. None before
            the first step.
        exchanged: whether the module holds the average.

    Raises:
        ConfigError: for a negative η, or one that is not finite.

    Source: Shamir and Zhang 2013, section 4: polynomial-decay averaging.
    """

    def __init__(self, eta: float) -> None:
        if not 0 <= eta < math.inf:
            raise ConfigError(f"model.weight_average must be a number of at least 0, or null for no average, got {eta}")
        self.eta = eta
        self.weights: list[Tensor] | None = None
        self.exchanged = False

    @torch.no_grad()
    def follow(self, parameters: Iterable[nn.Parameter], step: int) -> None:
        """Takes the weights after a step into the average.

        Args:
            parameters: those of the module.
            step: number of steps that the optimizer has made.
        """
        if self.weights is None:
            self.weights = [parameter.detach().clone() for parameter in parameters]
            return
        share = (self.eta + 1) / (step + self.eta)
        for average, parameter in zip(self.weights, parameters, strict=True):
            average.lerp_(parameter, share)

    @torch.no_grad()
    def exchange(self, parameters: Iterable[nn.Parameter]) -> None:
        """Exchanges the weights of the module and the ones that are kept here, if there are any."""
        if self.weights is None:
            return
        for number, parameter in enumerate(parameters):
            kept = self.weights[number]
            self.weights[number] = parameter.detach().clone()
            parameter.copy_(kept)
        self.exchanged = not self.exchanged

    def end(self, parameters: Iterable[nn.Parameter]) -> None:
        """Leaves the average in the module, when the training is over."""
        if not self.exchanged:
            self.exchange(parameters)
        self.weights, self.exchanged = None, False

    def named(self, module: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The average and the weights of the training, by the names of the parameters; empty before the first step."""
        if self.weights is None:
            return {}, {}
        here = {name: parameter.detach() for name, parameter in module.named_parameters()}
        kept = dict(zip(here, self.weights, strict=True))
        return (here, kept) if self.exchanged else (kept, here)

    def go_on(self, module: nn.Module, average: Mapping[str, Tensor]) -> None:
        """Goes on with the average of an interrupted training.

        Args:
            module: whose parameters have these names.
            average: by name; those of the parameters are taken.
        """
        self.weights = [average[name].to(parameter, copy=True) for name, parameter in module.named_parameters()]
        self.exchanged = False
