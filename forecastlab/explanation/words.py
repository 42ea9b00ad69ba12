"""An explanation as text for a terminal."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecastlab.explanation.attention import Attention
from forecastlab.explanation.gradients import Attribution
from forecastlab.explanation.names import SignalName
from forecastlab.text import aligned

FEATURES_NAMED = 8
"""The largest number of features in the text."""


def heading(stage: str, fold: object, series: str, target: str, rows: pd.DataFrame) -> str:
    """A line that says which forecasts are explained.

    Args:
        stage: range of the fold.
        fold: its number.
        series: name of the series.
        target: name of the target.
        rows: one per origin.
    """
    first, last = (f"{time:%Y-%m-%d %H:%M}".removesuffix(" 00:00") for time in (rows["ds"].min(), rows["ds"].max()))
    text = f"{stage} rows of fold {fold}: {len(rows)} forecasts of {target}, series {series}, {first} .. {last}"
    if stage == "test":
        text += "\nThis explains the network; do not choose features or sizes by it, or the test rows have chosen."
    return text


def inventory(parts: pd.DataFrame, lacks: Sequence[str]) -> str:
    """The parts of the network, and the signals that they lack.

    Args:
        parts: the table of `forecastlab.explanation.inventory.inventory`.
        lacks: the sentences of `lacks`.
    """
    table = parts.assign(
        gates=parts["gates"].map(", ".join).replace("", "none"),
        states=parts["states"].map(", ".join).replace("", "none"),
        attention=parts["attention"].map({True: "yes", False: "none"}),
    )
    return "\n".join([_text(table), *lacks])


def signals(values: Mapping[str, NDArray[np.float64]]) -> str:
    """Mean and range of gates and states over origins and units.

    Args:
        values: (origins, units) each, by name.
    """
    if not values:
        return ""
    rows = [
        {
            "signal": f"{SignalName.of(name).place}: {SignalName.of(name).label}",
            "mean": signal.mean(),
            **dict(zip(("5 %", "95 %"), np.quantile(signal, (0.05, 0.95)), strict=True)),
            "varies in time": signal.std(0).mean(),
        }
        for name, signal in values.items()
    ]
    return _text(pd.DataFrame(rows))


def attention(values: Mapping[str, Attention]) -> str:
    """How far each attention looks back.

    Args:
        values: the attention weights, by name.
    """
    if not values:
        return ""
    tables = [
        one.reach().assign(attention=SignalName.of(name).place).reset_index(names="head")
        for name, one in values.items()
    ]
    return _text(pd.concat(tables)[["attention", "head", "steps", "mean lag", "half within", "even"]])


def selection(values: Mapping[str, pd.DataFrame]) -> str:
    """The variables that each selection reads most.

    Args:
        values: the tables of `shares`, by name of the signal.
    """
    tables = [
        table.head(FEATURES_NAMED)
        .reset_index(names="variable")
        .assign(selection=f"{SignalName.of(name).place}: {SignalName.of(name).label}")
        for name, table in values.items()
    ]
    if not tables:
        return ""
    columns = {"mean": "mean weight", "10 %": "10 %", "90 %": "90 %"}
    return _text(pd.concat(tables)[["selection", "variable", *columns]].rename(columns=columns))


def importance(
    single: pd.DataFrame,
    joint: pd.DataFrame,
    error: Mapping[str, float],
    attributed: Attribution | None,
    features: Mapping[str, Sequence[str]],
    groups: Mapping[str, Sequence[str]],
) -> str:
    """The most important features and groups.

    Args:
        single: permutation importance of each feature.
        joint: permutation importance of each group.
        error: the errors without permutation.
        attributed: integrated gradients, if there are any.
        features: the inputs that each feature is made of.
        groups: the members of each group.
    """
    parts = [f"errors as they are, in the target's own unit: MSE {error['mse']:.4g}, MAE {error['mae']:.4g}"]
    for what, table, members in (("feature", single, features), ("group", joint, groups)):
        shown = table.sort_values("mse", ascending=False).head(FEATURES_NAMED)
        if shown.empty:
            continue
        shown = shown.rename(columns={"mse": "permuted: MSE +", "mse_std": "±", "mae": "MAE +", "mae_std": "± "})
        if attributed is not None:
            shown["gradients: moves by"] = attributed.importance(members)["magnitude"]
        parts.append(_text(shown.reset_index(names=what)))
    return "\n\n".join(parts)


def permutations(rows: int, block: int, repeats: int) -> str:
    """A line that says how features were permuted.

    Args:
        rows: number of permuted rows.
        block: number of neighbouring rows that stayed together.
        repeats: number of permutations.
    """
    return (
        f"permuted: {rows} rows in blocks of {block}, {repeats} times, each feature alone and each group of names that "
        "begin alike"
    )


def completeness(attributed: Attribution, steps: int) -> str:
    """A line about the accuracy of the integrals.

    Args:
        attributed: integrated gradients.
        steps: number of points of the integrals.
    """
    gap, change = np.abs(attributed.gap), np.abs(attributed.change)
    return (
        f"integrated gradients: {len(gap)} origins, {steps} points, from the centre of every input's scaling "
        f"(standard: its training mean); completeness gap at most {gap.max():.2g}, mean {gap.mean():.2g}, of changes "
        f"of {change.mean():.3g} on average"
    )


def _text(table: pd.DataFrame) -> str:
    """A table with names on the left and numbers on the right."""
    columns = [
        [name, *(f"{value:.3g}" if isinstance(value, float) else str(value) for value in table[name])] for name in table
    ]
    numbers = [pd.api.types.is_numeric_dtype(table[name]) for name in table]
    return "\n".join(aligned(list(zip(*columns, strict=True)), numbers))
