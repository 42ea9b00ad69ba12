"""A backbone that reads the history in segments of several rows."""

from collections.abc import Callable
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from forecastlab.backbones.any_length import GrowingStateError
from forecastlab.backbones.base import Backbone, require_positive, require_probability
from forecastlab.backbones.gru import GRU
from forecastlab.backbones.kernels.linear import Linear
from forecastlab.batch import State


class Patches(Backbone):
    """A backbone that reads segments of `length` rows, each embedded, as its steps.

        p_k = [x_{sk} ; x_{sk+1} ; ... ; x_{sk+length-1}]      s = stride, k = 0, 1, ...
        e_k = dropout(relu(W p_k + b)),   y_0, y_1, ... = backbone(e_0, e_1, ...)
        output_t = y_k of the last segment that has ended at t, and 0 before the first has

    The backbone makes fewer steps by the stride, so it is fast and remembers longer histories. With an LSTM over 96
    quarter hours this is worth more than any change of the cell (SegRNN). The segments count from the first row. So
    rows after the last whole segment are not read yet, and windows should hold whole segments: `fits` tells which
    lookbacks do, and a network with windows requires it.

    The state is (rows that no further segment may begin before (batch, fewer than length, input_size), the last output
    (batch, output_size), the state of the backbone). If the backbone is not causal, the state is `()` and this hybrid
    is not causal either.

    `trace` gives "embedding" (batch, time, embedding_size), e, and the backbone's signals under "backbone.". Each
    stands at the row at which its segment ends; at the others it is 0.

    Args:
        input_size: width of the inputs.
        backbone: the backbone whose steps are the segments.
        length: rows in a segment.
        stride: rows from one segment to the next, at most `length`; None for `length`.
        embedding_size: width of an embedded segment.
        dropout: probability that a value of an embedded segment is dropped, in training.

    Raises:
        ValueError: for a size that is not positive, a stride above the length or a dropout outside [0, 1).
    """

    source: ClassVar[str] = "Lin et al. 2023 (SegRNN), arXiv:2308.11200; Nie et al. 2023 (PatchTST), arXiv:2211.14730"

    def __init__(
        self,
        input_size: int,
        backbone: Callable[[int], Backbone] = GRU,
        length: int = 2,
        stride: int | None = None,
        embedding_size: int = 64,
        dropout: float = 0.0,
    ) -> None:
        stride = length if stride is None else stride
        require_positive(input_size=input_size, length=length, stride=stride, embedding_size=embedding_size)
        require_probability(dropout=dropout)
        if stride > length:
            raise ValueError(f"stride must be at most the length of {length}, so that every row is read, got {stride}")
        inner = backbone(embedding_size)
        super().__init__(input_size, inner.output_size, inner.causal)
        self.length = length
        self.stride = stride
        self.embedding = Linear(length * input_size, embedding_size)
        self.dropout = nn.Dropout(dropout)
        self.backbone = inner

    def fits(self, rows: int) -> bool:
        """Whether windows of so many rows end with a whole segment."""
        return rows >= self.length and (rows - self.length) % self.stride == 0

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        past, held, inner = self._split(x, state)
        seen, embedded = self._embedded(past, x)
        if embedded.shape[1]:
            y, inner = self.backbone(embedded, inner)
            held = torch.cat([held, y], 1)
        output = self._spread(held, past.shape[1], seen.shape[1])
        if not self.causal:
            return output, ()
        return output, (seen[:, embedded.shape[1] * self.stride :], held[:, -1], cast(State, inner))

    def latest(self, x: Tensor, steps: int) -> Tensor:
        past, held, inner = self._split(x, None)
        _, embedded = self._embedded(past, x)
        if embedded.shape[1]:
            held = torch.cat([held, self.backbone(embedded, inner)[0]], 1)
        return self._spread(held, x.shape[1] - steps, x.shape[1])

    def trace(self, x: Tensor, state: State | None = None) -> dict[str, Tensor]:
        past, _, inner = self._split(x, state)
        _, embedded = self._embedded(past, x)
        signals = {"embedding": embedded}
        if embedded.shape[1]:
            signals |= {f"backbone.{name}": signal for name, signal in self.backbone.trace(embedded, inner).items()}
        ends = torch.arange(embedded.shape[1], device=x.device) * self.stride + self.length - 1 - past.shape[1]
        placed = {
            name: signal.new_zeros(*x.shape[:2], *signal.shape[2:]).index_copy(1, ends, signal)
            for name, signal in signals.items()
        }
        return {"output": self(x, state)[0], **placed}

    def initial_state(self, batch_size: int) -> State:
        if not self.causal:
            return ()
        nothing = self.new_zeros(batch_size, 0, self.input_size), self.new_zeros(batch_size, self.output_size)
        return (*nothing, self.backbone.initial_state(batch_size))

    def _split(self, x: Tensor, state: State | None) -> tuple[Tensor, Tensor, State | None]:
        """Rows before x that the next segments read, the last output (batch, 1, output_size), the inner state."""
        self.require_sequence(x)
        if state is not None:
            self.require_causal()
            if torch.compiler.is_exporting():
                raise GrowingStateError(
                    "Patches keeps rows until a segment is whole, which a program of single rows cannot: export it "
                    "without steps, and give it whole windows"
                )
            past, held, inner = cast(tuple[Tensor, Tensor, State], state)
            return past, held[:, None], inner
        held = x.new_zeros(x.shape[0], 1, self.output_size)
        return x[:, :0], held, self.backbone.initial_state(x.shape[0]) if self.causal else None

    def _embedded(self, past: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """All rows from the next segment on, and the segments that are whole, (batch, segments, embedding_size)."""
        seen = torch.cat([past, x], 1)
        if seen.shape[1] < self.length:
            return seen, seen.new_zeros(x.shape[0], 0, self.embedding.out_features)
        segments = seen.unfold(1, self.length, self.stride).transpose(2, 3).flatten(2)
        embedded: Tensor = self.dropout(torch.relu(self.embedding(segments)))
        return seen, embedded

    def _spread(self, held: Tensor, begin: int, end: int) -> Tensor:
        """Values of the segments, the one before them first, at rows begin to end - 1, (batch, rows, ...)."""
        rows = torch.arange(begin + 1, end + 1, device=held.device)
        ended = ((rows - self.length).div(self.stride, rounding_mode="floor") + 1).clamp(min=0)
        return held[:, ended]
