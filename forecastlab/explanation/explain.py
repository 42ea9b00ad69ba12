"""Explanations of a trained network: figures, the table behind each figure, and a summary in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from forecastlab.batch import Schema
from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.data.windows import Windows
from forecastlab.errors import ConfigError, ForecastlabError
from forecastlab.evaluation.page import Picture
from forecastlab.explanation import figures, words
from forecastlab.explanation.attention import Attention
from forecastlab.explanation.features import groups_of, sources_of
from forecastlab.explanation.gradients import Attribution, integrated_gradients
from forecastlab.explanation.inventory import inventory, lacks
from forecastlab.explanation.names import Kind, SignalName
from forecastlab.explanation.permutation import (
    block_orders,
    default_block,
    permutation_importance,
    rows_to_permute,
)
from forecastlab.explanation.selection import of_series
from forecastlab.explanation.tracing import Trace, trace
from forecastlab.explanation.units import unused
from forecastlab.figures.drawing import Theme
from forecastlab.network.agreement import require_alike
from forecastlab.network.network import Network

Stage = Literal["test", "validation"]


@dataclass(frozen=True)
class Finding:
    """A figure and the numbers behind it."""

    picture: Picture
    table: pd.DataFrame


@dataclass(frozen=True)
class Explanation:
    """The result of an explanation.

    Attributes:
        findings: the figures, with their tables.
        summary: the results as text.
    """

    findings: Sequence[Finding]
    summary: str


def explain(
    model: Network,
    data: ForecastDataModule,
    stage: Stage = "test",
    *,
    series: str | None = None,
    target: str | None = None,
    repeats: int = 10,
    block: int | None = None,
    origins: int = 32,
    steps: int = 32,
    threshold: float = 0.01,
    seed: int = 0,
) -> Explanation:
    """Explains a trained network on its forecasts of one series in one range of rows.

    Args:
        model: the network.
        data: the data of a fold.
        stage: the range of the fold. Explanations of the test range must not choose anything.
        series: name of the series; None for the first one that has forecasts there.
        target: name of the target; None for the first one.
        repeats: how often each feature is permuted.
        block: number of neighbouring rows that stay together in a permutation; None for the lookback, but at most the
            square root of the number of rows.
        origins: number of origins, evenly spaced, whose forecasts integrated gradients explain.
        steps: number of points of the integral.
        threshold: magnitude that a hidden unit must exceed to count as used.
        seed: seed of the permutations.

    Raises:
        ConfigError: for a setting that cannot be used, or data of another form than the network's.
    """
    for setting, value in (("repeats", repeats), ("block", block), ("origins", origins), ("steps", steps)):
        if value is not None and value < 1:
            raise ConfigError(f"{setting} must be 1 or more, got {value}")
    if threshold < 0:
        raise ConfigError(f"threshold must be 0 or more, got {threshold}")
    require_alike(model.schema, Schema.from_dict(data.schema))
    model.find_scalings(data.panel.names)
    windows, name = _samples(data, stage, series)
    column = 0 if target is None else _number("target", target, data.targets)
    schema = model.schema
    rows = rows_to_permute(windows, schema)
    block = block or default_block(rows, schema)
    orders = block_orders(rows, block, repeats, seed)
    features = sources_of(schema)
    groups = groups_of(schema.features)
    with model.evaluating():
        traced = trace(model, windows, data.times, column)
        single, error = permutation_importance(model, windows, features, orders, column)
        joint, _ = permutation_importance(model, windows, groups, orders, column)
        attributed, without = None, ""
        try:
            attributed = integrated_gradients(model, windows, name, origins, steps, column)
        except ForecastlabError as problem:  # captum is an extra; the rest works without it
            without = str(problem)
    label = schema.targets[column] if len(data.panel.names) == 1 else f"{name}: {schema.targets[column]}"
    parts = inventory(model, [*traced.signals, *traced.attention])
    findings = [
        *_signals(traced, label),
        *(_attention(name, one, traced.rows["cutoff"]) for name, one in traced.attention.items()),
        *(_selection(name, table) for name, table in traced.selection.items()),
        _permuted(single, joint, label),
    ]
    lines = [
        words.heading(stage, data.fold, name, schema.targets[column], traced.rows),
        words.inventory(parts, lacks(parts)),
        words.signals(traced.signals),
        "\n".join(unused(model, traced.peaks, threshold)),
        words.attention(traced.attention),
        words.selection(traced.selection),
    ]
    if attributed is not None:
        findings += _attributed(attributed, features, groups, label)
    lines += [
        words.importance(single, joint, error, attributed, features, groups),
        words.completeness(attributed, steps) if attributed is not None else without,
        words.permutations(rows, block, repeats),
    ]
    return Explanation(findings, "\n\n".join(filter(None, lines)))


def _samples(data: ForecastDataModule, stage: Stage, series: str | None) -> tuple[Windows, str]:
    """The samples of one series in a range, and its name."""
    data.prepare_data()
    data.setup("test" if stage == "test" else "validate")
    loader = data.test_dataloader() if stage == "test" else data.val_dataloader()
    windows, names = cast(Windows, loader.dataset), data.panel.names
    number = int(windows.series[0]) if series is None else _number("series", series, names)
    if not (windows.series == number).any():
        raise ConfigError(f"series {names[number]} has no forecast in the {stage} range of fold {data.fold}")
    return of_series(windows, number), names[number]


def _number(what: str, name: str, names: Sequence[str]) -> int:
    if name not in names:
        few = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
        raise ConfigError(f"there is no {what} {name!r}; there are {few}")
    return list(names).index(name)


def _signals(traced: Trace, label: str) -> list[Finding]:
    """A figure of the gates and one of the states of each layer."""
    layers: dict[tuple[Kind, str], list[str]] = {}
    for name in traced.signals:
        signal = SignalName.of(name)
        layers.setdefault((signal.kind, signal.key), []).append(name)
    return [_layer(traced, kind, key, names, label) for (kind, key), names in layers.items()]


def _layer(traced: Trace, kind: Kind, key: str, names: Sequence[str], label: str) -> Finding:
    signals = [SignalName.of(name) for name in names]
    values = [traced.signals[name] for name in names]
    columns = [
        f"{one.signal}.{unit}" for one, units in zip(signals, values, strict=True) for unit in range(units.shape[1])
    ]
    table = pd.concat([traced.rows, pd.DataFrame(np.concatenate(values, 1), columns=columns)], axis=1)
    shown = {one.label: units for one, units in zip(signals, values, strict=True)}

    def draw(theme: Theme) -> Figure:
        return figures.signals_over_time(
            traced.rows, shown, target=label, place=signals[0].place, of_steps=_is_of_steps(signals[0]), theme=theme
        )

    caption = f"The {kind}s of {signals[0].place} at each forecast origin, below the forecasts."
    return Finding(Picture(f"{kind}s_{key}", caption, draw, colours=None), table)


def _is_of_steps(signal: SignalName) -> bool:
    """Whether a signal has a value for each step of the horizon: what a decoder gives to the steps before."""
    return (signal.part, signal.signal) == ("decoder", "ahead")


def _attention(name: str, attention: Attention, cutoff: pd.Series) -> Finding:
    signal = SignalName.of(name)

    def draw(theme: Theme) -> Figure:
        return figures.attention_map(cutoff, attention, name=signal.place, theme=theme)

    caption = f"How much {signal.place} looks at each step of the past, from each forecast origin."
    return Finding(
        Picture(f"attention_{signal.key}", caption, draw, colours=None), attention.table(pd.DatetimeIndex(cutoff))
    )


def _selection(name: str, table: pd.DataFrame) -> Finding:
    signal = SignalName.of(name)

    def draw(theme: Theme) -> Figure:
        text = f"mean weight in the {signal.label} of {signal.place}"
        return figures.importance(table, table.iloc[:0], value="mean", label=text, theme=theme)

    caption = f"How much {signal.place} reads each variable ({signal.label}), as a share of all, over the forecasts."
    return Finding(Picture(f"{signal.signal}_{signal.key}", caption, draw), table.reset_index(names="variable"))


def _permuted(single: pd.DataFrame, joint: pd.DataFrame, label: str) -> Finding:
    def draw(theme: Theme) -> Figure:
        return figures.importance(single, joint, value="mse", label=f"increase of the MSE of {label}", theme=theme)

    caption = "Increase of the mean squared error when a feature is permuted in time; lines: standard deviation."
    return Finding(Picture("permutation", caption, draw), _with_groups(single, joint))


def _attributed(
    attributed: Attribution, features: Mapping[str, Sequence[str]], groups: Mapping[str, Sequence[str]], label: str
) -> list[Finding]:
    single, joint = attributed.importance(features), attributed.importance(groups)

    def draw(theme: Theme) -> Figure:
        text = f"mean |contribution| to the forecast of {label}"
        return figures.importance(single, joint, value="magnitude", label=text, theme=theme)

    def draw_lags(theme: Theme) -> Figure:
        text = f"mean |contribution| of a step to {label}"
        return figures.by_lag(attributed.by_lag, label=text, theme=theme)

    return [
        Finding(
            Picture("gradients", "How far each feature moves a forecast, by integrated gradients.", draw),
            _with_groups(single, joint),
        ),
        Finding(
            Picture("gradients_by_lag", "Which steps of the past move a forecast, by integrated gradients.", draw_lags),
            attributed.by_lag.rename("magnitude").reset_index(),
        ),
    ]


def _with_groups(single: pd.DataFrame, joint: pd.DataFrame) -> pd.DataFrame:
    """Features and groups in one table, with the columns `kind` and `name` first."""
    parts = [table.rename_axis("name").reset_index() for table in (single, joint)]
    return pd.concat([part.assign(kind=kind) for part, kind in zip(parts, ("feature", "group"), strict=True)])[
        ["kind", "name", *single.columns]
    ]
