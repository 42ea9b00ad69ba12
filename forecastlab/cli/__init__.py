"""The command line: each sub-command parses, calls a function and prints.

This module imports nothing heavy, so that `--help` and `--version` answer at once.
"""

import difflib
import importlib
import io
import sys
from collections.abc import Sequence

from forecastlab import __version__
from forecastlab.cli.ending import status_of
from forecastlab.cli.help import HELPS, asked, short
from forecastlab.runs.signals import Stopped, stoppable

COMMANDS = {
    "init": "look at a file of your own, and write a config that trains on it",
    "fit": "train on one walk-forward fold; --ckpt_path last (or a path) resumes",
    "validate": "score a checkpoint on the validation range",
    "test": "score a checkpoint on the test range, and write predictions.csv",
    "predict": "forecast beyond the end of the data: forecast.csv and a figure",
    "crossval": "fit and test every fold, from fresh weights and a fresh scaler; a table beside the baselines",
    "compare": "several crossval runs side by side: tables, figures and one HTML report",
    "benchmark": "a recipe on public suites, beside published figures: gift-offline, chronos-zs, m4 or ltsf",
    "reproduce": "van-diepen: the paper's five models on its five splits, beside its tables",
    "explain": "what a checkpoint looks at: gates, states, attention, importance of features; figures and tables",
    "export": "the network of a checkpoint for other programs: --format onnx, torch or safetensors; --step to stream",
    "tune": "look for config values of low validation loss: --space S.yaml; processes and machines share a study",
    "runs": "the runs so far, newest first: what was trained, how far, and the figures",
    "data": "what the source holds: rows, range, gaps, missing values, folds",
    "backbones": "what is registered: cells and hybrids, causal or not, parameters, source",
    "completion": "bash, zsh or fish: a script that completes commands, options and file names in the shell",
}

AT_ONCE = {"backbones": ("forecastlab.cli.backbones", "backbones"), "runs": ("forecastlab.cli.run_table", "runs")}
"""The commands that neither read data nor train: where their functions are, beside which nothing is imported."""

HELP = """usage: forecastlab COMMAND [options]

{commands}

  forecastlab COMMAND --help   the options that people use; --help all for every one
  forecastlab --version

First steps:
  forecastlab fit --config quickstart
  forecastlab test --ckpt_path best
  tensorboard --logdir lightning_logs
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit status.

    It is 0, 2 for a configuration, file or data error, 130 after Ctrl-C and 143 after SIGTERM.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # in a notebook it is none
        sys.stdout.reconfigure(errors="replace")  # the code pages of Windows lack many letters
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help", "help"):
        commands = "\n".join(f"  {name:<11}{text}" for name, text in COMMANDS.items())
        return status_of(lambda: print(HELP.format(commands=commands)))
    if args[0] == "--version":
        return status_of(lambda: print(f"forecastlab {__version__}"))
    if args[0] not in COMMANDS:
        close = difflib.get_close_matches(args[0], COMMANDS, 1)
        hint = f"; did you mean {close[0]}?" if close else "."
        print(f"forecastlab: unknown command {args[0]!r}{hint} Available: {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    topic = asked(args[1:])
    if args[0] in HELPS and topic == "":
        return status_of(lambda: print(short(args[0])))
    try:
        with stoppable():
            if args[0] in AT_ONCE:
                return _at_once(args)
            from forecastlab.cli.dispatch import run

            return run(args)
    except Stopped as stopped:
        print(f"forecastlab: {stopped}", file=sys.stderr)
        return stopped.status


def _at_once(args: Sequence[str]) -> int:
    from forecastlab.cli.spelling import as_spelt

    module, name = AT_ONCE[args[0]]
    return status_of(lambda: getattr(importlib.import_module(module), name)(as_spelt(args)[1:]))
