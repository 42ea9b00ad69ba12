"""A config that trains on what a survey has seen: as values (`proposed`) and as a text with reasons (`config_for`)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import yaml

from forecastlab.data.survey import Survey
from forecastlab.data.table_datamodule import TableDataModule
from forecastlab.errors import ConfigError, ForecastlabError
from forecastlab.experiment import auto

_HORIZONS = {"h": 24, "D": 14, "B": 10, "W": 8, "MS": 12, "ME": 12, "QS": 4, "QE": 4, "YS": 4, "YE": 4}
"""Steps that are forecast, by the step of the calendar."""
_CALIBRATED = 10
"""Validation rows beyond the horizon from which 90 % intervals are calibrated."""
_OF_THE_MODEL = {
    "backbone": "`forecastlab backbones` lists others",
    "decoder": "the segments of a long horizon are forecast side by side",
    "loss": "the median and 10 more quantiles are forecast",
    "anchor": "the change from the last value is forecast, so that levels may drift",
    "window_norm": "each window is read relative to its own past",
    "loss_units": "small and large series count the same",
    "linear_window": "linear maps of the window, of which the network says how much each counts",
    "weight_average": "the average of the last ninth of the steps forecasts, which is steadier than the last one",
    "channels": "each target is forecast from its own past, with the same weights",
    "intervals": "90 % intervals, calibrated on the validation rows",
}
"""Why each setting of the model is what it is."""


def proposed(seen: Survey, answers: Mapping[str, Any]) -> dict[str, Any]:
    """The config that trains on what was seen, as keys and values for `Config.of`; the rules are those of `auto`.

    Args:
        seen: what is in the file or frame.
        answers: settings that were given.

    Raises:
        ForecastlabError: if the series are too short for any fold.
    """
    data, windows = _data(seen, answers)
    known = bool(data.get("known") or data.get("calendar"))
    calibrated = data["val_size"] >= data["horizon"] + _CALIBRATED - 1
    training = auto.training(windows, data["horizon"], len(data["targets"]))
    data["batch_size"] = training["batch_size"]
    if training["windows_per_epoch"] is not None:
        data["windows_per_epoch"] = training["windows_per_epoch"]
    epochs = training["epochs"]
    return {
        "data": {"class_path": "TableDataModule", "init_args": data},
        "model": {
            **auto.model(
                data["lookback"],
                data["horizon"],
                seen.season,
                len(data["targets"]),
                known,
                calibrated,
                panel=len(seen.tables) > 1,
            ),
            "optimizer": {"class_path": "AdamW", "init_args": {"lr": training["lr"]}},
            "lr_scheduler": {"class_path": "CosineAnnealingLR", "init_args": {"T_max": epochs}},
        },
        "early_stopping": {"patience": training["patience"]},
        "trainer": {"max_epochs": epochs, "gradient_clip_val": 1.0},
    }


def config_for(seen: Survey, source: str, answers: Mapping[str, Any]) -> str:
    """The text of a config, with comments.

    Args:
        seen: what is in the file.
        source: how the command line named it.
        answers: settings that were given.

    Raises:
        ForecastlabError: if the series are too short for any fold.
    """
    values = proposed(seen, answers)
    data = values["data"]["init_args"]
    if "path" in data and not isinstance(data["path"], str | list):
        data["path"] = source  # of a frame
    lines = [
        f"# What `forecastlab init {source}` saw and chose. Everything may be changed.",
        "data:",
        "  class_path: TableDataModule",
        "  init_args:",
        *_lines(data, "    ", _reasons(seen, answers)),
    ]
    if seen.covariates:
        named = ", ".join([*data["targets"], *seen.covariates[:8]])
        lines.append(f"    # features: [{named}]  # further inputs, of which only the past is known")
    lines += ["model:", *_lines(values["model"], "  ", _OF_THE_MODEL)]
    lines += _lines({name: values[name] for name in values if name not in ("data", "model")}, "", {})
    return "\n".join(lines) + "\n"


def _lines(values: Mapping[str, Any], indent: str, reasons: Mapping[str, str]) -> list[str]:
    """A line of YAML per value, with the reason behind it."""
    lines = []
    for name, value in values.items():
        text = yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False, allow_unicode=True)
        text = text.removesuffix("...\n").strip()
        lines.append(f"{indent}{name}: {text}" + (f"  # {reasons[name]}" if name in reasons else ""))
    return lines


def _data(seen: Survey, answers: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Settings of the data module with which every part of the last fold has something to forecast.

    Returns:
        The settings, and the number of training windows.

    Raises:
        ForecastlabError: if there are none such, or the lookback is not a number of rows.
    """
    lengths = np.array([len(table.times) for table in seen.tables])
    usual = int(np.median(lengths))
    step = seen.tables[0].frequency.partition("-")[0]
    horizon, lookback = answers.get("horizon"), answers.get("lookback")
    if horizon is None:
        horizon = _horizon(step, seen, usual)
    if not isinstance(lookback, int | None):
        raise ConfigError(
            f"lookback: a recipe reads windows, so it takes a number of rows, got {lookback!r}; for one sequence, "
            "write a config with lookback: full by hand"
        )
    error: ForecastlabError | None = None
    while True:
        folds = _folds(seen, horizon, usual)
        training = np.maximum(lengths - folds["test_size"] - folds["val_size"], 1)
        rows = auto.lookback(training, horizon, seen.season) if lookback is None else lookback
        least = min(rows, max(seen.season, 2), max(1, int(training.min()) - horizon))
        data = {
            **seen.settings,
            "horizon": horizon,
            "lookback": rows,
            **({"min_history": least} if least < rows else {}),
            "season_length": seen.season,
            **folds,
            **_calendar(step, seen, horizon),
        }
        if len(lengths) > 1:
            data["scale_by"] = "global"
            if len({table.times[-1] for table in seen.tables}) > 1:
                data["fold_by"] = "series"
        try:
            module = TableDataModule(**{**data, "path": data.get("path")})
            module.tables, module.recipe = seen.tables, seen.recipe  # read once
            samples = {part: module.samples(part) for part in ("fit", "validation", "test")}
            if empty := [part for part, count in samples.items() if not count]:
                raise ForecastlabError(f"no {empty[0]} row")
            return data, samples["fit"]
        except ForecastlabError as problem:
            error = problem
        if "horizon" in answers or horizon == 1:
            raise error
        horizon = max(1, horizon // 2)


def _horizon(step: str, seen: Survey, usual: int) -> int:
    wanted = seen.horizon or _HORIZONS.get(step) or (seen.season if seen.season > 1 else 8)
    if seen.ahead:
        wanted = min(wanted, seen.ahead)
    return max(1, min(wanted, usual // 8))


def _folds(seen: Survey, horizon: int, usual: int) -> dict[str, int]:
    test = max(horizon, min(usual // 8, 10 * horizon))
    splits = 3 if usual - 3 * test >= 6 * horizon else 2
    validation = min(max(usual // 8, horizon + _CALIBRATED), 10 * horizon, usual // 4, horizon + auto.VALIDATED)
    validation = max(horizon, validation)
    return {"test_size": test, "splits": splits, "val_size": validation}


def _calendar(step: str, seen: Survey, horizon: int) -> dict[str, Sequence[str]]:
    if horizon > auto.LONG or seen.settings.get("time_format") == "number" or step.endswith("s"):
        return {}
    if step.endswith(("h", "min")):
        return {"calendar": ["hour", "day_of_week"]}
    return {"calendar": ["day_of_week", "day_of_year"]} if step in ("D", "B") else {}


def _reasons(seen: Survey, answers: Mapping[str, Any]) -> dict[str, str]:
    """Why each setting is what it is."""
    given = dict.fromkeys(answers, "as you said")
    return {
        "targets": "what is predicted",
        "time_column": "when each row was observed",
        "series_column": "tells the series apart",
        "na_values": "marks missing values",
        "missing": {"ffill": "the last value is held", "mask": "the network is told what is missing"}.get(
            seen.settings["missing"], "none is missing"
        ),
        "frequency": "steps are the rows" if seen.settings.get("frequency") == "rows" else "the step of the calendar",
        "known": "known in advance: the file has them for steps to come",
        "static": "one value per series",
        "horizon": "steps that are forecast",
        "lookback": "rows that are read: longer histories help",
        "min_history": "rows that a forecast needs; what a short series lacks is padded",
        "windows_per_epoch": "an epoch takes some of the windows",
        "season_length": "rows in a season, for MASE" if seen.season > 1 else "no season was found",
        "test_size": "rows in each test range",
        "splits": "test ranges, for crossval",
        "fold_by": "series end at different times: each is tested on its own last rows",
        "val_size": "rows that stop the training early",
        "calendar": "known in advance",
        **given,
    }
