"""What is relied on of Lightning and its kin without their promising it: an upgrade that changes it fails here.

Each message says what to look at.
"""

import ast
import hashlib
import inspect
import multiprocessing
import signal
from functools import partial
from pathlib import Path

import jsonargparse
import optuna
import pytest
import torch
from lightning.fabric.utilities.data import _set_sampler_epoch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.loops.evaluation_loop import _EvaluationLoop
from lightning.pytorch.loops.fit_loop import _FitLoop
from lightning.pytorch.loops.loop import _Loop
from lightning.pytorch.loops.optimization.automatic import Closure, ClosureResult, _AutomaticOptimization
from lightning.pytorch.loops.progress import _OptimizerProgress, _Progress
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.plugins.environments import ClusterEnvironment, SLURMEnvironment
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.strategies import SingleDeviceStrategy
from lightning.pytorch.strategies.launchers.subprocess_script import _SubprocessScriptLauncher
from lightning.pytorch.trainer import call
from lightning.pytorch.trainer.connectors.checkpoint_connector import _CheckpointConnector
from lightning.pytorch.trainer.connectors.data_connector import _DataHookSelector
from lightning.pytorch.trainer.connectors.logger_connector.logger_connector import _LoggerConnector
from lightning.pytorch.trainer.connectors.logger_connector.result import _ResultCollection, _ResultMetric
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch.optim import SGD
from torch.optim.lr_scheduler import StepLR
from torch.utils.tensorboard import SummaryWriter

import forecastlab
from forecastlab.backbones.lstm import LSTM
from forecastlab.data.loading import BatchSampler
from forecastlab.runs.signals import Stopped
from forecastlab.training.forecaster import Forecaster
from tests.series import Series, noise, trainer

METHODS = [
    (
        LightningCLI,
        "_parse_ckpt_path",
        ["self"],
        "cli/command_line.py keeps it from reading class paths",
    ),
    (LightningCLI, "_set_seed", ["self"], "cli/command_line.py turns its errors into ours"),
    (LightningCLI, "_run_subcommand", ["self", "subcommand"], "cli/crossval.py parses a config without running it"),
    (LightningCLI, "_instantiate_trainer", ["self", "config", "callbacks"], "cli/command_line.py calls it"),
    (LightningCLI, "_get", ["self", "config", "key", "default"], "cli/command_line.py reads the config with it"),
    (LightningModule, "_set_hparams", ["self", "hp"], "forecaster.py saves its parts with it"),
    (_CheckpointConnector, "dump_checkpoint", ["self", "weights_only"], "callbacks/checkpoints.py copies the state"),
    (SummaryWriter, "_get_file_writer", ["self"], "callbacks/run_logger.py writes a step's values as one event"),
    (_TrainingEpochLoop, "_num_ready_batches_reached", ["self"], "loops.py ends an epoch with it"),
    (_SubprocessScriptLauncher, "kill", ["self", "signum"], "Lightning ends the other devices' processes with it"),
]


@pytest.mark.parametrize(("owner", "name", "arguments", "use"), METHODS, ids=lambda value: str(value)[:40])
def test_a_private_method_is_there_and_takes_what_it_took(owner, name, arguments, use):
    method = getattr(owner, name, None)
    assert callable(method), f"{owner.__module__}.{owner.__name__}.{name} is gone: {use}"
    found = list(inspect.signature(method).parameters)
    assert found == arguments, f"{method.__qualname__} takes {found} now, not {arguments}: {use}"


ATTRIBUTES = {
    "_subcommand_parsers",
    "_option_string_actions",
    "_checkpoint_connector",
    "_accelerator_connector",
    "_trial_id",
}
ATTRIBUTES |= {"_C", "_is_tracing", "_are_functorch_transforms_active", "_version", "_foreach_norm"}
ATTRIBUTES |= {"_data_connector", "_datahook_selector", "_logger_connector", "_combined_loader", "_results"}
ATTRIBUTES |= {"_trainer_fn", "_stage", "_seen_batches_per_dataloader", "_skip_backward", "_current_fx_name"}
ATTRIBUTES |= {"_callback_metrics", "_logged_metrics", "_trainer"}
"""Private attributes that the tests below look at."""
PYTHON = {"_replace", "_asdict", "_fields"}
"""Of named tuples, which are documented."""


