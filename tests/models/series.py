"""Small frames, and settings that train on them in a second."""

import numpy as np
import pandas as pd

FEW = {"trainer.max_epochs": 2, "trainer.accelerator": "cpu", "model.backbone": "GRU", "model.backbone.hidden_size": 4}


def days(rows: int, seed: int = 0) -> pd.DataFrame:
    """A weekly wave with noise from 2024-01-01 on; a longer one begins as a shorter one."""
    noise = np.random.default_rng(seed).normal(size=1000)[:rows]
    y = 10 + 3 * np.sin(2 * np.pi * np.arange(rows) / 7) + 0.3 * noise
    return pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=rows), "y": y})


def shops(count: int, rows: int = 100) -> pd.DataFrame:
    """Several such series, s0, s1, ..., below each other."""
    return pd.concat([days(rows, seed).assign(store=f"s{seed}") for seed in range(count)], ignore_index=True)
