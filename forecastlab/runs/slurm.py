"""Jobs of SLURM whose time is up: they are queued again, and go on by themselves."""

import os
import re
import subprocess
import sys
from pathlib import Path

from forecastlab.runs.run import CHECKPOINTS, JOB, Run, find_runs


def job() -> str | None:
    """The job that this process belongs to, as SLURM's commands name it; None outside of SLURM."""
    array, number = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_JOB_ID")
    return f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID', '')}" if array else number


def sign(run: Run) -> None:
    """Writes into a new run which job began it."""
    if (name := job()) is not None:
        (run.folder / JOB).write_text(name)


def begun_before(root: Path, experiment: str | None) -> Path | None:
    """The last checkpoint of the run that this job began before it was queued again; None if there is none."""
    if os.environ.get("SLURM_RESTART_COUNT", "0") == "0":
        return None
    for run in reversed(find_runs(root, experiment or "default")):
        last, signed = run.folder / CHECKPOINTS / "last.ckpt", run.folder / JOB
        if not last.exists() or not signed.exists():
            continue
        name = signed.read_bytes().decode(errors="replace")
        if name == job():
            return last
        if not re.fullmatch(r"\d+(_\d*)?", name):
            print(
                f"forecastlab: {signed} is damaged: it does not say which job began the run. If it was this one, go on "
                f"with --ckpt_path {last}",
                file=sys.stderr,
            )
    return None


def requeue() -> str | None:
    """Queues this job again; returns what is to be said about it, None if it could not be done."""
    if (name := job()) is None or int(os.environ.get("SLURM_PROCID", "0")):
        return None
    try:
        done = subprocess.run(["scontrol", "requeue", name], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return None if done.returncode else f"job {name} is queued again and will go on by itself"
