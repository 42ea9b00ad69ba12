"""`forecastlab compare`: several crossval runs side by side."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from forecastlab.evaluation.compare import compare as compare_runs
from forecastlab.evaluation.tables import FORMATS
from forecastlab.runs.run import LOGS

OUT = "comparison"


def compare(args: Sequence[str]) -> None:
    """Compares crossval runs: prints a table, and writes it with figures and a report into a folder.

    Args:
        args: the command line after the sub-command.
    """
    given = parser().parse_args(args)
    logs = Path(given.root, LOGS)
    compared = compare_runs(given.runs, given.metric, logs)
    print(compared.table().to_text(), *compared.sentences(), sep="\n")
    print(f"\nreport: {compared.write(given.output or logs / OUT)}")


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
        "--output",
        type=Path,
        metavar="FOLDER",
        help=f"for comparison.{{{','.join(FORMATS)}}}, report.html, figures/ and, of a panel, series.csv; what "
        f"an earlier comparison left there is replaced (default: {LOGS}/{OUT})",
    )
    parser.add_argument(
        "--metric",
        choices=("mse_scaled", "mae"),
        default="mse_scaled",
        help="the error that models are ranked by: squared, divided by the training variance, or absolute, in the "
        "target's unit (default: %(default)s)",
    )
    parser.add_argument(
        "--trainer.default_root_dir", dest="root", default=".", metavar="FOLDER", help=f"folder that {LOGS} is in"
    )
    return parser
