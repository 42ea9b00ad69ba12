"""How the cost grows with the length of a sequence and with the number of rows: a plot each."""

import time
from functools import partial

import lightning.pytorch as lightning
import matplotlib
import numpy as np
import pandas as pd
import torch
from torch import nn

from forecastlab import Forecaster, TableDataModule
from forecastlab.backbones.lstm import LSTM
from tests.benchmarks.bench_cells import LAYERS, both_ways, built

TORCHS = "torch.nn.LSTM"
CELLS = [TORCHS, "LSTM", "GRU", "PeepholeLSTM", "SLSTM", "MLSTM", "ALSTM"]
LENGTHS = [250, 1250, 5000, 20_000]
ROWS = [1000, 10_000, 100_000, 1_000_000]


def seconds(function):
    start = time.process_time()
    function()
    return time.process_time() - start


def plot(costs, xs, xlabel, ylabel, path):
    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name, values in costs.items():
        axes.loglog(xs, values, marker="o", label=name)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.set_xticks(xs, [f"{x:,}" for x in xs])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def test_cost_against_length(record, folder):
    costs = {}
    for cell in CELLS:
        model = nn.LSTM(8, 32, LAYERS, batch_first=True) if cell == TORCHS else built(cell, 8, 32)
        both_ways(model, torch.randn(1, LENGTHS[0], 8))  # compiles
        costs[cell] = []
        for length in LENGTHS:
            passes = partial(both_ways, model, torch.randn(1, length, 8))
            costs[cell].append(min(seconds(passes) for _ in range(1 + 5000 // length)))
            table = "microseconds per step of one sequence, 8 to 32, two layers, forward and backward"
            record(table=table, name=cell, size=f"{length:,} steps", value=1e6 * costs[cell][-1] / length)
    label = "steps of one sequence (8 inputs, two layers of 32)"
    plot(costs, LENGTHS, label, "CPU seconds, forward and backward", folder / "length.png")


def test_cost_against_rows(record, folder, tmp_path):
    quiet = {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    reading, cutting, testing = "reading the CSV", "a pass over the training loader", "test, LSTM of 16"
    costs = {reading: [], cutting: [], testing: []}
    for rows in ROWS:
        frame = pd.DataFrame(np.random.default_rng(0).standard_normal((rows, 4)).round(4), columns=[*"yabc"])
        frame.insert(0, "ds", pd.date_range("2000-01-01", periods=rows, freq="min"))
        frame.to_csv(path := tmp_path / f"{rows}.csv", index=False)
        found = {name: [] for name in costs}
        for _ in range(3 if rows < ROWS[-1] else 1):
            data = TableDataModule(str(path), features=[*"yabc"], fold=2, splits=2, lookback=30, batch_size=1024)
            found[reading].append(seconds(partial(data.setup, "fit")))
            loader = data.train_dataloader()
            found[cutting].append(seconds(lambda loader=loader: [None for _ in loader]))
            model = Forecaster(partial(LSTM, hidden_size=16), schema=data.schema)
            model.scaling.load_state_dict(data.scaling.state_dict())
            model.trained = True  # its speed is measured, not its forecasts
            trainer = lightning.Trainer(accelerator="cpu", logger=False, **quiet)
            found[testing].append(seconds(partial(trainer.test, model, data, verbose=False)))
        counts = {reading: rows, cutting: data.samples("fit"), testing: data.samples("test")}
        for name, spent in found.items():
            costs[name].append(min(spent))
            unit = "row" if name == reading else "window of 30 steps"
            value = 1e6 * costs[name][-1] / counts[name]
            table = "microseconds per row or window, TableDataModule of 4 columns"
            record(table=table, name=f"{name}, per {unit}", size=f"{rows:,} rows", value=value)
    plot(
        costs,
        ROWS,
        "rows of the file (4 columns; about half of them train, a third test)",
        "CPU seconds",
        folder / "rows.png",
    )
