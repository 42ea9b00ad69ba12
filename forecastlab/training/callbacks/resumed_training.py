"""Where optimizer and schedule of a resumed training go on."""

import inspect
import math
import warnings
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from forecastlab.errors import ConfigError, DataError

State = dict[str, Any]
COUNTERS = ("best", "num_bad_epochs", "cooldown_counter", "last_epoch")
"""What ReduceLROnPlateau has found out so far."""


class ResumedTraining:
    """Finds the states of optimizer and schedule from which a resumed training goes on, and tries them out.

    A state holds the settings of the run that was saved. Restored as it is, it would silently undo what the resumed run
    was told. So a schedule whose settings, or whose optimizer's, are other ones is built anew and brought to the epoch
    reached: its rates from there on are those of a run that had these settings from the start. What it would take the
    metrics of past epochs to repeat is kept: ReduceLROnPlateau keeps the reductions it has made and what it has
    counted. A schedule or an optimizer of another kind begins afresh.

    What the saved states hold is not believed before it has been tried: a step is taken with copies of the weights.

    Args:
        module: the network as it is built now, a `Forecaster`.
        saved: the settings of the run that was saved, its `hparams`.
        more_epochs: whether there are epochs to come.
    """

    def __init__(self, module: Any, saved: Mapping[str, Any], more_epochs: bool) -> None:
        self._weights = [nn.Parameter(weight.detach().clone(), weight.requires_grad) for weight in module.parameters()]
        self._optimizer: Optimizer
        self._schedule: LRScheduler | None
        self._optimizer, self._schedule = module.optimizer_for(self._weights)
        self._saved, self._given = (
            {part: dict(settings.get(part) or {}) for part in ("optimizer", "lr_scheduler")}
            for settings in (saved, module.hparams)
        )
        self._more_epochs = more_epochs

    @property
    def _unchanged(self) -> bool:
        return self._saved == self._given

    def _same_class(self, part: str) -> bool:
        return self._saved[part].get("class_path") == self._given[part].get("class_path")

    def states(self, optimizers: list[State], schedules: list[State]) -> tuple[list[State], list[State]]:
        """The states to restore.

        Args:
            optimizers: the states of the optimizers in the checkpoint.
            schedules: those of its schedules.

        Raises:
            DataError: if the states in the checkpoint are damaged.
            ConfigError: if a schedule cannot go on with the given settings.
        """
        for name, found, expected in (
            ("optimizer_states", optimizers, 1),
            ("lr_schedulers", schedules, 1 if self._saved["lr_scheduler"] else 0),
        ):
            if len(found) != expected:
                raise _damaged(f"{name} holds {len(found)} states, but the run that was saved had {expected}")
        memory: State = {}
        if self._same_class("optimizer"):
            memory = optimizers[0]["state"]
        if not memory.keys() <= set(range(len(self._weights))):
            raise _damaged(f"optimizer_states.0 holds states of other weights than the {len(self._weights)} there are")
        groups = optimizers[0]["param_groups"]
        if len(groups) != len(self._optimizer.param_groups):
            raise _damaged(f"optimizer_states.0 holds {len(groups)} groups of weights")
        if self._schedule is not None and self._same_class("lr_scheduler"):
            self._go_on(self._schedule, schedules[0], [group["lr"] for group in groups])
        scheduled = [] if self._schedule is None else [deepcopy(self._schedule.state_dict())]
        state = {"state": memory, "param_groups": self._optimizer.state_dict()["param_groups"]}
        if self._unchanged:  # to the last bit, and with what a callback has set
            state["param_groups"] = [
                _numbers_of(one, other) for one, other in zip(groups, state["param_groups"], strict=True)
            ]
        self._try_schedule()
        self._try_step(state)
        return [state], scheduled

    def _go_on(self, schedule: LRScheduler, saved: State, rates: list[float]) -> None:
        """Brings a schedule, as it is built, to where the saved one was."""
        if isinstance(schedule, ReduceLROnPlateau):
            self._go_on_with_counters(schedule, saved, rates)
        elif self._unchanged and not _of_torch(schedule):  # there is no knowing how it comes to its rates
            try:
                schedule.load_state_dict(deepcopy(saved))
            except Exception as error:  # of any kind: the class is somebody else's
                raise _damaged(f"lr_schedulers.0 cannot be restored ({type(error).__name__}: {error})") from error
        else:
            self._repeat(schedule, saved["last_epoch"])

    def _go_on_with_counters(self, schedule: ReduceLROnPlateau, saved: State, rates: list[float]) -> None:
        for name in COUNTERS:
            value = saved.get(name)
            whole = name == "best" or (isinstance(value, int) and value >= 0)
            if not isinstance(value, int | float) or isinstance(value, bool) or math.isnan(value) or not whole:
                raise _damaged(f"lr_schedulers.0.{name} is {value!r:.40}, expected a number")
        monitors = [saved.get("mode"), saved.get("monitor")] == [schedule.mode, getattr(schedule, "monitor", None)]
        kept = COUNTERS if monitors else ("last_epoch",)  # the best of another metric means nothing
        now = self._optimizer.param_groups[0]["lr"]
        before = self._saved["optimizer"].get("init_args", {}).get("lr", _default_rate(self._optimizer))
        if not _are_numbers(before) or isinstance(before, list | tuple):
            raise _damaged(f"hyper_parameters.optimizer.init_args.lr is {before!r:.40}, expected a number")
        scaled = [now if rate == before or not before else rate * (now / before) for rate in rates]
        lowest = [min(least, now) for least in schedule.min_lrs]
        scaled = [max(rate, least) for rate, least in zip(scaled, lowest, strict=True)]
        for group, rate in zip(self._optimizer.param_groups, scaled, strict=True):
            group["lr"] = rate
        schedule.load_state_dict({**schedule.state_dict(), **{name: saved[name] for name in kept}, "_last_lr": scaled})

    def _repeat(self, schedule: LRScheduler, steps: int) -> None:
        """Takes the steps of the epochs so far."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the optimizer takes no steps meanwhile
            for _ in range(steps):
                self._step(schedule, steps)

    def _step(self, schedule: LRScheduler, steps: int) -> None:
        try:
            schedule.step()
        except Exception as error:  # of any kind: the class may be somebody else's
            raise ConfigError(
                f"model.lr_scheduler: {type(schedule).__name__} with these arguments cannot go on after {steps} "
                f"epochs: {error}. It is stepped once an epoch: give it as many steps as there are epochs in all"
            ) from error

    def _try_schedule(self) -> None:
        """Takes the next step, of which the states that are restored know nothing."""
        if self._schedule is not None and _of_torch(self._schedule) and self._more_epochs:
            rates = [dict(group) for group in self._optimizer.param_groups]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                self._step(self._schedule, self._schedule.last_epoch)
            for group, before in zip(self._optimizer.param_groups, rates, strict=True):
                group.update(before)

    def _try_step(self, state: State) -> None:
        """Takes a step with copies of the weights, whose gradients are 0."""
        for weight in self._weights:
            weight.grad = torch.zeros_like(weight)
        try:
            self._optimizer.load_state_dict(deepcopy(state))
            self._optimizer.step(lambda: 0.0)
        except Exception as error:  # of any kind: it is in the middle of somebody else's arithmetic
            reason = (str(error).splitlines() or [""])[0]
            raise _damaged(f"optimizer_states.0 does not fit the weights ({type(error).__name__}: {reason})") from error
        if not all(bool(weight.isfinite().all()) for weight in self._weights):
            raise _damaged("optimizer_states.0 makes weights that are not finite")


def _of_torch(schedule: LRScheduler) -> bool:
    """Whether the rates of a schedule follow from its arguments and the number of steps."""
    own = type(schedule).__module__.startswith("torch.optim.")
    return own and not isinstance(schedule, ReduceLROnPlateau)


def _default_rate(optimizer: Optimizer) -> Any:
    return inspect.signature(type(optimizer)).parameters["lr"].default


def _numbers_of(saved: State, built: State) -> State:
    """A group of weights with the numbers that were saved; what else belongs to it follows from the settings."""
    return built | {
        name: value
        for name, value in saved.items()
        if _are_numbers(value) and (name not in built or (name != "params" and _alike(value, built[name])))
    }


def _are_numbers(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_are_numbers, value))
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _alike(value: Any, other: Any) -> bool:
    if isinstance(value, list | tuple):
        return isinstance(other, list | tuple) and len(value) == len(other)
    return _are_numbers(other) and not isinstance(other, list | tuple)


def _damaged(what: str) -> DataError:
    return DataError(f"the checkpoint cannot be resumed: {what}. It is damaged; use another checkpoint of the run")
