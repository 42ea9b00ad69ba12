"""Parts of a config as a reader would write them."""

from collections.abc import Mapping
from typing import Any


def in_words(part: Mapping[str, Any]) -> str:
    """A part of a network: its class, and its size where it has one, such as "LSTM(hidden_size=32)".

    Args:
        part: `class_path` and, if there are arguments, `init_args`.
    """
    name = str(part["class_path"]).rpartition(".")[2]
    arguments = part.get("init_args") or {}
    sizes = {key: arguments[key] for key in ("hidden_size", "num_layers") if key in arguments}
    if sizes.get("num_layers") == 1:
        del sizes["num_layers"]
    return f"{name}({', '.join(f'{key}={value}' for key, value in sizes.items())})" if sizes else name
