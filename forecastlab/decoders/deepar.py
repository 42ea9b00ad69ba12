"""The decoder of DeepAR."""

from functools import partial
from typing import Literal

import torch
from torch import Tensor

from forecastlab.batch import LayerStates
from forecastlab.decoders.seq2seq import Seq2Seq

MOST_SAMPLES = 100_000
"""The largest number of paths; a checkpoint of somebody else may ask for more than the memory holds."""


class DeepAR(Seq2Seq):
    """An autoregressive decoder whose forecasts are draws: each step is drawn given the draws of the steps before it.

        θ_t = W s_t + b,   s_t = cell([y_{t-1} ; known_t], s_{t-1}),   y_t ~ p(y | θ_t)

    It is trained with the truth as y_{t-1}, so the loss is the likelihood of the whole path, the sum of
    -log p(y_t | y_1 ... y_{t-1}); the validation loss is the same. A forecast draws `samples` paths. Its point forecast
    is their mean and its quantiles are theirs, so that the uncertainty grows along the horizon. (`Seq2Seq` reads its
    mean instead, and its quantiles are those of a step whose past came out as forecast.) The network needs a likelihood
    as its loss.

    Source: Salinas et al. 2020, arXiv:1704.04110. There encoder and decoder share their weights. Here any backbone
    encodes the past, and the decoder starts from the bridge of `Seq2Seq`, or goes on from the state of the backbone, as
    in the paper. The scaling of the paper is `window_norm: level`.

    The draws follow from `seed` and the batch, so a forecast can be repeated. The same windows in other batches have
    other draws of the same distributions.

    Args:
        width: width of the encoded history.
        horizon: number of steps.
        targets: number of targets.
        known: number of covariates known in advance.
        outputs: number of values per target that the loss asks for.
        cell: "lstm" or "gru".
        hidden_size: width of the states; None for `width`.
        num_layers: number of stacked layers.
        dropout: probability that an output of a layer is dropped before the next layer reads it, in training.
        samples: number of paths that a forecast draws, at most 100,000.
        seed: of their random numbers.
        initial_state: where the first state comes from, "bridge" or "encoder" (see `Seq2Seq`).

    Raises:
        ValueError: for a size below 1, a dropout outside [0, 1), or an unknown name.
    """

    def __init__(
        self,
        width: int,
        horizon: int,
        targets: int,
        known: int,
        outputs: int,
        cell: Literal["lstm", "gru"] = "lstm",
        hidden_size: int | None = None,
        num_layers: int = 1,
        dropout: float = 0.0,
        samples: int = 100,
        seed: int = 0,
        initial_state: Literal["bridge", "encoder"] = "bridge",
    ) -> None:
        if not 1 <= samples <= MOST_SAMPLES:
            raise ValueError(f"samples must be 1 to {MOST_SAMPLES}, got {samples!r}")
        super().__init__(
            *(width, horizon, targets, known, outputs),
            cell,
            hidden_size,
            num_layers,
            dropout,
            attention="none",
            initial_state=initial_state,
        )
        self.samples = samples
        self.seed = seed

    def conditional(
        self, encoded: Tensor, known: Tensor, last: Tensor, target: Tensor, state: LayerStates | None = None
    ) -> Tensor:
        """The outputs of each step given the truth before it, as in training; the arguments are those of `forward`."""
        batch, origins = known.shape[:2]
        start = self._start(encoded[:, -origins:].flatten(0, 1), state)
        previous = torch.cat([last.unsqueeze(2), target[:, :, :-1]], 2).flatten(0, 1)
        y = self._run_forced(previous, known.flatten(0, 1), start, partial(self._attend, None, None))
        return y.view(batch, origins, *y.shape[1:])
