"""The figures of one test beside those of the simplest forecasts on the same rows."""

import math
from collections.abc import Mapping, Sequence

from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.errors import ForecastlabError
from forecastlab.evaluation import baseline_names
from forecastlab.evaluation.scores import metrics_of
from forecastlab.text import aligned

DIGITS = 4
"""Significant digits of a figure: more differ between two seeds of one network."""
LEAST_PLAIN, MOST_PLAIN = 1e-4, 1e6
"""Figures outside these have an exponent."""
UNITS = {
    "mse_scaled": "variance of the training rows",
    "mase": "seasonal naive error in training",
    "rmsse": "seasonal naive error in training",
    "skill": "share of persistence's MSE that is saved",
    "mape": "%",
    "smape": "%",
    "wape": "%",
    "coverage": "share of the values",
    "series_scored": "series",
    "series_in_units": "series",
    "seen": "share of the scored rows",
    "optimistic": "share of the scored rows",
}
"""What a figure is measured in, by its name without `test/`; the others are in the target's own unit."""


def beside_baselines(figures: Mapping[str, float], name: str, data: ForecastDataModule, whole: bool = True) -> str:
    """A table of a test's figures, with their units, beside persistence and the seasonal naive forecast.

    The seasonal naive forecast is there if the data have a season. Baselines give a point forecast only, so that they
    have no figures of quantiles.

    Args:
        figures: by name, such as "test/mae".
        name: what is tested.
        data: the data module that it was tested on.
        whole: whether all test rows were scored; else there are no baselines, which would be of other rows.

    Returns:
        Lines of text.
    """
    columns: dict[str, Mapping[str, float]] = {name: figures}
    notes = []
    if whole:
        wanted = ["persistence", *(["seasonal_naive"] if data.season_length > 1 else [])]
        for baseline in baseline_names.build_all(wanted):
            try:
                columns[baseline.name] = metrics_of(baseline, data)
            except ForecastlabError as error:
                notes.append(f"no {baseline.name}: {error}")
    if math.isinf(figures.get("test/mape", 0.0)):
        notes.append("test/mape is infinite where a true value is 0: test/wape says what it would")
    cells = [["", *columns, "unit"]]
    for figure in figures:
        values = [column.get(figure) for column in columns.values()]
        cells.append([figure, *("" if value is None else shown(value) for value in values), unit(figure, data.targets)])
    lines = aligned(cells, [False, *(True for _ in columns), False])
    return "\n".join([*lines, *(f"note        {note}" for note in notes)])


def shown(value: float) -> str:
    """A figure with four significant digits, without an exponent where it can be read so."""
    size = abs(value)
    if float(value).is_integer() and size < MOST_PLAIN:
        return f"{value:.0f}"
    if not LEAST_PLAIN <= size < MOST_PLAIN:
        return f"{value:.{DIGITS}g}"
    return f"{value:.{max(0, DIGITS - 1 - math.floor(math.log10(size)))}f}"


def unit(figure: str, targets: Sequence[str]) -> str:
    """What a figure is measured in.

    Args:
        figure: its name, such as "test/mae" or "test/mae/Ozone".
        targets: names of the targets.
    """
    kind, _, target = figure.removeprefix("test/").partition("/")
    known = UNITS.get(kind.removesuffix("_median"))
    return known if known is not None else f"unit of {target or (targets[0] if len(targets) == 1 else 'its target')}"
