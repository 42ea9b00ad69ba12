"""The decoder of the Temporal Fusion Transformer."""

from typing import Literal

import torch
from torch import Tensor, nn

from forecastlab.backbones.attention import causal_mask
from forecastlab.backbones.base import require_positive, require_probability
from forecastlab.backbones.gated_residual import GatedResidual, GatedSkip, VariableSelection
from forecastlab.decoders.base import Decoder
from forecastlab.decoders.encoder_attention import require_room


class TemporalFusionDecoder(Decoder):
    """Reads the known covariates of all steps, and attends to the history in a way that can be read (TFT).

        c_s, c_e = GRN(h_origin) each,   s_0 = tanh(B h_origin + b)
        ξ_k = selection of the known covariates and the number of step k, given c_s
        φ̃_k = LayerNorm(ξ_k + GLU(cell(ξ_k, s_{k-1})))
        θ_k = GRN(φ̃_k, c_e)
        A = mean over heads of softmax(θ W_q [h ; θ]ᵀ W_k / sqrt(size)),   β = A [h ; θ] W_v W_o
        δ_k = LayerNorm(θ_k + GLU(β_k)),   ψ_k = GRN(δ_k)
        forecast_k = W LayerNorm(φ̃_k + GLU(ψ_k)) + b

    The heads have queries and keys of their own and share the values, so that A is all that there is to read. Step k
    attends to the encoding h up to its origin, and to the steps up to k. `GatedResidual` (GRN), `GatedSkip` (GLU) and
    `VariableSelection` have the equations.

    Source: Lim et al. 2021, arXiv:1912.09363, eqs. 13 to 23. There the contexts are those of the static inputs, and the
    recurrent network goes on from the state of the encoder. A decoder sees the encoding alone, so here both come from
    the encoding at the origin; the hybrid `TemporalFusion` brings the static inputs into it.

    `trace` gives "attention" (batch, origins, horizon, time), the weights of the history as shares of their sum, which
    are 0 after the origin; "ahead" (batch, origins, horizon), the sum of the weights of forecast steps; and "selection"
    (batch, origins, horizon, known + 1), the weights of the known covariates and of the number of the step.

    Args:
        width: width of the encoded history, and of all layers.
        horizon: number of steps.
        targets: number of targets.
        known: number of covariates known in advance.
        outputs: number of values per target that the loss asks for.
        cell: "lstm" or "gru".
        num_heads: number of heads; each compares vectors of `width` / `num_heads`, rounded down, but of 1 or more.
        dropout: of the gated residual networks, in training.

    Raises:
        ValueError: for a size below 1, a dropout outside [0, 1), or an unknown cell.
    """

    def __init__(
        self,
        width: int,
        horizon: int,
        targets: int,
        known: int,
        outputs: int,
        cell: Literal["lstm", "gru"] = "lstm",
        num_heads: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(width, horizon, targets, known, outputs)
        if cell not in ("lstm", "gru"):
            raise ValueError(f"cell must be 'lstm' or 'gru', got {cell!r}")
        require_positive(num_heads=num_heads)
        require_probability(dropout=dropout)
        self.attends = True
        self.num_heads = num_heads
        self.size = max(1, width // num_heads)
        self._states = 2 if cell == "lstm" else 1
        self.contexts = nn.ModuleList(GatedResidual(width, width, width, dropout=dropout) for _ in range(2))
        self.select = VariableSelection(known + 1, width, width, dropout)
        self.bridge = nn.Linear(width, self._states * width)
        self.cell = nn.LSTMCell(width, width) if cell == "lstm" else nn.GRUCell(width, width)
        self.locality = GatedSkip(width, width, dropout)
        self.enrich = GatedResidual(width, width, width, width, dropout)
        self.query = nn.Linear(width, num_heads * self.size, bias=False)
        self.key = nn.Linear(width, num_heads * self.size, bias=False)
        self.value = nn.Linear(width, self.size, bias=False)
        self.combine = nn.Linear(self.size, width, bias=False)
        self.attended = GatedSkip(width, width, dropout)
        self.feed_forward = GatedResidual(width, width, width, dropout=dropout)
        self.past_attention = GatedSkip(width, width, dropout)
        self.output = nn.Linear(width, targets * outputs)

    def forward(self, encoded: Tensor, known: Tensor, last: Tensor, target: Tensor | None = None) -> Tensor:
        phi, theta, _ = self._steps(encoded, known)
        weights = self._weights(encoded, theta)
        past, ahead = self.value(encoded), self.value(theta)
        time = encoded.shape[1]
        context = weights[..., :time] @ past.unsqueeze(1) + weights[..., time:] @ ahead
        delta = self.attended(self.combine(context), theta)
        y: Tensor = self.output(self.past_attention(self.feed_forward(delta), phi))
        return y.view(*y.shape[:-1], self.targets, self.outputs)

    def trace(self, encoded: Tensor, known: Tensor, last: Tensor) -> dict[str, Tensor]:
        _, theta, selection = self._steps(encoded, known)
        weights = self._weights(encoded, theta)
        past, ahead = weights.split([encoded.shape[1], self.horizon], -1)
        share = past / past.sum(-1, keepdim=True).clamp(min=torch.finfo(past.dtype).tiny)
        return {"attention": share, "ahead": ahead.sum(-1), "selection": selection}

    def _steps(self, encoded: Tensor, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """φ̃ and θ, (batch, origins, horizon, width) each, and the weights of the covariates."""
        batch, origins = known.shape[:2]
        origin = encoded[:, -origins:]
        selection, enrichment = (
            context(origin).unsqueeze(2).expand(-1, -1, self.horizon, -1) for context in self.contexts
        )
        number = torch.arange(1, self.horizon + 1, dtype=known.dtype, device=known.device) / self.horizon
        variables = torch.cat([known, number[:, None].expand(batch, origins, -1, -1)], -1)
        xi, weights = self.select(variables, selection)
        state = torch.tanh(self.bridge(origin)).flatten(0, 1).chunk(self._states, -1)
        hidden = []
        for xi_k in xi.flatten(0, 1).unbind(1):
            state = self.cell(xi_k, state) if self._states > 1 else (self.cell(xi_k, *state),)
            hidden.append(state[0])
        phi = self.locality(torch.stack(hidden, 1).view_as(xi), xi)
        return phi, self.enrich(phi, enrichment), weights

    def _weights(self, encoded: Tensor, theta: Tensor) -> Tensor:
        """The mean of the heads' weights, (batch, origins, horizon, time + horizon)."""
        batch, origins, horizon, _ = theta.shape
        time = encoded.shape[1]
        require_room(
            batch * self.num_heads * origins * horizon * (time + horizon) * encoded.element_size(),
            f"attention of {batch} sequences, {self.num_heads} heads, {origins} origins and {horizon} steps to {time} "
            "rows",
            "",
        )
        query = self._heads(self.query(theta)) * self.size**-0.5  # (batch, heads, origins, horizon, size)
        to_past = query @ self._heads(self.key(encoded)).unsqueeze(2).mT
        to_steps = query @ self._heads(self.key(theta)).mT
        seen = causal_mask(encoded[:, None, -origins:], encoded[:, None])
        to_past = to_past.masked_fill(~seen.unsqueeze(1), -torch.inf)
        to_steps = to_steps.masked_fill(~causal_mask(theta, theta), -torch.inf)
        weights: Tensor = torch.cat([to_past, to_steps], -1).softmax(-1).mean(1)
        return weights

    def _heads(self, values: Tensor) -> Tensor:
        """(batch, ..., steps, heads * size) -> (batch, heads, ..., steps, size)."""
        heads: Tensor = values.unflatten(-1, (self.num_heads, self.size))
        return heads.movedim(-2, 1)
