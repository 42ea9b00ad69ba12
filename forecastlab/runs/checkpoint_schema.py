"""What a checkpoint is made of: every part that is read later, its type and its range, as plain data.

`read_checkpoint` and resuming compare a file with it before anything is built. A part that is wrong is named there and
then; deep in the training it would be a traceback.
"""

import math
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

Check = Callable[[Any, str], None]
"""Takes a value and the name of its part; raises `UnfitError` if it is not as it must be."""

MOST = 2**53
"""The largest count: whole numbers up to here are exact as floats too."""
DEEPEST = 32
"""How deep settings may be nested."""
DTYPES = {
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
}
"""The types of weights and states."""


class UnfitError(DataError):
    """A part of a checkpoint that is not what it must be."""


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
            _mapping(dict.fromkeys(TO_RESUME, _anything), others=_anything)(checkpoint, "")
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


def _wrong(value: Any, name: str, expected: str) -> UnfitError:
    return UnfitError(f"{name.removeprefix('.') or 'the whole'} is {_told(value)}, expected {expected}")


def _told(value: Any) -> str:
    """A value in a few words."""
    if value is None or isinstance(value, bool | int | float):
        text = "null" if value is None else str(value)
        return text if len(text) <= 30 else f"{text[:30]}..."
    if isinstance(value, str):
        return f"the text {value[:30]!r}{'...' if len(value) > 30 else ''}"
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} and {value.dtype}"
    if isinstance(value, Mapping):
        return f"a mapping of {len(value)}"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    return f"of type {type(value).__name__}"


def _whole(low: int = 0, high: int = MOST) -> Check:
    def check(value: Any, name: str) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise _wrong(value, name, f"a whole number from {low} to {high}")

    return check


def _real(value: Any, name: str) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or math.isnan(value) or abs(value) > 1e308:
        raise _wrong(value, name, "a finite number")


def _score(value: Any, name: str) -> None:
    """The best loss so far, which is infinite before the first."""
    if not isinstance(value, int | float) or isinstance(value, bool) or math.isnan(value):
        raise _wrong(value, name, "a number")


def _rate(value: Any, name: str) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise _wrong(value, name, "a finite number, 0 or more")


def _text(value: Any, name: str) -> None:
    if not isinstance(value, str):
        raise _wrong(value, name, "a text")


def _step(value: Any, name: str) -> None:
    _text(value, name)
    try:
        to_offset(value or "D")
    except ValueError:
        raise _wrong(value, name, "a step of a calendar, such as MS") from None


def _flag(value: Any, name: str) -> None:
    if not isinstance(value, bool):
        raise _wrong(value, name, "true or false")


def _anything(value: Any, name: str) -> None:
    """Left to whoever reads it."""


def _or_null(check: Check) -> Check:
    def optional(value: Any, name: str) -> None:
        if value is not None:
            check(value, name)

    return optional


def _list(item: Check, least: int = 0, length: int | None = None) -> Check:
    def check(value: Any, name: str) -> None:
        size = f"of {length}" if length is not None else f"of {least} or more"
        if not isinstance(value, list | tuple) or len(value) < least or length not in (None, len(value)):
            raise _wrong(value, name, f"a list {size}")
        for number, one in enumerate(value):
            item(one, f"{name}.{number}")

    return check


def _mapping(
    fields: Mapping[str, Check], more: Mapping[str, Check] | None = None, others: Check | None = None
) -> Check:
    """A mapping with all of some fields.

    Args:
        fields: what must be there.
        more: what may be there.
        others: what further values must be; None if there must be none.
    """
    known = {**fields, **(more or {})}

    def check(value: Any, name: str) -> None:
        if not isinstance(value, Mapping):
            raise _wrong(value, name, "a mapping")
        for field in fields:
            if field not in value:
                raise UnfitError(f"{name.removeprefix('.')}{'.' if name else ''}{field} is missing")
        for field, one in value.items():
            if not isinstance(field, str):
                raise UnfitError(f"{name.removeprefix('.') or 'the whole'} has the key {_told(field)}, expected texts")
            if field in known:
                known[field](one, f"{name}.{field}")
            elif others is not None:
                others(one, f"{name}.{field}")
            else:
                raise UnfitError(f"{name.removeprefix('.')} has the key {field[:30]!r}, expected {', '.join(known)}")

    return check


