"""Command lines of a small experiment."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

CONFIG = """
data:
  class_path: OzoneDataModule
  init_args: {source: sample, lookback: 4, fold: 5, batch_size: 200}
model:
  backbone:
    class_path: LSTM
    init_args: {hidden_size: 4}
  anchor: last
  dropout: 0.1
  optimizer:
    class_path: Adam
    init_args: {lr: 0.02}
"""
EPOCHS = 4


@dataclass(frozen=True)
class Answer:
    """What a command said and how it ended."""

    status: int
    out: str
    err: str


Command = Callable[..., Answer]


def fit(config: Path, root: Path, *more: object, epochs: int = EPOCHS) -> list[str]:
    """The command line that trains a config."""
    given: Sequence[object] = (f"--trainer.default_root_dir={root}", f"--trainer.max_epochs={epochs}", *more)
    return ["fit", "--config", str(config), *map(str, given)]


def folder(root: Path, experiment: str = "tiny", version: int = 0) -> Path:
    """The folder of a run."""
    return root / "lightning_logs" / experiment / f"version_{version}"


def files(root: Path) -> list[str]:
    """Every file and empty folder below a folder; TensorBoard's files without their numbers."""
    found = (path for path in root.rglob("*") if path.is_file() or not any(path.iterdir()))
    return sorted(str(path.relative_to(root)).partition(".tfevents.")[0] for path in found)


def environment(**variables: str) -> dict[str, str]:
    """The environment of a process that is started by a test."""
    return {**os.environ, "OMP_NUM_THREADS": "1", **variables}
