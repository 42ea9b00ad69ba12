"""What a checkpoint is made of: every part that is read later, its type and its range, as plain data.

`read_checkpoint` and resuming compare a file with it before anything is built. A part that is wrong is named there and
then; deep in the training it would be a traceback.
"""

import random
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pandas.tseries.frequencies import to_offset
from torch import Tensor

from forecastlab.errors import DataError
from forecastlab.runs.checks import (
    UnfitError,
    anything,
    flag,
    flag_or,
    list_of,
    mapping,
    number_tensor,
    or_null,
    plain,
    rate,
    real,
    score,
    tensor,
    text,
    told,
    whole,
    wrong,
)


def require_structure(checkpoint: Any, path: str | Path) -> None:
    """Makes sure that every part of a checkpoint that is there has the form and the range that its readers rely on.

    Which parts must be there depends on the use: weights are all that a forecast needs, resuming needs the rest. Parts
    that are not known here are left alone.

    Args:
        checkpoint: what `torch.load` gave.
        path: the file, for the message.

    Raises:
        DataError: names the first part that is wrong, what it is, and what was expected.
    """
    try:
        CHECKPOINT(checkpoint, "")
        if "optimizer_states" in checkpoint:
            mapping(dict.fromkeys(TO_RESUME, anything), others=anything)(checkpoint, "")
            _require_counted(checkpoint)
    except UnfitError as error:
        raise DataError(
            f"{path}: {error}. It was not written by forecastlab fit, or it is damaged; use another checkpoint of the "
            "run"
        ) from None


def require_settings(settings: Any, what: str) -> None:
    """Makes sure that the arguments of a network, as plain data, have the form that `Forecaster` relies on.

    Args:
        settings: its `hparams`, as a checkpoint or an export holds them.
        what: what it means if they have not, for the message.

    Raises:
        DataError: names the first part that is wrong, what it is, and what was expected.
    """
    try:
        SETTINGS(settings, "")
    except UnfitError as error:
        raise DataError(f"{what}: {error}") from None


def _require_counted(checkpoint: Mapping[str, Any]) -> None:
    """The schedule has taken at most a step for each epoch: bringing one to where it was ends."""
    epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]["total"]["processed"]
    for number, state in enumerate(checkpoint["lr_schedulers"]):
        if state["last_epoch"] > epochs:
            raise UnfitError(
                f"lr_schedulers.{number}.last_epoch is {state['last_epoch']}, but only {epochs} epochs were trained"
            )


def _step(value: Any, name: str) -> None:
    text(value, name)
    try:
        to_offset(value or "D")
    except ValueError:
        raise wrong(value, name, "a step of a calendar, such as MS") from None


def _part(value: Any, name: str) -> None:
    """A class and its arguments; a description in an argument is one too."""
    mapping({"class_path": text}, {"init_args": mapping({}, others=plain)})(value, name)


def _version(value: Any, name: str) -> None:
    if not isinstance(value, str) or not re.fullmatch(
        r"[1-9]\d{0,3}(\.\d{1,6}){1,3}((a|b|rc|\.?dev|\.?post)\d{0,8})?", value
    ):
        raise wrong(value, name, "a version such as 2.6.0")
    if value.startswith("1."):  # what came before 2.0 Lightning rewrites, and nothing of ours is among it
        raise wrong(value, name, "version 2.0 of Lightning or later")


def _generators(value: Any, name: str) -> None:
    """The generators of one process: whether they can be restored is tried on new ones."""
    mapping({"torch": tensor, "cuda": list_of(tensor), "numpy": list_of(anything, length=5), "python": anything})(
        value, name
    )
    list_of(anything, length=3)(value["python"], f"{name}.python")
    kind, keys, position, has_gauss, cached = value["numpy"]
    list_of(whole(0, 2**32 - 1), length=624)(keys, f"{name}.numpy.1")
    for number, (check, one) in enumerate(((whole(0, 624), position), (whole(0, 1), has_gauss), (real, cached)), 2):
        check(one, f"{name}.numpy.{number}")
    version, internal, gauss = value["python"]
    list_of(whole(0, 2**32 - 1), length=625)(internal, f"{name}.python.1")
    or_null(real)(gauss, f"{name}.python.2")
    tried: dict[str, Callable[[], object]] = {
        "torch": lambda: torch.Generator().set_state(value["torch"]),
        "numpy": lambda: np.random.RandomState(0).set_state(
            (kind, np.array(keys, dtype=np.uint32), position, has_gauss, cached)
        ),
        "python": lambda: random.Random().setstate((version, tuple(internal), gauss)),
    }
    for part, restore in tried.items():
        try:
            restore()
        except (ValueError, TypeError, RuntimeError, OverflowError) as error:
            raise UnfitError(f"{name.removeprefix('.')}.{part} is no state of a generator: {error}") from None


