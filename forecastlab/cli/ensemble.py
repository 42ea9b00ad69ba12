"""`forecastlab test` and `predict` with several checkpoints: their mean forecast and its spread."""

import glob
import os
import sys
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, cast, get_args

import pandas as pd
import yaml

from forecastlab.batch import Schema
from forecastlab.data.predictions import predictions_table
from forecastlab.errors import ConfigError
from forecastlab.evaluation.ensemble import PooledPaths, forecast_together
from forecastlab.experiment.config_files import config_of
from forecastlab.experiment.data_part import data_module
from forecastlab.experiment.options import take
from forecastlab.experiment.outcome import tell_scores
from forecastlab.experiment.paths_file import Format, write_paths
from forecastlab.metrics import PARTS, Part
from forecastlab.network.agreement import require_alike
from forecastlab.runs.files import write_whole
from forecastlab.runs.run import CONFIG, LOGS, Run, experiment_of, load_checkpoint
from forecastlab.training.callbacks.predictions import PREDICTIONS, write_forecast
from forecastlab.training.forecaster import Forecaster

ALLOW_SEEN = "--allow_seen"
PATHS = ("--paths", "--paths_seed", "--paths_format")
MEMBERS = "members.csv"
"""The metrics of each checkpoint and of the mean forecast."""


def ensemble(command: str, args: Sequence[str]) -> None:
    """Forecasts with several checkpoints of one experiment, seeds for example, on the CPU.

    Args:
        command: "test" or "predict".
        args: the command line after it: --ckpt_path for each checkpoint (or a pattern), --experiment,
            --trainer.default_root_dir, settings of the data; for "test" --by and --allow_seen, for "predict" --paths,
            --paths_seed and --paths_format.

    Raises:
        ConfigError: for other options, or checkpoints that cannot forecast the same rows.
    """
    given, rest = take(args, "--ckpt_path")
    named, rest = take(rest, "--experiment")
    roots, rest = take(rest, "--trainer.default_root_dir")
    allowed = command == "test" and ALLOW_SEEN in rest
    rest = [word for word in rest if not (allowed and word == ALLOW_SEEN)]
    parts, rest = take(rest, "--by") if command == "test" else ([], rest)
    drawn: dict[str, list[str]] = {}
    for option in PATHS if command == "predict" else ():
        drawn[option], rest = take(rest, option)
    number, seed, kind = _paths(drawn)
    if other := [word for word in rest if word.startswith("-") and not word.startswith("--data")]:
        raise ConfigError(
            f"{command} with several checkpoints takes --ckpt_path, --experiment, --trainer.default_root_dir, "
            f"{'--by' if command == 'test' else ', '.join(PATHS)} and --data.*, got {other[0]}"
        )
    paths = [path for pattern in given for path in _matching(pattern)]
    checkpoints = [load_checkpoint(path) for path in paths]
    believed = [config_of(checkpoint, command, rest, path) for checkpoint, path in zip(checkpoints, paths, strict=True)]
    configs = [yaml.safe_load(text) for text in believed]
    models = [Forecaster.load(path) for path in paths]
    _require_together(command, paths, configs, models)
    data = data_module([configs[0]["data"]], rest)
    data.prepare_data()
    data.setup(command)
    for model in models:
        require_alike(model.schema, Schema.from_dict(data.schema))
    seen = [data.seen(model.trained_on, "test") for model in models if command == "test"]
    for one in seen if not allowed else ():
        one.require_none()
    found = forecast_together(models, data, "test" if command == "test" else "predict")
    table, spread = (
        predictions_table(data.panel.names, data.panel.labels, data.targets, models[0].levels, part)
        for part in (found.mean(), found.mean()._replace(forecast=found.spread()))
    )
    table.insert(table.columns.tolist().index("forecast") + 1, "forecast-std", spread["forecast"])
    name = named[-1] if named else f"{experiment_of(paths[0])}-ensemble"
    run = Run.new(Path(roots[-1] if roots else ".", LOGS), name)
    held = {"experiment": name, **configs[0], "ckpt_path": list(map(str, paths))}
    write_whole(run.folder / CONFIG, yaml.safe_dump(held, sort_keys=False))
    if command == "test":
        table = table[table["y"].notna()]
        metrics = found.metrics(data, models[0].levels)
        figures = [{name: float(value) for name, value in each.compute().items()} for each in metrics]
        scores = pd.DataFrame(figures, index=[*map(str, paths), "mean forecast"])
        marks = pd.DataFrame([one.metrics for one in seen], index=scores.index[:-1]).fillna(0.0)
        for mark in marks.columns:
            scores[mark] = [*marks[mark], marks[mark].max()]
        write_whole(run.folder / MEMBERS, scores.rename_axis("checkpoint").to_csv())
        members = scores.iloc[:-1]
        shown = pd.DataFrame({"mean forecast": scores.iloc[-1], "members": members.mean(), "± std": members.std()})
        for note in dict.fromkeys(note for one in seen for note in one.notes):
            print(note)
        for doubt in dict.fromkeys(doubt for one in seen for doubt in one.doubts):
            print(f"forecastlab: note: {doubt}", file=sys.stderr)
        print(shown.to_string(float_format="{:.4f}".format))
        tell_scores(metrics[-1], data.panel.names, len(table), _part(parts), run.folder)
        write_whole(run.folder / PREDICTIONS, table.to_csv(index=False))
        print(f"predictions {os.path.relpath(run.folder / PREDICTIONS)}")
    else:
        for sentence in data.without_forecast():
            print(f"note        {sentence}")
        print(
            f"forecast    {os.path.relpath(write_forecast(run.folder, BytesIO(table.to_csv(index=False).encode()))[0])}"
        )
        if number is not None:
            paths_of = PooledPaths(models, data.panel, data.unscaled, number, seed)
            print(f"paths       {os.path.relpath(write_paths(paths_of, run.folder, kind))}: {paths_of.method}")


