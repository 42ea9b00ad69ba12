"""Promise: killed at any moment, a run resumes bit-identically from its last finished epoch."""

import random
import signal
import time

import pytest

from tests.reliability.processes import (
    alive,
    assert_same_run,
    curves,
    descendants,
    fit,
    folder,
    last_path,
    load,
    rows,
    start,
)

SETTINGS = ("--early_stopping.patience=900", "--checkpoints.write_interval=0.1")


def killed_again_and_again(config, root, kills, seed, *more, epochs):
    """Trains, is killed at random moments, and resumed; returns the epochs of the checkpoints that were found then."""
    moments = random.Random(seed)
    found = []
    command = fit(config, root, *SETTINGS, *more, epochs=epochs)
    for _ in range(kills):
        running = start(root / "output", [*command, *(("--ckpt_path", last_path(root)) if found else ())])
        changed = last_path(root).stat().st_mtime_ns if found else 0
        running.until(lambda changed=changed: last_path(root).exists() and last_path(root).stat().st_mtime_ns > changed)
        time.sleep(moments.uniform(0, 0.3))
        running.send(signal.SIGKILL)
        assert running.ended() == -signal.SIGKILL, running.said()
        found.append(load(last_path(root))["epoch"])
    running = start(root / "output", [*command, "--ckpt_path", last_path(root)])
    assert running.ended() == 0, running.said()
    return found


@pytest.mark.parametrize(
    ("workers", "kills"),
    [pytest.param(0, 2, id="no workers"), pytest.param(2, 2, id="two workers", marks=pytest.mark.slow)],
)
def test_killed_at_any_moment_a_run_resumes_bit_identically(tmp_path, config, cli, workers, kills):
    epochs = 100 * (kills + 1)  # so many that a fast machine does not finish before it is killed
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    killed.mkdir()
    more = f"--data.num_workers={workers}"
    assert cli(*fit(config, whole, *SETTINGS, more, epochs=epochs)).status == 0
    found = killed_again_and_again(config, killed, kills, workers, more, epochs=epochs)
    assert 0 < found[0] < found[-1] < epochs
    assert_same_run(folder(killed), folder(whole))
    steps = [int(row["step"]) for row in rows(folder(killed))]
    assert steps == sorted(set(steps))
    assert [step for step, _ in curves(folder(killed))["train/loss"]] == steps
    assert len(list((killed / "lightning_logs" / "tiny").iterdir())) == 1


def test_killed_and_resumed_metrics_of_validations_within_epochs_have_the_same_columns(tmp_path, config, cli):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    killed.mkdir()
    more = ["--trainer.val_check_interval=4", "--trainer.callbacks=LearningRateMonitor"]
    assert cli(*fit(config, whole, *SETTINGS, *more, epochs=200)).status == 0
    killed_again_and_again(config, killed, 1, 5, *more, epochs=200)
    assert (folder(killed) / "metrics.csv").read_text() == (folder(whole) / "metrics.csv").read_text()


def test_processes_that_cut_batches_end_with_a_training_that_is_killed(tmp_path, config):
    running = start(tmp_path / "output", fit(config, tmp_path, "--data.num_workers=2", epochs=1000))
    running.until(lambda: len(descendants(running.process.pid)) >= 4)  # two for training and two for validation
    loaders = descendants(running.process.pid)
    time.sleep(2)  # until they know whose death they watch for: torch has them ask only when they have begun
    running.send(signal.SIGKILL)
    running.ended()
    deadline = time.monotonic() + 30
    while any(map(alive, loaders)):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["CosineAnnealingLR", "ReduceLROnPlateau", "CosineAnnealingWarmRestarts"])
def test_killed_at_ten_moments_a_run_resumes_bit_identically(tmp_path, config, cli, schedule):
    arguments = {
        "CosineAnnealingLR": ["--model.lr_scheduler.T_max=30", "--model.weight_average=8"],
        "ReduceLROnPlateau": ["--model.lr_scheduler.monitor=val/loss", "--model.lr_scheduler.patience=2"],
        "CosineAnnealingWarmRestarts": ["--model.lr_scheduler.T_0=7"],
    }
    more = [f"--model.lr_scheduler={schedule}", *arguments[schedule]]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    killed.mkdir()
    assert cli(*fit(config, whole, *SETTINGS, *more, epochs=900)).status == 0
    killed_again_and_again(config, killed, 10, schedule, *more, epochs=900)
    assert_same_run(folder(killed), folder(whole))
