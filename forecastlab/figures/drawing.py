"""The look of all figures: themes, axes, legends, and the way to a PNG.

Figures are narrow, with large print, so that they can be read on a telephone. Colours are those of Okabe and Ito, which
the colour-blind tell apart; lines that share a colour differ in dashes.
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
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray
from PIL import Image

WIDTH = 4.2
"""Width of all figures, in inches."""
DPI = 230
COLOURS = 128
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)))
MARKERS = "osD^vP*"


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


class Picture(Figure):
    """A figure that a notebook shows by itself, whether or not pyplot is there."""

    def _repr_png_(self) -> bytes:
        return png(self)


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


def pixels(picture: bytes) -> NDArray[np.uint8]:
    """The pixels of a PNG file, (height, width, 3), as TensorBoard takes them."""
    with Image.open(io.BytesIO(picture)) as image:
        return np.asarray(image.convert("RGB"))


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
        {"color": theme.series[number % colours], "linestyle": DASHES[number // colours % len(DASHES)]}
        for number in map(names.index, models)
    ]


def panels_of(
    panels: int,
    height: float,
    theme: Theme,
    *,
    columns: int = 1,
    sharex: bool = False,
    ratios: Sequence[float] | None = None,
) -> tuple[Figure, list[Axes]]:
    """A figure of some panels, one above the other, or row by row in several columns.

    Args:
        panels: how many.
        height: of the figure, in inches.
        theme: colours.
        columns: panels in a row. The figure is as many times as wide.
        sharex: whether the panels share their horizontal axis.
        ratios: heights of the rows of panels, relative to each other; None for equal ones.
    """
    figure = Picture(figsize=(WIDTH * columns, height), layout="constrained", facecolor=theme.paper)
    grid = figure.subplots(-(-panels // columns), columns, sharex=sharex, squeeze=False, height_ratios=ratios)
    for axes in grid.flat[panels:]:
        axes.remove()
    for axes in grid.flat[:panels]:
        dress(axes, theme)
    return figure, list(grid.flat[:panels])


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


def log_axis(axes: Axes, name: Literal["x", "y"] = "y", narrow: bool = False) -> None:
    """A logarithmic axis with plain numbers; a narrow one has room for the powers of ten alone."""
    axes.set(**{f"{name}scale": "log"})
    axis = axes.xaxis if name == "x" else axes.yaxis
    low, high = sorted(axis.get_view_interval())
    subs: tuple[float, ...] = (1.0,)
    if not narrow and high < 300 * low:
        subs = (1.0, 2.0, 5.0) if high >= 8 * low else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def is_wide(losses: Sequence[pd.DataFrame]) -> bool:
    """Whether a linear axis would hide how low losses differ."""
    values = np.concatenate([np.empty(0), *(table.to_numpy().ravel() for table in losses)])
    values = values[np.isfinite(values)]
    return len(values) > 0 and values.min() > 0 and values.max() > 10 * values.min()


def panel_title(axes: Axes, text: str, theme: Theme) -> None:
    """The name of the vertical axis, above it, where it can be read without turning the telephone."""
    axes.set_title(printable(text, 60), loc="left", fontsize=9.5, color=theme.ink)


def time_axis(axis: Axis, times: "pd.Index[Any] | pd.Series[Any]") -> None:
    """A few ticks of times, or of the numbers of rows where these are counted.

    Args:
        axis: of the times.
        times: what is drawn along it.
    """
    if pd.api.types.is_numeric_dtype(times):
        axis.set_major_locator(MaxNLocator(6, integer=True))
    else:
        date_axis(axis)


def date_axis(axis: Axis) -> None:
    """A few ticks of times, as short as they can be told apart."""
    # with 6 ticks at most, matplotlib has no interval for 31 to 35 months, nor for 61 to 71 hours
    locator = mdates.AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]  # it has no types
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


def printable(text: str, most: int) -> str:
    """Text that matplotlib prints as it is: no formula, no label that it hides, and not too long."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    text = text if len(text) <= most else text[: most - 1] + "…"
    return text.replace("$", r"\$").replace("_", " _", 1) if text.startswith("_") else text.replace("$", r"\$")
