"""A small experiment, and the command line in this process."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from tensorboard.summary.writer import event_file_writer

from forecastlab.cli import dispatch, main
from forecastlab.network import factory
from tests.reliability.processes import CONFIG


class Answer(NamedTuple):
    """What a command said and how it ended."""

    status: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _leave_no_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes back what a command sets for its whole process; TensorBoard's files sort in the order of their making."""
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setattr(factory, "_ALLOWED", list(factory.allowed_imports()))
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(10_000))


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Runs a command line in this process."""

    def run(*args: object) -> Answer:
        capsys.readouterr()
        assert dispatch  # imported before the output is captured: Lightning's log keeps what standard error is then
        status = main([str(arg) for arg in args])
        return Answer(status, *capsys.readouterr())

    return run


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A small experiment, `tiny.yaml`: an epoch takes some hundredths of a second."""
    path = tmp_path / "tiny.yaml"
    path.write_text(CONFIG)
    return path
