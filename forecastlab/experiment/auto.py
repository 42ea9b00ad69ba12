"""The rules of the automatic recipe: how a network and its training follow from the form of the data.

The rules are fixed, and were found on development sets only (docs/benchmarks.md). They look at lengths, seasons and
numbers of series, never at a test row.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

LONGEST = 512
"""Rows that are read at most; twice as many for horizons of more than `LONG` steps."""
STEPS = 24
"""Steps of the recurrent network at most, if the season allows: longer histories are read in longer segments."""
WINDOWS_PER_WEIGHT = 4
"""Training windows for each row that is read, since the linear map has a weight for each."""
BATCHES = 1000
"""Batches of a whole training."""
BATCHES_OF_AN_EPOCH = 50
"""Batches between two validations at most."""
LARGEST_BATCH = 256
"""Windows of a batch at most."""
ROWS_OF_A_BATCH = 512
"""Windows of a batch at most, if each of several targets is counted, since each is a sequence of its own."""
VALUES_OF_A_BATCH = 50_000
"""Values that a batch forecasts at most: windows * targets * steps."""
VALIDATED = 500
"""Windows of a series that validate at most."""
MAPS = 8
"""Linear maps of the window, which the network mixes."""
AVERAGE = 8.0
"""η of the average of the weights: about the last ninth of the steps count."""
LONG = 48
"""Steps beyond which there is no calendar, and horizons with known covariates are forecast in segments.

Linear weights from each covariate of each step to each step would be too many."""
STEP, STEP_OF_LONG = 2e-3, 5e-4
"""Learning rates at first: for horizons of at most `LONG` steps, and for longer ones, which have more weights."""
PATIENCE, PATIENCE_OF_LONG = 0.25, 0.15
"""Epochs without a lower validation loss after which training ends, as a share of all, by the horizon as above.

Trainings of long horizons take longer, and by an average of the weights the loss falls evenly.
"""
LEVELS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Quantiles that are forecast."""


def lookback(lengths: NDArray[np.int64], horizon: int, season: int) -> int:
    """Rows that are read: whole seasons, nearly as many as most series have.

    Longer histories help more than any change of the cell, and rows that short series lack are padded. With few windows
    there are fewer rows, since the linear map of the window would learn them by heart. More than `STEPS` seasons are a
    whole number of segments.

    Args:
        lengths: rows of each series that may train.
        horizon: steps that are forecast.
        season: rows in a season; 1 for none.
    """
    windows = int(np.maximum(lengths - horizon, 1).sum())
    most = int(np.quantile(lengths, 0.9)) - horizon
    longest = LONGEST if horizon <= LONG else 2 * LONGEST
    wanted = min(longest if season > 1 else longest // 4, most, windows // WINDOWS_PER_WEIGHT)
    least = season if season > 1 else 4
    wanted = max(wanted, min(least, int(lengths.max()) - horizon), 1)
    if wanted < season:
        return wanted
    seasons = wanted // season
    together = -(-seasons // STEPS) if season > 1 else 1
    return seasons // together * together * season


def segment(rows: int, season: int) -> int:
    """Rows that are read as one step: the shortest divisor of the season that makes few steps, or some whole seasons.

    Rows that are no whole seasons are divided themselves. There are two segments at least.

    Args:
        rows: those that are read.
        season: rows in a season; 1 for none.
    """
    seasons, rest = divmod(rows, season)
    if season == 1 or rest or not seasons:
        lengths = [length for length in range(1, max(rows // 2, 1) + 1) if rows % length == 0]
    else:
        lengths = [length for length in range(1, season + 1) if season % length == 0]
        lengths += [number * season for number in range(2, seasons // 2 + 1) if seasons % number == 0]
    return next((length for length in lengths if rows <= STEPS * length), lengths[-1])


def model(
    rows: int, horizon: int, season: int, targets: int, known: bool, calibrated: bool, panel: bool
) -> dict[str, Any]:
    """The settings of the network.

    Args:
        rows: those that are read.
        horizon: steps that are forecast.
        season: rows in a season; 1 for none.
        targets: number of targets.
        known: whether there are covariates that are known in advance.
        calibrated: whether there are enough validation rows to calibrate intervals.
        panel: whether there are several series. Errors of each window then count in its own unit, so that small series
            count as much as large ones; of one series, a quiet window would count more than one that moves.
    """
    backbone: dict[str, Any] = {"class_path": "GRU", "init_args": {"hidden_size": 64}}
    length = segment(rows, season)
    if length > 1:
        backbone = {"class_path": "Patches", "init_args": {"backbone": backbone, "length": length}}
    return {
        "backbone": backbone,
        **(
            {"decoder": {"class_path": "Segments", "init_args": {"length": LONG // 2}}}
            if known and horizon > LONG
            else {}
        ),
        "loss": {"class_path": "Quantile", "init_args": {"quantiles": list(LEVELS)}},
        "anchor": "last",
        "window_norm": "seasonal" if 1 < season < rows else "mean",
        **({"loss_units": "window"} if panel else {}),
        "linear_window": MAPS,
        "weight_average": AVERAGE,
        **({"channels": "independent"} if targets > 1 else {}),
        **({"intervals": [0.9]} if calibrated else {}),
    }


def training(windows: int, horizon: int, targets: int) -> dict[str, Any]:
    """The settings of the training: batches, epochs, when it ends early, and the learning rate at first.

    Args:
        windows: number of training windows.
        horizon: steps that are forecast.
        targets: number of targets.
    """
    batch = int(np.clip(2 ** int(np.log2(max(windows, 2) / 20 + 1)), 16, LARGEST_BATCH))
    if targets > 1:
        batch = min(batch, ROWS_OF_A_BATCH // targets)
    batch = max(1, min(batch, VALUES_OF_A_BATCH // (targets * horizon)))
    batches = min(-(-windows // batch), BATCHES_OF_AN_EPOCH)
    epochs = int(np.clip(BATCHES // batches, 10, 100))
    return {
        "batch_size": batch,
        "windows_per_epoch": batches * batch if windows > batches * batch else None,
        "epochs": epochs,
        "patience": int(epochs * (PATIENCE if horizon <= LONG else PATIENCE_OF_LONG)),
        "lr": STEP if horizon <= LONG else STEP_OF_LONG,
    }
