"""Figures of results: matplotlib `Figure` objects, made without pyplot's global state.

They are narrow, with large print, so that they can be read on a telephone; colours are those of Okabe and Ito, told
apart by the colour-blind, and lines that share one differ in dashes. Every function takes a `Theme`.
"""

import io
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib.dates as mdates
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import AutoLocator, LogLocator, MaxNLocator, NullLocator
from PIL import Image

from forecastlab.data.folds import Fold

WIDTH = 4.2
"""Width of all figures, in inches."""
DPI = 230
COLOURS = 128
_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)))
_MARKERS = "osD^vP*"


@dataclass(frozen=True)
class Theme:
    """Colours for a light or a dark page.

    Attributes:
        paper: background.
        ink: text and the truth.
        muted: axes and what is only there to compare with.
        grid: grid lines.
        series: one per model, from the first again when they are used up (then with dashes).
    """

    paper: str
    ink: str
    muted: str
    grid: str
    series: tuple[str, ...]


LIGHT = Theme(
    "#ffffff", "#1b1f24", "#5f6770", "#dfe3e8", ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
)
DARK = Theme(
    "#15191e", "#e6e9ed", "#9aa3ad", "#333a43", ("#4aa8e0", "#f0803c", "#2fc29a", "#e39cc4", "#f0b840", "#9ad4f5")
)


def png(figure: Figure, dpi: int = DPI, colours: int | None = COLOURS) -> bytes:
    """The figure as a PNG file.

    Args:
        figure: what is drawn.
        dpi: dots per inch.
        colours: number of different colours, the fewer the smaller the file; None for all, as a heat map needs them.
    """
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # a name in another script
        figure.savefig(file, format="png", dpi=dpi, metadata={"Software": None})
    small = io.BytesIO()
    with Image.open(file) as image:
        opaque = image.convert("RGB")
        chosen = opaque if colours is None else opaque.quantize(colours)  # a third of the size
        chosen.save(small, format="png", optimize=True)
    return small.getvalue()


def loss_curves(
    curves: Mapping[str, Sequence[pd.DataFrame]],
    *,
    log: bool | None = None,
    validation: str = "validation",
    order: Sequence[str] = (),
    theme: Theme = LIGHT,
) -> Figure:
    """Training loss above, validation loss below, against the epoch; a dot marks the lowest validation loss.

    Args:
        curves: by model one table per seed with the columns `epoch`, `train/loss` and `val/loss` (empty where nothing
            was logged). With several seeds the line is their mean and the band spans them.
        log: whether the losses have a logarithmic axis; None decides by their range.
        validation: what the lower panel is called; "test" under the paper's protocol.
        order: see `styles`.
        theme: colours.
    """
    figure, panels = _figure(2, 4.8, theme, sharex=True)
    losses = {name: [_seeds(tables, name) for tables in curves.values()] for name in ("train/loss", "val/loss")}
    if log is None:
        log = _wide(losses["train/loss"] + losses["val/loss"])
    look = styles(list(curves), order, theme)
    titles = ("training loss (scaled units)", f"{validation} loss (scaled units)")
    for axes, title, (name, models) in zip(panels, titles, losses.items(), strict=True):
        for style, table in zip(look, models, strict=True):
            mean = table.mean(axis=1)
            axes.plot(mean.index, mean, linewidth=1.4, **style)
            if table.shape[1] > 1:
                axes.fill_between(table.index, table.min(axis=1), table.max(axis=1), color=style["color"], alpha=0.18)
            if name == "val/loss" and len(mean):
                lowest = mean.nsmallest(1)
                axes.plot(lowest.index, lowest, "o", color=style["color"], markersize=5, markeredgecolor=theme.paper)
        panel_title(axes, title + (", log scale" if log else ""), theme)
        if log:
            _log(axes)
    panels[-1].set_xlabel("epoch")
    legend(figure, zip(curves, look, strict=True), theme)
    return figure


