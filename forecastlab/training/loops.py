"""Epochs of a few milliseconds: Lightning's loops without the calls that reach nobody."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from lightning.fabric.utilities.data import _set_sampler_epoch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.loops.evaluation_loop import _EvaluationLoop
from lightning.pytorch.loops.fetchers import _DataFetcher
from lightning.pytorch.loops.fit_loop import _FitLoop
from lightning.pytorch.loops.loop import _Loop
from lightning.pytorch.loops.optimization.automatic import Closure, ClosureResult
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy
from lightning.pytorch.trainer.connectors.logger_connector.result import _ResultCollection
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.signature_utils import is_param_in_hook_signature
from torch import Tensor

from forecastlab.data.loading import Loader

STEPPING = (
    "backward",
    "configure_gradient_clipping",
    "on_train_batch_start",
    "optimizer_step",
    "optimizer_zero_grad",
)
"""Hooks of a module that change what a step is: a module that has one of its own is trained by Lightning's loops."""


def short_epochs(trainer: Trainer) -> Trainer:
    """Takes from each epoch of a trainer what Lightning spends on hooks that nobody has; everything else stays.

    Lightning calls some twenty hooks in a step, of each callback and of the module, each within a profiler's context,
    though most are empty: about a millisecond, which is more than an epoch of one short batch takes. Here only those
    are called that a callback or the module overrides: in the same order, with the same arguments, and with the same
    numbers to the last bit. Overridden counts what is found when the training starts.

    That holds for the plain case: one device, 32 bits, one optimizer that Lightning steps, no accumulated gradients, no
    profiler, and batches of a `ForecastDataModule` that are cut in this process. All others, and the epoch that a
    training is resumed in, run in Lightning's own loops.

    Args:
        trainer: any trainer, before its `fit`.

    Returns:
        The same trainer; one that has loops of its own keeps them.
    """
    fit, epoch = trainer.fit_loop, trainer.fit_loop.epoch_loop
    validation = epoch.val_loop
    if [type(loop) for loop in (fit, epoch, validation)] != [_FitLoop, _TrainingEpochLoop, _EvaluationLoop]:
        return trainer
    trainer.fit_loop = _continued(ShortFitLoop(trainer), fit)
    trainer.fit_loop.epoch_loop = _continued(ShortEpochLoop(trainer), epoch)
    short = ShortValidationLoop(trainer, validation._trainer_fn, validation._stage)
    trainer.fit_loop.epoch_loop.val_loop = _continued(short, validation)
    return trainer


class Hooks:
    """The hooks that are overridden, called as Lightning calls them: those of callbacks, then the module's.

    Args:
        trainer: a trainer that has a module.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.module: LightningModule = trainer.lightning_module
        self.callbacks = list(_callbacks(trainer))
        self.verified = False
        """Whether Lightning has looked at the arguments of the hooks of a validation."""
        self._found: dict[str, list[Callable[..., Any]]] = {}
        self._numbered: dict[str, bool] = {}
        selector = trainer._data_connector._datahook_selector
        assert selector is not None
        self._before, self._transfer, self._after = (
            getattr(selector.get_instance(name), name)
            for name in ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
        )

    def __call__(self, name: str, *arguments: Any) -> None:
        """Calls a hook; callbacks also get the trainer and the module."""
        found = self._found.get(name)
        if found is None:
            found = self._found[name] = self._find(name)
        for hook in found:
            self.within(name, hook, *arguments)

    def within(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls what may log: `LightningModule.log` asks for the name of the hook that it is called in."""
        before = self.module._current_fx_name
        # not the module's own way, which would look for parameters and buffers of that name
        object.__setattr__(self.module, "_current_fx_name", name)
        result = function(*arguments)
        object.__setattr__(self.module, "_current_fx_name", before)
        return result

    def step(self, name: str, batch: Any, batch_idx: int) -> Any:
        """What `training_step` or `validation_step` gives for a batch, whose number it may not ask for."""
        step = getattr(self.module, name)
        if name not in self._numbered:
            self._numbered[name] = is_param_in_hook_signature(step, "batch_idx", min_args=2)
        return self.within(name, step, batch, batch_idx) if self._numbered[name] else self.within(name, step, batch)

    def transferred(self, batch: Any) -> Any:
        """The batch on the device."""
        device = self.trainer.strategy.root_device
        return self._after(self._transfer(self._before(batch, 0), device, 0), 0)

    def _find(self, name: str) -> list[Callable[..., Any]]:
        early, late = self.callbacks, []
        if name == "on_train_epoch_end":  # those that may watch what the module logs there
            late = [one for one in early if isinstance(one, EarlyStopping | Checkpoint)]
            early = [one for one in early if one not in late]
        before, after = (
            [partial(getattr(one, name), self.trainer, self.module) for one in group if _has(one, name)]
            for group in (early, late)
        )
        return [*before, *([getattr(self.module, name)] if _has(self.module, name) else []), *after]


