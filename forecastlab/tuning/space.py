"""Search spaces: the config values that a study chooses, and their possible values."""

import difflib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from optuna import Trial

from forecastlab.errors import ConfigError

Value = bool | int | float | str | None

KEYS = {
    "float": {"low", "high", "step", "log"},
    "int": {"low", "high", "step", "log"},
    "categorical": {"choices"},
}
"""What an entry of each type holds besides `type` and `when`."""

WHOLE = ("data", "data.class_path", "model", "trainer", "early_stopping", "checkpoints")
"""Parts of a config that hold many values."""
INCOMPARABLE = (
    *(f"data.{name}" for name in ("fold", "splits", "test_size", "cutoffs", "gap", "validation", "val_fraction")),
    *(f"data.{name}" for name in ("val_size", "context", "score_gaps", "horizon", "targets", "missing", "frequency")),
    *(f"data.{name}" for name in ("rows", "start", "end", "path", "source", "dataset", "derive", "series_column")),
    *(f"trainer.{name}" for name in ("limit_val_batches", "fast_dev_run", "overfit_batches")),
)
"""Values that decide which rows the validation loss is of."""
UNITS = ("data.scaler", "data.scale_by", "data.train_size", "model.loss")
"""Values that decide what the validation loss is, or what it is measured in."""
TAKEN = (
    "experiment",
    *(f"trainer.{name}" for name in ("devices", "num_nodes", "logger", "enable_checkpointing", "default_root_dir")),
)
"""Values that a study sets itself."""


@dataclass(frozen=True)
class Entry:
    """One config value that is chosen.

    Attributes:
        name: its dotted name in the config.
        type: "float", "int" or "categorical".
        low: the lowest number.
        high: the highest number, included.
        step: distance between the numbers, counted from `low`; None for every number.
        log: whether the numbers are drawn on a logarithmic scale.
        choices: the values of a categorical entry; lists and mappings are kept as JSON.
        when: names of other entries, and the values that they must have before this one is chosen.
    """

    name: str
    type: str
    low: float = 0
    high: float = 0
    step: float | None = None
    log: bool = False
    choices: tuple[Value, ...] = ()
    when: tuple[tuple[str, tuple[Value, ...]], ...] = ()

    def choose(self, trial: Trial) -> Value:
        """The value that a trial gets."""
        if self.type == "categorical":
            chosen: Value = trial.suggest_categorical(self.name, self.choices)
            return chosen
        if self.type == "int":
            step = 1 if self.step is None else int(self.step)
            return trial.suggest_int(self.name, int(self.low), int(self.high), step=step, log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, step=self.step, log=self.log)

    def is_chosen(self, values: Mapping[str, Value]) -> bool:
        """Whether the entry is chosen, given the values of the entries before it."""
        return all(name in values and any(_same(values[name], value) for value in wanted) for name, wanted in self.when)

    def choice_like(self, value: Any) -> Value:
        """The choice that gives a value of a config.

        Raises:
            ValueError: if nothing is: the value lies outside.
        """
        if self.type == "categorical":
            for choice in self.choices:
                if _same(value, choice):
                    return choice
        elif isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high:
            steps = (value - self.low) / self.step if self.step else 0
            if math.isclose(steps, round(steps), abs_tol=1e-9) and (self.type == "float" or value == int(value)):
                return int(value) if self.type == "int" else float(value)
        raise ValueError(f"{self.name} cannot be {value!r}")