def _plain(value: Any, name: str, depth: int = 0) -> None:
    """Settings: numbers of a sensible size, texts, and lists and mappings of them."""
    if depth > DEEPEST:
        raise UnfitError(f"{name.removeprefix('.')[:60]}... is nested more than {DEEPEST} deep")
    if isinstance(value, Mapping):
        for key, one in value.items():
            _text(key, name)
            _plain(one, f"{name}.{key}", depth + 1)
    elif isinstance(value, list | tuple):
        for number, one in enumerate(value):
            _plain(one, f"{name}.{number}", depth + 1)
    elif isinstance(value, int) and not isinstance(value, bool):
        _whole(-MOST)(value, name)
    elif isinstance(value, float):
        _score(value, name)
    elif value is not None and not isinstance(value, bool | str):
        raise _wrong(value, name, "plain data")


def _part(value: Any, name: str) -> None:
    """A class and its arguments; a description in an argument is one too."""
    _mapping({"class_path": _text}, {"init_args": _mapping({}, others=_plain)})(value, name)


def _tensor(value: Any, name: str) -> None:
    """A tensor that holds all its values: dense, of a plain type, and not one value many times over."""
    if not isinstance(value, Tensor):
        raise _wrong(value, name, "a tensor")
    if value.layout != torch.strided or value.dtype not in DTYPES or value.is_meta or value.is_quantized:
        raise _wrong(value, name, "a dense tensor of a plain type")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise UnfitError(f"{name.removeprefix('.')} is {_told(value)}, but the file does not hold that many values")


def _number_tensor(value: Any, name: str) -> None:
    _tensor(value, name)
    if value.numel() != 1 or value.isnan().any():
        raise _wrong(value, name, "a tensor of one number")


def _version(value: Any, name: str) -> None:
    if not isinstance(value, str) or not re.fullmatch(
        r"[1-9]\d{0,3}(\.\d{1,6}){1,3}((a|b|rc|\.?dev|\.?post)\d{0,8})?", value
    ):
        raise _wrong(value, name, "a version such as 2.6.0")
    if value.startswith("1."):  # what came before 2.0 Lightning rewrites, and nothing of ours is among it
        raise _wrong(value, name, "version 2.0 of Lightning or later")


def _generators(value: Any, name: str) -> None:
    """The generators of one process: whether they can be restored is tried on new ones."""
    _mapping({"torch": _tensor, "cuda": _list(_tensor), "numpy": _list(_anything, length=5), "python": _anything})(
        value, name
    )
    _list(_anything, length=3)(value["python"], f"{name}.python")
    kind, keys, position, has_gauss, cached = value["numpy"]
    _list(_whole(0, 2**32 - 1), length=624)(keys, f"{name}.numpy.1")
    for number, (check, one) in enumerate(((_whole(0, 624), position), (_whole(0, 1), has_gauss), (_real, cached)), 2):
        check(one, f"{name}.numpy.{number}")
    version, internal, gauss = value["python"]
    _list(_whole(0, 2**32 - 1), length=625)(internal, f"{name}.python.1")
    _or_null(_real)(gauss, f"{name}.python.2")
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


_NAMES = _list(_text)
_COUNT = _whole()
_TRACKER = _mapping({"ready": _COUNT, "completed": _COUNT}, {"started": _COUNT, "processed": _COUNT})
_PROGRESS = _mapping({"total": _TRACKER, "current": _TRACKER})
_BATCHES = _mapping({"total": _TRACKER, "current": _TRACKER, "is_last_batch": _flag})
_EMPTY = _mapping({})
_EPOCHS = _mapping(dict.fromkeys(("ready", "started", "processed", "completed"), _COUNT))
_EVALUATION = {"state_dict": _EMPTY, "batch_progress": _BATCHES}

_FIT_LOOP = _mapping(
    {
        "state_dict": _EMPTY,
        "epoch_progress": _mapping({"total": _EPOCHS, "current": _EPOCHS}),
        "epoch_loop.state_dict": _mapping({"_batches_that_stepped": _COUNT}),
        "epoch_loop.batch_progress": _BATCHES,
        "epoch_loop.scheduler_progress": _PROGRESS,
        "epoch_loop.automatic_optimization.state_dict": _EMPTY,
        "epoch_loop.automatic_optimization.optim_progress": _mapping(
            {"optimizer": _mapping({"step": _PROGRESS, "zero_grad": _PROGRESS})}
        ),
        "epoch_loop.manual_optimization.state_dict": _EMPTY,
        "epoch_loop.manual_optimization.optim_step_progress": _PROGRESS,
        **{f"epoch_loop.val_loop.{name}": check for name, check in _EVALUATION.items()},
    }
)
"""Lightning's counts of epochs, steps and batches, from which a resumed training goes on."""

_LOOPS = _mapping(
    {
        "fit_loop": _FIT_LOOP,
        "validate_loop": _mapping(_EVALUATION),
        "test_loop": _mapping(_EVALUATION),
        "predict_loop": _mapping({"state_dict": _EMPTY, "batch_progress": _PROGRESS}),
    }
)

