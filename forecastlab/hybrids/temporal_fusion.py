"""The encoder of the Temporal Fusion Transformer around any backbone."""

from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from forecastlab.backbones.base import Backbone, require_positive, require_probability
from forecastlab.backbones.gated_residual import GatedResidual, GatedSkip, VariableSelection
from forecastlab.backbones.lstm import LSTM
from forecastlab.batch import State
from forecastlab.hybrids.composed import Composed


class _Selected(NamedTuple):
    """The inputs after their selection; contexts and weights of static inputs are None without any."""

    values: Tensor
    weights: Tensor
    start: Tensor | None
    enrichment: Tensor | None
    static_weights: Tensor | None


class TemporalFusion(Composed):
    """Selects variables, reads them with a backbone, and enriches the result with what is static (TFT).

        s = selection of the static inputs,   c_s, c_h, c_e = GRN(s) each
        ξ_t = selection of the other inputs at t, given c_s
        φ_t = backbone([ξ_t ; c_h])
        φ̃_t = LayerNorm(ξ_t + GLU(φ_t))
        θ_t = GRN(φ̃_t, c_e), the output

    `GatedResidual` (GRN), `GatedSkip` (GLU) and `VariableSelection` have the equations. Source: Lim et al. 2021,
    arXiv:1912.09363, section 4 up to eq. 18. The rest of it is the decoder `TemporalFusionDecoder`: the known inputs of
    the forecast steps, and interpretable attention. Without static inputs there are no contexts.

    The paper starts the states of its LSTM from c_h and c_c. States differ from backbone to backbone, so here the
    backbone reads c_h beside the selection. Each input is a variable; a learned vector is as many variables as it has
    components.

    `trace` gives "selection" (batch, time, variables), the weights of the inputs that are not static, in their order,
    "static_selection", those of the static inputs, and the backbone's signals under "branches.0.".

    Args:
        input_size: width of the inputs.
        backbone: what reads the selected inputs, a class or functools.partial(cls, **arguments).
        hidden_size: width of the vectors, of the contexts and of the output.
        static: positions of the inputs that are the same in every row. A `Network` fills it in from its data; inside
            of another hybrid it is empty.
        dropout: of the gated residual networks, in training.

    Raises:
        ValueError: for a size below 1, a dropout outside [0, 1), or positions that are no inputs or are all of them.
    """

    source: ClassVar[str] = "Lim et al. 2021, International Journal of Forecasting 37(4), arXiv:1912.09363"
    reads_static: ClassVar[bool] = True

    def __init__(
        self,
        input_size: int,
        backbone: Callable[[int], Backbone] = LSTM,
        hidden_size: int = 32,
        static: Sequence[int] = (),
        dropout: float = 0.0,
    ) -> None:
        require_positive(input_size=input_size, hidden_size=hidden_size)
        require_probability(dropout=dropout)
        varying = [place for place in range(input_size) if place not in static]
        if len(varying) + len(static) != input_size or not varying:
            raise ValueError(
                f"static must be different positions of {input_size} inputs, and not all of them, got {list(static)}"
            )
        context = hidden_size if static else 0
        inner = backbone(hidden_size + context)
        super().__init__(input_size, [inner], hidden_size)
        self.static, self._varying = list(static), varying
        self.select_static = VariableSelection(len(static), hidden_size, dropout=dropout) if static else None
        self.contexts = nn.ModuleList(
            GatedResidual(hidden_size, hidden_size, hidden_size, dropout=dropout) for _ in range(3 if static else 0)
        )
        self.select = VariableSelection(len(varying), hidden_size, context, dropout)
        self.locality = GatedSkip(inner.output_size, hidden_size, dropout)
        self.enrich = GatedResidual(hidden_size, hidden_size, hidden_size, context, dropout)

    def combine(self, x: Tensor, run: Callable[[int, Tensor], Tensor]) -> Tensor:
        selected = self._selected(x)
        read = selected.values if selected.start is None else torch.cat([selected.values, selected.start], -1)
        theta: Tensor = self.enrich(self.locality(run(0, read), selected.values), selected.enrichment)
        return theta

    def trace(self, x: Tensor, state: State | None = None) -> dict[str, Tensor]:
        signals = super().trace(x, state)
        selected = self._selected(x)
        signals["selection"] = selected.weights
        if selected.static_weights is not None:
            signals["static_selection"] = selected.static_weights
        return signals

    def _selected(self, x: Tensor) -> _Selected:
        """(..., input_size) -> what the backbone reads, step by step: nothing depends on other steps."""
        varying = x[..., self._varying]
        if self.select_static is None:
            values, weights = self.select(varying)
            return _Selected(values, weights, None, None, None)
        static, static_weights = self.select_static(x[..., self.static])
        selection, start, enrichment = (context(static) for context in self.contexts)
        values, weights = self.select(varying, selection)
        return _Selected(values, weights, start, enrichment, static_weights)
