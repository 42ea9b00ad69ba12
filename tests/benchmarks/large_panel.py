"""What a panel that is larger than the memory takes to train, test and forecast, beside pandas' reading of its files.

    python -m tests.benchmarks.large_panel --series 30000 --rows 1000

Each step is a process of its own. A row of the table says how many rows of the panel it saw in a second, its CPU
seconds, and the most memory that it had resident at once, pages of mapped files included.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

FILES = 10
_READ = "import sys, pandas; print(len(pandas.read_parquet(sys.argv[1])))"


def write(folder: Path, series: int, rows: int) -> None:
    """A folder of Parquet files, each with some of the series: id, ds, y, x and a price that is known in advance."""
    random = np.random.default_rng(0)
    times = pd.date_range("2020-01-01", periods=rows, freq="h")
    for file, numbers in enumerate(np.array_split(np.arange(series), FILES)):
        count = len(numbers) * rows
        frame = pd.DataFrame(
            {
                "id": np.repeat([f"s{number}" for number in numbers], rows),
                "ds": np.tile(times, len(numbers)),
                "y": random.normal(100, 10, count),
                "x": random.normal(size=count),
                "price": random.choice([1.99, 2.49], count),
            }
        )
        # prices go on behind the sales
        frame.loc[frame["ds"] > times[-13], ["y", "x"]] = np.nan
        frame.to_parquet(folder / f"{file}.parquet")


def config(panel: Path) -> dict[str, object]:
    """A small network, some steps of training."""
    data = {
        "path": str(panel),
        "storage": "mapped",
        "series_column": "id",
        "features": ["y", "x"],
        "known": ["price"],
        "horizon": 12,
        "lookback": 48,
        "splits": 2,
        "test_size": 24,
        "val_size": 24,
        "batch_size": 1024,
        "windows_per_epoch": 50 * 1024,
    }
    return {
        "data": {"class_path": "TableDataModule", "init_args": data},
        "model": {"backbone": {"class_path": "LSTM", "init_args": {"hidden_size": 16}}},
        "trainer": {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False},
    }


def measured(name: str, rows: int, command: Sequence[str], folder: Path) -> list[str]:
    """Runs a command; a row of the table.

    Raises:
        RuntimeError: if it fails.
    """
    began = time.monotonic()
    output = folder / f"{name.split()[0]}.txt"
    with output.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, cwd=folder)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{name} failed:\n{output.read_text()}")
    seconds, cpu = time.monotonic() - began, usage.ru_utime + usage.ru_stime
    return [name, f"{rows / seconds:,.0f}", f"{cpu:,.0f}", f"{seconds:,.0f}", f"{usage.ru_maxrss / 1024:,.0f}"]


def main() -> None:
    """Makes the panel, runs every step, and prints the table."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", type=int, default=3000)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--folder", type=Path, help="where the panel and its cache are put; a temporary one by default")
    options = parser.parse_args()
    total = options.series * options.rows
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        (folder / "panel").mkdir()
        # a process of its own: what this one has had in memory would count for those that it begins
        writing = multiprocessing.get_context("spawn").Process(
            target=write, args=(folder / "panel", options.series, options.rows)
        )
        writing.start()
        writing.join()
        (folder / "panel.yaml").write_text(yaml.safe_dump(config(folder / "panel")))
        os.environ |= {"XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
        tool = [sys.executable, "-m", "forecastlab"]
        settings = ["--config", "panel.yaml"]
        steps = {
            "pandas.read_parquet": [sys.executable, "-c", _READ, str(folder / "panel")],
            "fit, which lays the rows out": [*tool, "fit", *settings],
            "fit again": [*tool, "fit", *settings],
            "test": [*tool, "test", "--ckpt_path", "last"],
            "predict": [*tool, "predict", "--ckpt_path", "last"],
        }
        print(f"{options.series:,} series of {options.rows:,} rows, five columns: {total:,} rows")
        print(f"{'step':<30}{'rows/s':>14}{'CPU s':>10}{'s':>10}{'peak MB':>10}")
        for step, command in steps.items():
            cells = measured(step, total, command, folder)
            print(f"{cells[0]:<30}{cells[1]:>14}{cells[2]:>10}{cells[3]:>10}{cells[4]:>10}", flush=True)
        sizes = [path.stat().st_size for path in (folder / "cache").rglob("*") if path.is_file()]
        print(f"cache: {sum(sizes) / 2**20:,.0f} MB; a row: {sum(sizes) / total:.0f} bytes")


if __name__ == "__main__":
    main()
