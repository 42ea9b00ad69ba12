"""The command as a process of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

import forecastlab
from forecastlab.cli import main
from tests.cli.commands import CONFIG, environment, fit, folder

MODULE = [sys.executable, "-m", "forecastlab"]
SCRIPT = [str(Path(sys.executable).with_name("forecastlab"))]
LIMIT = 300


def run(command, *args, **settings):
    """Runs a command to its end."""
    given = [*command, *map(str, args)]
    return subprocess.run(given, capture_output=True, text=True, timeout=LIMIT, env=environment(), **settings)


@pytest.fixture(autouse=True)
def _leave_no_traces(monkeypatch):
    """Takes back what a command in this process sets."""
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        monkeypatch.setenv(name, "0")


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(CONFIG)
    return path


def weights(run, name):
    return torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]


@pytest.mark.parametrize("command", [MODULE, SCRIPT], ids=["module", "script"])
def test_the_command_is_installed(command, tmp_path):
    ended = run(command, "--version", cwd=tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"forecastlab {forecastlab.__version__}\n", "")
    assert run(command, "fti", cwd=tmp_path).returncode == 2


def test_a_newcomers_first_three_commands(tmp_path):
    """Trains on the sample, tests and forecasts, with nothing on standard error that sounds like trouble."""
    quickstart = Path(__file__).parents[1] / "configs" / "quickstart.yaml"
    commands = [
        ["fit", "--config", quickstart, "--trainer.max_epochs=2"],
        ["test", "--ckpt_path=best"],
        ["predict", "--ckpt_path=best"],
    ]
    ended = [run(MODULE, *args, cwd=tmp_path) for args in commands]
    assert [process.returncode for process in ended] == [0, 0, 0], [process.stderr for process in ended]
    assert "test it    forecastlab test --ckpt_path lightning_logs/quickstart/version_0/checkpoints/best.ckpt" in (
        ended[0].stdout
    )
    assert "test/skill" in ended[1].stdout
    tested, forecast = (
        pd.read_csv(folder(tmp_path, "quickstart") / name) for name in ("predictions.csv", "forecast.csv")
    )
    assert len(tested) == 250
    assert (len(forecast), forecast["y"].notna().any()) == (1, False)
    for process in ended:
        assert not {word for word in ("warn", "deprecat", "tip:", "traceback") if word in process.stderr.lower()}
        assert len(process.stderr.splitlines()) <= 6


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    command = f"{sys.executable} -m forecastlab backbones | head -1"
    ended = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=LIMIT, env=environment())
    assert ended.stdout.startswith("name")
    assert ended.stderr == ""


def test_a_run_that_is_killed_and_resumed_ends_as_if_nothing_had_happened(tmp_path, config):
    begun = fit(config, tmp_path / "killed", "--checkpoints.write_interval=0", "--early_stopping.patience=100000")
    with (tmp_path / "output").open("w") as output:
        process = subprocess.Popen(
            [*MODULE, *begun, "--trainer.max_epochs=100000"], stdout=output, stderr=output, env=environment()
        )
        killed = folder(tmp_path / "killed")
        deadline = time.monotonic() + LIMIT
        while process.poll() is None and rows(killed) < 8 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.kill()
        assert process.wait() == -signal.SIGKILL, (tmp_path / "output").read_text()
    epochs = rows(killed) + 5
    assert epochs >= 13
    longer = [f"--trainer.max_epochs={epochs}", "--early_stopping.patience=100000"]
    assert main([*fit(config, tmp_path / "killed", "--ckpt_path=last"), *longer]) == 0
    assert main([*fit(config, tmp_path / "whole"), *longer]) == 0
    whole = folder(tmp_path / "whole")
    assert (killed / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
    for name in ("best", "last"):
        ours, theirs = weights(killed, name), weights(whole, name)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


def rows(run):
    """The number of epochs in the log so far."""
    path = run / "metrics.csv"
    return path.read_bytes().count(b"\n") - 1 if path.exists() else 0


@pytest.mark.slow
def test_two_devices_train_and_score_together(tmp_path, config):
    devices = ["--trainer.devices=2", "--trainer.accelerator=cpu"]
    ended = run(MODULE, *fit(config, tmp_path, *devices, epochs=2))
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("best val/loss") == 1
    assert os.listdir(tmp_path / "lightning_logs" / "tiny") == ["version_0"]
    given = ["--ckpt_path=best", f"--trainer.default_root_dir={tmp_path}"]
    tables = []
    for more in (devices, ["--trainer.devices=1"]):
        ended = run(MODULE, "test", *given, *more)
        assert ended.returncode == 0, ended.stderr
        tables.append(pd.read_csv(folder(tmp_path) / "predictions.csv"))
    pd.testing.assert_frame_equal(*tables)
    assert len(tables[0]) == 250