class ShortFitLoop(_FitLoop):
    """Lightning's loop over epochs; `hooks` is None unless the case is plain."""

    epoch_loop: "ShortEpochLoop"
    hooks: Hooks | None = None

    def on_run_start(self) -> None:
        super().on_run_start()
        self._take(Hooks(self.trainer) if _is_plain(self.trainer) else None)

    def on_advance_start(self) -> None:
        if self.hooks is not None and self.hooks.callbacks != _callbacks(self.trainer):
            self._take(Hooks(self.trainer))
        if self.hooks is None or self.restarting or self.is_resuming:
            super().on_advance_start()
            return
        self.setup_data()
        assert self._combined_loader is not None
        _set_sampler_epoch(self._combined_loader.flattened[0], self.trainer.current_epoch)
        self.epoch_progress.increment_ready()
        self.hooks("on_train_epoch_start")
        self.epoch_progress.increment_started()

    def on_advance_end(self) -> None:
        if self.hooks is None or self.restarting:
            super().on_advance_end()
            return
        connector, epoch = self.trainer._logger_connector, self.epoch_loop
        connector.epoch_end_reached()
        self.epoch_progress.increment_processed()
        self.hooks("on_train_epoch_end")
        logged = _logged(epoch._results)
        if logged:
            connector.on_epoch_end()
        if epoch._num_ready_batches_reached():
            epoch.update_lr_schedulers("epoch", update_plateau_schedulers=True)
        if logged:
            epoch._batches_that_stepped -= 1  # the step that the epoch ended with
            connector.update_train_epoch_metrics()
            epoch._batches_that_stepped += 1
        self.epoch_progress.increment_completed()
        if self.trainer.received_sigterm:
            raise SIGTERMException

    def teardown(self) -> None:
        super().teardown()
        self._take(None)

    def _take(self, hooks: Hooks | None) -> None:
        self.hooks = self.epoch_loop.hooks = self.epoch_loop.val_loop.hooks = hooks


class ShortEpochLoop(_TrainingEpochLoop):
    """Lightning's loop over the batches of an epoch."""

    val_loop: "ShortValidationLoop"
    hooks: Hooks | None = None
    _batches: Iterator[Any] | None = None

    def on_run_start(self, data_fetcher: _DataFetcher) -> None:
        trainer = self.trainer
        plain = trainer.accumulate_grad_batches == 1 and not self.automatic_optimization._skip_backward
        if self.hooks is None or not plain or self.restarting or trainer.fit_loop.is_resuming:
            self._batches = None
            super().on_run_start(data_fetcher)
            return
        self._batches = iter(data_fetcher.combined_loader.flattened[0])

    def advance(self, data_fetcher: _DataFetcher) -> None:
        if self.hooks is None or self._batches is None:
            super().advance(data_fetcher)
            return
        hooks, connector, progress = self.hooks, self.trainer._logger_connector, self.batch_progress
        batch, batch_idx = next(self._batches), self.batch_idx + 1
        progress.is_last_batch = batch_idx + 1 >= self.trainer.num_training_batches
        batch = hooks.transferred(batch)
        progress.increment_ready()
        connector.on_batch_start(batch)
        hooks("on_train_batch_start", batch, batch_idx)
        progress.increment_started()
        outputs = self._step(hooks, batch, batch_idx)
        progress.increment_processed()
        self.update_lr_schedulers("step", update_plateau_schedulers=False)
        if progress.is_last_batch:
            self.update_lr_schedulers("epoch", update_plateau_schedulers=False)
        hooks("on_train_batch_end", outputs, batch, batch_idx)
        logged = _logged(self._results)
        if logged:
            connector.on_batch_end()
        else:
            self._results.batch = self._results.batch_size = None
        progress.increment_completed()
        if logged:
            connector.update_train_step_metrics()

    def _step(self, hooks: Hooks, batch: Any, batch_idx: int) -> dict[str, Any]:
        """Forward, backward, and the step of the optimizer."""
        trainer, optimizer = self.trainer, self.trainer.optimizers[0]
        progress = self.automatic_optimization.optim_progress.optimizer

        def forward() -> ClosureResult:
            output = hooks.step("training_step", batch, batch_idx)
            if isinstance(output, Tensor):
                return ClosureResult(output)
            return ClosureResult.from_training_step_output(output)

        def zero_grad() -> None:
            progress.zero_grad.increment_ready()
            hooks("on_before_zero_grad", optimizer)
            progress.zero_grad.increment_started()
            optimizer.zero_grad()
            progress.zero_grad.increment_completed()

        def backward(loss: Tensor) -> None:
            hooks("on_before_backward", loss)
            loss.backward()
            hooks("on_after_backward")

        def gradients() -> Tensor | None:
            loss = closure()
            hooks("on_before_optimizer_step", optimizer)
            if trainer.gradient_clip_val:
                hooks.module.configure_gradient_clipping(
                    optimizer, trainer.gradient_clip_val, trainer.gradient_clip_algorithm
                )
            return loss

        closure = Closure(forward, backward, zero_grad)
        progress.step.increment_ready()
        hooks.within("optimizer_step", partial(optimizer.step, closure=gradients))
        progress.step.increment_completed()
        result = closure.consume_result()
        return {} if result.loss is None else result.asdict()


