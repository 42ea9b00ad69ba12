"""What 10,000 streams in one process take: memory, time per row one by one and together, saving and restoring.

    python -m tests.benchmarks.many_streams --streams 10000

Each row of the table is a network in a process of its own: an LSTM of 32 that keeps its state (`lookback: full`), and
one that keeps windows of 28 rows. Rows are of days, with the cycle of the week, and 7 steps are forecast after each.
Seconds are CPU seconds of one thread.
"""

import gc
import multiprocessing
import resource
import tempfile
import time
from argparse import ArgumentParser
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forecastlab import LSTM, Forecaster, TableDataModule
from forecastlab.export import load_streams, save_streams

LOOKBACKS = ("full", 28)
ROUNDS = 2
ALONE = 200
"""Streams whose rows are also given one by one."""
COLUMNS = ("lookback", "KB a stream", "rows/s alone", "rows/s together", "save s", "restore s", "file MB", "same bits")


def network(folder: Path, lookback: Any) -> Forecaster:
    """A network of random weights, with the scaling of a small panel."""
    random = np.random.default_rng(0)
    days = pd.date_range("2023-01-01", periods=60)
    rows = {"id": np.repeat(["a", "b"], 60), "ds": [*days, *days], "y": random.normal(100, 10, 120)}
    pd.DataFrame(rows).to_csv(folder / "panel.csv", index=False)
    data = TableDataModule(
        str(folder / "panel.csv"), series_column="id", lookback=lookback, horizon=7, calendar=["day_of_week"]
    )
    data.setup("fit")
    model = Forecaster(partial(LSTM, hidden_size=32), schema=data.schema)
    model.scaling.load_state_dict(data.scaling.state_dict())
    model.trained = True  # its cost is measured, not its forecasts
    return model.eval()


def resident() -> float:
    """Memory that this process has now, in KB."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1024


def measured(lookback: Any, streams: int) -> list[str]:
    """A row of the table."""
    random = np.random.default_rng(1)
    before = 2 if lookback == "full" else lookback  # so that windows are full
    days = pd.date_range("2024-01-01", periods=before + 2 * ROUNDS + 1)

    def rows(day: int) -> list[dict[str, Any]]:
        return [{"id": f"s{n}", "ds": days[day], "y": y} for n, y in enumerate(random.normal(100, 10, streams))]

    with tempfile.TemporaryDirectory() as name:
        model = network(Path(name), lookback)
        few = [model.stream() for _ in range(2)]
        model.update_streams(few, rows(0)[:2])  # what is imported and compiled on the way is not the streams'
        empty = resident()
        fed = [model.stream() for _ in range(streams)]
        for day in range(before):
            model.update_streams(fed, rows(day))
        memory = (resident() - empty) / streams
        together, alone = [], []
        for day in range(before, before + ROUNDS):
            given = rows(day)
            began = time.process_time()
            model.update_streams(fed, given)
            together.append(time.process_time() - began)
        others = fed[:ALONE]
        for day in range(before + ROUNDS, before + 2 * ROUNDS):
            given = rows(day)
            began = time.process_time()
            for stream, row in zip(others, given, strict=False):
                stream.update(row)
            alone.append(time.process_time() - began)
            if streams > ALONE:
                model.update_streams(fed[ALONE:], given[ALONE:])
        began = time.process_time()
        save_streams(fed, path := Path(name) / "streams.safetensors")
        saved = time.process_time()
        restored = load_streams(model, path)
        loaded = time.process_time()
        given = rows(before + 2 * ROUNDS)
        expected, found = model.update_streams(fed, given), model.update_streams(restored, given)
        assert expected is not None
        size = path.stat().st_size / 2**20
        speeds = len(others) / min(alone), streams / min(together)
    return [
        *(str(lookback), f"{memory:.1f}", *(f"{speed:,.0f}" for speed in speeds)),
        *(f"{saved - began:.1f}", f"{loaded - saved:.1f}", f"{size:.1f}", str(expected.equals(found))),
    ]


def main() -> None:
    """Measures both networks, and prints the table."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=10_000)
    options = parser.parse_args()
    print("".join(f"{column:>17}" for column in COLUMNS))
    for lookback in LOOKBACKS:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            cells = process.submit(measured, lookback, options.streams).result()
        print("".join(f"{cell:>17}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
