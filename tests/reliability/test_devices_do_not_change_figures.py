"""Promise: figures do not depend on the number of devices, and a device that is lost ends the job."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from tests.reliability.processes import alive, assert_same, assert_same_run, descendants, fit, folder, last_path, load

pytestmark = pytest.mark.slow

TWO = ("--trainer.accelerator=cpu", "--trainer.strategy=ddp", "--trainer.devices=2")
EXACT = (
    "--model.optimizer=SGD",
    "--model.optimizer.lr=0.1",
    "--model.lr_scheduler=null",
    "--model.dropout=0",
    "--model.backbone.dropout=0",
    "--data.test_size=135",  # neither this nor the 981 training windows can be shared by two, nor the last batch of 31
    "--data.fold=4",
)
SLOW = (
    "--allow_import=tests",
    "--trainer.callbacks+=tests.reliability.callbacks.SlowEpochs",
    "--trainer.callbacks.seconds=0.23",  # half as many steps
)
REPOSITORY = Path(__file__).parents[2]


class Launched:
    """A command line in a fresh interpreter, which starts those of the other devices by itself."""

    def __init__(self, output: Path, args: Sequence[object], launcher: Sequence[str] = ()) -> None:
        self.output = output
        command = [sys.executable, *launcher, "-m", "forecastlab", *map(str, args)]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
        environment.pop("PL_GLOBAL_SEED", None)
        with output.open("w") as file:
            self.process = subprocess.Popen(
                command,
                stdout=file,
                stderr=file,
                env=environment,
                cwd=output.parent,
                start_new_session=True,
                preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # ignored if tests are in background
            )

    def said(self) -> str:
        return self.output.read_text()

    def until(self, text: str) -> None:
        deadline = time.monotonic() + 180
        while text not in self.said():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.02)

    def ended(self, seconds: float = 300) -> int:
        """The exit status; none of its processes is left."""
        others = descendants(self.process.pid)
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            for pid in [self.process.pid, *others]:
                os.kill(pid, signal.SIGKILL)
            self.process.wait()
            raise
        deadline = time.monotonic() + 30
        while any(map(alive, others)):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return status

    def rank_1(self) -> int:
        (pid,) = (
            pid
            for pid in descendants(self.process.pid)
            if b"\0LOCAL_RANK=1\0" in b"\0" + Path(f"/proc/{pid}/environ").read_bytes()
            and b"forecastlab" in Path(f"/proc/{pid}/cmdline").read_bytes()
        )
        return pid


def launch(output: Path, args: Sequence[object], launcher: Sequence[str] = ()) -> str:
    """Runs a command line to its good end; returns what it said."""
    launched = Launched(output, args, launcher)
    assert launched.ended() == 0, launched.said()
    return launched.said()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The roots of one run on one device, and of the same on two."""
    from forecastlab.cli import main
    from tests.reliability.processes import CONFIG

    roots = {devices: tmp_path_factory.mktemp(devices) for devices in ("one", "two")}
    for root in roots.values():
        (root / "tiny.yaml").write_text(CONFIG)
    assert main(fit(roots["one"] / "tiny.yaml", roots["one"], *EXACT, "--data.batch_size=50", epochs=4)) == 0
    command = fit(roots["two"] / "tiny.yaml", roots["two"], *EXACT, *TWO, "--data.batch_size=25", epochs=4)
    launch(roots["two"] / "output", command)
    return roots


def test_the_training_and_test_windows_cannot_be_shared_by_two():
    from forecastlab.experiment.data_part import data_module
    from tests.reliability.processes import CONFIG

    options = [option for option in EXACT if option.startswith("--data")]
    data = data_module([yaml.safe_load(CONFIG)["data"]], options)
    assert (data.samples("fit"), data.samples("test")) == (981, 135)
    assert 981 % 50 == 31


def metrics_of(said: str) -> dict[str, float]:
    """The table of metrics that Lightning prints."""
    return {name: float(value) for name, value in re.findall(r"((?:test|val)/\w+)\s+│?\s+(-?[\d.]+)", said)}


