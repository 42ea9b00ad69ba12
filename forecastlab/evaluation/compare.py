"""Several cross-validations side by side, on the test rows that all of them forecast."""

import contextlib
import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from forecastlab.errors import ConfigError, DataError
from forecastlab.evaluation.comparison import Comparison, Metric
from forecastlab.evaluation.crossval import Crossval
from forecastlab.evaluation.pictures import pictures
from forecastlab.evaluation.report import differences, key_differences, report
from forecastlab.evaluation.results import RESULTS, CrossvalRun
from forecastlab.evaluation.series_tables import each_series_table
from forecastlab.evaluation.significance import Difference
from forecastlab.evaluation.tables import Table, fold_table, write_table
from forecastlab.runs.files import write_output
from forecastlab.runs.run import LOGS, find_runs


@dataclass(frozen=True)
class Compared:
    """Models side by side.

    Attributes:
        comparison: the models, and their forecasts of the rows that all of them forecast.
        metric: the error that they are ranked by.
        differences: the other models against the best one, with intervals.
    """

    comparison: Comparison
    metric: Metric
    differences: Sequence[Difference]

    def __repr__(self) -> str:
        return "\n".join([repr(self.table()), "", *self.sentences()]).rstrip()

    def table(self) -> Table:
        """The errors of each fold and overall."""
        return fold_table(self.comparison, self.metric)

    def sentences(self) -> list[str]:
        """What the differences say, in words: those that answer a reader's first questions."""
        return [found.sentence for found in key_differences(self.comparison, self.metric, self.differences)]

    def write(self, folder: str | Path) -> Path:
        """Writes the table in four formats, the errors of each series, the figures, and a report of one file.

        Args:
            folder: where to; what an earlier comparison left there is replaced.

        Returns:
            The path of the report.

        Raises:
            ConfigError: if the folder cannot be written.
        """
        drawn = pictures(self.comparison, self.metric)
        write_table(self.table(), Path(folder, "comparison"))
        _clear(Path(folder))
        each = each_series_table(self.comparison, self.metric, self.comparison.ranking(self.metric))
        if each is not None:
            write_output(each.to_csv(), Path(folder, "series.csv"))
        for picture in drawn:
            write_output(picture.png(), Path(folder, "figures", f"{picture.name}.png"))
        page = Path(folder, "report.html")
        write_output(report(self.comparison, self.metric, self.differences, drawn), page)
        return page


def compare(
    runs: Sequence[Crossval | CrossvalRun | str | Path], metric: Metric = "mse_scaled", logs: str | Path = LOGS
) -> Compared:
    """Compares cross-validations.

    Args:
        runs: what `crossval` returned, the folders of runs, or experiments, of which the newest run counts.
        metric: the error that models are ranked by: squared, divided by the training variance, or absolute, in the
            target's unit.
        logs: where experiments are.

    Raises:
        ConfigError: if a run cannot be found.
        DataError: if a run is damaged, or the runs cannot be compared.
    """
    comparison = Comparison.of([_loaded(run, Path(logs)) for run in runs])
    return Compared(comparison, metric, differences(comparison, metric))


def _loaded(run: Crossval | CrossvalRun | str | Path, logs: Path) -> CrossvalRun:
    if isinstance(run, CrossvalRun):
        return run
    return CrossvalRun.load(run.folder if isinstance(run, Crossval) else find_crossval(str(run), logs))


def find_crossval(given: str, logs: Path) -> Path:
    """The folder of a crossval run: the given one, or that of the newest run of an experiment.

    Raises:
        ConfigError: if there is none.
        DataError: if there is such a folder or experiment, but no crossval run in it that finished a fold.
    """
    places = (Path(given).expanduser(), logs / given)
    for folder in places:
        if (folder / RESULTS).is_file():
            return folder
        of_experiment = find_runs(folder.parent, glob.escape(folder.name)) if folder.name else []
        for run in reversed(of_experiment):
            if (run.folder / RESULTS).is_file():
                return run.folder
    existing = next((folder for folder in places if folder.is_dir()), None)
    if existing is not None:
        raise DataError(
            f"{existing} is not a finished crossval run, nor an experiment that has one: there is no {RESULTS}; make "
            "one with forecastlab crossval"
        )
    known = sorted({run.experiment for run in find_runs(logs) if (run.folder / RESULTS).is_file()})
    listed = f"experiments with crossval runs in {logs}: {', '.join(known)}" if known else f"there is none in {logs}"
    raise ConfigError(f"no folder and no experiment is called {given!r}; {listed}")


def _clear(folder: Path) -> None:
    """Removes what an earlier comparison may have and this one has not: its folds and models may have been others."""
    drawn = ("error_*", "calibration*", "fan_*", "forecast_fold_*", "loss_fold_*", "split*")
    for pattern in ("series.csv", *(f"figures/{name}.png" for name in drawn)):
        for path in folder.glob(pattern):
            with contextlib.suppress(OSError):  # writing there will say why it is not possible
                path.unlink()