@dataclass(frozen=True)
class Space:
    """The values that a study chooses.

    Attributes:
        entries: in the order of choice: an entry follows the entries that it depends on.
    """

    entries: tuple[Entry, ...]

    @classmethod
    def of(cls, content: Mapping[str, Any], config: Mapping[str, Any]) -> "Space":
        """A space from the content of its file.

        Args:
            content: by dotted name the type and range of a value.
            config: the config whose values are replaced; conditions may name values that are not searched.

        Raises:
            ConfigError: for an entry that cannot be used.
        """
        read = {str(name): _entry(str(name), entry) for name, entry in content.items()}
        if not read:
            raise ConfigError("it has no entry")
        cold = config["data"].get("init_args", {}).get("context") == "cold"
        if cold and "data.lookback" in map(_short, read):
            raise ConfigError("data.lookback cannot be searched: with context: cold it decides what is validated")
        entries = {}
        for name, entry in read.items():
            searched = []
            for other, wanted in entry.when:
                if other in read:
                    searched.append((other, wanted))
                elif not any(_same(config_value(config, other), value) for value in wanted):
                    break  # the config decides that it is never chosen
            else:
                entries[name] = Entry(**{**vars(entry), "when": tuple(searched)})
        if not entries:
            raise ConfigError("none of its conditions (when) holds for this config, so that nothing is chosen")
        return cls(tuple(_in_order(entries)))

    def choose(self, trial: Trial) -> dict[str, Value]:
        """The values of a trial by name."""
        values: dict[str, Value] = {}
        for entry in self.entries:
            if entry.is_chosen(values):
                values[entry.name] = entry.choose(trial)
        return values

    def values_like(self, config: Mapping[str, Any]) -> dict[str, Value]:
        """The choices that do not change a config.

        Raises:
            ValueError: if there are none: it lies outside the space.
        """
        values: dict[str, Value] = {}
        for entry in self.entries:
            if entry.is_chosen(values):
                try:
                    found = config_value(config, entry.name)
                except ConfigError as error:
                    raise ValueError(str(error)) from None
                values[entry.name] = entry.choice_like(found)
        return values

    def samples(self) -> Iterator[dict[str, Value]]:
        """Sets of values that together hold every end of every range and every choice."""
        names = {entry.name for entry in self.entries}
        depended = {name for entry in self.entries for name, _ in entry.when}
        depended |= {name for name in names if any(other.startswith(f"{name}.") for other in names)}
        tried = dict.fromkeys(names, 0)
        for values in self._cases([entry for entry in self.entries if entry.name in depended], {}):
            again = True
            while again:
                sample: dict[str, Value] = {}
                for entry in self.entries:
                    if entry.is_chosen(sample):
                        ends = _ends(entry)
                        sample[entry.name] = values.get(entry.name, ends[min(tried[entry.name], len(ends) - 1)])
                        tried[entry.name] += entry.name not in values
                yield sample
                again = any(
                    tried[entry.name] < len(_ends(entry))
                    for entry in self.entries
                    if entry.name in sample and entry.name not in values
                )

    def _cases(self, depended: list[Entry], values: dict[str, Value]) -> Iterator[dict[str, Value]]:
        """All combinations of the values of the entries that others depend on."""
        if not depended:
            yield values
            return
        first, rest = depended[0], depended[1:]
        if not first.is_chosen(values):
            yield from self._cases(rest, values)
            return
        mentioned = [
            value
            for entry in self.entries
            for name, wanted in entry.when
            if name == first.name
            for value in wanted
            if first.type != "categorical"
        ]
        for value in dict.fromkeys([*_ends(first), *mentioned]):
            yield from self._cases(rest, {**values, first.name: value})


def config_value(config: Mapping[str, Any], name: str) -> Any:
    """The value of a dotted name in a config; `init_args` may be left out.

    Raises:
        ConfigError: if the config has no such value.
    """
    value: Any = config
    for part in name.split("."):
        if isinstance(value, Mapping) and part not in value:
            value = value.get("init_args")
        if not isinstance(value, Mapping) or part not in value:
            raise ConfigError(f"the config has no value {name!r}")
        value = value[part]
    return value


def _short(name: str) -> str:
    return name.replace(".init_args", "")


def _entry(name: str, content: Any) -> Entry:
    short = _short(name)
    if short in WHOLE:
        raise ConfigError(f"{name} cannot be searched: name single values in it")
    for names, why in (
        (INCOMPARABLE, "it decides which rows are validated: losses of different rows cannot be compared"),
        (UNITS, "it decides what the validation loss is or is measured in: such losses cannot be compared"),
        (TAKEN, "a study sets it itself"),
        (("seed_everything",), "what one seed does better than another does not carry over to new data"),
    ):
        if any(f"{short}.".startswith(f"{other}.") for other in names):
            raise ConfigError(f"{name} cannot be searched: {why}")
    if not isinstance(content, Mapping):
        raise ConfigError(f"{name}: expected type and range, such as {{type: int, low: 1, high: 3}}, got {content!r}")
    kind = content.get("type")
    if kind not in KEYS:
        raise ConfigError(f"{name}.type: expected one of {', '.join(KEYS)}, got {kind!r}")
    known = {"type", "when", *KEYS[kind]}
    for key in content:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, 1)
            hint = f"; did you mean {close[0]}?" if close else "."
            raise ConfigError(f"{name}: {kind} has no {key!r}{hint} Available: {', '.join(sorted(known))}")
    when = _conditions(name, content.get("when", {}))
    if kind == "categorical":
        return Entry(name, kind, choices=_choices(name, content.get("choices")), when=when)
    return _range(name, kind, content, when)


