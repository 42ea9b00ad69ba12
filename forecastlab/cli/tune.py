"""`forecastlab tune`: which config values give the lowest validation loss."""

import argparse
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from optuna.exceptions import StorageInternalError

from forecastlab.cli.configs import experiment_name, read_config
from forecastlab.cli.crossval import numbers, require_unseen
from forecastlab.cli.data import data_module
from forecastlab.cli.options import values_of
from forecastlab.cli.study import Configs, Tuning, as_yaml
from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.errors import ConfigError
from forecastlab.runs.files import write_whole
from forecastlab.runs.run import CONFIG, LOGS, Run
from forecastlab.tuning.space import Space
from forecastlab.tuning.study import PRUNERS, SAMPLERS, Address, Worker

SUFFIX = "-tune"
SPACE = "space.yaml"


def tune(args: Sequence[str]) -> int:
    """Runs the trials of a study, and writes and prints what came out.

    Args:
        args: the command line after the sub-command: the options below and all of `fit`.

    Returns:
        0, or 1 if the study has fewer trials than it was to get.
    """
    options, rest = parser().parse_known_args(args)
    for name in ("trials", "jobs"):
        if getattr(options, name) < 1:
            raise ConfigError(f"--{name} must be positive, got {getattr(options, name)}")
    if options.seed < 0:
        raise ConfigError(f"--seed must be 0 or more, got {options.seed}")
    if options.storage and options.new:
        raise ConfigError("--new: the study is in the database; to begin another there, give another --experiment")
    if values_of(rest, "--ckpt_path"):
        raise ConfigError("tune trains from fresh weights: leave --ckpt_path out (run again, it goes on by itself)")
    configs = Configs(rest)
    module = data_module([configs.values["data"]])
    _require_honest(module)
    folds = options.folds or [module.fold]
    if impossible := [fold for fold in folds if fold != "all" and not 1 <= fold <= module.splits]:
        raise ConfigError(f"--folds: expected numbers from 1 to {module.splits}, got {impossible[0]}")
    content = read_config(options.space)
    try:
        space = Space.of(content, configs.values)
        configs.require(space)
    except ConfigError as error:
        raise ConfigError(f"the space {options.space}: {error}") from None
    module.prepare_data()
    require_unseen(configs.values, module, folds, "validation")
    experiment = configs.values["experiment"] or experiment_name(rest) or "default"
    settings = {**configs.values, "space": content, "folds": folds}
    settings["trainer"] = {**configs.values["trainer"], "default_root_dir": None}
    root = Path(configs.values["trainer"]["default_root_dir"] or ".", LOGS)
    run = Run.continued(root, experiment + SUFFIX, settings, module.about, options.new)
    write_whole(run.folder / CONFIG, as_yaml(configs.values))
    write_whole(run.folder / SPACE, as_yaml(content))
    digest = hashlib.sha256(
        json.dumps({**settings, "rows": module.about}, sort_keys=True, default=str).encode()
    ).hexdigest()
    address = Address(f"{experiment}-{digest[:8]}", run.folder, options.storage, options.pruner)
    try:
        study, storage = address.open()
        worker = Worker(study, storage, run.folder, space, options.trials, options.sampler, options.seed)
        ranges = {fold: module.ranges_of(fold) for fold in folds}
        tuning = Tuning(worker, address, configs, run, ranges, options.keep_weights, module.fingerprint)
        return tuning.run(options.jobs)
    except StorageInternalError as error:
        raise ConfigError(f"--storage: the database cannot be used any more: {error.__cause__ or error}") from error


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        prog="forecastlab tune",
        description="Looks for config values of low validation loss; takes all options of fit besides. Run again, it "
        "goes on up to --trials in total; run beside it, or on other machines with the same folder or database, it "
        "joins in. The test rows are never touched.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--space", required=True, help="YAML file of what is searched, such as configs/spaces/*.yaml")
    parser.add_argument("--trials", type=int, default=30, help="trials in total, those of earlier calls among them")
    parser.add_argument("--folds", type=numbers, help="folds whose mean loss counts, such as 1,2; the config's if none")
    parser.add_argument("--jobs", type=int, default=1, help="trials at once, one thread each")
    parser.add_argument("--storage", help="database, such as sqlite:///study.db; a journal in the run folder if none")
    parser.add_argument("--sampler", choices=SAMPLERS, default="tpe", help="how values are chosen")
    parser.add_argument("--pruner", choices=PRUNERS, default="median", help="what ends trials that lag behind")
    parser.add_argument("--seed", type=int, default=0, help="of the sampler; the training's is --seed_everything")
    parser.add_argument("--keep-weights", action="store_true", help="keep checkpoints and curves of every trial")
    parser.add_argument("--new", action="store_true", help="begin a new study instead of going on with an equal one")
    return parser


def _require_honest(module: ForecastDataModule) -> None:
    if module.validation == "test":
        raise ConfigError(
            "data.validation is test, so that the validation loss is that of the test rows: values chosen by it would "
            "be chosen on the test rows, and no test of them would mean anything. Set --data.validation tail"
        )
