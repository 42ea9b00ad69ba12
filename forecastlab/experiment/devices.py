"""The processes of a run on several devices."""

import subprocess

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_only


def rank() -> int:
    """Number of this process among those of a run on several devices."""
    return getattr(rank_zero_only, "rank", None) or 0


def leave_other_devices() -> None:
    """Ends the threads that speak with other devices: one that outlives the interpreter aborts the process."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def end_other_processes(trainer: Trainer | None) -> None:
    """Ends the processes that Lightning started for the other devices, which may wait for this one for long."""
    launcher = None if trainer is None else trainer.strategy.launcher
    processes: list[subprocess.Popen[bytes]] = getattr(launcher, "procs", [])
    for process in processes:
        try:
            process.wait(5)  # it may be about to say what went wrong
        except subprocess.TimeoutExpired:
            process.kill()
