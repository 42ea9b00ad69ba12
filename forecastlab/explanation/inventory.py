"""The parts of a network that can be explained, and the signals that they lack."""

from collections.abc import Iterable

import pandas as pd
from torch import nn

from forecastlab.explanation.names import SignalName


def inventory(model: nn.Module, names: Iterable[str]) -> pd.DataFrame:
    """The parts of a network, one row each, with the columns `part, class, gates, states, attention`.

    Args:
        model: the Network.
        names: names of the network's signals.
    """
    parts: dict[str, dict[str, list[str]]] = {"backbone": {}, "decoder": {}}
    for name in names:
        signal = SignalName.of(name)
        kinds = parts.setdefault(signal.path, {}).setdefault(signal.kind, [])
        label = signal.label.removesuffix(" gate")
        if label not in kinds:
            kinds.append(label)
    rows = [
        {
            "part": path,
            "class": type(model.get_submodule(path)).__name__,
            "gates": kinds.get("gate", []),
            "states": kinds.get("state", []),
            "attention": bool(kinds.get("attention")),
        }
        for path, kinds in sorted(parts.items())
    ]
    return pd.DataFrame(rows)


def lacks(parts: pd.DataFrame) -> list[str]:
    """A sentence for each class of the backbone that lacks a forget gate, a cell state or attention.

    Args:
        parts: the table of `inventory`.
    """
    sentences = {}
    of_backbone = parts[parts["part"].str.startswith("backbone")]
    for _, row in of_backbone.iterrows():
        if not row["gates"] and not row["states"] and len(of_backbone) > 1:
            continue  # a hybrid: its parts have rows of their own
        missing = []
        if not row["gates"]:
            missing.append("gates")
        elif not any("forget" in gate for gate in row["gates"]):
            missing.append("forget gate")
        if not any("cell" in state for state in row["states"]):
            missing.append("cell state")
        if not row["attention"]:
            missing.append("attention")
        if missing:
            others = f"; its gates are {', '.join(row['gates'])}" if "forget gate" in missing else ""
            sentences[row["class"]] = f"{row['class']} has no {', no '.join(missing)}{others}"
    return list(sentences.values())
