"""Promise: SIGTERM and SIGINT leave the last finished epoch on the disk, status 143 or 130, and a line of advice."""

import os
import shlex
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch

from tests.reliability.processes import STEPS, alive, assert_same_run, descendants, fit, folder, last_path, load, start

SIGNALS = {signal.SIGTERM: 143, signal.SIGINT: 130}
SLOW = ("--allow_import=tests", "--trainer.callbacks=tests.reliability.callbacks.SlowEpochs")
NEVER = "--checkpoints.write_interval=1e9"


@pytest.mark.parametrize(("number", "status"), SIGNALS.items(), ids=["SIGTERM", "SIGINT"])
def test_a_stopped_run_keeps_its_last_finished_epoch_and_says_how_to_go_on(tmp_path, config, cli, number, status):
    command = fit(config, tmp_path / "stopped", *SLOW, NEVER, epochs=5)
    running = start(tmp_path / "output", command)
    running.until(lambda: "epoch 2 batch 4" in running.said())
    running.send(number)
    assert running.ended() == status, running.said()
    found = load(last_path(tmp_path / "stopped"))
    assert (found["epoch"], found["global_step"]) == (2, 2 * STEPS)
    said = running.said().splitlines()
    advice = f"forecastlab: stopped by {number.name}; go on with: forecastlab "
    assert [line for line in said[said.index("epoch 2 batch 4") + 1 :] if not line.startswith("epoch")] == [said[-1]]
    assert said[-1].startswith(advice)
    assert cli(*shlex.split(said[-1].removeprefix(advice)), "--trainer.callbacks=null").status == 0
    assert cli(*fit(config, tmp_path / "whole", NEVER, epochs=5)).status == 0
    assert_same_run(folder(tmp_path / "stopped"), folder(tmp_path / "whole"))


def test_a_run_that_is_stopped_twice_at_once_stops_once(tmp_path, config):
    running = start(tmp_path / "output", fit(config, tmp_path, *SLOW, NEVER, epochs=5))
    running.until(lambda: "epoch 1 batch 4" in running.said())
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        running.send(number)
        time.sleep(0.002)
    assert running.ended() in (130, 143)
    assert load(last_path(tmp_path))["global_step"] == STEPS
    assert "Traceback" not in running.said()


def test_a_run_that_is_stopped_in_its_first_epoch_leaves_nothing_and_says_so(tmp_path, config):
    root = tmp_path / "root"
    running = start(tmp_path / "output", fit(config, root, *SLOW, epochs=5))
    running.until(lambda: "epoch 0 batch 3" in running.said())
    running.send(signal.SIGTERM)
    assert running.ended() == 143
    said = "forecastlab: stopped by SIGTERM; no epoch was finished, so there is nothing to go on with"
    assert running.said().splitlines()[-1] == said
    assert not list(root.rglob("*"))


def test_a_resumed_run_that_is_stopped_in_its_first_epoch_goes_on_from_where_it_was(tmp_path, config, cli):
    assert cli(*fit(config, tmp_path, epochs=2)).status == 0
    before = last_path(tmp_path).read_bytes()
    running = start(tmp_path / "output", fit(config, tmp_path, *SLOW, "--ckpt_path", last_path(tmp_path), epochs=5))
    running.until(lambda: "epoch 2 batch 3" in running.said())
    running.send(signal.SIGTERM)
    assert running.ended() == 143
    assert last_path(tmp_path).read_bytes() == before
    assert str(last_path(tmp_path)) in running.said().splitlines()[-1]


def test_a_stopped_evaluation_ends_with_the_same_status(tmp_path, config, cli):
    assert cli(*fit(config, tmp_path, epochs=1)).status == 0
    running = start(tmp_path / "output", ["test", "--ckpt_path", last_path(tmp_path), *SLOW])
    running.until(lambda: "test batch 1" in running.said())
    running.send(signal.SIGINT)
    assert running.ended() == 130
    # the line that the test's own callback prints may not have come to its end
    assert running.said().splitlines()[-1].endswith("forecastlab: stopped by SIGINT")
    assert not (folder(tmp_path) / "predictions.csv").exists()


