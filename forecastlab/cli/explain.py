"""`forecastlab explain`: what a trained network looks at."""

import argparse
import os
from collections.abc import Sequence

from forecastlab.data.trained_on import records_of
from forecastlab.experiment.experiment import Experiment
from forecastlab.explanation.explain import explain as explain_network
from forecastlab.explanation.writing import show_explanation, write_explanation
from forecastlab.training.callbacks.run_folder import folder_of

FOLDER = "explain"


def explain(args: Sequence[str]) -> None:
    """Explains the network of a checkpoint: prints what it looks at, and writes figures and tables.

    Args:
        args: the command line after the sub-command: the options below and all of `test`.
    """
    given, rest = parser().parse_known_args(args)
    test = Experiment(["test", *rest, "--trainer.devices=1"], called="explain")
    test.model.load_state_dict(test.loaded["state_dict"])
    test.model.to(test.trainer.strategy.root_device)
    explanation = explain_network(
        test.model,
        test.datamodule,
        **vars(given),
        seed=int(os.environ.get("PL_GLOBAL_SEED", "0")),  # seed_everything
    )
    folder = folder_of(test.trainer) / FOLDER
    notes = test.datamodule.seen(records_of(test.loaded), given.stage).notes
    summary = "\n".join([*notes, explanation.summary])
    print(summary)
    write_explanation(explanation, summary, folder)
    show_explanation(explanation, test.trainer.loggers, test.loaded["global_step"] - 1)
    print(f"\nfigures    {os.path.relpath(folder)}")


def parser() -> argparse.ArgumentParser:
    """The options of the command, named as the arguments of `explain_network`."""
    parser = argparse.ArgumentParser(
        prog="forecastlab explain",
        description="What a trained network looks at: gates, states and attention over time, and the importance of its "
        "inputs. Figures and the table behind each go to the run's folder explain/, figures to TensorBoard too. Takes "
        "all options of test besides: --ckpt_path best (of the newest run), last or a path, --data..., --config.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--stage",
        choices=("test", "validation"),
        default="test",
        help="the rows of the fold that are forecast; those of the test explain, and must not choose (default: test)",
    )
    parser.add_argument("--series", metavar="NAME", help="the series of a panel (default: the first)")
    parser.add_argument(
        "--target", metavar="NAME", help="the target whose forecasts are explained (default: the first)"
    )
    parser.add_argument("--repeats", type=int, default=10, help="permutations of each feature (default: %(default)s)")
    parser.add_argument(
        "--block",
        type=int,
        metavar="ROWS",
        help="neighbouring rows that stay together when a feature is permuted, so that its course over a few steps "
        "stays a likely one; 1 permutes single rows (default: the lookback, at most the square root of the rows)",
    )
    parser.add_argument(
        "--origins",
        type=int,
        default=32,
        help="forecasts, evenly spaced, whose gradients are integrated (default: %(default)s)",
    )
    parser.add_argument(
        "--steps", type=int, default=32, help="points of each integral; more close its gap (default: %(default)s)"
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.01,
        help="magnitude that a hidden unit must exceed to count as used (default: %(default)s)",
    )
    return parser
