"""The help that one reads: of each command the options that people use, and where all others are."""

from collections.abc import Sequence
from typing import NamedTuple

WIDTH = 36
"""Letters before the text of an option."""


class Help(NamedTuple):
    """What a command says of itself.

    Attributes:
        about: sentences about the command.
        groups: by the name of a group, its options with what stands for their value, and a text for each.
    """

    about: str
    groups: dict[str, dict[str, str]]


RUN = {
    "--config FILE": "a config file, or the name of a shipped one, such as quickstart",
    "--experiment NAME": "name of the run's folder in lightning_logs",
    "--trainer.default_root_dir FOLDER": "folder that lightning_logs is in; the present one if not given",
    "--allow_import PACKAGE": "lets class paths of a config import a package of your own",
}
OF_CHECKPOINT = {
    "--ckpt_path PATH": "best or last (of the newest run), or the path of a checkpoint; its config is in it",
    "--data.path FILE": "other rows than those of the checkpoint's config",
}
COMPUTER = {
    "--trainer.accelerator NAME": "cpu, gpu or mps; auto takes the fastest there is",
    "--trainer.devices N": "how many of them",
    "--threads N": "threads of the CPU; 1 is fastest for recurrent networks",
}
HELPS = {
    "fit": Help(
        "Trains a network on one walk-forward fold: it stops early, keeps the best weights, and draws curves.\n"
        "To begin with a file of your own: forecastlab init FILE writes a config for it.",
        {
            "data": {
                "--data.path FILE": "CSV, Parquet or Excel file, with --data TableDataModule",
                "--data.targets LIST": "columns that are forecast: [y]",
                "--data.time_column COLUMN": "when it was observed",
                "--data.series_column COLUMN": "which of several series a row belongs to",
                "--data.horizon N": "how many steps are forecast",
                "--data.lookback N": "rows that the network reads; full for all so far",
                "--data.season_length N": "rows in a season, such as 7 for days",
                "--data.fold K": "which walk-forward fold; all trains on every row, for a model that is deployed",
                "--data.batch_size N": "windows in a step of training",
            },
            "model": {
                "--model.backbone NAME": "cell or network; forecastlab backbones lists them",
                "--model.backbone.hidden_size N": "units of a layer; other arguments of the backbone likewise",
                "--model.loss NAME": "what is trained: MSE, MAE, Quantile, ...",
                "--model.anchor NAME": "last forecasts the change from the last value, for series that wander",
                "--model.window_norm NAME": "last, standard, ...: how each window's own past is normalised",
                "--model.intervals LIST": "[0.9] adds calibrated prediction intervals of 90 %",
                "--model.dropout P": "share of the encoding that is dropped in training",
            },
            "training": {
                "--trainer.max_epochs N": "the most epochs",
                "--early_stopping.patience N": "epochs without improvement after which it stops",
                "--model.optimizer.lr RATE": "learning rate; --lr_find looks for one",
                "--trainer.gradient_clip_val X": "bounds gradients, where a loss is not finite",
                **COMPUTER,
            },
            "run": {
                **RUN,
                "--seed_everything N": "seed of all random numbers",
                "--ckpt_path PATH": "last, or the path of a last.ckpt, goes on with a run",
                "--print_config": "prints the whole config with all defaults, and ends",
            },
        },
    ),
    "validate": Help(
        "Scores a checkpoint on the validation range: the loss that chose its epoch.",
        {"run": {**OF_CHECKPOINT, **RUN, "--allow_seen": "scores rows that trained the weights, and says so"}},
    ),
    "test": Help(
        "Scores a checkpoint on the test range beside persistence, and writes predictions.csv and a figure.\n"
        "Several checkpoints, or a pattern of them, are tested as an ensemble.",
        {
            "run": {
                **OF_CHECKPOINT,
                **RUN,
                "--by PART": "figures of each series, target, horizon or month too",
                "--allow_seen": "scores rows that trained the weights, and says so",
            },
        },
    ),
    "predict": Help(
        "Forecasts beyond the end of the data: forecast.csv and a figure.\n"
        "Several checkpoints, or a pattern of them, forecast as an ensemble.",
        {
            "run": {
                **OF_CHECKPOINT,
                **RUN,
                "--paths N": "so many sample paths of each series too",
                "--paths_seed N": "seed of the paths",
                "--paths_format NAME": "csv or parquet",
            },
        },
    ),
}
TOPICS = {
    "data": "the data modules, and how to see every setting of one",
    "model": "every setting of the model",
    "model.backbone": "the backbones; likewise model.decoder, model.loss, model.optimizer, model.lr_scheduler",
    "training": "early stopping and checkpoints",
    "trainer": "every setting of Lightning's Trainer",
    "all": "all options, some hundreds of lines",
}
"""What `--help` can be asked for, besides the short help."""


def asked(args: Sequence[str]) -> str | None:
    """What a command line asks for help about: a topic, "" for the short help, None if it asks for none.

    Args:
        args: the command line after the sub-command.
    """
    for position, word in enumerate(args):
        if word in ("-h", "--help"):
            topic = args[position + 1 : position + 2]
            return topic[0] if topic and not topic[0].startswith("-") else ""
        if word.startswith("--help="):
            return word.removeprefix("--help=")
    return None


def short(command: str) -> str:
    """The short help of a command that takes the options of `fit`."""
    about, groups = HELPS[command]
    lines = [f"usage: forecastlab {command} [--config FILE] [--OPTION VALUE ...]", "", about]
    topics = {f"--help {topic}": text for topic, text in TOPICS.items()}
    for name, options in {**groups, "more": topics}.items():
        lines += ["", f"{name}:", *(_row(option, text) for option, text in options.items())]
    return "\n".join(lines)


def _row(option: str, text: str) -> str:
    return f"  {option:<{WIDTH - 2}}{text}" if len(option) < WIDTH - 3 else f"  {option}\n{'':{WIDTH}}{text}"
