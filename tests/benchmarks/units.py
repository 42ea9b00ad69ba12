"""What the processes of units cost: seconds until one trains, with warm and cold workers, and what a second one saves.

    python -m tests.benchmarks.units --epochs 30

A unit is the fit and the test of a fold of the quickstart, on one thread. A turn is a process of its own, as a command
is. Its first unit is cold: the server begins, from which the processes of all units are forked, and imports what they
need. Then the turn runs equal units, whose workers are warm: on one process, or on two at once. A turn on one process
and a turn on two follow each other. Seconds are of the clock on the wall, so nothing else may run on the machine. The
last rows are medians.
"""

import contextlib
import multiprocessing
import os
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median

from torch.optim.optimizer import register_optimizer_step_pre_hook

from forecastlab.evaluation.fold import Fold, fit_and_test
from forecastlab.experiment.config import Config

UNITS = 8
PROCESSES = (1, 2)
COLUMNS = ("processes", "cold: s to train", "warm: s to train", f"s for {UNITS} warm")


def train(unit: tuple[Fold, Path], report: Callable[[float, str], None]) -> None:
    """A unit that writes into a file when its first step of training begins."""
    fold, note = unit

    def begins(*_: object) -> None:
        if not note.exists():
            note.write_text(str(time.monotonic()))

    register_optimizer_step_pre_hook(begins)
    fit_and_test(fold, report)


def run(folder: Path, config: Config, count: int, places: int) -> tuple[list[float], float]:
    """Runs units.

    Args:
        folder: takes what they write.
        config: what they train.
        count: how many there are.
        places: how many run at once.

    Returns:
        The seconds from the start of each to its first step, and those of all together.

    Raises:
        RuntimeError: if one fails.
    """
    from forecastlab.evaluation.crossval import PRELOAD  # here, since every unit imports this script
    from forecastlab.runs.jobs import Job, run_jobs

    begun = {}

    def jobs() -> Iterator[Job]:
        for number in range(count):
            place = folder / f"fold_{number}" / "seed_0"
            begun[place] = time.monotonic()  # a unit is asked for when there is a place for it
            yield Job(f"unit {number}", train, (Fold(place, config), place.with_name("begun")), place / "log")

    with (folder / "said").open("w") as said, contextlib.redirect_stdout(said):
        failed = run_jobs(jobs(), places, PRELOAD, count)
    ended = time.monotonic()
    if failed:
        raise RuntimeError(str(failed))
    waits = [float(place.with_name("begun").read_text()) - start for place, start in begun.items()]
    return waits, ended - min(begun.values())


def turn(places: int, epochs: int) -> tuple[float, float, float]:
    """Seconds until a cold unit trains, the median of those until a warm one does, and seconds of all warm ones."""
    values = {"threads": 1, "trainer.max_epochs": epochs, "early_stopping.patience": epochs}
    config = Config.of("quickstart").with_values(values)
    with tempfile.TemporaryDirectory() as name:
        cold, warm = Path(name) / "cold", Path(name) / "warm"
        cold.mkdir()
        warm.mkdir()
        (first,), _ = run(cold, config, 1, 1)
        others, together = run(warm, config, UNITS, places)
    return first, median(others), together


def main() -> None:
    """Measures in turns, and prints the table."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30, help="of each unit")
    parser.add_argument("--turns", type=int, default=3, help="with one process and with two, each")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    measured: dict[int, list[tuple[float, float, float]]] = {places: [] for places in PROCESSES}
    print("".join(f"{column:>18}" for column in COLUMNS))
    for places in PROCESSES * options.turns:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            seconds = process.submit(turn, places, options.epochs).result()
        measured[places].append(seconds)
        print(f"{places:>18}" + "".join(f"{cell:>18.2f}" for cell in seconds), flush=True)
    middle = {places: [median(column) for column in zip(*rows, strict=True)] for places, rows in measured.items()}
    for places, cells in middle.items():
        print(f"{f'median of {places}':>18}" + "".join(f"{cell:>18.2f}" for cell in cells))
    one, two = (middle[places][-1] for places in PROCESSES)
    print(f"{UNITS} units on two processes take {two / one:.2f} of the time on one")


if __name__ == "__main__":
    main()