class ShortValidationLoop(_EvaluationLoop):
    """Lightning's loop over the batches of a validation."""

    hooks: Hooks | None = None

    def _verify_dataloader_idx_requirement(self) -> None:
        if self.hooks is None or not self.hooks.verified:
            super()._verify_dataloader_idx_requirement()
        if self.hooks is not None:
            self.hooks.verified = True

    def _on_evaluation_start(self, *args: Any, **kwargs: Any) -> None:
        if self.hooks is None:
            super()._on_evaluation_start(*args, **kwargs)
        else:
            self.hooks("on_validation_start")

    def _on_evaluation_epoch_start(self, *args: Any, **kwargs: Any) -> None:
        if self.hooks is None:
            super()._on_evaluation_epoch_start(*args, **kwargs)
        else:
            self.hooks("on_validation_epoch_start")

    def _on_evaluation_epoch_end(self) -> None:
        if self.hooks is None:
            super()._on_evaluation_epoch_end()
        else:
            self.hooks("on_validation_epoch_end")
            self.trainer._logger_connector.on_epoch_end()

    def _on_evaluation_end(self, *args: Any, **kwargs: Any) -> None:
        if self.hooks is None:
            super()._on_evaluation_end(*args, **kwargs)
        else:
            self.hooks("on_validation_end")
            self.trainer._logger_connector.reset_results()

    def _evaluation_step(self, batch: Any, batch_idx: int, dataloader_idx: int, dataloader_iter: Any) -> None:
        if self.hooks is None or self.num_dataloaders > 1 or dataloader_iter is not None:
            super()._evaluation_step(batch, batch_idx, dataloader_idx, dataloader_iter)
            return
        hooks, connector, progress = self.hooks, self.trainer._logger_connector, self.batch_progress
        batch = hooks.transferred(batch)
        progress.increment_ready()
        connector.on_batch_start(batch)
        hooks("on_validation_batch_start", batch, batch_idx)
        progress.increment_started()
        output = hooks.step("validation_step", batch, batch_idx)
        progress.increment_processed()
        hooks("on_validation_batch_end", output, batch, batch_idx)
        connector.on_batch_end()
        progress.increment_completed()
        self._has_run = True
        connector.update_eval_step_metrics(self._seen_batches_per_dataloader[dataloader_idx])
        self._seen_batches_per_dataloader[dataloader_idx] += 1
        if not progress.is_last_batch and self.trainer.received_sigterm:
            raise SIGTERMException


def _is_plain(trainer: Trainer) -> bool:
    """Whether a trainer, about to train, does so in the plain way."""
    module, strategy = trainer.lightning_module, trainer.strategy
    combined = trainer.fit_loop._combined_loader
    loaders = [] if combined is None else combined.flattened
    return (
        type(strategy) is SingleDeviceStrategy
        and strategy.model is module
        and type(trainer.precision_plugin) is Precision
        and type(trainer.profiler) is PassThroughProfiler  # type: ignore[attr-defined]  # likewise
        and module.automatic_optimization
        and len(trainer.optimizers) == 1
        and not isinstance(trainer.optimizers[0], LightningOptimizer)
        and not any(_has(module, name) for name in STEPPING)
        and [type(loader) for loader in loaders] == [Loader]
        and not loaders[0].num_workers
    )


def _callbacks(trainer: Trainer) -> list[Callback]:
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # Lightning sets it elsewhere
    return callbacks


def _has(one: Callback | LightningModule, name: str) -> bool:
    """Whether a hook is not the empty one, by its class or by an attribute."""
    base = Callback if isinstance(one, Callback) else LightningModule
    method = getattr(one, name)
    return getattr(method, "__func__", method) is not getattr(base, name)


def _logged(results: _ResultCollection) -> bool:
    """Whether anything was logged that Lightning has not passed on and forgotten."""
    return any(not result.has_reset for result in results.values())


def _continued(new: Any, old: _Loop) -> Any:
    """A loop in the place of another one, with its progress and its parts."""
    vars(new).update(vars(old))
    return new