def test_every_private_name_of_others_that_is_used_is_guarded_here():
    used, ours = set(), set()
    for path in Path(forecastlab.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                used.add(node.attr)
            elif isinstance(node, ast.Attribute):
                ours.add(node.attr)
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                ours.add(node.name)
            elif isinstance(node, ast.AnnAssign | ast.Assign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                ours |= {target.id for target in targets if isinstance(target, ast.Name)}
            elif isinstance(node, ast.Call):  # names of buffers, as in register_buffer("_seen", ...)
                ours |= {argument.value for argument in node.args[:1] if isinstance(argument, ast.Constant)}
    foreign = {name for name in used - ours - PYTHON if name.startswith("_") and not name.endswith("__")}
    assert foreign <= ATTRIBUTES | {name for _, name, _, _ in METHODS}, "guard these names here"


def test_a_command_line_calls_its_steps_in_the_order_that_ours_relies_on():
    source = inspect.getsource(LightningCLI.__init__)
    steps = [
        "self.parse_arguments(",
        "self._parse_ckpt_path(",
        "self._set_seed(",
        "self.before_instantiate_classes(",
        "self.instantiate_classes(",
        "self.after_instantiate_classes(",
        "self._run_subcommand(",
    ]
    places = [source.find(step) for step in steps]
    assert -1 not in places, "LightningCLI.__init__ lost a step: see ForecastCLI"
    assert places == sorted(places), "LightningCLI.__init__ has another order: see ForecastCLI"
    assert "_subcommand_parsers" in inspect.getsource(LightningCLI._add_subcommands), "see cli/crossval.py"


def test_a_parser_lists_its_options():
    parser = jsonargparse.ArgumentParser()
    parser.add_argument("--some.option", type=int)
    assert "--some.option" in parser._option_string_actions, "cli/command_line.py suggests options from this"


def test_the_trainer_and_a_launcher_hold_what_ours_looks_at():
    running = trainer()
    assert isinstance(running._checkpoint_connector, _CheckpointConnector), "see callbacks/checkpoints.py"
    environment = running._accelerator_connector.cluster_environment
    assert isinstance(environment, ClusterEnvironment), "see callbacks/stop_signals.py"
    assert {"auto_requeue", "requeue_signal"} <= set(inspect.signature(SLURMEnvironment).parameters), "see there"
    assert "self.procs" in inspect.getsource(_SubprocessScriptLauncher), "ForecastCLI waits for these processes"
    assert isinstance(_Loop.restarting, property), "Checkpoints.on_train_start sets it"
    assert _Loop.restarting.fset is not None, "Checkpoints.on_train_start sets it"
    assert rank_zero_only.rank == 0, "ForecastCLI asks it which process is the first"


def test_a_module_has_no_trainer_until_it_is_given_one():
    module, running = LightningModule(), trainer()
    assert module._trainer is None, "Forecaster asks it whether it is loaded or applied without a trainer"
    module.trainer = running
    assert module._trainer is running, "see there"


def test_a_trial_of_a_study_knows_its_number_in_the_storage():
    study = optuna.create_study()
    assert study._storage.get_trial(study.ask()._trial_id).number == 0, "tuning/study.py tells the storage by it"


def test_torch_says_whether_it_traces_or_transforms():
    def transformed(x):
        assert torch._C._are_functorch_transforms_active(), "see backbones/kernels"
        return x

    torch.func.vmap(transformed)(torch.zeros(2))
    assert not torch._C._are_functorch_transforms_active()
    assert torch._C._is_tracing() is False, "see backbones/kernels"


def test_torch_counts_writes_to_a_tensor_and_takes_the_norms_of_several():
    x = torch.ones(3)
    before = x._version
    x[1:].mul_(2)
    assert x._version == before + 1, "data/windows.py keeps a batch until it is written to"
    norms = torch._foreach_norm([x, torch.tensor([[3.0, 4.0]])])
    assert torch.stack(norms).tolist() == [3.0, 5.0], "see callbacks/training_curves.py"


REPLACED = {
    _FitLoop: ["run", "on_run_start", "on_advance_start", "advance", "on_advance_end", "teardown"],
    _TrainingEpochLoop: ["run", "on_run_start", "advance", "on_advance_end", "reset"],
    _EvaluationLoop: [
        *("_verify_dataloader_idx_requirement", "_evaluation_step", "_on_evaluation_start", "_on_evaluation_end"),
        *("_on_evaluation_epoch_start", "_on_evaluation_epoch_end"),
    ],
    _AutomaticOptimization: [
        *("run", "_make_closure", "_make_zero_grad_fn", "_make_backward_fn", "_optimizer_step"),
        *("_on_before_zero_grad", "_optimizer_zero_grad", "_training_step"),
    ],
    Closure: ["closure"],
    ClosureResult: ["from_training_step_output", "asdict"],
    Precision: ["pre_backward", "backward", "post_backward", "_after_closure", "_wrap_closure", "optimizer_step"],
    SingleDeviceStrategy: ["batch_to_device", "training_step", "backward", "optimizer_step"],
    LightningModule: [
        *("optimizer_step", "optimizer_zero_grad", "backward", "configure_gradient_clipping", "clip_gradients"),
        *("_on_before_batch_transfer", "_apply_batch_transfer_handler", "_call_batch_hook"),
    ],
    _LoggerConnector: [
        *("on_batch_start", "on_batch_end", "update_train_step_metrics", "epoch_end_reached", "on_epoch_end"),
        *("update_train_epoch_metrics", "reset_results", "log_metrics", "update_eval_step_metrics"),
    ],
    _ResultCollection: ["valid_items", "metrics", "update_metrics", "reset"],
    call: ["_call_callback_hooks", "_call_lightning_module_hook", "_call_strategy_hook"],
}
"""What `loops.py` does in place of Lightning, or leaves out because it comes to nothing."""


def test_what_our_loops_stand_for_is_as_it_was_when_they_were_written():
    sources = [inspect.getsource(getattr(owner, name)) for owner, names in REPLACED.items() for name in names]
    found = hashlib.sha256("".join("".join(sources).split()).encode()).hexdigest()[:16]
    assert found == "2072701cd374a9c5", (
        "Lightning's loops changed: compare them with loops.py, then write down what was found"
    )


def test_the_parts_of_lightnings_loops_are_where_ours_look_for_them(monkeypatch):
    running = fitted([], monkeypatch)
    fit, epoch, validation = running.fit_loop, running.fit_loop.epoch_loop, running.fit_loop.epoch_loop.val_loop
    assert [type(loop) for loop in (fit, epoch, validation)] == [_FitLoop, _TrainingEpochLoop, _EvaluationLoop]
    assert isinstance(running._data_connector._datahook_selector, _DataHookSelector)
    assert running._data_connector._datahook_selector.get_instance("transfer_batch_to_device") is running.datamodule
    assert isinstance(running._logger_connector, _LoggerConnector)
    assert isinstance(epoch._results, _ResultCollection)
    assert "has_reset" in vars(_ResultMetric(None, False))
    assert isinstance(epoch.automatic_optimization.optim_progress.optimizer, _OptimizerProgress)
    assert isinstance(epoch.batch_progress, _Progress)
    assert epoch.automatic_optimization._skip_backward is False
    assert epoch._batches_that_stepped == running.global_step == 2
    assert len(fit._combined_loader.flattened) == validation.num_dataloaders == 1
    assert validation._seen_batches_per_dataloader == {0: 2}
    assert (validation._trainer_fn, validation._stage) == ("fit", "validate")
    assert running.lightning_module._current_fx_name is None
    for metrics in ("callback_metrics", "logged_metrics"):
        getattr(running._logger_connector, f"_{metrics}")["told"] = torch.tensor(1.0)
        assert "told" in getattr(running, metrics), "Forecaster._publish writes into them"
    assert list(inspect.signature(_set_sampler_epoch).parameters) == ["dataloader", "epoch"]


class Recorder(Callback):
    """Writes down which hook is called when, and what the trainer counts then."""

    def __init__(self, calls):
        self.calls = calls

    def record(self, name, trainer):
        rate = trainer.optimizers[0].param_groups[0]["lr"] if trainer.optimizers else None
        self.calls.append((name, trainer.current_epoch, trainer.global_step, rate))

    def setup(self, trainer, pl_module, stage):
        self.record("setup", trainer)

    def on_load_checkpoint(self, trainer, pl_module, checkpoint):
        self.record("on_load_checkpoint", trainer)
        for state in checkpoint["optimizer_states"]:
            state["param_groups"][0]["lr"] = 0.125  # as GivenSettings does

    def on_train_start(self, trainer, pl_module):
        self.record("on_train_start", trainer)

    def on_train_epoch_start(self, trainer, pl_module):
        self.record("on_train_epoch_start", trainer)

    def on_validation_end(self, trainer, pl_module):
        self.record("on_validation_end", trainer)

    def on_train_epoch_end(self, trainer, pl_module):
        self.record("on_train_epoch_end", trainer)

    def on_train_end(self, trainer, pl_module):
        self.record("on_train_end", trainer)

    def on_exception(self, trainer, pl_module, exception):
        self.record("on_exception", trainer)


class Sampled(BatchSampler):
    """Writes down which epoch the sampler of the training is told, and which it draws."""

    calls: list

    def set_epoch(self, epoch):
        super().set_epoch(epoch)
        if self._seed is not None:
            self.calls.append(("set_epoch", epoch))

    def __iter__(self):
        if self._seed is not None:
            self.calls.append(("iterate", self._epoch))
        return super().__iter__()


def fitted(calls, monkeypatch, epochs=2, ckpt_path=None, callbacks=(), **arguments):
    data = Series(noise(60), fold=2, batch_size=100)
    monkeypatch.setattr("forecastlab.data.loading.BatchSampler", Sampled)
    Sampled.calls = calls
    model = Forecaster(
        partial(LSTM, hidden_size=2),
        optimizer=partial(SGD, lr=1.0),
        lr_scheduler=partial(StepLR, step_size=1, gamma=0.5),
        schema=data.schema,
    )
    running = trainer(max_epochs=epochs, callbacks=[*callbacks, Recorder(calls)], **arguments)
    running.fit(model, data, ckpt_path=ckpt_path, weights_only=True)
    return running


def test_the_hooks_of_an_epoch_come_in_the_order_that_checkpoints_rely_on(monkeypatch):
    calls = []
    fitted(calls, monkeypatch)
    hooks = [call for call in calls if len(call) == 4]
    assert hooks == [
        ("setup", 0, 0, None),
        ("on_train_start", 0, 0, 1.0),
        ("on_train_epoch_start", 0, 0, 1.0),
        ("on_validation_end", 0, 1, 0.5),
        ("on_train_epoch_end", 0, 1, 0.5),
        ("on_train_epoch_start", 1, 1, 0.5),  # the epoch before is complete: counted, and the schedule has stepped
        ("on_validation_end", 1, 2, 0.25),
        ("on_train_epoch_end", 1, 2, 0.25),
        ("on_train_end", 2, 2, 0.25),
    ], "Lightning's hooks come in another order: see callbacks/checkpoints.py"


def test_the_sampler_is_told_the_epoch_before_it_is_iterated(monkeypatch):
    calls = []
    fitted(calls, monkeypatch)
    training = [call for call in calls if len(call) == 2]
    assert training[-2:] == [("set_epoch", 1), ("iterate", 1)], f"Lightning does {training}: see data/windows.py"
    assert [call for call in training if call[0] == "iterate"] == [("iterate", 0), ("iterate", 1)]


def test_a_checkpoint_can_be_changed_before_the_optimizer_takes_it(tmp_path, monkeypatch):
    path = tmp_path / "x.ckpt"
    fitted([], monkeypatch).save_checkpoint(path)
    calls = []
    fitted(calls, monkeypatch, epochs=3, ckpt_path=str(path))
    names = [call[0] for call in calls if len(call) == 4]
    assert names.index("on_load_checkpoint") < names.index("on_train_start")
    rates = {call[0]: call[3] for call in calls if len(call) == 4}
    assert rates["on_train_start"] == 0.125, "optimizers are restored first now: see callbacks/given_settings.py"


def test_early_stopping_keeps_its_patience_in_its_state():
    assert "patience" in EarlyStopping("val/loss").state_dict(), "see callbacks/given_settings.py"


class Fails(Callback):
    """Raises an error in the second epoch."""

    def __init__(self, error):
        self.error = error

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.current_epoch == 1:
            raise self.error


def test_callbacks_hear_of_an_error_before_the_logs_are_closed(tmp_path, monkeypatch):
    calls = []
    logger = TensorBoardLogger(tmp_path)
    monkeypatch.setattr(logger, "finalize", lambda status: calls.append(("finalize", status)))
    with pytest.raises(MemoryError):
        fitted(calls, monkeypatch, callbacks=[Fails(MemoryError())], logger=logger)
    found = [call for call in calls if call[0] in ("on_exception", "finalize")]
    assert [call[0] for call in found] == ["on_exception", "finalize"], "see Checkpoints.on_exception"
    assert found[1] == ("finalize", "failed")


def test_an_interrupt_becomes_an_exit_that_remembers_it(monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    calls = []
    with pytest.raises(SystemExit) as raised:
        fitted(calls, monkeypatch, callbacks=[Fails(Stopped(signal.SIGTERM))])
    assert Stopped.behind(raised.value).status == 143, "see ForecastCLI, which looks for what led to the exit"
    assert "on_exception" in [call[0] for call in calls]
    assert signal.getsignal(signal.SIGINT) == before
    assert issubclass(SIGTERMException, SystemExit), "see ForecastCLI"


def test_a_handler_of_sigterm_that_is_put_back_when_training_starts_stays(monkeypatch):
    heard, raised = [], []

    def ours(number, frame):
        heard.append(number)

    class Signals(Callback):
        def on_train_start(self, trainer, pl_module):
            raised.append(signal.getsignal(signal.SIGTERM))
            signal.signal(signal.SIGTERM, ours)

        def on_train_epoch_end(self, trainer, pl_module):
            signal.raise_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, ours)
    try:
        fitted([], monkeypatch, callbacks=[Signals()])
        assert raised[0] is not ours, (
            "Lightning registers no handler before on_train_start: see callbacks/stop_signals.py"
        )
        assert heard == [signal.SIGTERM] * 2, "Lightning takes its handler back: see callbacks/stop_signals.py"
        assert signal.getsignal(signal.SIGTERM) is ours
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_job_can_watch_for_the_death_of_the_process_that_began_it():
    context = multiprocessing.get_context("forkserver")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_has_a_sentinel, args=(sender,))
    process.start()
    assert receiver.poll(60)
    assert receiver.recv(), "parent_process() has no sentinel: see evaluation/jobs.py"
    process.join()


def _has_a_sentinel(connection):
    connection.send(multiprocessing.parent_process().sentinel is not None)


def test_a_trainer_takes_the_options_that_the_command_line_sets():
    names = inspect.signature(Trainer.__init__).parameters
    for name in ("callbacks", "logger", "plugins", "enable_progress_bar", "log_every_n_steps", "num_sanity_val_steps"):
        assert name in names, f"Trainer has no {name} any more: see ForecastCLI"
