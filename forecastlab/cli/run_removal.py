"""`forecastlab runs rm`: deletes runs, with a question."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from forecastlab.cli.run_rows import row_of, size_of
from forecastlab.errors import ConfigError, did_you_mean
from forecastlab.runs.run import LOGS, Run, find_runs
from forecastlab.text import counted


def remove(args: Sequence[str]) -> None:
    """Deletes the folders of runs, after a question.

    Args:
        args: the command line after `runs rm`.

    Raises:
        ConfigError: for a run that there is not or that a process is working on, or if nobody can be asked.
    """
    options = parser().parse_args(list(args))
    found = {f"{run.experiment}/{run.version}": run for run in find_runs(Path(options.root, LOGS))}
    runs = [_named(name, found) for name in dict.fromkeys(options.runs)]
    for run in runs:
        row = row_of(run, [])
        about = ", ".join(str(row[name]) for name in ("begun", "model", "state") if row.get(name))
        print(f"{run.folder}: {about}, {size_of(run.folder) / 1e6:.1f} MB")
    if not options.yes:
        if not sys.stdin.isatty():
            raise ConfigError("runs rm: nobody can be asked here; --yes deletes without a question")
        if input(f"delete {'it' if len(runs) == 1 else f'these {len(runs)} runs'} for ever? [y/N] ").lower() != "y":
            print("nothing is deleted")
            return
    for run in runs:
        run.delete()
    print(f"deleted {counted(len(runs), 'run')}")


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        prog="forecastlab runs rm",
        description="Deletes runs with all that is in their folders: checkpoints, curves and predictions.",
        allow_abbrev=False,
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="as forecastlab runs shows it, such as sales/version_3")
    parser.add_argument("--trainer.default_root_dir", dest="root", default=".", help="folder that lightning_logs is in")
    parser.add_argument("--yes", action="store_true", help="asks no question")
    return parser


def _named(name: str, found: dict[str, Run]) -> Run:
    """The run of a name: only folders of runs are ever deleted.

    Raises:
        ConfigError: if there is none.
    """
    known = name.strip("/").removeprefix(f"{LOGS}/")
    if known not in found:
        raise ConfigError(f"runs rm: there is no run {name!r}{did_you_mean(known, found)}; forecastlab runs lists them")
    return found[known]
