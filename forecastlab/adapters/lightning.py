"""Every private name of Lightning that is used, behind a function or a class with a public one.

`tests/reliability/test_lightning_is_as_relied_on.py` fails when Lightning changes one of them.
"""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loops.loop import _Loop
from lightning.pytorch.plugins.environments import ClusterEnvironment
from lightning.pytorch.tuner.lr_finder import _LRCallback
from torch import Tensor

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


def trainer_of(module: LightningModule) -> Trainer | None:
    """The trainer that a module is given to; None for a module that is loaded or applied without one."""
    return module._trainer


def set_hyperparameters(module: LightningModule, values: dict[str, Any]) -> None:
    """Makes values the `hparams` of a module, which its checkpoints carry; they are not logged."""
    module._set_hparams(values)


def set_metric(trainer: Trainer, name: str, value: Tensor) -> None:
    """Gives callbacks and schedules a metric; nothing is logged, and nothing is averaged over steps or devices."""
    connector = trainer._logger_connector
    connector._callback_metrics[name] = connector._logged_metrics[name] = value


def state_of(trainer: Trainer) -> dict[str, Any]:
    """What Lightning would write to a checkpoint now; its tensors are those of the training, not copies."""
    state: dict[str, Any] = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
    return state


def begin_next_epoch(trainer: Trainer) -> None:
    """Has a resumed trainer begin the next epoch instead of going through the rest of the last one."""
    _Loop.restarting.fset(trainer.fit_loop, False)  # type: ignore[attr-defined]  # mypy sees no property here


def cluster_environment(trainer: Trainer) -> ClusterEnvironment | None:
    """What a trainer has found out about the cluster that it runs on."""
    return trainer._accelerator_connector.cluster_environment


def rates_and_losses(trainer: Trainer) -> dict[str, list[float]]:
    """The learning rates (key "lr") and losses (key "loss") that a search for a rate has tried so far."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]  # Lightning sets it elsewhere
    search = next(one for one in callbacks if isinstance(one, _LRCallback))
    return {"lr": search.lrs, "loss": search.losses}


class CommandLine(LightningCLI):
    """A LightningCLI whose steps have public names.

    A subclass may override `add_options_of`, `take_checkpoint` and `set_seed`. Lightning calls them in this order while
    everything that the command line names is built. Nothing is run before `run_subcommand`.
    """

    def add_options_of(self, subcommand: str, parser: LightningArgumentParser) -> None:
        """Adds options that one sub-command has.

        Args:
            subcommand: its name.
            parser: its parser.
        """

    def take_checkpoint(self) -> None:
        """Finds out which checkpoint is meant, when the command line is parsed."""
        super()._parse_ckpt_path()

    def set_seed(self) -> None:
        """Seeds all generators as the config says.

        Raises:
            ValueError: for a seed that is none.
        """
        super()._set_seed()

    def run_subcommand(self) -> None:
        """Runs the method of the trainer that the sub-command names."""
        super()._run_subcommand(str(self.subcommand))

    def value(self, config: Any, key: str, default: Any = None) -> Any:
        """A value of the sub-command's part of a config."""
        return self._get(config, key, default)

    def build_trainer(self, config: Any) -> Trainer:
        """A trainer with the settings of a config, its callbacks included."""
        return self._instantiate_trainer(config, [])

    @property
    def parsers(self) -> dict[str, LightningArgumentParser]:
        """The parsers of all sub-commands by their names."""
        return self._subcommand_parsers

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        self.add_options_of(subcommand, parser)
        return parser

    def _parse_ckpt_path(self) -> None:
        self.take_checkpoint()

    def _set_seed(self) -> None:
        self.set_seed()

    def _run_subcommand(self, subcommand: str) -> None:
        """Leaves it to `run_subcommand`: Lightning would run at the end of building."""
