"""The command line in this process, and one small run that many tests look at."""

import shutil
from pathlib import Path

import lightning.pytorch  # noqa: F401  # it keeps the standard error that it finds when it is imported
import pytest

from forecastlab.cli import main
from forecastlab.network import factory
from tests.cli.commands import CONFIG, Answer, Command, fit


@pytest.fixture(autouse=True)
def _leave_no_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes back what a command sets for its whole process."""
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setattr(factory, "_ALLOWED", list(factory.allowed_imports()))


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command line in this process."""

    def run(*args: object) -> Answer:
        capsys.readouterr()
        status = main([str(arg) for arg in args])
        return Answer(status, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small experiment, `tiny.yaml`: an epoch takes some hundredths of a second."""
    path = tmp_path_factory.mktemp("configs") / "tiny.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, config: Path) -> Path:
    """The root of a finished run of four epochs; to be looked at only."""
    root = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PL_GLOBAL_SEED", "0")
        assert main(fit(config, root)) == 0
    return root


@pytest.fixture
def root(trained: Path, tmp_path: Path) -> Path:
    """A copy of the finished run's root, to be written to."""
    return Path(shutil.copytree(trained, tmp_path / "root"))