_NAMES = list_of(text)
_COUNT = whole()
_TRACKER = mapping({"ready": _COUNT, "completed": _COUNT}, {"started": _COUNT, "processed": _COUNT})
_PROGRESS = mapping({"total": _TRACKER, "current": _TRACKER})
_BATCHES = mapping({"total": _TRACKER, "current": _TRACKER, "is_last_batch": flag})
_EMPTY = mapping({})
_EPOCHS = mapping(dict.fromkeys(("ready", "started", "processed", "completed"), _COUNT))
_EVALUATION = {"state_dict": _EMPTY, "batch_progress": _BATCHES}

_FIT_LOOP = mapping(
    {
        "state_dict": _EMPTY,
        "epoch_progress": mapping({"total": _EPOCHS, "current": _EPOCHS}),
        "epoch_loop.state_dict": mapping({"_batches_that_stepped": _COUNT}),
        "epoch_loop.batch_progress": _BATCHES,
        "epoch_loop.scheduler_progress": _PROGRESS,
        "epoch_loop.automatic_optimization.state_dict": _EMPTY,
        "epoch_loop.automatic_optimization.optim_progress": mapping(
            {"optimizer": mapping({"step": _PROGRESS, "zero_grad": _PROGRESS})}
        ),
        "epoch_loop.manual_optimization.state_dict": _EMPTY,
        "epoch_loop.manual_optimization.optim_step_progress": _PROGRESS,
        **{f"epoch_loop.val_loop.{name}": check for name, check in _EVALUATION.items()},
    }
)
"""Lightning's counts of epochs, steps and batches, from which a resumed training goes on."""

_LOOPS = mapping(
    {
        "fit_loop": _FIT_LOOP,
        "validate_loop": mapping(_EVALUATION),
        "test_loop": mapping(_EVALUATION),
        "predict_loop": mapping({"state_dict": _EMPTY, "batch_progress": _PROGRESS}),
    }
)


def _column(value: Any, name: str) -> None:
    """A column's name, several, or None."""
    (list_of(text, least=1) if isinstance(value, list | tuple) else or_null(text))(value, name)


def _marker(value: Any, name: str) -> None:
    """A text or a number."""
    (text if isinstance(value, str) else real)(value, name)


def _how(value: Any, name: str) -> None:
    """A way, or one for each column."""
    (text if isinstance(value, str) else mapping({}, others=text))(value, name)


_RECIPE = mapping(
    {},
    {
        **dict.fromkeys(("time", "series"), _column),
        "zone": or_null(text),
        **dict.fromkeys(
            ("name", "weight", "time_format", "decimal", "thousands", "duplicates", "frequency", "missing"), text
        ),
        **dict.fromkeys(("targets", "features", "known", "static"), _NAMES),
        "categories": mapping({}, others=list_of(text)),
        "derive": mapping({}, others=mapping({}, others=real)),
        "aggregate": mapping({}, {"by": _NAMES, "how": _how}),
        "resample": mapping({}, {"rule": text, "how": _how, "frequency": text}),
        "transform": mapping({}, others=list_of(_marker, least=1)),
        "fill": mapping({}, others=_marker),
        "na_values": list_of(_marker),
        "regular": flag,
        "slots": list_of(whole(0, 7 * 86400)),
    },
    others=plain,
)

SCHEMA = mapping(
    {
        "features": list_of(text, least=1),
        "targets": list_of(text, least=1),
    },
    {
        **dict.fromkeys(("known", "static", "calendar", "series", "panel"), _NAMES),
        **dict.fromkeys(("horizon", "season_length"), whole(1, 2**31)),
        "lookback": lambda value, name: None if value == "full" else whole(1, 2**31)(value, name),
        "min_history": or_null(whole(1, 2**31)),
        "elapsed": flag,
        **dict.fromkeys(("holidays", "time_zone"), or_null(text)),
        "step": _step,
        "recipe": _RECIPE,
    },
    others=plain,
)
"""Names and sizes of the data, as `Schema.as_dict` gives them."""

