"""Promise: many runs in one process, and several processes in one experiment, do not get into each other's way."""

import gc
import os
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.reliability.processes import STEPS, fit, folder, last_path, load, rows, start

SMALL = ("--data.fold=1", "--data.batch_size=50", "--trainer.enable_checkpointing=true")


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def memory() -> float:
    """Megabytes of this process that are in memory."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


class Growth(NamedTuple):
    """What each run adds to a process after the first ones.

    Attributes:
        files: open files.
        objects: what Python's collector knows of.
        blocks: pieces of memory that Python has given out, of which an object takes one or more.
        megabytes: memory.
    """

    files: float
    objects: float
    blocks: float
    megabytes: float


def soaked(config, root, cli, caplog, runs, warm_up):
    """Trains and tests again and again; returns what each run adds after the first ones."""
    measured = []
    for version in range(runs):
        assert cli(*fit(config, root, *SMALL, epochs=1)).status == 0
        assert cli("test", "--ckpt_path", folder(root, version) / "checkpoints" / "best.ckpt").status == 0
        caplog.clear()  # pytest keeps every line of the log until the end of a test, nine of each run
        megabytes = memory()  # collects what is left over
        measured.append((open_files(), len(gc.get_objects()), sys.getallocatedblocks(), megabytes))
    first, last = measured[warm_up], measured[-1]
    return Growth(*((after - before) / (runs - 1 - warm_up) for before, after in zip(first, last, strict=True)))


def test_ten_runs_leave_no_file_open_and_no_object_behind(tmp_path, config, cli, caplog):
    growth = soaked(config, tmp_path, cli, caplog, 10, 6)
    assert growth.files <= 0
    assert growth.objects < 30
    assert growth.blocks < 300
    assert {path.name for path in folder(tmp_path).parent.iterdir()} == {f"version_{number}" for number in range(10)}


@pytest.mark.slow
def test_two_hundred_runs_leave_neither_files_open_nor_memory_taken(tmp_path, config, cli, caplog):
    growth = soaked(config, tmp_path, cli, caplog, 200, 40)
    assert growth.files <= 0
    assert growth.objects < 10
    assert growth.blocks < 150
    assert growth.megabytes < 0.1


def test_processes_that_begin_at_once_get_a_run_each(tmp_path, config):
    together = [start(tmp_path / f"output_{number}", fit(config, tmp_path, epochs=2)) for number in range(4)]
    for running in together:
        assert running.ended() == 0, running.said()
    for version in range(4):
        assert [int(row["step"]) for row in rows(folder(tmp_path, version))] == [STEPS - 1, 2 * STEPS - 1]
        assert load(last_path(tmp_path, version))["epoch"] == 2
    assert len(list(folder(tmp_path).parent.iterdir())) == 4
    assert len({running.said().partition("run  ")[2].split()[0] for running in together}) == 4


@pytest.mark.slow
def test_pairs_of_processes_in_one_experiment_never_clash(tmp_path, config):
    for _ in range(15):
        pair = [start(tmp_path / "output", fit(config, tmp_path, *SMALL, epochs=1)) for _ in range(2)]
        for running in pair:
            assert running.ended() == 0, running.said()
    assert {path.name for path in folder(tmp_path).parent.iterdir()} == {f"version_{number}" for number in range(30)}
    assert all(load(last_path(tmp_path, number))["epoch"] == 1 for number in range(30))


def test_a_run_is_tested_while_it_trains_and_the_training_does_not_notice(tmp_path, config, cli):
    alone, together = tmp_path / "alone", tmp_path / "together"
    slow = ["--allow_import=tests", "--trainer.callbacks=tests.reliability.callbacks.SlowEpochs"]
    options = ["--checkpoints.write_interval=0", "--trainer.check_val_every_n_epoch=4"]
    training = start(tmp_path / "output", fit(config, together, *slow, *options, epochs=8))
    training.until(lambda: last_path(together).exists())
    given = ["--ckpt_path", last_path(together), "--trainer.callbacks=null", "--allow_import=tests"]
    assert cli("test", *given).status == 0
    assert "test/mae" in rows(folder(together))[0]
    assert training.process.is_alive()
    assert training.ended() == 0, training.said()
    assert cli(*fit(config, alone, *options, epochs=8)).status == 0
    tested, log = rows(folder(together)), rows(folder(alone))
    assert [{name: row[name] for name in log[0]} for row in tested] == log
    assert len([row for row in tested if row["test/mae"]]) == 1


def test_a_run_is_resumed_by_one_process_at_a_time(tmp_path, config, cli, monkeypatch):
    slow = ["--allow_import=tests", "--trainer.callbacks=tests.reliability.callbacks.SlowEpochs"]
    assert cli(*fit(config, tmp_path, epochs=1)).status == 0
    first = start(tmp_path / "output", fit(config, tmp_path, *slow, "--ckpt_path", last_path(tmp_path), epochs=3))
    first.until(lambda: "epoch 1 batch 1" in first.said())
    monkeypatch.setattr("forecastlab.runs.run.PATIENCE", 0.2)
    answer = cli(*fit(config, tmp_path, "--ckpt_path", last_path(tmp_path), epochs=3))
    assert answer.status == 2
    assert f"another process is working on {folder(tmp_path)}" in answer.err
    assert first.ended() == 0
    assert load(last_path(tmp_path))["epoch"] == 3
    assert cli(*fit(config, tmp_path, "--ckpt_path", last_path(tmp_path), epochs=4)).status == 0
