"""Promise: a study ends with all of its trials when a machine is lost on the way, and counts none of them twice."""

import contextlib
import os
import re
import signal
import threading
import time
from collections import Counter
from multiprocessing.util import Finalize
from pathlib import Path

import pandas as pd
import pytest

from tests.reliability.processes import descendants, fit, folder, start

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
TRIALS = 20
LOST = 5
"""CPUs of the node that is lost, and so its trials."""
SPACE = """
model.optimizer.init_args.lr: {type: float, low: 1.0e-4, high: 1.0e-2, log: true}
model.backbone.init_args.hidden_size: {type: int, low: 2, high: 8}
"""


def on_two_nodes(root, raylet, removal):
    """Begins a cluster on the loopback interface in this process, and kills its second node when a file is there."""
    os.environ |= {"PYTHONPATH": str(ROOT), "HOME": str(root), "RAY_AUTH_MODE": "token"}
    os.environ |= {"RAY_AUTH_TOKEN": "0123456789abcdef" * 4, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "include_dashboard": False}
    head["_system_config"] = {"worker_niceness": 0}  # else trials wait for all else that the machine does
    cluster = Cluster(initialize_head=True, head_node_args=head)
    Finalize(None, cluster.shutdown, exitpriority=0)  # a process of multiprocessing calls nothing else at its end
    node = cluster.add_node(num_cpus=LOST)
    os.environ["RAY_ADDRESS"] = cluster.address
    assert cluster.address.startswith("127.0.0.1:")
    raylet.write_text(str(node.all_processes["raylet"][0].process.pid))

    def remove():
        while not removal.exists():
            time.sleep(0.1)
        processes = descendants(int(raylet.read_text()))
        cluster.remove_node(node, allow_graceful=False)
        for pid in processes:  # a machine takes all of them; Ray's own agents outlive their node by minutes
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    threading.Thread(target=remove, daemon=True).start()


def trials_below(pid):
    """The trials that a process and those that it has begun train: their processes, whose output is the trial's log."""
    found = {}
    for below in descendants(pid):
        with contextlib.suppress(OSError):  # it has just ended
            output = Path(f"/proc/{below}/fd/1").readlink()
            if output.parent.name == "trials":
                found[int(output.stem)] = below
    return found


def test_a_study_of_twenty_trials_outlives_the_node_that_trains_five_of_them(tmp_path, config):
    space, raylet, removal = tmp_path / "space.yaml", tmp_path / "raylet", tmp_path / "removal"
    space.write_text(SPACE)
    given = (f"--space={space}", f"--trials={TRIALS}", f"--jobs={LOST + 1}", "--engine=ray:auto", "--keep_weights")
    command = ["tune", *fit(config, tmp_path, *given, epochs=2)[1:]]
    running = start(tmp_path / "output", command, on_two_nodes, (tmp_path, raylet, removal))
    run = folder(tmp_path, experiment="tiny-tune")
    frozen: dict[int, int] = {}

    def all_at_work():
        time.sleep(0.5)  # a look at all processes is work too
        for number, pid in trials_below(running.process.pid).items():
            if number not in frozen:  # so that none ends before all are at work
                os.kill(pid, signal.SIGSTOP)
                frozen[number] = pid
        return len(frozen) == LOST + 1

    try:
        running.until(all_at_work, 600)
        lost = trials_below(int(raylet.read_text()))
        removal.touch()
        failed = [f"trial {number}: failed: its worker was lost" for number in lost]
        running.until(lambda: all(line in running.said() for line in failed), 600)
    finally:
        for pid in frozen.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    assert running.ended(600) == 0, running.said()
    assert len(lost) == LOST

    trials = pd.read_csv(run / "trials.csv", index_col="trial")
    finished = trials[trials["state"] == "complete"]
    assert len(finished) == TRIALS
    assert set(trials.index[trials["state"] == "fail"]) == set(lost)
    assert sorted(trials.index) == list(range(TRIALS + LOST))
    told = Counter(re.findall(r"^trial (\d+): ", running.said(), re.MULTILINE))
    assert told == {str(number): 1 for number in trials.index}
    assert f"{TRIALS} finished, 0 pruned, {LOST} lost or failed, 0 running elsewhere" in running.said()

    folds = {number: run / "trials" / str(number) / "fold_5" for number in finished.index}
    losses = {number: pd.read_csv(fold / "metrics.csv")["val/loss"].min() for number, fold in folds.items()}
    assert finished["val/loss"].to_dict() == losses
    best = min(losses, key=lambda number: losses[number])
    assert f"best       val/loss {losses[best]:.4f} in trial {best}\n" in running.said()
    assert (run / "best.yaml").read_text().startswith(f"# Trial {best} of tiny")
    assert not (run / "engine").exists()
