"""What the conformance suite builds: every registered class with its defaults, and with the variants listed here.

Sizes are made small by name (`SMALL`), factories of backbones too. A new class joins by existing; give it an entry in
`VARIANTS` for each constructor argument that changes the mathematics. Inputs are `INPUT_SIZE` wide.
"""

import inspect
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

from forecastlab.backbones.base import Backbone
from forecastlab.backbones.gru import GRU
from forecastlab.backbones.lstm import LSTM
from forecastlab.backbones.rnn import RNN
from forecastlab.backbones.slstm import SLSTM
from forecastlab.hybrids.bidirectional import Bidirectional
from forecastlab.hybrids.parallel import Parallel
from forecastlab.hybrids.patches import Patches
from forecastlab.hybrids.residual import Residual
from forecastlab.network.registry import registered_backbones

INPUT_SIZE = 4

SMALL: dict[str, int] = {"hidden_size": 8, "num_heads": 2}
"""Sizes that replace the defaults of arguments with these names, in every case."""

VARIANTS: dict[str, list[dict[str, Any]]] = {
    "ALSTM": [
        {"num_layers": 2},
        {"num_heads": 3, "key_size": 5, "scale": 0.7, "activation": "identity"},
        {"key_size": 10, "activation": "elu"},
    ],
    "Attentive": [
        {"score": "additive", "attention_size": 5},
        {"score": "dot", "backbone": GRU},
        {"score": "scaled_dot"},
        {"score": "scaled_dot", "backbone": Bidirectional},
    ],
    "BNLSTM": [{"num_layers": 2, "max_length": 4, "weight_dropout": 0.5}],
    "Bidirectional": [{"backbone": partial(GRU, num_layers=2)}, {"backbone": RNN}],
    "ConvEncoder": [
        {"channels": 6, "kernel_size": 1, "activation": "identity"},
        {"kernel_size": 4, "activation": "tanh", "backbone": GRU},
        {"backbone": Bidirectional},
    ],
    "ConvLSTM": [
        {"num_layers": 2, "hidden_channels": 3},
        {"grid": (2, 2), "hidden_channels": 2, "peephole": False},
        {"grid": (2,), "kernel_size": 1},
    ],
    "DeltaProduct": [
        {"num_layers": 2, "num_writes": 3, "chunk_size": 2},
        {"num_writes": 1, "gated": True, "negative_eigenvalues": False, "kernel_size": 1},
    ],
    "DilatedRNN": [
        {"backbone": GRU, "dilations": (3,)},
        {"backbone": partial(SLSTM, num_layers=2), "dilations": (2, 5)},
    ],
    "GRU": [
        {"num_layers": 2, "weight_dropout": 0.5},
        {"num_layers": 2, "reset_after": False},
        {"activation": "softsign", "gate_activation": "hard_sigmoid", "initialization": "orthogonal"},
    ],
    "GatedDeltaNet": [{"num_layers": 2, "chunk_size": 4}, {"num_heads": 1, "kernel_size": 2}],
    "GridLSTM": [
        {"num_layers": 1, "priority": True},
        {"num_layers": 3, "tie_weights": True, "squash_gated": True},
    ],
    "LARNN": [
        {"num_layers": 2, "window": 3, "mode": "layer", "elu": True, "weight_dropout": 0.5},
        {"window": 3, "positional_encoding": False},
        {"window": 3, "batch_norm": True, "elu": True},
        {"mode": "layer", "batch_norm": True, "max_length": 4},
        {"window": 3, "batch_norm_attention": True, "elu": True},
        {"num_layers": 2, "window": 3, "batch_norm": True, "batch_norm_attention": True, "max_length": 4},
    ],
    "LRU": [{"num_layers": 2, "full_glu": True}, {"state_size": 3, "r_min": 0.9, "r_max": 0.999, "max_phase": 0.3}],
    "LSTM": [
        {"num_layers": 2, "weight_dropout": 0.5},
        {"activation": "relu", "forget_bias": 1.0},
        {"num_layers": 2, "cell_activation": "identity", "gate_activation": "hard_sigmoid"},
        {"initialization": "orthogonal"},
    ],
    "MLP": [
        {"num_layers": 2, "window": 4, "activation": "tanh"},
        {"num_layers": 2, "activation": "step"},
        {"window": 2, "activation": "elu"},
    ],
    "MLSTM": [
        {"num_layers": 2, "chunk_size": 4},
        {"forget": "exp", "num_heads": 1, "forget_bias": 1.0},
    ],
    "Mamba2": [{"num_layers": 2, "chunk_size": 4, "state_size": 5}, {"num_heads": 1, "kernel_size": 2}],
    "MinGRU": [{"num_layers": 2}, {"candidate": "positive", "forget_bias": 1.0}],
    "MinLSTM": [{"num_layers": 2}, {"candidate": "positive", "forget_bias": 1.0}],
    "Parallel": [{"branches": [GRU]}, {"branches": [GRU, LSTM, partial(Parallel, branches=[RNN, GRU])]}],
    "Patches": [{"length": 3, "stride": 2, "backbone": LSTM}],
    "PeepholeLSTM": [{"num_layers": 2, "weight_dropout": 0.5}, {"peephole": "full", "forget_bias": 1.0}],
    "RGLRU": [{"num_layers": 2}],
    "RNN": [
        {"num_layers": 2, "weight_dropout": 0.5},
        {"activation": "relu"},
        {"num_layers": 2, "activation": "softsign"},
    ],
    "Residual": [{"branches": [RNN, LSTM]}, {"branches": [partial(LSTM, hidden_size=INPUT_SIZE)]}],
    "ResidualLSTM": [
        {"num_layers": 2, "weight_dropout": 0.5},
        {"peephole": "none", "projection": False, "forget_bias": 1.0},
        {"hidden_size": INPUT_SIZE},
    ],
    "S5": [
        {"num_layers": 2},
        {"state_size": 6, "num_blocks": 3, "discretisation": "bilinear", "dt_max": 0.5},
        {"elapsed": 0, "num_layers": 2},
        {"elapsed": 2, "discretisation": "bilinear", "dt_max": 0.5},
    ],
    "SLSTM": [{"num_layers": 2, "weight_dropout": 0.5}, {"forget": "exp", "num_heads": 1, "forget_bias": 1.0}],
    "SelfAttention": [{"num_layers": 2}, {"positional_encoding": "none"}, {"num_heads": 1, "num_layers": 2}],
    "Series": [
        {"feed": "prediction"},
        {"branches": [LSTM, partial(Residual, branches=[GRU]), RNN]},
        {"branches": [RNN, Bidirectional]},
    ],
    "TemporalFusion": [
        {"static": (2,), "backbone": GRU},
        {"static": (3, 0)},
        {"backbone": Bidirectional},
    ],
    "Stack": [{"branches": [RNN, GRU, LSTM]}, {"branches": [Bidirectional, GRU]}],
    "XLSTM": [
        {"pattern": ["s"], "forget": "exp", "kernel_size": 2},
        {"pattern": ["m", "s", "m"], "chunk_size": 4, "forget_bias": 1.0},
        {"pattern": ["m"], "num_layers": 2, "forget": "exp", "kernel_size": 1},
    ],
}
"""Further constructor arguments per class, each run through the whole suite next to the defaults."""