def forecasts(
    rows: pd.DataFrame,
    models: Sequence[str],
    *,
    target: str,
    unit: str = "",
    order: Sequence[str] = (),
    theme: Theme = LIGHT,
) -> Figure:
    """Forecasts and the truth over time above, the errors below.

    Args:
        rows: one row per time with the columns `ds`, `y` and one per model, in the target's unit.
        models: the columns to draw; the last one, if there are several, is the reference and drawn faintly.
        target: name of the target.
        unit: its unit.
        order: see `styles`.
        theme: colours.
    """
    figure, (above, below) = _figure(2, 4.6, theme, sharex=True, ratios=(3, 2))
    rows = rows.sort_values("ds")
    observed: dict[str, Any] = {"color": theme.ink, "linestyle": "-"}
    handles = [("observed", observed)]
    above.plot(rows["ds"], rows["y"], linewidth=1.1, **observed)
    below.axhline(0, color=theme.ink, linewidth=0.9)
    for number, (model, look) in enumerate(zip(models, styles(models, order, theme), strict=True)):
        reference = number == len(models) - 1 > 0
        style = {"color": theme.muted, "linestyle": _DASHES[2]} if reference else look
        width = 1.0 if reference else 1.4
        above.plot(rows["ds"], rows[model], linewidth=width, **style, zorder=1.5 if reference else 2.5)
        below.plot(rows["ds"], rows[model] - rows["y"], linewidth=width, **style, zorder=1.5 if reference else 2.5)
        handles.append((model, style))
    panel_title(above, _with_unit(target, unit), theme)
    panel_title(below, _with_unit("forecast minus observed", unit), theme)
    date_axis(below.xaxis)
    below.set_xlabel("time of the forecast value")
    legend(figure, handles, theme)
    return figure


def error_by_month(errors: pd.DataFrame, *, label: str, order: Sequence[str] = (), theme: Theme = LIGHT) -> Figure:
    """The mean error in each calendar month of the forecast value.

    Args:
        errors: (rows, models), with a level `ds` in the index, as `Comparison.errors` gives it.
        label: of the error's axis, with its unit.
        order: see `styles`.
        theme: colours.
    """
    months = pd.DatetimeIndex(errors.index.get_level_values("ds")).month
    table = errors.groupby(months).mean().reindex(range(1, 13))
    figure = _lines(table, label, "month of the forecast value", order, theme)
    axes = figure.axes[0]
    axes.set_xticks(range(1, 13), list("JFMAMJJASOND"))
    axes.set_xlim(0.6, 12.4)
    return figure


def error_by_step(errors: pd.DataFrame, *, label: str, order: Sequence[str] = (), theme: Theme = LIGHT) -> Figure:
    """The mean error at each step of the horizon.

    Args:
        errors: (rows, models), with a level `step` in the index.
        label: of the error's axis, with its unit.
        order: see `styles`.
        theme: colours.
    """
    figure = _lines(errors.groupby(level="step").mean(), label, "steps ahead of the origin", order, theme)
    figure.axes[0].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure


def error_per_fold(
    values: pd.DataFrame,
    *,
    label: str,
    reference: str | None = None,
    order: Sequence[str] = (),
    theme: Theme = LIGHT,
) -> Figure:
    """Bars: one panel per fold, one bar per model.

    Args:
        values: (models, folds).
        label: of the error's axis, with its unit.
        reference: a model that gets a line through all bars.
        order: see `styles`.
        theme: colours.
    """
    columns = min(3, values.shape[1])
    look = styles([str(name) for name in values.index], order, theme)
    lines = -(-values.shape[1] // columns)
    height = lines * (0.62 + 0.22 * len(values)) + 0.5
    figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor=theme.paper)
    panels = np.atleast_1d(figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)).ravel()
    places = range(len(values))
    for panel in panels[values.shape[1] :]:
        panel.remove()
    for number, (axes, fold) in enumerate(zip(panels, values.columns, strict=False)):
        dress(axes, theme)
        axes.barh(places, values[fold], height=0.7, color=[style["color"] for style in look])
        if reference is not None and reference in values.index:
            axes.axvline(values.loc[reference, fold], color=theme.ink, linewidth=0.9, linestyle=_DASHES[1])
        axes.grid(visible=False, axis="y")
        axes.set_yticks(places, [printable(str(name), 20) for name in values.index])
        axes.tick_params(axis="y", length=0, labelcolor=theme.ink)
        axes.tick_params(axis="x", labelbottom=number + columns >= values.shape[1])
        axes.xaxis.set_major_locator(AutoLocator() if columns == 1 else MaxNLocator(2))
        axes.xaxis.set_major_formatter("{x:g}")
        panel_title(axes, f"fold {fold}", theme)
    panels[0].invert_yaxis()
    line = f"\ndashed: {printable(reference, 28)}" if reference is not None and reference in values.index else ""
    figure.supxlabel(printable(label, 60) + line, fontsize=9, color=theme.muted)
    return figure


def split_diagram(folds: Sequence[Fold], *, theme: Theme = LIGHT) -> Figure:
    """Which target rows fit, validate and test in each walk-forward fold."""
    figure, (axes,) = _figure(1, 0.95 + 0.42 * len(folds), theme)
    parts: list[tuple[Literal["fit", "validation", "test"], str]] = [
        ("fit", theme.series[0]),
        ("validation", theme.series[4]),
        ("test", theme.series[1]),
    ]
    for place, fold in enumerate(folds):
        for name, color in parts:
            rows = getattr(fold, name)
            peeked = name == "validation" and fold.validation == fold.test
            if not peeked:
                axes.barh(place, len(rows), left=rows.start, height=0.62, color=color)
    axes.set_yticks(range(len(folds)), [f"fold {number}" for number in range(1, len(folds) + 1)])
    axes.tick_params(axis="y", length=0, labelcolor=theme.ink)
    axes.grid(visible=False, axis="y")
    axes.invert_yaxis()
    axes.set_xlabel("row of the target")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    same = any(fold.validation == fold.test for fold in folds)
    names = {"fit": "fit", "test": "validation = test"} if same else {name: name for name, _ in parts}
    handles = [(names[name], {"color": color, "linewidth": 6}) for name, color in parts if name in names]
    legend(figure, handles, theme)
    return figure


