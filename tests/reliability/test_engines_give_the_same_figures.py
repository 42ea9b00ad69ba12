"""Promise: a cross-validation has the same figures on every engine, whichever of its workers are killed on the way."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.reliability.processes import fit, folder, start

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
GIVEN = ("--folds=3,5", "--seeds=0,1", "--jobs=2", "--baselines=persistence", "--checkpoints.write_interval=0.2")


def crossval(config, root, engine="local", epochs=40):
    return ["crossval", *fit(config, root, *GIVEN, f"--engine={engine}", epochs=epochs)[1:]]


def figures(run):
    """The bytes of what came out, but for the seconds, which nobody knows of a training that was resumed."""
    results = pd.read_csv(run / "results.csv", dtype=str).drop(columns="seconds")
    return results.to_csv(index=False), (run / "predictions.csv").read_bytes(), (run / "units.csv").read_bytes()


def process_of(log):
    """The process that trains a fold: its output goes to the fold's log; None if there is none."""
    for path in Path("/proc").glob("[0-9]*/fd/1"):
        try:
            if path.readlink() == log:
                return int(path.parts[2])
        except OSError:  # it has ended, or is not ours
            continue
    return None


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture(scope="module")
def unkilled(tmp_path_factory):
    """A config, and the figures of a cross-validation on this machine in which nobody was killed."""
    from tests.reliability.processes import CONFIG

    root = tmp_path_factory.mktemp("unkilled")
    config = root / "tiny.yaml"
    config.write_text(CONFIG)
    running = start(root / "output", crossval(config, root))
    assert running.ended(600) == 0, running.said()
    return config, figures(folder(root))


def on_path():
    os.environ["PYTHONPATH"] = str(ROOT)


@pytest.mark.parametrize("engine", ["local", "slurm:cluster=local", "ray"])
def test_a_crossval_with_killed_workers_equals_the_one_on_this_machine(tmp_path, unkilled, engine):
    config, expected = unkilled
    running = start(tmp_path / "output", crossval(config, tmp_path, engine), on_path)
    run = folder(tmp_path)
    logs = [run / f"fold_{fold}" / "seed_0" / "log" for fold in (3, 5)]
    lasts = [log.with_name("checkpoints") / "last.ckpt" for log in logs]
    running.until(lambda: all(last.exists() for last in lasts), 600)
    units = [process_of(log) for log in logs]
    assert all(units)
    os.kill(units[0], signal.SIGKILL)
    worker = parent(parent(units[1]))  # a unit is begun by a server of processes, and that by the worker
    os.kill(units[1] if engine == "local" else worker, signal.SIGKILL)
    assert running.ended(900) == 0, running.said()
    begun_again = [line.partition(":")[0] for line in running.said().splitlines() if line.endswith("it is begun again")]
    assert sorted(begun_again) == ["fold 3, seed 0", "fold 5, seed 0"]
    assert figures(run) == expected
    assert not (run / "engine").exists()


@pytest.mark.parametrize("engine", ["slurm:cluster=local", "ray"])
def test_a_command_that_was_killed_is_finished_by_the_same_command(tmp_path, unkilled, engine):
    config, expected = unkilled
    running = start(tmp_path / "output", crossval(config, tmp_path, engine), on_path)
    run = folder(tmp_path)
    running.until(lambda: (run / "fold_3" / "seed_0" / "checkpoints" / "last.ckpt").exists(), 600)
    running.send(signal.SIGKILL)
    running.ended()
    again = start(tmp_path / "again", crossval(config, tmp_path, engine), on_path)
    assert again.ended(900) == 0, again.said()
    assert figures(run) == expected


CLUSTER = """
import sys
from ray.cluster_utils import Cluster
from forecastlab.cli import main

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
node = cluster.add_node(num_cpus=1)
sys.exit(main([word.replace("ADDRESS", cluster.address) for word in sys.argv[1:]]))
"""


def test_two_nodes_of_a_cluster_share_the_folds(tmp_path, unkilled):
    config, expected = unkilled
    command = crossval(config, tmp_path, "ray:ADDRESS")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "token", "HOME": str(tmp_path)}
    environment |= {"RAY_AUTH_TOKEN": "0123456789abcdef" * 4, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # on loopback
    done = subprocess.run(
        [sys.executable, "-c", CLUSTER, *command], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert figures(folder(tmp_path)) == expected
