"""What every decoder is: a map from the encoded history to the forecasts of each origin."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Decoder(nn.Module, ABC):
    """Maps the encoded history to `outputs` values per origin, step and target, in scaled units.

    Subclasses take these five sizes first and give every other argument a default.

    Args:
        width: width of the encoded history.
        horizon: number of steps.
        targets: number of targets.
        known: number of covariates known in advance.
        outputs: number of values per target that the loss asks for.
    """

    def __init__(self, width: int, horizon: int, targets: int, known: int, outputs: int) -> None:
        super().__init__()
        self.width = width
        self.horizon = horizon
        self.targets = targets
        self.known = known
        self.outputs = outputs

    @abstractmethod
    def forward(self, encoded: Tensor, known: Tensor, last: Tensor, target: Tensor | None = None) -> Tensor:
        """Forecasts from each origin; the origins are the last positions of the history.

        Args:
            encoded: (batch, time, width), the backbone's output.
            known: (batch, origins, horizon, known), scaled.
            last: (batch, origins, targets): the target's own value at the origin, scaled (and relative to itself, so
                0, where the forecaster anchors).
            target: (batch, origins, horizon, targets), in training only, for teacher forcing; in the units of `last`.

        Returns:
            (batch, origins, horizon, targets, outputs)
        """
