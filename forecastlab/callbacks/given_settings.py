"""What a resumed run is told wins over what its checkpoint holds."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping


class GivenSettings(Callback):
    """Lets the settings of this call win over those that a checkpoint's states carry.

    The state of an optimizer holds its learning rate, that of a schedule its step size, that of early stopping its
    patience: restored as they are, they would silently undo what the resumed run was told. Only settings that differ
    from the saved run's are touched, so that resuming with the same ones stays exact. A learning rate that a schedule
    has lowered is scaled by the ratio of the new one to the old one. Another kind of optimizer or schedule begins
    afresh.
    """

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.state.fn != "fit" or "optimizer_states" not in checkpoint:
            return
        for callback in trainer.callbacks:  # type: ignore[attr-defined]  # Lightning sets it elsewhere
            if isinstance(callback, EarlyStopping) and callback.state_key in checkpoint["callbacks"]:
                checkpoint["callbacks"][callback.state_key]["patience"] = callback.patience
        saved = checkpoint.get(pl_module.CHECKPOINT_HYPER_PARAMS_KEY, {})
        optimizer, schedule = (
            (saved.get(part) or {}, pl_module.hparams.get(part) or {}) for part in ("optimizer", "lr_scheduler")
        )
        rate = optimizer[1].get("init_args", {}).get("lr")
        if _class(optimizer[0]) != _class(optimizer[1]):
            checkpoint["optimizer_states"], checkpoint["lr_schedulers"] = [], []
            return
        groups = [group for state in checkpoint["optimizer_states"] for group in state["param_groups"]]
        if _class(schedule[0]) != _class(schedule[1]):
            checkpoint["lr_schedulers"] = []
            for group in groups if rate is not None else []:
                group |= {"lr": rate, "initial_lr": rate}
        else:
            for state in checkpoint["lr_schedulers"]:
                for name in _differing(*schedule):
                    state.pop(name, None)  # it stays as it was built
        for name in _differing(*optimizer):
            value = optimizer[1]["init_args"][name]
            if name == "lr":
                _scale([*groups, *checkpoint["lr_schedulers"]], optimizer[0]["init_args"]["lr"], value)
            for group in groups:
                if name != "lr" and name in group:
                    group[name] = value


def _class(described: dict[str, Any]) -> str | None:
    return described.get("class_path")


def _differing(saved: dict[str, Any], given: dict[str, Any]) -> list[str]:
    """The arguments whose values differ."""
    before, now = saved.get("init_args", {}), given.get("init_args", {})
    return [name for name, value in now.items() if name in before and before[name] != value]


def _scale(states: list[dict[str, Any]], before: float, now: float) -> None:
    """Scales the learning rates in states; those that are still what they were at first become exactly the new one."""

    def scaled(rate: float) -> float:
        return now if rate == before or not before else rate * now / before

    for state in states:
        for name in ("lr", "initial_lr", "base_lrs", "_last_lr"):
            if isinstance(rates := state.get(name), list):
                state[name] = [scaled(rate) for rate in rates]
            elif rates is not None:
                state[name] = scaled(rates)
        _scale([inner for inner in state.get("_schedulers", []) if isinstance(inner, dict)], before, now)
