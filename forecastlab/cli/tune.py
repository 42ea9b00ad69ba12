"""`forecastlab tune`: which config values give the lowest validation loss."""

import argparse
import json
import os
from collections import Counter
from collections.abc import Sequence

from forecastlab.cli.crossval import numbers
from forecastlab.errors import ConfigError
from forecastlab.experiment.config import Config
from forecastlab.experiment.options import values_of
from forecastlab.runs.engines.named import HELP as ENGINE_HELP
from forecastlab.runs.run import TRIALS
from forecastlab.tuning.results import best_of
from forecastlab.tuning.search import BEST, IN_A_ROW
from forecastlab.tuning.study import PRUNERS, SAMPLERS
from forecastlab.tuning.tune import Tuned
from forecastlab.tuning.tune import tune as search


def tune(args: Sequence[str]) -> int:
    """Runs the trials of a study, and prints what came out.

    Args:
        args: the command line after the sub-command: the options below and all of `fit`.

    Returns:
        0, or 1 if the study has fewer trials than it was to get.
    """
    options, rest = parser().parse_known_args(args)
    if values_of(rest, "--ckpt_path"):
        raise ConfigError("tune trains from fresh weights: leave --ckpt_path out (run again, it goes on by itself)")
    tuned = search(Config.from_args(rest), **vars(options))
    _say(tuned)
    return 0 if tuned.finished >= tuned.wanted else 1


def parser() -> argparse.ArgumentParser:
    """The options of the command, named as the arguments of `forecastlab.tune`."""
    parser = argparse.ArgumentParser(
        prog="forecastlab tune",
        description="Looks for config values of low validation loss; takes all options of fit besides. Run again, it "
        "goes on up to --trials in total; run beside it, or on other machines with the same folder or database, it "
        "joins in. The test rows are never touched.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--space", required=True, help="YAML file of what is searched, or a shipped one: spaces/recurrent"
    )
    parser.add_argument("--trials", type=int, default=30, help="trials in total, those of earlier calls among them")
    parser.add_argument("--folds", type=numbers, help="folds whose mean loss counts, such as 1,2; the config's if none")
    parser.add_argument("--jobs", type=int, default=1, help="trials at once, one thread each")
    parser.add_argument("--engine", default="local", help=ENGINE_HELP)
    parser.add_argument("--storage", help="database, such as sqlite:///study.db; a journal in the run folder if none")
    parser.add_argument("--sampler", choices=SAMPLERS, default="tpe", help="how values are chosen")
    parser.add_argument("--pruner", choices=PRUNERS, default="median", help="what ends trials that lag behind")
    parser.add_argument(
        "--sampler_seed", dest="seed", type=int, default=0, help="of the sampler; the training's is --seed_everything"
    )
    parser.add_argument("--keep_weights", action="store_true", help="keep checkpoints and curves of every trial")
    parser.add_argument("--new", action="store_true", help="begin a new study instead of going on with an equal one")
    return parser


def _say(tuned: Tuned) -> None:
    """Says what came out and how to go on."""
    trials = tuned.study.get_trials(deepcopy=False)
    counts = Counter(trial.state.name for trial in trials)
    print(
        f"trials     {counts['COMPLETE']} finished, {counts['PRUNED']} pruned, "
        f"{counts['FAIL']} lost or failed, {counts['RUNNING']} running elsewhere; "
        f"{tuned.wanted} wanted"
    )
    if tuned.given_up:
        print(f"given up: {IN_A_ROW} trials in a row failed; see {os.path.relpath(tuned.folder / TRIALS)}")
    best = best_of(tuned.study)
    if best is not None:
        print(f"best       val/loss {best.value:.4f} in trial {best.number}")
        for own in trials:
            if own.user_attrs.get("own") and own.state.name == "COMPLETE":
                print(f"before     val/loss {own.value:.4f} in trial {own.number}, with the config's own values")
        for name, value in best.params.items():
            print(f"  {name}: {value if isinstance(value, str) else json.dumps(value)}")
        print(f"train it   forecastlab fit --config {os.path.relpath(tuned.folder / BEST)}")
    print(f"run        {os.path.relpath(tuned.folder)}")