def _range(name: str, kind: str, content: Mapping[str, Any], when: Any) -> Entry:
    for key in ("low", "high", "step"):
        value = content.get(key)
        if key == "step" and value is None:
            continue
        wanted = int if kind == "int" else int | float
        if not isinstance(value, wanted) or isinstance(value, bool) or not math.isfinite(value):
            hint = "; YAML takes it for text: write 1.0e-5, not 1e-5" if isinstance(value, str) else ""
            raise ConfigError(
                f"{name}.{key}: expected {'a whole' if kind == 'int' else 'a'} number, got {value!r}{hint}"
            )
    low, high, step, log = content["low"], content["high"], content.get("step"), content.get("log", False)
    if low >= high:
        raise ConfigError(f"{name}: low must be below high, got {low} and {high}")
    if not isinstance(log, bool):
        raise ConfigError(f"{name}.log: expected true or false, got {log!r}")
    if log and low <= 0:
        raise ConfigError(f"{name}: log needs numbers above 0, got low: {low}")
    if log and step is not None:
        raise ConfigError(f"{name}: log and step exclude each other")
    if step is not None:
        steps = (high - low) / step if step > 0 else 0.5
        if not math.isclose(steps, round(steps)):
            raise ConfigError(f"{name}.step: expected a number that divides {low} .. {high} evenly, got {step}")
    return Entry(name, kind, low, high, step, log, when=when)


def _choices(name: str, given: Any) -> tuple[Value, ...]:
    if not isinstance(given, list) or not given:
        raise ConfigError(f"{name}.choices: expected a list of values, got {given!r}")
    choices = tuple(map(_plain, given))
    if twice := [choice for choice in choices if choices.count(choice) > 1]:
        raise ConfigError(f"{name}.choices: {twice[0]!r} is there twice")
    return choices


def _conditions(name: str, given: Any) -> tuple[tuple[str, tuple[Value, ...]], ...]:
    if not isinstance(given, Mapping):
        raise ConfigError(f"{name}.when: expected names and values, such as {{model.backbone: LSTM}}, got {given!r}")
    return tuple(
        (str(other), tuple(map(_plain, wanted if isinstance(wanted, list) else [wanted])))
        for other, wanted in given.items()
    )


def _in_order(entries: dict[str, Entry]) -> Iterator[Entry]:
    """The entries as they are given, but each after those that it depends on."""
    waiting = dict(entries)
    while waiting:
        for name, entry in waiting.items():
            needed = {other for other, _ in entry.when} | {other for other in entries if name.startswith(f"{other}.")}
            if not needed & waiting.keys():
                break
        else:
            raise ConfigError(f"the conditions (when) of {' and '.join(waiting)} depend on each other")
        yield waiting.pop(name)


def _ends(entry: Entry) -> list[Value]:
    if entry.type == "categorical":
        return list(entry.choices)
    return [int(entry.low), int(entry.high)] if entry.type == "int" else [float(entry.low), float(entry.high)]


def _plain(value: Any) -> Value:
    return value if isinstance(value, Value) else json.dumps(value, sort_keys=True)


def _same(found: Any, wanted: Value) -> bool:
    """Whether a value, of a config or of a trial, is the one that is meant; of a class its name is enough."""
    if isinstance(found, Mapping) and "class_path" in found:
        found = found["class_path"]
    if isinstance(found, str) and isinstance(wanted, str):
        found, wanted = _class_path(found), _class_path(wanted)
        return found == wanted or found.endswith(f".{wanted}") or wanted.endswith(f".{found}")
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    return bool(found == wanted)


def _class_path(text: str) -> str:
    """The class's name or import path where the text describes a class as JSON; any other text as it is."""
    return str(json.loads(text).get("class_path", text)) if text.startswith("{") else text
