"""`forecastlab compare`: several crossval runs side by side."""

import argparse
import contextlib
import glob
from collections.abc import Sequence
from pathlib import Path

from forecastlab.errors import ConfigError, DataError
from forecastlab.evaluation.comparison import Comparison, Metric
from forecastlab.evaluation.page import write
from forecastlab.evaluation.report import differences, key_differences, pictures, report
from forecastlab.evaluation.results import RESULTS, CrossvalRun
from forecastlab.evaluation.tables import Table, fold_table
from forecastlab.runs.run import LOGS, find_runs

OUT = "comparison"
FORMATS = ("txt", "csv", "md", "tex")


def compare(args: Sequence[str]) -> None:
    """Compares crossval runs: prints a table, and writes it with figures and a report into a folder.

    Args:
        args: the command line after the sub-command.

    Raises:
        ConfigError: if a run cannot be found, or the folder cannot be written.
        DataError: if a run is damaged, or the runs cannot be compared.
    """
    given = parser().parse_args(args)
    metric: Metric = given.metric
    out: Path = given.out or given.logs / OUT
    comparison = Comparison.of([CrossvalRun.load(find_crossval(name, given.logs)) for name in given.runs])
    table = fold_table(comparison, metric)
    found = differences(comparison, metric)
    print(table.to_text())
    for difference in key_differences(comparison, metric, found):
        print(difference.sentence)
    drawn = pictures(comparison, metric)
    _write_tables(table, out)
    _clear(out / "figures")
    for picture in drawn:
        write(picture.png(), out / "figures" / f"{picture.name}.png")
    write(report(comparison, metric, found, drawn), out / "report.html")
    print(f"\nreport: {out / 'report.html'}")


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        prog="forecastlab compare",
        description="Several crossval runs side by side, on the test rows that all of them forecast.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="folder of a crossval run, or an experiment, for its newest one"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help=f"for comparison.{{{','.join(FORMATS)}}}, report.html and figures/; what an earlier comparison left "
        f"there is replaced (default: {LOGS}/{OUT})",
    )
    parser.add_argument(
        "--metric",
        choices=("mse_scaled", "mae"),
        default="mse_scaled",
        help="the error that models are ranked by: squared, divided by the training variance, or absolute, in the "
        "target's unit (default: %(default)s)",
    )
    parser.add_argument(
        "--logs", type=Path, default=Path(LOGS), metavar="FOLDER", help="where experiments are (default: %(default)s)"
    )
    return parser


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


def _write_tables(table: Table, out: Path) -> None:
    texts = (table.to_text(), table.to_csv(), table.to_markdown(), table.to_latex())
    for ending, text in zip(FORMATS, texts, strict=True):
        write(text, out / f"comparison.{ending}")


def _clear(folder: Path) -> None:
    """Removes the figures of an earlier comparison, whose folds and models may have been others."""
    for pattern in ("error_*.png", "forecast_fold_*.png", "loss_fold_*.png", "split*.png"):
        for path in folder.glob(pattern):
            with contextlib.suppress(OSError):  # writing there will say why it is not possible
                path.unlink()
