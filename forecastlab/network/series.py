"""`SeriesRows`: the scaling, the margins and the weights of each series of the data."""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from forecastlab.batch import Schema
from forecastlab.errors import ConfigError, NewSeriesNote


class SeriesRows:
    """Finds the rows of a network's scalings, margins and weights by the names of the series.

    The data may have other series than the training, in another order. Before `find` is called, the series are those of
    the training, in its order.

    Args:
        schema: the network's.
        learned: whether the network has weights for each series of the training.

    Attributes:
        names: of the series that weights or scalings tell apart, in the order of their numbers; () if none do.
    """

    def __init__(self, schema: Schema, learned: bool = False) -> None:
        self._schema = schema
        self._learned = learned
        self.names = schema.series or (schema.panel if learned else ())
        # looked up for each row of a stream, so that they are not made anew there
        self._numbers = {name: number for number, name in enumerate(schema.panel)}
        self._scaled = {name: number for number, name in enumerate(schema.series)}
        self._told: set[str] = set()
        self._scaling: Tensor | None = None
        self._margins: Tensor | None = None

    def find(self, names: Sequence[str], all_of_them: bool) -> dict[int, str]:
        """See `Network.find_scalings`."""
        self._margins = torch.tensor([self._numbers.get(name, -1) for name in names])
        if not self._schema.series:
            self._scaling = None
            self._tell(names)
            return {}
        unknown = self.without_scaling(names)
        if unknown and (all_of_them or len(unknown) == len(names)):
            number, why = next(iter(unknown.items()))
            raise ConfigError(f"series {names[number]}{why}")
        self._scaling = torch.tensor([self._scaled.get(name, 0) for name in names])
        return unknown

    def without_scaling(self, names: Sequence[str]) -> dict[int, str]:
        """See `Network.without_scaling`."""
        if not self._schema.series:
            return {}
        why = (
            " was not among those the network was trained on, and scale_by: series gave each of them a scaling of "
            "its own; train with scale_by: global to forecast new series"
        )
        return {number: why for number, name in enumerate(names) if name not in self._scaled}

    def _tell(self, names: Sequence[str]) -> None:
        """Notes, once for each, the series that the network has no weights for."""
        if not self._learned:
            return
        new = sorted(name for name in {*names} - self._told if name not in self._numbers)
        if not new:
            return
        self._told |= {*new}
        few = ", ".join(new[:5]) + (", ..." if len(new) > 5 else "")
        warnings.warn(
            f"{len(new)} series {'was' if len(new) == 1 else 'were'} not among those the network was trained on "
            f"({few}): what it learned of each series is not used for them",
            NewSeriesNote,
            stacklevel=2,
        )

    def scaling(self, series: Tensor) -> Tensor:
        """The row of each series' scaling.

        Args:
            series: integer: numbers of series in the data.
        """
        if self._scaling is None:
            return series
        self._scaling = self._scaling.to(series.device)
        return self._scaling[series]

    def margins(self, series: Tensor) -> Tensor:
        """The row of each series' margins; -1 for those of all series together.

        Args:
            series: integer: numbers of series in the data.
        """
        if self._margins is None:  # an export: only series that are told apart, if there are any
            return series if self.names else torch.full_like(series, -1)
        self._margins = self._margins.to(series.device)
        return self._margins[series]

    def learned(self, series: Tensor) -> Tensor:
        """The row of each series' own weights; -1 for a series that the training had not.

        Args:
            series: integer: numbers of series in the data.
        """
        return self.margins(series)
