"""Every private name of Lightning that is used, behind a function or a class with a public one.

`tests/reliability/test_lightning_is_as_relied_on.py` fails when Lightning changes one of them.
"""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

STEP_HOOKS = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
)
"""The hooks of callbacks that Lightning calls in every training step."""


class Module(LightningModule):
    """A LightningModule that stores text in no time.

    Lightning writes the name of each hook into the module before it calls the hook, some fifty times in a training
    step. torch looks each time whether a parameter, a module or a buffer of that name has to make room.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__ and (value is None or type(value) is str):  # neither is kept elsewhere
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)


def skip_empty_hooks(trainer: Trainer) -> None:
    """Spares a trainer the calls of the step hooks that its callbacks do not have.

    Lightning calls six hooks of each callback in a step, each within a profiler's context, though most of them are
    empty. With ten callbacks that takes longer than a step of a small network. It passes over a hook that is None.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # Lightning sets it elsewhere
        for name in STEP_HOOKS:
            if getattr(getattr(callback, name), "__func__", None) is getattr(Callback, name):
                setattr(callback, name, None)
