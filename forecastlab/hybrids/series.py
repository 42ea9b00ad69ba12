"""Backbones one after the other; each also reads the inputs."""

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from forecastlab.backbones.alstm import ALSTM
from forecastlab.backbones.base import Backbone
from forecastlab.backbones.lstm import LSTM
from forecastlab.hybrids.composed import Composed, chain


class Series(Composed):
    """Backbones in series: each later one reads the inputs and the output of the one before it.

        y_1 = f_1(x),   y_{n+1} = f_{n+1}([x ; y_n])          feed="hidden"
                        y_{n+1} = f_{n+1}([x ; w_n y_n + b_n])   feed="prediction"

    The output is that of the last backbone. Source: van Diepen's combinations 2 (LSTM, then ALSTM: the default) and 3
    (ALSTM, then LSTM), "with the features and the result of the first model as an input for the second model". The
    paper does not say whether that result is the hidden vector or the forecast of a linear layer on it. Here the
    forecast is a learned scalar (`predictions.n`). It is trained through the later stages only; no loss compares it
    with the target.

    The state is the tuple of the branches' states; the signals of `trace` are the branches', named
    "branches.0.<signal>" and so on.

    Args:
        input_size: width of the inputs.
        branches: the backbones, first one first, each a class or functools.partial(cls, **arguments).
        feed: what the next backbone reads: "hidden", the whole output, or "prediction", a learned scalar of it.

    Raises:
        ValueError: for no branches, bad arguments of one of them, or an unknown `feed`.
    """

    source: ClassVar[str] = "van Diepen, combinations 2 and 3 (Figures 5 and 6)"

    def __init__(
        self,
        input_size: int,
        branches: Sequence[Callable[[int], Backbone]] = (LSTM, ALSTM),
        feed: Literal["hidden", "prediction"] = "hidden",
    ) -> None:
        if feed not in ("hidden", "prediction"):
            raise ValueError(f"feed must be 'hidden' or 'prediction', got {feed!r}")
        fed = feed == "prediction"
        parts = chain(input_size, branches, lambda width: input_size + (1 if fed else width))
        super().__init__(input_size, parts, parts[-1].output_size)
        self.predictions = nn.ModuleList(
            nn.Linear(part.output_size, 1) if fed else nn.Identity() for part in parts[:-1]
        )

    def combine(self, x: Tensor, run: Callable[[int, Tensor], Tensor]) -> Tensor:
        y = run(0, x)
        for number, prediction in enumerate(self.predictions, start=1):
            y = run(number, torch.cat([x, prediction(y)], -1))
        return y