SETTINGS = mapping(
    {"schema": SCHEMA},
    {
        **dict.fromkeys(("backbone", "decoder", "loss", "optimizer"), _part),
        **dict.fromkeys(("lr_scheduler", "across"), or_null(_part)),
        **dict.fromkeys(("anchor", "window_norm", "smoothing", "loss_units", "channels"), text),
        "smoothing_seasons": list_of(whole(1, 2**31)),
        "linear_skip": flag,
        "linear_window": flag_or(whole(0, 2**31)),
        "embeddings": mapping({}, others=whole(1, 2**31)),
        "dropout": real,
        "penalties": list_of(_part),
        "weight_average": or_null(real),
        "intervals": list_of(real),
        "interval_window": or_null(whole(1, 2**31)),
        "compile": flag,
    },
    others=plain,
)
"""The arguments of `Forecaster`."""

_STOPPING = {
    "wait_count": _COUNT,
    "stopped_epoch": _COUNT,
    "best_score": number_tensor,
    "patience": _COUNT,
}
_BEST = {"best_score": score, "best_epoch": whole(-1), "best_step": whole(-1)}


def _callbacks(value: Any, name: str) -> None:
    mapping({}, others=anything)(value, name)
    for key, state in value.items():
        kind = re.split(r"\W", key)[0]
        if kind == "EarlyStopping":
            mapping(_STOPPING, {"stopping_reason": whole(0, 9), "stopping_reason_message": or_null(text)}, anything)(
                state, f"{name}.{key}"
            )
        elif kind == "Checkpoints":
            mapping(_BEST)(state, f"{name}.{key}")


def _memory(value: Any, name: str) -> None:
    """What an optimizer keeps of each weight; whether it fits the weights is tried when it is restored."""
    if not isinstance(value, Mapping):
        raise wrong(value, name, "a mapping")
    for key, state in value.items():
        whole()(key, f"{name}.{told(key)}")
        mapping({}, others=anything)(state, f"{name}.{key}")
        for field, one in state.items():
            if isinstance(one, Tensor):
                tensor(one, f"{name}.{key}.{field}")


_OPTIMIZER = mapping(
    {
        "state": _memory,
        "param_groups": list_of(mapping({"params": list_of(_COUNT, least=1), "lr": rate}, others=anything), least=1),
    }
)
_SCHEDULE = mapping({"last_epoch": _COUNT, "_last_lr": list_of(rate, least=1)}, others=anything)

_SPAN = list_of(text, length=2)
_TRAINED_ON = mapping(
    {
        **{"fit": _SPAN, "validation": or_null(_SPAN), "data": _SPAN},
        **{"rows": _COUNT, "number": _COUNT, "series": _NAMES, "fingerprint": text},
        **{"bound": text, "keys": text, "protocol": text},
        "fold": lambda value, name: None if value == "all" else whole()(value, name),
    },
    dict.fromkeys(("by", "choosing"), text),
    others=plain,
)
"""What is known of a training behind the weights, as `TrainedOn.as_dict` gives it."""

CHECKPOINT = mapping(
    {"state_dict": mapping({}, others=tensor)},
    {
        "training_weights": mapping({}, others=tensor),
        "epoch": _COUNT,
        "global_step": _COUNT,
        "best_score": score,
        "pytorch-lightning_version": _version,
        "hyper_parameters": SETTINGS,
        "trained_on": list_of(_TRAINED_ON),
        "config": text,
        "loops": _LOOPS,
        "callbacks": _callbacks,
        "optimizer_states": list_of(_OPTIMIZER),
        "lr_schedulers": list_of(_SCHEDULE),
        "random_state": list_of(_generators, least=1),
        "MixedPrecision": mapping({}, others=score),
    },
    others=anything,
)
"""A whole checkpoint."""

TO_RESUME = (
    *("epoch", "global_step", "pytorch-lightning_version", "hyper_parameters"),
    *("loops", "callbacks", "optimizer_states", "lr_schedulers"),
)
"""The parts without which a training cannot be resumed."""