_RECIPE = _mapping(
    {},
    {
        **dict.fromkeys(("time", "series", "zone"), _or_null(_text)),
        "name": _text,
        **dict.fromkeys(("targets", "features", "known", "static"), _NAMES),
        "derive": _mapping({}, others=_mapping({}, others=_real)),
        "frequency": _text,
        "regular": _flag,
        "missing": _text,
    },
    others=_plain,
)

SCHEMA = _mapping(
    {
        "features": _list(_text, least=1),
        "targets": _list(_text, least=1),
    },
    {
        **dict.fromkeys(("known", "static", "calendar", "series", "panel"), _NAMES),
        "horizon": _whole(1, 2**31),
        "lookback": lambda value, name: None if value == "full" else _whole(1, 2**31)(value, name),
        **dict.fromkeys(("holidays", "time_zone"), _or_null(_text)),
        "step": _step,
        "recipe": _RECIPE,
    },
    others=_plain,
)
"""Names and sizes of the data, as `Schema.as_dict` gives them."""

SETTINGS = _mapping(
    {"schema": SCHEMA},
    {
        **dict.fromkeys(("backbone", "decoder", "loss", "optimizer"), _part),
        "lr_scheduler": _or_null(_part),
        "anchor": _text,
        "window_norm": _text,
        "linear_skip": _flag,
        "dropout": _real,
        "penalties": _list(_part),
        "intervals": _list(_real),
        "interval_window": _or_null(_whole(1, 2**31)),
        "compile": _flag,
    },
    others=_plain,
)
"""The arguments of `Forecaster`."""

_STOPPING = {
    "wait_count": _COUNT,
    "stopped_epoch": _COUNT,
    "best_score": _number_tensor,
    "patience": _COUNT,
}
_BEST = {"best_score": _score, "best_epoch": _whole(-1), "best_step": _whole(-1)}


def _callbacks(value: Any, name: str) -> None:
    _mapping({}, others=_anything)(value, name)
    for key, state in value.items():
        kind = re.split(r"\W", key)[0]
        if kind == "EarlyStopping":
            _mapping(
                _STOPPING, {"stopping_reason": _whole(0, 9), "stopping_reason_message": _or_null(_text)}, _anything
            )(state, f"{name}.{key}")
        elif kind == "Checkpoints":
            _mapping(_BEST)(state, f"{name}.{key}")


def _memory(value: Any, name: str) -> None:
    """What an optimizer keeps of each weight; whether it fits the weights is tried when it is restored."""
    if not isinstance(value, Mapping):
        raise _wrong(value, name, "a mapping")
    for key, state in value.items():
        _whole()(key, f"{name}.{_told(key)}")
        _mapping({}, others=_anything)(state, f"{name}.{key}")
        for field, one in state.items():
            if isinstance(one, Tensor):
                _tensor(one, f"{name}.{key}.{field}")


_OPTIMIZER = _mapping(
    {
        "state": _memory,
        "param_groups": _list(_mapping({"params": _list(_COUNT, least=1), "lr": _rate}, others=_anything), least=1),
    }
)
_SCHEDULE = _mapping({"last_epoch": _COUNT, "_last_lr": _list(_rate, least=1)}, others=_anything)

_SPAN = _list(_text, length=2)
_TRAINED_ON = _mapping(
    {
        **{"fit": _SPAN, "validation": _or_null(_SPAN), "data": _SPAN},
        **{"rows": _COUNT, "number": _COUNT, "series": _NAMES, "fingerprint": _text},
        **{"bound": _text, "keys": _text, "protocol": _text},
        "fold": lambda value, name: None if value == "all" else _whole()(value, name),
    },
    others=_plain,
)
"""What is known of a training behind the weights, as `TrainedOn.as_dict` gives it."""

CHECKPOINT = _mapping(
    {"state_dict": _mapping({}, others=_tensor)},
    {
        "epoch": _COUNT,
        "global_step": _COUNT,
        "best_score": _score,
        "pytorch-lightning_version": _version,
        "hyper_parameters": SETTINGS,
        "trained_on": _list(_TRAINED_ON),
        "config": _text,
        "loops": _LOOPS,
        "callbacks": _callbacks,
        "optimizer_states": _list(_OPTIMIZER),
        "lr_schedulers": _list(_SCHEDULE),
        "random_state": _list(_generators, least=1),
        "MixedPrecision": _mapping({}, others=_score),
    },
    others=_anything,
)
"""A whole checkpoint."""

TO_RESUME = (
    *("epoch", "global_step", "pytorch-lightning_version", "hyper_parameters"),
    *("loops", "callbacks", "optimizer_states", "lr_schedulers"),
)
"""The parts without which a training cannot be resumed."""
