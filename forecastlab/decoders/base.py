"""What every decoder is: a map from the encoded history to the forecasts of each origin."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn

from forecastlab.errors import ConfigError


class Decoder(nn.Module, ABC):
    """Maps the encoded history to `outputs` values per origin, step and target, in scaled units.

    Subclasses take these five sizes first and give every other argument a default.

    Args:
        width: width of the encoded history.
        horizon: number of steps.
        targets: number of targets.
        known: number of covariates known in advance.
        outputs: number of values per target that the loss asks for.

    Attributes:
        feeds_back: whether later steps read the forecasts of earlier ones. If so, no other part may add to the
            forecasts.
        attends: whether forecasts read the encoding before their origin, not only at it.
        starts_from: (layers, size) of h and c, or of h, of the backbone, from which the decoder starts; () if it starts
            from the encoding alone. If it has them, `forward`, `paths` and `trace` also take `state`: what the
            backbone's `layer_states` gives after the last row, (batch, layers, size) each. Each sample then has one
            origin.
        point: maps outputs (..., outputs) to point forecasts (...). It gives the first output, until the network
            replaces it by the method of its loss. It is not part of the state_dict.
    """

    feeds_back: ClassVar[bool] = False
    attends: bool = False
    starts_from: tuple[tuple[int, int], ...] = ()
    point: Callable[[Tensor], Tensor]

    def __init__(self, width: int, horizon: int, targets: int, known: int, outputs: int) -> None:
        super().__init__()
        self.width = width
        self.horizon = horizon
        self.targets = targets
        self.known = known
        self.outputs = outputs
        self.point = first_output

    @abstractmethod
    def forward(self, encoded: Tensor, known: Tensor, last: Tensor, target: Tensor | None = None) -> Tensor:
        """Forecasts from each origin; the origins are the last positions of the history.

        Args:
            encoded: (batch, time, width), the backbone's output.
            known: (batch, origins, horizon, known), scaled.
            last: (batch, origins, targets): the target's own value at the origin, scaled; 0 if the forecasts are
                anchored to it.
            target: (batch, origins, horizon, targets), the truth for teacher forcing, in the units of `last`. It is
                given in training only, to decoders that feed back.

        Returns:
            (batch, origins, horizon, targets, outputs)
        """

    def paths(self, encoded: Tensor, known: Tensor, last: Tensor, draw: Callable[[Tensor], Tensor]) -> Tensor:
        """A path for each origin, (batch, origins, horizon, targets), whose steps read the draws of those before them.

        Args:
            encoded: (batch, time, width), the backbone's output.
            known: (batch, origins, horizon, known), scaled.
            last: (batch, origins, targets), as in `forward`.
            draw: maps the outputs of a step, (batch * origins, targets, outputs), to values in the units of `last`.

        Raises:
            ConfigError: if later steps do not read earlier ones.
        """
        raise ConfigError(f"{type(self).__name__} draws no paths: its later steps do not read the earlier ones")

    def trace(self, encoded: Tensor, known: Tensor, last: Tensor) -> dict[str, Tensor]:
        """The inner signals of a forecast, by name, each (batch, origins, ...); empty if the decoder has none.

        Args:
            encoded: (batch, time, width), the backbone's output.
            known: (batch, origins, horizon, known), scaled.
            last: (batch, origins, targets), as in `forward`.
        """
        return {}


def first_output(raw: Tensor) -> Tensor:
    """(..., outputs) -> (...): the point forecast of a loss whose first output it is."""
    return raw[..., 0]
