"""Command lines in processes of their own, which can be killed, and what they leave behind."""

import csv
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from forecastlab.cli import main

CONFIG = """
data:
  class_path: OzoneDataModule
  init_args: {source: sample, lookback: 4, fold: 5, batch_size: 100}
model:
  backbone:
    class_path: LSTM
    init_args: {hidden_size: 8, num_layers: 2, dropout: 0.2}
  dropout: 0.1
  optimizer:
    class_path: Adam
    init_args: {lr: 0.005}
  lr_scheduler:
    class_path: StepLR
    init_args: {step_size: 3, gamma: 0.7}
"""
PATIENCE = 300.0
"""Seconds after which a process counts as stuck: no test depends on how busy the machine is."""
STEPS = 10
"""Steps of an epoch: 1250 - 4 targets, of which four fifths fit, in batches of 100."""


@dataclass
class Running:
    """A command line in a process of its own.

    Attributes:
        process: the process.
        output: file of all that it prints.
    """

    process: BaseProcess
    output: Path

    def send(self, number: int) -> None:
        """Sends a signal."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def ended(self, seconds: float = PATIENCE) -> int:
        """Waits for the end and returns the exit status, the negative signal if one killed it."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, f"still running after {seconds} s: {self.said()}"
        time.sleep(1 - time.time() % 1)  # TensorBoard reads event files in the order of their names: seconds, process
        return self.process.exitcode

    def said(self) -> str:
        """What it has printed so far."""
        return self.output.read_text() if self.output.exists() else ""

    def until(self, condition: Callable[[], Any], seconds: float = PATIENCE) -> None:
        """Waits until something is so."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.is_alive(), f"ended with {self.process.exitcode}: {self.said()}"
            assert time.monotonic() < deadline, f"not after {seconds} s: {self.said()}"
            time.sleep(0.01)


def descendants(pid: int) -> list[int]:
    """The processes that a process has begun, and theirs."""
    children = [int(word) for task in Path(f"/proc/{pid}/task").glob("*/children") for word in task.read_text().split()]
    return [*children, *(further for child in children for further in descendants(child))]


def alive(pid: int) -> bool:
    """Whether a process runs."""
    status = Path(f"/proc/{pid}/status")
    try:
        return "State:\tZ" not in status.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def start(
    output: Path, args: Sequence[object], prepare: Callable[..., object] | None = None, given: Sequence[object] = ()
) -> Running:
    """Starts a command line in a fresh process, forked from one that has imported everything already.

    Args:
        output: file that takes all that it prints.
        args: the command line.
        prepare: called in the process before the command line is.
        given: what it is called with.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["forecastlab.cli.dispatch"])
    process = context.Process(target=_run, args=(output, [str(arg) for arg in args], prepare, tuple(given)))
    process.start()
    return Running(process, output)


def _run(
    output: Path, args: Sequence[str], prepare: Callable[..., object] | None = None, given: Sequence[object] = ()
) -> None:
    with output.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests run in the background
    if prepare is not None:
        prepare(*given)
    sys.exit(main(args))


def fit(config: Path, root: Path, *more: object, epochs: int) -> list[str]:
    """The command line that trains."""
    given: Sequence[object] = (f"--trainer.default_root_dir={root}", f"--trainer.max_epochs={epochs}", *more)
    return ["fit", "--config", str(config), *map(str, given)]


def folder(root: Path, version: int = 0, experiment: str = "tiny") -> Path:
    """The folder of a run."""
    return root / "lightning_logs" / experiment / f"version_{version}"


def last_path(root: Path, version: int = 0) -> Path:
    """The last checkpoint of a run."""
    return folder(root, version) / "checkpoints" / "last.ckpt"


def load(path: Path) -> dict[str, Any]:
    """What a checkpoint holds."""
    checkpoint: dict[str, Any] = torch.load(path, weights_only=True)
    return checkpoint


def rows(run: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv."""
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Steps and values of every curve in TensorBoard."""
    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def assert_same(ours: Any, theirs: Any, path: str = "") -> None:
    """Equality of nested states, tensors bit for bit."""
    assert type(ours) is type(theirs), path
    if isinstance(ours, torch.Tensor):
        assert torch.equal(ours, theirs), path
    elif isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), path
        for key in ours:
            assert_same(ours[key], theirs[key], f"{path}.{key}")
    elif isinstance(ours, list | tuple):
        assert len(ours) == len(theirs), path
        for number, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(a, b, f"{path}.{number}")
    else:
        assert ours == theirs, path


def assert_same_run(ours: Path, theirs: Path) -> None:
    """Two runs ended bit-identically: every state in their checkpoints, and every logged value."""
    for name in ("best", "last"):
        one, other = (load(run / "checkpoints" / f"{name}.ckpt") for run in (ours, theirs))
        for checkpoint in (one, other):
            del checkpoint["config"]  # it names the folder
        assert_same(one, other, name)
    assert (ours / "metrics.csv").read_text() == (theirs / "metrics.csv").read_text()
    assert curves(ours) == curves(theirs)


def partial_files(root: Path) -> list[str]:
    """Files that were not finished."""
    return [str(path.relative_to(root)) for path in root.rglob(".*") if path.is_file()]
