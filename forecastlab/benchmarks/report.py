"""One HTML page of a benchmark."""

import pandas as pd
from matplotlib.figure import Figure

from forecastlab import __version__
from forecastlab.benchmarks.suites import Suite
from forecastlab.benchmarks.tables import LEADING, relative, tables_of
from forecastlab.evaluation.page import Picture, Section, render
from forecastlab.figures.drawing import Theme, dress, panel_title, panels_of, printable


def report(suite: Suite, results: pd.DataFrame) -> str:
    """The page: what was scored, every task beside the baseline, every model that published figures.

    Args:
        suite: what was scored.
        results: the rows of results.csv, ours and the baseline's.
    """
    ours = results[results["model_name"] != suite.baseline]
    lead = LEADING[suite.name][0]
    means = ", ".join(f"{name} {value:.3f}" for name, value in relative(suite, results).items())
    base = suite.baseline.replace("_", " ")
    said = [
        f"{len(ours)} of {len(suite.tasks)} tasks, {ours['model_name'].iloc[0]}, {_seeds(ours['seeds'].iloc[0])}.",
        f"The geometric means of the errors relative to the {base}: {means}. Below 1 is better than it.",
        f"The tasks whose trainings were not interrupted took {ours['training_time_s'].sum():,.0f} s to train, and "
        f"{ours['cpu_s'].sum():,.0f} s of CPU time in all.",
    ]
    caption = f"{lead} relative to the {base} of each task; to the left of the line is better."
    picture = Picture("ratios", caption, lambda theme: _dots(suite, results, theme))
    tasks, *others = tables_of(suite, results)
    sections = [
        Section("Tasks", tables=[tasks], pictures=[picture]),
        Section("Beside published figures", [f"Source: {suite.source}."], tables=others),
    ]
    return render(f"Benchmark {suite.name}", said, [], sections, f"forecastlab {__version__}")


def _seeds(given: str | float) -> str:
    """The seeds in words; a lone one that was read from results.csv is a number."""
    seeds = [str(int(given))] if isinstance(given, float) else given.split()
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}"


def _dots(suite: Suite, results: pd.DataFrame, theme: Theme) -> Figure:
    """A dot per task at its ratio to the baseline, and a line at 1."""
    lead = LEADING[suite.name][0]
    by_model = results.pivot(index="task_name", columns="model_name", values=lead)
    ours = next(name for name in by_model.columns if name != suite.baseline)
    ratio = (by_model[ours] / by_model[suite.baseline]).reindex([*dict.fromkeys(results["task_name"])])[::-1]
    figure, (axes,) = panels_of(1, 1.2 + 0.2 * len(ratio), theme)
    axes.axvline(1.0, color=theme.muted, linewidth=1)
    axes.plot(ratio.to_numpy(), range(len(ratio)), "o", color=theme.series[0], markersize=5)
    axes.set_yticks(range(len(ratio)), [printable(name, 30) for name in ratio.index])
    dress(axes, theme)
    panel_title(axes, f"{lead} / {suite.baseline.replace('_', ' ')}", theme)
    return figure
