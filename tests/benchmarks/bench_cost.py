"""How the cost grows with the length of a sequence and with the number of rows: a plot each."""

import time
from functools import partial

import matplotlib
import pytest
import torch

from tests.benchmarks.bench_cells import both_ways, built, forward

CELLS = ["LSTM", "GRU", "PeepholeLSTM", "SLSTM", "MLSTM", "ALSTM"]
LENGTHS = [250, 1250, 5000, 20_000]
ROWS = [1000, 10_000, 100_000, 1_000_000]


def least(function, turns):
    spent = []
    for _ in range(turns):
        start = time.process_time()
        function()
        spent.append(time.process_time() - start)
    return min(spent)


def plot(costs, xs, xlabel, ylabel, path):
    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for cell, values in costs.items():
        axes.loglog(xs, values, marker="o", label=cell)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def test_cost_against_length(record, folder):
    costs = {}
    for cell in CELLS:
        model = built(cell, 8, 32)
        costs[cell] = []
        for length in LENGTHS:
            x = torch.randn(1, length, 8)
            costs[cell].append(least(partial(both_ways, model, x), 1 + 2500 // length))
            microseconds = 1e6 * costs[cell][-1] / length
            record(table="microseconds per step, forward and backward", name=cell, size=str(length), ratio=microseconds)
    plot(costs, LENGTHS, "steps of one sequence", "seconds, forward and backward", folder / "length.png")


@pytest.mark.parametrize("batch", [1024])
def test_cost_against_rows(batch, record, folder):
    costs = {}
    for cell in ("LSTM", "GRU", "SLSTM"):
        model, x = built(cell, 8, 16, 1), torch.randn(batch, 30, 8)
        costs[cell] = []
        for rows in ROWS:

            def predict(model=model, x=x, rows=rows):
                for first in range(0, rows, batch):
                    forward(model, x[: rows - first])

            costs[cell].append(least(predict, 2 if rows < ROWS[-1] else 1))
            microseconds = 1e6 * costs[cell][-1] / rows
            record(table="microseconds per window of 30 steps, forward", name=cell, size=str(rows), ratio=microseconds)
    plot(costs, ROWS, "windows of 30 steps", "seconds, forward", folder / "rows.png")
