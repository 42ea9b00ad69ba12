"""The decoder of the Attention-LSTM: a weighted mean of the history."""

from typing import Literal

import torch
from torch import Tensor, nn

from forecastlab.backbones.attention import causal_attention, causal_weights
from forecastlab.backbones.base import require_positive
from forecastlab.decoders.base import Decoder


class AttentionPooling(Decoder):
    """Direct multi-horizon forecast from a weighted mean of everything encoded up to the origin.

        e_t = v · tanh(W h_t + b)      additive
              v · h_t                  linear
        α_t = exp(e_t) / Σ_{i≤origin} exp(e_i),   context = Σ_{t≤origin} α_t h_t
        forecasts = one linear layer over [context ; known covariates of all steps]

    Source: the course module, part 7, on the Attention-LSTM, which has one window and T as its origin. Its logistic
    function on the forecast belongs to classification and is left out. The additive score is that of Bahdanau et al.
    2015, arXiv:1409.0473, without its query. The context is not a cell state, although the texts call both c.

    The score of a step does not depend on the origin. So this is attention whose queries are all 1 and whose keys are
    the scores, and PyTorch's fused causal attention computes it. That attention subtracts the running maximum, and it
    never holds the matrix of weights, however many origins there are.

    `trace` gives "attention" (batch, origins, time), the weights α; those after the origin are 0.

    Args:
        width: width of the encoded history.
        horizon: number of steps.
        targets: number of targets.
        known: number of covariates known in advance.
        outputs: number of values per target that the loss asks for.
        score: how a step is scored.
        attention_size: width of the additive score's hidden layer; None for `width`.

    Raises:
        ValueError: for an unknown score, or an attention_size that is not positive or not used by the score.
    """

    def __init__(
        self,
        width: int,
        horizon: int,
        targets: int,
        known: int,
        outputs: int,
        score: Literal["additive", "linear"] = "additive",
        attention_size: int | None = None,
    ) -> None:
        super().__init__(width, horizon, targets, known, outputs)
        self.attends = True
        if score not in ("additive", "linear"):
            raise ValueError(f"score must be 'additive' or 'linear', got {score!r}")
        if attention_size is not None:
            require_positive(attention_size=attention_size)
            if score != "additive":
                raise ValueError(f"attention_size belongs to the additive score; leave it out for score {score!r}")
        size = width if attention_size is None else attention_size
        self.hidden = nn.Linear(width, size) if score == "additive" else None
        self.energy = nn.Linear(size, 1, bias=False)  # a bias would cancel in the softmax
        self.linear = nn.Linear(width + horizon * known, horizon * targets * outputs)

    def forward(self, encoded: Tensor, known: Tensor, last: Tensor, target: Tensor | None = None) -> Tensor:
        query, key = self._scored(encoded, known.shape[1])
        context = causal_attention(query, key, encoded.unsqueeze(1), 1.0).squeeze(1)
        y: Tensor = self.linear(torch.cat([context, known.flatten(2)], -1))
        return y.view(*y.shape[:2], self.horizon, self.targets, self.outputs)

    def trace(self, encoded: Tensor, known: Tensor, last: Tensor) -> dict[str, Tensor]:
        query, key = self._scored(encoded, known.shape[1])
        return {"attention": causal_weights(query, key, 1.0).squeeze(1)}

    def _scored(self, encoded: Tensor, origins: int) -> tuple[Tensor, Tensor]:
        """Queries of 1 (batch, 1, origins, 1), and the scores of all steps as keys (batch, 1, time, 1)."""
        key = self.energy(encoded if self.hidden is None else torch.tanh(self.hidden(encoded))).unsqueeze(1)
        return key.new_ones(key.shape[0], 1, origins, 1), key
