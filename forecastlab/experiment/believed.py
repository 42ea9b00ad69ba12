"""What is believed of the config inside a checkpoint: a checkpoint may come from somebody else.

`model` and `data` say what the weights are and which rows they read, so they are taken, as plain data whose classes are
those of the tables in `factory`. Numbers and words from closed lists are taken besides, so that a run that is resumed
goes on as it began. Whatever names a class, a folder, a file or an address elsewhere is left out.
"""

import os
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import yaml

from forecastlab.errors import DataError
from forecastlab.limits import read_yaml, require_sizes
from forecastlab.network import factory

WHAT = "the config inside the checkpoint"

_ADDRESS = re.compile(r"://|^\s*(?:\\\\|//)")
"""What is in the name of what a program may open over a network: a scheme, or a shared folder."""
_FILE = re.compile(r"[/\\\0]|\.(?:ya?ml|json|toml)$")
"""What is in the name of a file that the parser could read as further settings."""
_DURATION = re.compile(r"\d{1,5}:\d{1,2}:\d{1,2}:\d{1,2}")


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _word(*words: Any) -> Callable[[Any], bool]:
    return lambda value: any(type(value) is type(word) and value == word for word in words)


def _either(*kinds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: any(kind(value) for kind in kinds)


def _processes(value: Any) -> bool:
    """Whether a number of threads or processes is one that this machine can do something with."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= (os.cpu_count() or 1)


def _devices(value: Any) -> bool:
    return value == "auto" or (_processes(value) and value > 0)


def _duration(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(unit, str) and _number(count) for unit, count in value.items())
    return isinstance(value, str) and _DURATION.fullmatch(value) is not None


_ALWAYS: dict[str, Callable[[Any], bool]] = {
    "seed_everything": _either(_flag, _number),
    "threads": _processes,
    "trainer.precision": _word(
        *(64, 32, 16, "64", "32", "16", "bf16", "64-true", "32-true", "16-true", "bf16-true", "16-mixed", "bf16-mixed")
    ),
}
"""What the figures of a network depend on, besides `model` and `data`."""

_RESUMED: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(
        (
            *("max_epochs", "min_epochs", "max_steps", "min_steps", "check_val_every_n_epoch", "val_check_interval"),
            *("limit_train_batches", "limit_val_batches", "limit_test_batches", "limit_predict_batches"),
            *("overfit_batches", "num_sanity_val_steps", "log_every_n_steps", "accumulate_grad_batches"),
            *("gradient_clip_val", "reload_dataloaders_every_n_epochs"),
        ),
        _number,
    ),
    **dict.fromkeys(
        (
            *("enable_checkpointing", "enable_progress_bar", "enable_model_summary", "benchmark", "inference_mode"),
            *("use_distributed_sampler", "detect_anomaly", "barebones", "sync_batchnorm", "enable_autolog_hparams"),
            "logger",
        ),
        _flag,
    ),
    "fast_dev_run": _either(_flag, _number),
    "deterministic": _either(_flag, _word("warn")),
    "max_time": _duration,
    "gradient_clip_algorithm": _word("norm", "value"),
    "accelerator": _word("auto", "cpu", "gpu", "cuda", "mps"),
    "strategy": _word("auto", "ddp", "ddp_find_unused_parameters_true"),
    "devices": _devices,
    "num_nodes": _word(1),
}
"""By the name of a trainer's setting: what a run that is resumed takes from its checkpoint."""

_STOPPING = {
    "monitor": _word("val/loss", "train/loss"),
    "mode": _word("min", "max"),
    **dict.fromkeys(("min_delta", "patience", "stopping_threshold", "divergence_threshold", "write_interval"), _number),
    **dict.fromkeys(("verbose", "strict", "check_finite", "check_on_train_epoch_end", "log_rank_zero_only"), _flag),
}
"""The settings of early stopping and of the checkpoints, likewise."""

_PLACES = ("experiment", "trainer.default_root_dir")
"""What says where a run is, which is known of a checkpoint that lies in the folder of a run."""


def believed(
    text: str, resumes: bool, in_its_run: bool, given: Collection[str] = ()
) -> tuple[dict[str, Any], list[str]]:
    """What is believed of a checkpoint's config.

    Args:
        text: the config, as YAML.
        resumes: whether the run goes on, so that its trainer's plain settings are wanted too.
        in_its_run: whether the checkpoint lies in the folder of its run, so that its place needs no name.
        given: settings, such as `trainer.logger`, that the user gives instead.

    Returns:
        A config, and the settings that are left out of it although they were no defaults.

    Raises:
        DataError: if it is no config, if its `model` or `data` name a class that is not allowed, an address or a file
            of settings, or if it claims sizes that nothing has.
    """
    config = _config(text)
    settings = {part: config[part] for part in ("model", "data")}
    left_out = _leave_out_workers(settings["data"])
    rest = {key: value for key, value in _flat(config).items() if value not in (None, [], {})}
    rest = {name: value for name, value in rest.items() if name.partition(".")[0] not in ("model", "data")}
    taken = dict(_ALWAYS)
    if resumes:
        taken |= {f"trainer.{name}": kind for name, kind in _RESUMED.items()}
        taken |= {
            f"{part}.{name}": kind for part in ("early_stopping", "checkpoints") for name, kind in _STOPPING.items()
        }
    for name, value in rest.items():
        if name in taken and taken[name](value):
            part, _, key = name.partition(".")
            if key:
                settings.setdefault(part, {})[key] = value
            else:
                settings[part] = value
        elif name in _PLACES:
            left_out += [] if in_its_run else [name]
        elif name in taken or not _is_harmless(name, value):
            left_out.append(name)
    return settings, [name for name in left_out if name not in given]


def _config(text: str) -> dict[str, Any]:
    """The content of a checkpoint's config, whose `model` and `data` are what is expected there.

    Raises:
        DataError: if it is anything else.
    """
    try:
        config: Any = read_yaml(text, WHAT)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(f"{WHAT} is not valid YAML: {str(error).splitlines()[0]}; use another checkpoint") from None
    for part in ("model", "data"):
        if not isinstance(config, dict) or not isinstance(config.get(part), dict):
            raise DataError(f"{WHAT} has no settings below {part}: it was not written by forecastlab fit")
        require_sizes(config[part], f"{WHAT}, {part},")
        _require_known(part, config[part])
    return dict(config)


def _require_known(key: str, value: Any, ours: bool = True) -> None:
    """Walks through the settings of a model or of data.

    Args:
        key: what the settings are called.
        value: the settings.
        ours: whether a class of the tables has them: what text means to a class that the user allowed, it knows.

    Raises:
        DataError: for a class that is not allowed, an address, or a file of settings.
    """
    if isinstance(value, Mapping):
        if "class_path" in value:
            ours = _require_allowed(key, value["class_path"])
        for name, part in value.items():
            _require_known(f"{key}.{name}", part, ours)
    elif isinstance(value, list):
        for number, part in enumerate(value):
            _require_known(f"{key}.{number}", part, ours)
    elif isinstance(value, str) and ours:
        if _ADDRESS.search(value):
            raise DataError(f"{WHAT} names an address as {key}: {value[:80]!r} is not opened; give --{key} yourself")
        plain = key == "model.weights_from" or (key.endswith(".monitor") and _STOPPING["monitor"](value))
        if _FILE.search(value) and key.startswith("model.") and not plain:
            raise DataError(f"{WHAT} names a file as {key}: {value[:80]!r} is not read; give --{key} yourself")


def _require_allowed(key: str, path: Any) -> bool:
    """Whether a class is one of the tables; otherwise it is of a package that was allowed.

    Raises:
        DataError: if it is neither.
    """
    if not isinstance(path, str):
        raise DataError(f"{WHAT} has no name of a class as {key}.class_path: got {str(path)[:80]!r}")
    if "." not in path or path in factory.known_paths(factory.ROLES):
        return True  # a short name is looked up among the same classes
    if path.startswith(tuple(f"{package}." for package in factory.allowed_imports())):
        return False
    package = path.partition(".")[0]
    hint = f": it is not imported. If you trust it, pass --allow_import {package}"
    raise DataError(
        f"{WHAT} names a class as {key} that may not be built, {path[:80]}{'' if package in factory.BUILT_IN else hint}"
    )


def _leave_out_workers(data: dict[str, Any]) -> list[str]:
    """Takes out the number of loaders' processes if this machine cannot have so many."""
    arguments = data.get("init_args")
    if not isinstance(arguments, dict) or _processes(arguments.get("num_workers", 0)):
        return []
    del arguments["num_workers"]
    return ["data.num_workers"]


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a config by names such as trainer.logger."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if key in ("trainer", "early_stopping", "checkpoints") and isinstance(value, Mapping):
            flat |= {f"{key}.{name}": part for name, part in value.items()}
        else:
            flat[str(key)] = value
    return flat


def _is_harmless(name: str, value: Any) -> bool:
    """Whether a setting is one that only a training has, as it is meant to be: no note is needed on leaving it out."""
    part, _, key = name.partition(".")
    kind = _RESUMED.get(key) if part == "trainer" else _STOPPING.get(key) if key else None
    return kind is not None and kind(value)