def _require_together(
    command: str, paths: Sequence[Path], configs: Sequence[dict[str, Any]], models: Sequence[Forecaster]
) -> None:
    """Raises ConfigError unless the checkpoints forecast the same, and none may have been trained on what is scored."""
    for path, config, model in zip(paths, configs, models, strict=True):
        require_alike(models[0].schema, model.schema)
        if model.levels != models[0].levels:
            raise ConfigError(
                f"{path} forecasts the quantiles {list(model.levels)}, {paths[0]} {list(models[0].levels)}: the mean "
                "needs the same"
            )
        settings, first = (part["data"].get("init_args", {}) for part in (config, configs[0]))
        different = [key for key in settings if settings[key] != first.get(key)]
        if command == "test" and different:
            key = different[0]
            raise ConfigError(
                f"data.{key} is {settings[key]} in {path} and {first.get(key)} in {paths[0]}: a test needs checkpoints "
                "of the same rows, or one of them may have been trained on what is scored"
            )


def _paths(given: Mapping[str, Sequence[str]]) -> tuple[int | None, int, Format]:
    """How many paths are wanted, their seed and the format of their file.

    Raises:
        ConfigError: for a value that cannot be one.
    """
    numbers = []
    for option, default in (("--paths", None), ("--paths_seed", 0)):
        value = given[option][-1] if given.get(option) else default
        try:
            numbers.append(None if value is None else int(value))
        except ValueError:
            raise ConfigError(f"{option}: expected a whole number, got {value!r}") from None
    kind = given["--paths_format"][-1] if given.get("--paths_format") else "csv"
    if kind not in get_args(Format):
        raise ConfigError(f"--paths_format: expected {' or '.join(get_args(Format))}, got {kind!r}")
    return numbers[0], numbers[1] or 0, cast(Format, kind)


def _part(given: Sequence[str]) -> Part | None:
    """What the figures are split by.

    Raises:
        ConfigError: for what they cannot be.
    """
    found = next((part for part in PARTS if part == given[-1]), None) if given else None
    if given and found is None:
        raise ConfigError(f"--by: expected one of {', '.join(PARTS)}, got {given[-1]!r}")
    return found


def _matching(pattern: str) -> list[Path]:
    """The checkpoints that a path or a pattern such as fold_1/seed_*/checkpoints/best.ckpt names.

    Raises:
        ConfigError: if there is none.
    """
    found = sorted(glob.glob(os.path.expanduser(pattern)))
    if not found:
        raise ConfigError(f"there is no checkpoint {pattern}; several are named by their paths, or by a pattern")
    return [Path(path) for path in found]


def is_ensemble(args: Sequence[str]) -> bool:
    """Whether a command line names several checkpoints."""
    given = take(args, "--ckpt_path")[0]
    return len(given) > 1 or any(glob.has_magic(path) and not os.path.exists(path) for path in given)