def test_a_command_that_is_stopped_while_it_starts_ends_without_a_traceback(tmp_path, config):
    command = [sys.executable, "-m", "forecastlab", *fit(config, tmp_path, epochs=1)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    time.sleep(1.5)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    assert said.splitlines()[-1].startswith("forecastlab: stopped by SIGTERM")
    assert "Traceback" not in said


def on_slurm(commands, job, restarts):
    """Makes the process one of SLURM's, whose command `scontrol` writes down what it is asked for."""
    commands.mkdir(exist_ok=True)
    scontrol = commands / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {commands / "asked"}\n')
    scontrol.chmod(0o755)
    os.environ["PATH"] = f"{commands}{os.pathsep}{os.environ['PATH']}"
    names = {"JOB_ID": job, "JOB_NAME": "train", "NTASKS": 1, "NTASKS_PER_NODE": 1, "RESTART_COUNT": restarts}
    os.environ.update({f"SLURM_{name}": str(value) for name, value in {**names, "PROCID": 0, "LOCALID": 0}.items()})


def test_a_job_of_slurm_whose_time_is_up_is_queued_again_and_goes_on_by_itself(tmp_path, config, cli):
    stopped, whole, commands = tmp_path / "stopped", tmp_path / "whole", tmp_path / "commands"
    command = fit(config, stopped, *SLOW, NEVER, epochs=4)
    running = start(tmp_path / "output", command, on_slurm, (commands, 77, 0))
    running.until(lambda: "epoch 2 batch 4" in running.said())
    running.send(signal.SIGUSR1)
    assert running.ended() == 128 + signal.SIGUSR1, running.said()
    said = "forecastlab: stopped by SIGUSR1; job 77 is queued again and will go on by itself"
    assert running.said().splitlines()[-1] == said
    assert (commands / "asked").read_text() == "requeue 77\n"
    assert load(last_path(stopped))["epoch"] == 2
    again = start(tmp_path / "again", command, on_slurm, (commands, 77, 1))
    assert again.ended() == 0, again.said()
    assert cli(*fit(config, whole, NEVER, epochs=4)).status == 0
    assert_same_run(folder(stopped), folder(whole))
    other = start(tmp_path / "other", fit(config, stopped, epochs=1), on_slurm, (commands, 78, 1))
    assert other.ended() == 0
    assert load(last_path(stopped, 1))["epoch"] == 1  # a run of its own, from the beginning


def on_slurm_without_leave(commands):
    on_slurm(commands, 79, 0)
    (commands / "scontrol").write_text("#!/bin/sh\nexit 1\n")


def test_a_job_of_slurm_that_cannot_be_queued_again_says_how_to_go_on(tmp_path, config):
    running = start(
        tmp_path / "output", fit(config, tmp_path, *SLOW, NEVER, epochs=4), on_slurm_without_leave, (tmp_path / "bin",)
    )
    running.until(lambda: "epoch 1 batch 4" in running.said())
    running.send(signal.SIGUSR1)
    assert running.ended() == 128 + signal.SIGUSR1
    assert "stopped by SIGUSR1; go on with: forecastlab fit --ckpt_path" in running.said().splitlines()[-1]


@pytest.mark.parametrize("logger", ["false", "CSVLogger"])
def test_a_stopped_run_goes_on_in_place_whatever_its_logger_is(tmp_path, config, cli, logger):
    given = [f"--trainer.logger={logger}", *(["--trainer.logger.save_dir=others"] if logger != "false" else [])]
    given = [option.replace("others", str(tmp_path / "others")) for option in given]
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    running = start(tmp_path / "output", fit(config, stopped, *SLOW, *given, NEVER, epochs=4))
    running.until(lambda: "epoch 2 batch 4" in running.said())
    running.send(signal.SIGTERM)
    assert running.ended() == 143, running.said()
    said = running.said().splitlines()[-1]
    assert f"go on with: forecastlab fit --ckpt_path {last_path(stopped)}" in said
    again = fit(config, stopped, *given, NEVER, "--ckpt_path=last", epochs=4)
    assert cli(*again).status == 0
    assert cli(*fit(config, whole, NEVER, epochs=4)).status == 0
    assert load(last_path(stopped))["epoch"] == 4
    for name, weight in load(last_path(whole))["state_dict"].items():
        assert torch.equal(load(last_path(stopped))["state_dict"][name], weight)
    assert len(list(folder(stopped).parent.iterdir())) == 1


CROSSVAL = ("--folds=3,5", "--jobs=2", "--baselines=persistence", "--checkpoints.write_interval=0.2")


def crossval(config, root, *more):
    return ["crossval", *fit(config, root, *CROSSVAL, *more, epochs=40)[1:]]


@pytest.mark.parametrize(
    ("number", "to_all", "status"),
    [
        pytest.param(signal.SIGTERM, False, 143, id="SIGTERM"),
        pytest.param(signal.SIGINT, True, 130, id="Ctrl-C", marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, False, -signal.SIGKILL, id="SIGKILL", marks=pytest.mark.slow),
    ],
)
def test_a_crossval_ends_its_workers_and_goes_on_when_it_is_called_again(tmp_path, config, cli, number, to_all, status):
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    running = start(tmp_path / "output", crossval(config, stopped), os.setsid)
    run = folder(stopped)
    running.until(lambda: len(list(run.glob("fold_*/seed_0/checkpoints/last.ckpt"))) == 2, 120)
    workers = descendants(running.process.pid)
    assert len(workers) >= 2
    assert not list(run.glob("fold_*/seed_0/result.json"))
    (os.killpg if to_all else os.kill)(running.process.pid, number)
    assert running.ended(40) == status, running.said()
    if number != signal.SIGKILL:
        name = signal.Signals(number).name
        assert running.said().splitlines()[-1] == f"forecastlab: stopped by {name}; run the same command again to go on"
        assert "Traceback" not in running.said()
    deadline = time.monotonic() + 20
    while any(map(alive, workers)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    found = {path.parts[-4]: load(path)["epoch"] for path in run.glob("fold_*/seed_0/checkpoints/last.ckpt")}
    assert all(0 < epoch < 40 for epoch in found.values())
    again = cli(*crossval(config, stopped))
    assert again.status == 0
    assert cli(*crossval(config, whole)).status == 0
    results = [pd.read_csv(folder(root) / "results.csv").drop(columns="seconds") for root in (stopped, whole)]
    pd.testing.assert_frame_equal(*results, check_exact=True)
    for name in ("fold_3", "fold_5"):
        assert_same_run(run / name / "seed_0", folder(whole) / name / "seed_0")
        assert f"Restoring states from the checkpoint path at {run}" in (run / name / "seed_0" / "log").read_text()
