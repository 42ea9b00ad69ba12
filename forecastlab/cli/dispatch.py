"""Runs a sub-command: everything heavy is imported here."""

import os
import signal
import sys
from collections.abc import Callable, Sequence

from forecastlab.cli.backbones import backbones
from forecastlab.cli.benchmark import benchmark
from forecastlab.cli.compare import compare
from forecastlab.cli.completion import completion
from forecastlab.cli.crossval import crossval
from forecastlab.cli.data import data
from forecastlab.cli.ensemble import ensemble, is_ensemble
from forecastlab.cli.explain import explain
from forecastlab.cli.export import export
from forecastlab.cli.init import init
from forecastlab.cli.reproduce import reproduce
from forecastlab.cli.run_table import runs
from forecastlab.experiment.environment import notes_once, our_error, prepare
from forecastlab.experiment.experiment import Experiment
from forecastlab.experiment.options import take
from forecastlab.experiment.refit import refit
from forecastlab.experiment.shipped import with_paths
from forecastlab.runs.signals import Stopped


def tune(args: Sequence[str]) -> int:
    """Imports what `tune` needs, which is an extra, only when it is called."""
    from forecastlab.cli.tune import tune

    return tune(args)


COMMANDS: dict[str, Callable[[Sequence[str]], int | None]] = {
    "backbones": backbones,
    "benchmark": benchmark,
    "compare": compare,
    "completion": completion,
    "crossval": crossval,
    "data": data,
    "explain": explain,
    "export": export,
    "init": init,
    "reproduce": reproduce,
    "runs": runs,
    "tune": tune,
}
"""The commands that are not Lightning's; each takes the command line after its name and may return a status."""

GOES_ON = ("benchmark", "crossval", "reproduce", "tune")
"""The commands that, run again, skip what is finished and resume what is not."""


def run(args: Sequence[str]) -> int:
    """Runs a command line that begins with a sub-command; returns its exit status.

    Raises:
        Stopped: if a signal ended it; it says how to go on.
    """
    allowed, rest = take(args, "--allow-import")
    try:
        prepare(allowed)
        rest = with_paths(rest)
        with notes_once():
            if rest[0] in COMMANDS:
                return COMMANDS[rest[0]](rest[1:]) or 0
            if rest[0] in ("test", "predict") and is_ensemble(rest):
                ensemble(rest[0], rest[1:])
            else:
                refit(Experiment(rest).execute())
    except SystemExit as exit_:  # --help and --print_config
        return int(exit_.code or 0)
    except Stopped as stopped:
        if rest[0] in GOES_ON:
            raise Stopped(stopped.number, "run the same command again to go on") from None
        raise
    except BrokenPipeError:  # whoever read the output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:
        ours = our_error(error)
        if ours is None:
            raise
        print(f"forecastlab: error: {ours}", file=sys.stderr)
        return 2
    return 0
