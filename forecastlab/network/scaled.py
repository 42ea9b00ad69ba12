"""`Scaled`: a batch in the network's units, and the way back."""

from typing import NamedTuple

from torch import Tensor


class Scaled(NamedTuple):
    """A batch in the units and the precision of the network.

    A scaled value times `scale` plus `offset` is the value in original units, or what the target's transform has made
    of it.
    """

    inputs: Tensor
    """(batch, time, features + static): what the backbone reads, but for what is embedded."""
    vectors: Tensor | None
    """(batch, time, sizes): the vectors of series and of columns of text, from `Embeddings`; None without one."""
    known: Tensor
    """(batch, origins, horizon, known): known covariates of the forecast steps, with vectors of columns of text."""
    last: Tensor
    """(batch, origins, targets): the targets' last values, as changes from the anchor, in the decoder's units."""
    target: Tensor
    """(batch, origins, horizon, targets): the truth, as changes from the anchor if there is one."""
    offset: Tensor
    """Broadcasts to (batch, origins, horizon, targets), in double precision."""
    scale: Tensor
    """Broadcasts to (batch, origins, horizon, targets), in double precision."""
    unit: Tensor | None
    """(batch, 1, targets): the unit of each window, from `WindowNorm`; None without one."""
    least: Tensor | None
    """(batch, 1, targets): whether it is the least unit, since the window hardly changes; None without such a least."""