NOT_SMOOTH: dict[str, list[dict[str, Any]]] = {"MLP": [{"activation": "step"}]}
"""Arguments with which a class is not differentiable in the sense of finite differences, such as a straight-through
step: a case that has all of them is left out of the comparison with finite differences, and of nothing else."""


@dataclass(frozen=True)
class Case:
    """A class and the arguments that the suite builds it with."""

    cls: type[Backbone]
    arguments: dict[str, Any] = field(hash=False)
    name: str
    default: bool
    """Whether the arguments are the class's defaults but for their sizes."""

    def build(self) -> Backbone:
        return self.cls(INPUT_SIZE, **self.arguments)

    def shown(self, row: int) -> int:
        """The first row whose output reads a row: the row itself, but for segments their end."""
        built = self.build()
        return next(end for end in count(row) if not isinstance(built, Patches) or built.fits(end + 1))

    @property
    def smooth(self) -> bool:
        return not any(rough.items() <= self.arguments.items() for rough in NOT_SMOOTH.get(self.cls.__name__, []))


def cases() -> list[Case]:
    """Every registered class with its defaults and its variants."""
    found = []
    for name, cls in registered_backbones().items():
        for number, variant in enumerate([{}, *VARIANTS.get(name, [])]):
            arguments = {**_defaults(cls), **{key: _small(value) for key, value in variant.items()}}
            label = ",".join(f"{key}={_label(value)}" for key, value in variant.items())
            found.append(Case(cls, arguments, f"{name}({label})", number == 0))
    return found


def _defaults(cls: type[Backbone]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for name, parameter in list(inspect.signature(cls).parameters.items())[1:]:
        if name in SMALL:
            arguments[name] = SMALL[name]
        elif (small := _small(parameter.default)) is not parameter.default:
            arguments[name] = small
    return arguments


def _small(value: Any) -> Any:
    """A factory of backbones, or a sequence of them, with small sizes; anything else as it is."""
    if isinstance(value, list | tuple) and value and all(_is_factory(item) for item in value):
        return [_small(item) for item in value]
    if not _is_factory(value):
        return value
    cls, given = (value.func, value.keywords) if isinstance(value, partial) else (value, {})
    return partial(cls, **{**_defaults(cls), **{key: _small(item) for key, item in given.items()}})


def _is_factory(value: Any) -> bool:
    cls = value.func if isinstance(value, partial) else value
    return isinstance(cls, type) and issubclass(cls, Backbone)


def _label(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "+".join(_label(item) for item in value)
    if isinstance(value, partial):
        return f"{value.func.__name__}({','.join(f'{key}={_label(item)}' for key, item in value.keywords.items())})"
    return value.__name__ if isinstance(value, type) else str(value)
