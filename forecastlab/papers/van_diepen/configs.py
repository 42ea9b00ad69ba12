"""The configs of the paper's models."""

from dataclasses import dataclass
from typing import Any, Literal

from forecastlab.errors import ConfigError
from forecastlab.papers.van_diepen.tables import SPLITS

HONEST = "-honest"
"""What the names of models end with whose epoch is chosen on training rows."""


@dataclass(frozen=True)
class Protocol:
    """How the models are trained: the paper's settings, and what the paper leaves open.

    Attributes:
        epochs: passes over the training sequence.
        check_every: epochs between computations of the test loss.
        hidden_size: units per layer; 64 reproduces the LSTM row.
        heads: m', the ALSTM's heads.
        key_size: d, the width of keys; None for the hidden size.
        activation: sigma_C of the ALSTM.
        layers: two layers in each part of a combination, or in all.
        feed: what combinations 2 and 3 hand on.
        initialization: of the LSTM.
        scaler: scaled or raw inputs.
        context: whether the test range sees the past.

    Raises:
        ConfigError: for a number that cannot be used.
    """

    epochs: int = 3000
    check_every: int = 10
    hidden_size: int = 64
    heads: int = 1
    key_size: int | None = None
    activation: str = "tanh"
    layers: Literal["each", "all"] = "each"
    feed: Literal["hidden", "prediction"] = "hidden"
    initialization: Literal["uniform", "orthogonal"] = "uniform"
    scaler: Literal["standard", "none"] = "standard"
    context: Literal["carried", "cold"] = "carried"

    def __post_init__(self) -> None:
        for name in ("epochs", "check_every", "hidden_size", "heads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"--{name} must be positive, got {getattr(self, name)}")
        if self.epochs % self.check_every:
            raise ConfigError(
                f"--epochs must be a multiple of --check_every, got {self.epochs} and {self.check_every}: the test "
                "loss is computed after the last epoch too"
            )


def _backbone(name: str, protocol: Protocol) -> dict[str, Any]:
    combined = name.startswith("combination")
    layers = 1 if combined and protocol.layers == "all" else 2
    sizes = {"hidden_size": protocol.hidden_size, "num_layers": layers}
    lstm = {"class_path": "LSTM", "init_args": {**sizes, "initialization": protocol.initialization}}
    attention = {"num_heads": protocol.heads, "key_size": protocol.key_size, "activation": protocol.activation}
    alstm = {"class_path": "ALSTM", "init_args": {**sizes, **attention}}
    if name == "combination1":
        return {"class_path": "Parallel", "init_args": {"branches": [lstm, alstm]}}
    if combined:
        branches = [lstm, alstm] if name == "combination2" else [alstm, lstm]
        return {"class_path": "Series", "init_args": {"branches": branches, "feed": protocol.feed}}
    return lstm if name == "lstm" else alstm


def config_of(name: str, protocol: Protocol, path: str | None = None) -> dict[str, Any]:
    """The config of a model; the rate is that of the split and is given when a split is trained.

    The paper's epoch is one pass over the training sequence. The run's epochs are the passes between two computations
    of the test loss.

    Args:
        name: of the model, as the paper's tables are keyed; with `HONEST` behind it, the epoch is chosen on training
            rows.
        protocol: how it is trained.
        path: the ozone file; None to look for it, or to download it.
    """
    epochs = protocol.epochs // protocol.check_every
    return {
        "experiment": name,
        "data": {
            "class_path": "OzoneDataModule",
            "init_args": {
                "path": path,
                "lookback": "full",
                "passes": protocol.check_every,
                "rows": 1500,
                "splits": len(SPLITS),
                "scaler": protocol.scaler,
                "context": protocol.context,
                "validation": "tail" if name.endswith(HONEST) else "test",
            },
        },
        "model": {
            "backbone": _backbone(name.removesuffix(HONEST), protocol),
            "optimizer": {"class_path": "Adam", "init_args": {"lr": 2e-5}},
        },
        "early_stopping": {"patience": epochs},
        "trainer": {"max_epochs": epochs},
    }
