"""`forecastlab reproduce van-diepen`: the paper's five models on its five splits, beside its tables."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import fields

from forecastlab.cli.crossval import numbers
from forecastlab.papers.van_diepen.configs import Protocol
from forecastlab.papers.van_diepen.reproduce import EXPERIMENT, REPORT
from forecastlab.papers.van_diepen.reproduce import reproduce as reproduce_paper
from forecastlab.papers.van_diepen.tables import PUBLISHED, SPLITS
from forecastlab.runs.engines.named import HELP as ENGINE_HELP
from forecastlab.runs.run import LOGS


def reproduce(args: Sequence[str]) -> int:
    """Trains the models, writes the paper's tables and figures and a report, and prints the tables.

    Args:
        args: the command line after the sub-command.

    Returns:
        0, or 1 if a model failed.
    """
    options = vars(parser().parse_args(args))
    options.pop("paper")
    protocol = Protocol(**{field.name: options.pop(field.name) for field in fields(Protocol)})
    done = reproduce_paper(protocol, **options)
    for table in done.tables:
        print(table.to_text())
    if done.tables:
        print(f"report     {os.path.relpath(done.folder / REPORT)}")
    print(f"run        {os.path.relpath(done.folder)}")
    return 1 if done.failed else 0


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        prog="forecastlab reproduce",
        description="The paper's five models on its five splits. Run again, it skips what is finished.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("paper", choices=[EXPERIMENT], help="which paper")
    parser.add_argument("--epochs", type=int, default=3000, help="300 gives a quick look")
    parser.add_argument("--check_every", type=int, default=10, help="epochs between computations of the test loss")
    parser.add_argument("--models", type=lambda text: text.split(","), default=list(PUBLISHED), help="which models")
    parser.add_argument("--splits", type=numbers, default=list(SPLITS), help="which splits, such as 1,3")
    parser.add_argument("--seeds", type=numbers, default=[0], help="seeds, such as 0,1,2; the tables give their mean")
    parser.add_argument("--jobs", type=int, default=1, help="models trained at once, one thread each")
    parser.add_argument("--engine", default="local", help=ENGINE_HELP)
    parser.add_argument(
        "--honest", action="store_true", help="also choose the epoch on a validation tail, and score the test rows once"
    )
    parser.add_argument(
        "--data.path", dest="path", metavar="FILE", help="the ozone file; looked for or downloaded if not given"
    )
    parser.add_argument(
        "--trainer.default_root_dir", dest="root", default=".", metavar="FOLDER", help=f"folder that {LOGS} is in"
    )
    parser.add_argument("--new", action="store_true", help="begin a new run instead of going on with an equal one")
    unsaid = parser.add_argument_group("what the paper leaves open")
    unsaid.add_argument("--hidden_size", type=int, default=64, help="units per layer; 64 reproduces the LSTM row")
    unsaid.add_argument("--heads", type=int, default=1, help="m', the ALSTM's heads")
    unsaid.add_argument("--key_size", type=int, default=None, help="d, the width of keys; the hidden size if not given")
    unsaid.add_argument("--activation", default="tanh", help="sigma_C of the ALSTM")
    unsaid.add_argument(
        "--layers", choices=["each", "all"], default="each", help="two layers in each part of a combination, or in all"
    )
    unsaid.add_argument(
        "--feed", choices=["hidden", "prediction"], default="hidden", help="what combinations 2 and 3 hand on"
    )
    unsaid.add_argument("--initialization", choices=["uniform", "orthogonal"], default="uniform", help="of the LSTM")
    unsaid.add_argument("--scaler", choices=["standard", "none"], default="standard", help="scaled or raw inputs")
    unsaid.add_argument(
        "--context", choices=["carried", "cold"], default="carried", help="whether the test range sees the past"
    )
    return parser
