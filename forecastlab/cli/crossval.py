"""`forecastlab crossval`: every fold from fresh weights and a fresh scaler."""

import argparse
import os
from collections.abc import Sequence

from forecastlab.errors import ConfigError
from forecastlab.evaluation import baseline_names
from forecastlab.evaluation.crossval import crossval as cross_validate
from forecastlab.experiment.config import Config
from forecastlab.experiment.options import values_of
from forecastlab.runs.engines.named import HELP as ENGINE_HELP


def crossval(args: Sequence[str]) -> int:
    """Fits and tests every fold and seed, and prints a table.

    Args:
        args: the command line after the sub-command: the options below and all of `fit`.

    Returns:
        0, or 1 if a fold failed.
    """
    options, rest = parser().parse_known_args(args)
    if values_of(rest, "--ckpt_path"):
        raise ConfigError("crossval trains from fresh weights: leave --ckpt_path out (run again, it resumes by itself)")
    done = cross_validate(Config.from_args(rest), **vars(options))
    if done.run is not None:
        print(done.table().to_text())
    print(f"run        {os.path.relpath(done.folder)}")
    return 1 if done.failed else 0


def parser() -> argparse.ArgumentParser:
    """The options of the command, named as the arguments of `forecastlab.crossval`."""
    parser = argparse.ArgumentParser(
        prog="forecastlab crossval",
        description="Fits and tests every walk-forward fold; takes all options of fit besides. Run again, it skips "
        "what is finished and resumes what is not.",
        allow_abbrev=False,
    )
    parser.add_argument("--folds", type=numbers, help="folds to run, such as 1,3 (default: all)")
    parser.add_argument("--seeds", type=numbers, help="seeds to run, such as 0,1,2 (default: the config's)")
    parser.add_argument("--jobs", type=int, default=1, help="folds trained at once, with the config's threads each")
    parser.add_argument("--engine", default="local", help=ENGINE_HELP)
    parser.add_argument(
        "--baselines",
        type=baseline_names.split,
        help="scored on the same rows, with settings as in 'ridge(lags=28),seasonal_naive(season_length=364)' (else "
        "the config's `baselines`, or persistence, seasonal_naive if season_length is above 1, climatology, ridge, "
        "ridge(pooled=true) for a panel, and lasso); known: " + ", ".join(baseline_names.BASELINES),
    )
    parser.add_argument("--new", action="store_true", help="begin a new run instead of going on with an equal one")
    parser.add_argument(
        "--allow_seen",
        action="store_true",
        help="score test rows that trained the weights of model.weights_from; every table says so",
    )
    return parser


def numbers(text: str) -> list[int]:
    """Numbers separated by commas."""
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers such as 1,3, got {text!r}") from None