def study_history(trials: pd.DataFrame, *, label: str, theme: Theme = LIGHT) -> Figure:
    """The loss of each trial of a study by its number, and the best one so far.

    Args:
        trials: one row per trial with the columns `trial`, `state` ("complete", "pruned" or other) and `val/loss`, the
            last one before the end for a pruned trial.
        label: of the losses' axis.
        theme: colours.
    """
    figure, (axes,) = _figure(1, 3.4, theme)
    complete, pruned = (trials[trials["state"] == state] for state in ("complete", "pruned"))
    best = complete.assign(**{"val/loss": complete["val/loss"].cummin()})
    looks: list[tuple[str, pd.DataFrame, dict[str, Any]]] = [
        ("pruned", pruned, {"color": theme.muted, "marker": "x", "linestyle": ""}),
        ("finished", complete, {"color": theme.series[0], "marker": "o", "linestyle": ""}),
        ("best so far", best, {"color": theme.series[1], "drawstyle": "steps-post"}),
    ]
    looks = [look for look in looks if look[1]["val/loss"].notna().any()]
    for _, rows, style in looks:
        axes.plot(rows["trial"], rows["val/loss"], markersize=4, linewidth=1.4, **style)
    wide = _wide([trials[["val/loss"]]])
    if wide:
        _log(axes)
    panel_title(axes, label + (", log scale" if wide else ""), theme)
    axes.set_xlabel("trial")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    legend(figure, [(name, style) for name, _, style in looks], theme)
    return figure


def importances(values: "pd.Series[float]", *, theme: Theme = LIGHT) -> Figure:
    """Bars: how much each of a study's values mattered.

    Args:
        values: share, 0 .. 1, by the name of the value, in the order from above.
        theme: colours.
    """
    figure, (axes,) = _figure(1, 0.9 + 0.3 * len(values), theme)
    places = range(len(values))
    axes.barh(places, values, height=0.7, color=theme.series[0])
    axes.grid(visible=False, axis="y")
    axes.set_yticks(places, [printable(str(name), 34) for name in values.index])
    axes.tick_params(axis="y", length=0, labelcolor=theme.ink)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("importance")
    return figure


def learning_rates(
    curve: pd.DataFrame, *, suggested: float | None, given: float | None, theme: Theme = LIGHT
) -> Figure:
    """The training loss while the learning rate rises from step to step.

    Args:
        curve: one row per step with the columns `learning_rate`, `loss` and `smoothed`.
        suggested: a rate that is marked.
        given: another that is, the config's.
        theme: colours.
    """
    figure, (axes,) = _figure(1, 3.2, theme)
    looks: list[tuple[str, dict[str, Any]]] = [
        ("each step", {"color": theme.series[5], "marker": "o", "linestyle": ""}),
        ("smoothed", {"color": theme.series[0]}),
    ]
    axes.plot(curve["learning_rate"], curve["loss"], markersize=2.5, **looks[0][1])
    axes.plot(curve["learning_rate"], curve["smoothed"], linewidth=1.6, **looks[1][1])
    for name, rate, color in (("suggested", suggested, theme.series[1]), ("config's", given, theme.muted)):
        if rate is not None:
            looks.append((f"{name}: {rate:.2g}", {"color": color, "linestyle": _DASHES[1]}))
            axes.axvline(rate, linewidth=1.2, **looks[-1][1])
    axes.set_xscale("log")
    lowest = curve["smoothed"].idxmin()
    bottom, top = curve["smoothed"].min(), curve.loc[:lowest, "smoothed"].max()
    room = top - bottom + 0.1 * abs(top)
    axes.set_ylim(bottom - 0.3 * room, top + 0.5 * room)  # where it diverges it would hide all the rest
    axes.set_xlabel("learning rate, log scale")
    panel_title(axes, "training loss (scaled units)", theme)
    legend(figure, looks, theme)
    return figure