def test_two_devices_train_as_one(runs):
    one, two = (load(last_path(root)) for root in runs.values())
    assert one["global_step"] == two["global_step"]
    for name, weight in one["state_dict"].items():
        torch.testing.assert_close(two["state_dict"][name], weight, rtol=1e-6, atol=1e-6)
    curves = [pd.read_csv(folder(root) / "metrics.csv") for root in runs.values()]
    pd.testing.assert_frame_equal(*curves, rtol=1e-5)
    assert [path.name for path in (runs["two"] / "lightning_logs" / "tiny").iterdir()] == ["version_0"]


@pytest.mark.parametrize("command", ["test", "predict", "validate"])
def test_two_devices_score_and_predict_as_one(runs, cli, command, tmp_path):
    checkpoint = last_path(runs["one"])
    one = cli(command, "--ckpt_path", checkpoint)
    assert one.status == 0
    path = folder(runs["one"]) / ("forecast.csv" if command == "predict" else "predictions.csv")
    expected = None if command == "validate" else pd.read_csv(path)
    path.unlink(missing_ok=True)
    said = launch(tmp_path / "output", [command, "--ckpt_path", checkpoint, *TWO])
    if command != "predict":
        assert metrics_of(said) == pytest.approx(metrics_of(one.out), rel=1e-6)
        assert metrics_of(said)
    if expected is not None:
        found = pd.read_csv(path)
        pd.testing.assert_frame_equal(found, expected, rtol=1e-6)
        assert found["cutoff"].is_monotonic_increasing
        assert not found.duplicated(["cutoff", "ds"]).any()
        assert len(found) % 2 == 1


DRAWN = ("--model.decoder=DeepAR", "--model.decoder.samples=20", "--model.loss=GaussianNLL", "--data.horizon=2")


def test_two_devices_train_an_autoregression_as_one(config, tmp_path):
    for root, batch, more in (("one", 50, ()), ("two", 25, TWO)):
        (tmp_path / root).mkdir()
        command = fit(config, tmp_path / root, *EXACT, *DRAWN, f"--data.batch_size={batch}", *more, epochs=1)
        launch(tmp_path / root / "output", command)
    one, two = (load(last_path(tmp_path / root)) for root in ("one", "two"))
    for name, weight in one["state_dict"].items():
        torch.testing.assert_close(two["state_dict"][name], weight, rtol=1e-6, atol=1e-6)


def test_a_run_on_two_devices_that_is_killed_resumes_bit_identically(tmp_path, config):
    command = fit(config, tmp_path, *TWO, "--checkpoints.write_interval=0", epochs=6)
    launch(tmp_path / "whole", [*command, "--experiment=whole"])
    killed = Launched(tmp_path / "killed", [*command, *SLOW])
    killed.until("epoch 2 batch 3")
    os.killpg(killed.process.pid, signal.SIGKILL)
    killed.ended()
    assert load(last_path(tmp_path))["epoch"] == 2
    launch(tmp_path / "resumed", [*command, "--ckpt_path=last"])
    assert_same_run(folder(tmp_path), folder(tmp_path, experiment="whole"))
    states = load(last_path(tmp_path))["random_state"]
    assert len(states) == 2  # the devices' last batches differ in size, so their generators do


