"""Figures of a search: the history of a study, the importance of its values, losses over learning rates."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from forecastlab.figures.drawing import (
    DASHES,
    LIGHT,
    Theme,
    is_wide,
    legend,
    log_axis,
    panel_title,
    panels_of,
    printable,
)


def study_history(trials: pd.DataFrame, *, label: str, theme: Theme = LIGHT) -> Figure:
    """The loss of each trial of a study by its number, and the best one so far.

    Args:
        trials: one row per trial with the columns `trial`, `state` ("complete", "pruned" or other) and `val/loss`, the
            last one before the end for a pruned trial.
        label: of the losses' axis.
        theme: colours.
    """
    figure, (axes,) = panels_of(1, 3.4, theme)
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
    wide = is_wide([trials[["val/loss"]]])
    if wide:
        log_axis(axes)
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
    figure, (axes,) = panels_of(1, 0.9 + 0.3 * len(values), theme)
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
    figure, (axes,) = panels_of(1, 3.2, theme)
    looks: list[tuple[str, dict[str, Any]]] = [
        ("each step", {"color": theme.series[5], "marker": "o", "linestyle": ""}),
        ("smoothed", {"color": theme.series[0]}),
    ]
    axes.plot(curve["learning_rate"], curve["loss"], markersize=2.5, **looks[0][1])
    axes.plot(curve["learning_rate"], curve["smoothed"], linewidth=1.6, **looks[1][1])
    for name, rate, color in (("suggested", suggested, theme.series[1]), ("config's", given, theme.muted)):
        if rate is not None:
            looks.append((f"{name}: {rate:.2g}", {"color": color, "linestyle": DASHES[1]}))
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