def styles(models: Sequence[str], order: Sequence[str], theme: Theme) -> list[dict[str, Any]]:
    """Colour and dashes of each model.

    Args:
        models: the models of a figure.
        order: all models of which there are figures, so that each looks the same in all; those that are not among them
            follow.
        theme: colours.
    """
    names = list(dict.fromkeys([*order, *models]))
    colours = len(theme.series)
    return [
        {"color": theme.series[number % colours], "linestyle": _DASHES[number // colours % len(_DASHES)]}
        for number in map(names.index, models)
    ]


def _figure(
    panels: int, height: float, theme: Theme, *, sharex: bool = False, ratios: Sequence[float] | None = None
) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor=theme.paper)
    grid = figure.subplots(panels, 1, sharex=sharex, squeeze=False, height_ratios=ratios)
    for axes in grid[:, 0]:
        dress(axes, theme)
    return figure, list(grid[:, 0])


def dress(axes: Axes, theme: Theme) -> None:
    """Gives axes the colours of a theme, and little else than a grid."""
    axes.set_facecolor(theme.paper)
    axes.grid(color=theme.grid, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9, labelcolor=theme.muted, color=theme.grid, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(theme.grid)
    for label in (axes.xaxis.label, axes.yaxis.label, axes.xaxis.get_offset_text(), axes.yaxis.get_offset_text()):
        label.set(color=theme.muted, fontsize=9)


def _log(axes: Axes) -> None:
    """A logarithmic vertical axis with plain numbers."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    subs = (
        (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0) if high < 8 * low else (1.0, 2.0, 5.0) if high < 300 * low else (1.0,)
    )
    axes.yaxis.set_major_locator(LogLocator(subs=subs))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())


def panel_title(axes: Axes, text: str, theme: Theme) -> None:
    """The name of the vertical axis, above it, where it can be read without turning the telephone."""
    axes.set_title(printable(text, 60), loc="left", fontsize=9.5, color=theme.ink)


def date_axis(axis: Axis) -> None:
    """A few ticks of times, as short as they can be told apart."""
    locator = mdates.AutoDateLocator(minticks=3, maxticks=6)  # type: ignore[no-untyped-call]  # it has no types
    axis.set_major_locator(locator)
    axis.set_major_formatter(mdates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]  # nor has it


def legend(figure: Figure, entries: Iterable[tuple[str, Mapping[str, Any]]], theme: Theme) -> None:
    """Names of lines above all panels.

    Args:
        figure: what they are in.
        entries: name and style of each line.
        theme: colours.
    """
    lines = [(printable(name, 34), Line2D([], [], **{"linewidth": 2, **style})) for name, style in entries]
    names, handles = [name for name, _ in lines], [line for _, line in lines]
    columns = 1 if max(map(len, names)) > 20 else 2 if max(map(len, names)) > 11 or len(names) == 4 else 3
    figure.legend(
        handles,
        names,
        loc="outside upper left",
        ncols=min(columns, len(names)),
        frameon=False,
        fontsize=9,
        labelcolor=theme.ink,
        handlelength=1.8,
        columnspacing=1.4,
    )


def _lines(table: pd.DataFrame, label: str, below: str, order: Sequence[str], theme: Theme) -> Figure:
    """One line per column against the index."""
    figure, (axes,) = _figure(1, 3.4, theme)
    entries = []
    look = styles([str(name) for name in table.columns], order, theme)
    for number, (model, plain) in enumerate(zip(table.columns, look, strict=True)):
        style = {**plain, "marker": _MARKERS[number % len(_MARKERS)]}
        axes.plot(table.index, table[model], linewidth=1.4, markersize=4, **style)
        entries.append((str(model), {**style, "markersize": 5}))
    axes.set_ylim(bottom=0)
    axes.set_xlabel(below)
    panel_title(axes, label, theme)
    legend(figure, entries, theme)
    return figure


def _seeds(tables: Sequence[pd.DataFrame], name: str) -> pd.DataFrame:
    """(epochs, seeds): one loss of every seed; a seed that stopped early ends early."""
    found = [table.dropna(subset=[name, "epoch"]).groupby("epoch")[name].last() for table in tables if name in table]
    return pd.concat(found, axis=1, ignore_index=True).sort_index() if found else pd.DataFrame(dtype="float64")


def _wide(losses: Sequence[pd.DataFrame]) -> bool:
    """Whether a linear axis would hide how low losses differ."""
    values = np.concatenate([np.empty(0), *(table.to_numpy().ravel() for table in losses)])
    values = values[np.isfinite(values)]
    return len(values) > 0 and values.min() > 0 and values.max() > 10 * values.min()


def _with_unit(text: str, unit: str) -> str:
    return f"{text} ({unit or 'in its own unit'})"


def printable(text: str, most: int) -> str:
    """Text that matplotlib prints as it is: no formula, no label that it hides, and not too long."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    text = text if len(text) <= most else text[: most - 1] + "…"
    return text.replace("$", r"\$").replace("_", " _", 1) if text.startswith("_") else text.replace("$", r"\$")
