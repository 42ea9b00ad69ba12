"""Names of traced signals: they tell the part of the network, the layer, and the kind of signal."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

_NAME = re.compile(r"((?:[^.]+\.)*?)(?:layers\.(\d+)\.)?([^.]+)")

Kind = Literal["gate", "state", "attention", "selection"]


@dataclass(frozen=True)
class SignalName:
    """The name of a signal of `Network.trace`, split into its parts.

    Attributes:
        part: the part of the network: "" for the backbone, "branches.0" for a part of a hybrid, "decoder".
        layer: number of its layer; None for a signal of the part as a whole.
        signal: the rest of the name, such as "forget_gate" or "hidden".
    """

    part: str
    layer: int | None
    signal: str

    @classmethod
    def of(cls, name: str) -> "SignalName":
        """Splits a name, such as "branches.0.layers.1.forget_gate"."""
        match = _NAME.fullmatch(name)
        if match is None:
            raise ValueError(f"expected the name of a signal, with dots between its parts, got {name!r}")
        part, layer, signal = match.groups()
        return cls(part.rstrip("."), None if layer is None else int(layer), signal)

    @property
    def kind(self) -> Kind:
        """The kind of the signal: gate, attention, selection of variables, or state."""
        if self.signal.endswith("_gate"):
            return "gate"
        if self.signal in ("selection", "static_selection"):
            return "selection"
        return "attention" if self.signal == "attention" else "state"

    @property
    def path(self) -> str:
        """The path of the part in the Network."""
        if self.part.partition(".")[0] == "decoder":
            return self.part
        return f"backbone.{self.part}" if self.part else "backbone"

    @property
    def where(self) -> str:
        """A short name of the part. The backbone inside a hybrid has its full name, unlike the hybrid itself."""
        return self.path if self.part.partition(".")[0] == "backbone" else self.part or "backbone"

    @property
    def place(self) -> str:
        """Part and layer, in words."""
        return self.where if self.layer is None else f"{self.where}, layer {self.layer}"

    @property
    def label(self) -> str:
        """The signal in words, such as "forget gate"."""
        return self.signal.replace("_", " ")

    @property
    def key(self) -> str:
        """Part and layer for the name of a file, such as "branches_0_layer_1"."""
        names = [self.where] if self.part or self.layer is None else []
        return "_".join([*names, *([] if self.layer is None else [f"layer_{self.layer}"])]).replace(".", "_")

    @property
    def is_hidden(self) -> bool:
        """Whether it is a hidden state, the output of a layer."""
        return self.signal == "hidden" or self.signal.endswith("_hidden")

    @property
    def reversals(self) -> int:
        """How often the parts around the signal reverse time; once for the backward half of `Bidirectional`."""
        return self.part.split(".").count("backwards")


def shown(names: Iterable[str]) -> list[str]:
    """The signals that get a figure.

    The "output" of a part is left out, since it is the input of another part or the hidden state of the last layer. If
    a part has no other signal, its output is shown.
    """
    signals = {name: SignalName.of(name) for name in names}
    return [
        name
        for name, signal in signals.items()
        if signal.signal != "output"
        or not any(other is not signal and f"{other.path}.".startswith(f"{signal.path}.") for other in signals.values())
    ]
