"""Importance of features by permutation: the increase of the error when a feature is shuffled."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from forecastlab.batch import Batch, Schema
from forecastlab.data.windows import Windows
from forecastlab.explanation.selection import with_rows_in_order
from forecastlab.explanation.tracing import batches, sequences_at_once
from forecastlab.network.network import Network

ERRORS = ("mse", "mae")


def rows_to_permute(windows: Windows, schema: Schema) -> int:
    """The number of rows that the forecasts of one series read: all histories and the horizon of known ones."""
    read = int(windows.ends.max() - windows.begins.min()) + 1
    return read + (schema.horizon if schema.known else 0)


def default_block(rows: int, schema: Schema) -> int:
    """The number of neighbouring rows that stay together: the lookback, but at most the square root of the rows.

    So a window crosses one or two block boundaries, and there are at least as many blocks as rows in a block.
    """
    root = max(1, math.isqrt(rows))
    return root if schema.lookback == "full" else min(int(schema.lookback), root)


def block_orders(rows: int, block: int, repeats: int, seed: int = 0) -> NDArray[np.int64]:
    """Random orders of rows in which blocks of neighbours stay together.

    The rows form a ring. It is cut into blocks at a random offset, and the blocks are shuffled.

    Args:
        rows: number of rows.
        block: rows in a block; 1 shuffles single rows.
        repeats: number of orders.
        seed: seed of the random numbers.

    Returns:
        (repeats, rows): each order holds every row number once.
    """
    random = np.random.default_rng(seed)
    orders = []
    for _ in range(repeats):
        ring = np.roll(np.arange(rows), -int(random.integers(rows)))
        blocks = [ring[start : start + block] for start in range(0, rows, block)]
        orders.append(np.concatenate([blocks[number] for number in random.permutation(len(blocks))]))
    return np.stack(orders)


def permutation_importance(
    model: Network,
    windows: Windows,
    features: Mapping[str, Sequence[str]],
    orders: NDArray[np.int64],
    target: int = 0,
) -> tuple[pd.DataFrame, dict[str, float]]:
    """The increase of the error when the rows of a feature are permuted (Breiman 2001; Fisher et al. 2019).

    A column is permuted along time before histories are cut from it, so that all histories see the same permuted
    column. Every feature uses the same orders. A known covariate has the same order in past and future. The target's
    last value, from which an anchored forecast starts, is not permuted.

    Args:
        model: the network, in evaluation.
        windows: samples of one series, as `of_series` gives them.
        features: the features that are permuted together, by the name of the group in the result.
        orders: (repeats, rows): of the first rows of the series.
        target: number of the target.

    Returns:
        A row per entry of `features` with the columns `mse, mse_std, mae, mae_std`: mean and standard deviation (ddof
        0) of the increase over the repeats, in the target's own unit (squared for the MSE); and the errors without
        permutation.
    """
    schema = model.schema
    base = _errors(model, [windows], target)[0]
    increases = []
    for members in features.values():
        columns = [schema.features.index(name) for name in members]
        known = [schema.known.index(name) for name in members if name in schema.known]
        variants = [with_rows_in_order(windows, columns, known, torch.as_tensor(order)) for order in orders]
        increase = _errors(model, variants, target) - base
        increases.append(np.stack([increase.mean(0), increase.std(0)], 1).ravel())
    names = [f"{error}{suffix}" for error in ERRORS for suffix in ("", "_std")]
    return pd.DataFrame(increases, list(features), names), dict(zip(ERRORS, base.tolist(), strict=True))


def _errors(model: Network, variants: Sequence[Windows], target: int) -> NDArray[np.float64]:
    """(variants, 2): mean squared and mean absolute error of one target over all values that are scored."""
    first = variants[0]
    together = max(1, sequences_at_once(model, first) // len(first))
    errors = []
    for start in range(0, len(variants), together):
        chunk = variants[start : start + together]
        sums = torch.zeros(3, len(chunk), dtype=torch.float64)
        for parts in zip(*(batches(variant, model.device) for variant in chunk), strict=True):
            batch = Batch(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))
            weight = batch.weight[..., target]
            error = weight * (model(batch)[..., target] - batch.target[..., target])
            values = torch.stack([error.square(), error.abs(), weight]).double()  # weights are 0 or 1
            sums += values.unflatten(1, (len(chunk), -1)).flatten(2).sum(2).cpu()
        errors.append((sums[:2] / sums[2]).T)
    return torch.cat(errors).numpy()