@pytest.mark.parametrize("rank", [0, 1])
def test_a_device_that_is_killed_ends_the_job(tmp_path, config, rank):
    launched = Launched(tmp_path / "output", fit(config, tmp_path, *TWO, *SLOW, epochs=1000))
    launched.until("epoch 2 batch 3")
    os.kill(launched.process.pid if rank == 0 else launched.rank_1(), signal.SIGKILL)
    begun = time.monotonic()
    assert launched.ended(30) != 0
    assert time.monotonic() - begun < 30
    if rank == 1:
        assert load(last_path(tmp_path))["epoch"] >= 1


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_job_on_two_devices_that_is_stopped_can_be_resumed(tmp_path, config, number, status):
    launched = Launched(tmp_path / "output", fit(config, tmp_path, *TWO, *SLOW, epochs=1000))
    launched.until("epoch 2 batch 3")
    (os.kill if number == signal.SIGTERM else os.killpg)(launched.process.pid, number)  # Ctrl-C reaches all
    assert launched.ended(40) == status, launched.said()
    assert f"stopped by {number.name}; go on with: forecastlab fit --ckpt_path" in launched.said()
    assert load(last_path(tmp_path))["epoch"] == 2


def test_a_bad_number_on_one_device_stops_all(tmp_path, config):
    spoiled = ["--trainer.callbacks+=tests.reliability.callbacks.SpoiledBatch", "--trainer.callbacks.rank=1"]
    launched = Launched(tmp_path / "output", fit(config, tmp_path, *TWO, *SLOW, *spoiled, epochs=1000))
    assert launched.ended(120) not in (0, -signal.SIGKILL)
    named = re.search(r"train/loss is nan in epoch 2, .* rows ([\d., ]+)", launched.said())
    spoiled_rows = re.search(r"spoiled: (.*)", launched.said()).group(1).split()
    assert named.group(1).partition(",")[0] == spoiled_rows[0]
    assert "Traceback" not in launched.said()
    assert load(last_path(tmp_path))["epoch"] == 2


TORCHRUN = ("-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone")
CPU = "--trainer.accelerator=cpu"


def test_torchrun_trains_as_lightning_does(tmp_path, config, runs):
    launch(tmp_path / "output", fit(config, tmp_path, *EXACT, CPU, "--data.batch_size=25", epochs=4), TORCHRUN)
    one, two = (load(last_path(root)) for root in (tmp_path, runs["two"]))
    assert_same(one["state_dict"], two["state_dict"])
    command = fit(config, tmp_path, *EXACT, CPU, "--data.batch_size=25", "--ckpt_path=last", epochs=6)
    launch(tmp_path / "resumed", command, TORCHRUN)
    assert load(last_path(tmp_path))["epoch"] == 6
    assert [path.name for path in (tmp_path / "lightning_logs" / "tiny").iterdir()] == ["version_0"]


def test_a_job_of_torchrun_that_is_stopped_can_be_resumed(tmp_path, config):
    launched = Launched(tmp_path / "output", fit(config, tmp_path, CPU, *SLOW, epochs=1000), TORCHRUN)
    launched.until("epoch 2 batch 3")
    os.kill(launched.process.pid, signal.SIGTERM)  # it passes it on to both
    assert launched.ended(30) != 0
    assert "stopped by SIGTERM; go on with: forecastlab fit --ckpt_path" in launched.said()
    assert load(last_path(tmp_path))["epoch"] == 2


def test_an_error_of_one_process_ends_the_others_that_torchrun_began(tmp_path, config):
    place = tmp_path / "no folder"
    place.touch()
    launched = Launched(tmp_path / "output", fit(config, place, CPU, epochs=1), TORCHRUN)
    launched.until("cannot make the run folder")
    assert launched.ended(20) != 0


def test_torchrun_and_a_number_of_devices_that_differs_from_its_own_are_refused(tmp_path, config):
    launched = Launched(tmp_path / "output", fit(config, tmp_path, CPU, "--trainer.devices=1", epochs=1), TORCHRUN)
    assert launched.ended() != 0
    assert "torchrun began 2 processes, but trainer.devices and trainer.num_nodes ask for 1" in launched.said()
    assert not (tmp_path / "lightning_logs").exists()


def test_a_sequence_that_cannot_be_shared_is_refused_on_two_devices(tmp_path, config, cli):
    answer = cli(*fit(config, tmp_path, *TWO, "--data.lookback=full", epochs=1))
    assert answer.status == 2
    assert "forecastlab crossval --jobs" in answer.err
