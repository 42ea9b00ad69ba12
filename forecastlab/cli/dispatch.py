"""Runs a sub-command that reads data or trains: everything heavy is imported here."""

from collections.abc import Callable, Sequence

from forecastlab.cli.benchmark import benchmark
from forecastlab.cli.compare import compare
from forecastlab.cli.completion import completion
from forecastlab.cli.crossval import crossval
from forecastlab.cli.data import data
from forecastlab.cli.ending import status_of
from forecastlab.cli.ensemble import ensemble, is_ensemble
from forecastlab.cli.explain import explain
from forecastlab.cli.export import export
from forecastlab.cli.help import HELPS, asked
from forecastlab.cli.help_topics import topic_help
from forecastlab.cli.init import init
from forecastlab.cli.reproduce import reproduce
from forecastlab.cli.spelling import as_spelt
from forecastlab.evaluation.beside_baselines import beside_baselines
from forecastlab.experiment.environment import notes_once, prepare
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
    "benchmark": benchmark,
    "compare": compare,
    "completion": completion,
    "crossval": crossval,
    "data": data,
    "explain": explain,
    "export": export,
    "init": init,
    "reproduce": reproduce,
    "tune": tune,
}
"""The commands that are neither Lightning's nor `AT_ONCE`; each takes the words after its name."""

GOES_ON = ("benchmark", "crossval", "reproduce", "tune")
"""The commands that, run again, skip what is finished and resume what is not."""


def tell_figures(ended: Experiment) -> None:
    """Prints the figures of a test, if that is what has ended, beside the simplest forecasts on the same rows."""
    trainer = ended.trainer
    if ended.command == "test" and trainer.is_global_zero:
        figures = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("test/")}
        name = type(ended.model.backbone).__name__
        trial = trainer.fast_dev_run  # type: ignore[attr-defined]  # Lightning sets it elsewhere
        whole = not trial and trainer.limit_test_batches == 1.0
        print(beside_baselines(figures, name, ended.datamodule, whole))


def run(args: Sequence[str]) -> int:
    """Runs a command line that begins with a sub-command; returns its exit status.

    Raises:
        Stopped: if a signal ended it; it says how to go on.
    """
    try:
        return status_of(lambda: _call(args))
    except Stopped as stopped:
        if args[0] in GOES_ON:
            raise Stopped(stopped.number, "run the same command again to go on") from None
        raise


def _call(args: Sequence[str]) -> int | None:
    allowed, rest = take(as_spelt(args), "--allow_import")
    prepare(allowed)
    rest = with_paths(rest)
    if rest[0] in HELPS and (topic := asked(rest[1:])):
        if topic != "all":
            print(topic_help(rest[0], topic))
            return 0
        rest = [rest[0], "--help"]
    with notes_once():
        if rest[0] in COMMANDS:
            return COMMANDS[rest[0]](rest[1:])
        if rest[0] in ("test", "predict") and is_ensemble(rest):
            ensemble(rest[0], rest[1:])
        else:
            ended = Experiment(rest).execute()
            refit(ended)
            tell_figures(ended)
    return 0
