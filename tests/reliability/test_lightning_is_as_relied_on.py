"""What is relied on of Lightning and its kin without their promising it: an upgrade that changes it fails here.

Each message says what to look at.
"""

import inspect
import multiprocessing
import signal
from functools import partial

import jsonargparse
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, LambdaCallback
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.environments import ClusterEnvironment, SLURMEnvironment
from lightning.pytorch.strategies.launchers.subprocess_script import _SubprocessScriptLauncher
from lightning.pytorch.trainer.connectors.checkpoint_connector import _CheckpointConnector
from lightning.pytorch.tuner import Tuner
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch.optim import SGD
from torch.optim.lr_scheduler import StepLR
from torch.utils.tensorboard import SummaryWriter

from forecastlab.adapters.jsonargparse import options_of
from forecastlab.adapters.lightning import (
    STEP_HOOKS,
    Module,
    begin_next_epoch,
    cluster_environment,
    rates_and_losses,
    set_hyperparameters,
    set_metric,
    skip_empty_hooks,
    state_of,
    trainer_of,
)
from forecastlab.backbones.lstm import LSTM
from forecastlab.data.loading import BatchSampler
from forecastlab.runs.signals import Stopped
from forecastlab.training.forecaster import Forecaster
from tests.series import Series, noise, trainer

METHODS = [
    (LightningCLI, "_parse_ckpt_path", ["self"], "a step of CommandLine"),
    (LightningCLI, "_set_seed", ["self"], "a step of CommandLine"),
    (LightningCLI, "_run_subcommand", ["self", "subcommand"], "a step of CommandLine"),
    (LightningCLI, "_instantiate_trainer", ["self", "config", "callbacks"], "CommandLine.build_trainer"),
    (LightningCLI, "_prepare_subcommand_parser", ["self", "klass", "subcommand", "kwargs"], "a step of CommandLine"),
    (LightningCLI, "_get", ["self", "config", "key", "default"], "CommandLine.value"),
    (LightningModule, "_set_hparams", ["self", "hp"], "set_hyperparameters"),
    (_CheckpointConnector, "dump_checkpoint", ["self", "weights_only"], "state_of"),
    (SummaryWriter, "_get_file_writer", ["self"], "event_writer"),
    (torch.nn.Module, "_apply", ["self", "fn", "recurse"], "FollowsDevicesOnly"),
    (_SubprocessScriptLauncher, "kill", ["self", "signum"], "Lightning ends the other devices' processes with it"),
]
"""Private methods, and what in `forecastlab/adapters` hides them."""


@pytest.mark.parametrize(("owner", "name", "arguments", "use"), METHODS, ids=lambda value: str(value)[:40])
def test_a_private_method_is_there_and_takes_what_it_took(owner, name, arguments, use):
    method = getattr(owner, name, None)
    assert callable(method), f"{owner.__module__}.{owner.__name__}.{name} is gone: see {use}"
    found = list(inspect.signature(method).parameters)
    assert found == arguments, f"{method.__qualname__} takes {found} now, not {arguments}: see {use}"


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
    assert -1 not in places, "LightningCLI.__init__ lost a step: see Experiment"
    assert places == sorted(places), "LightningCLI.__init__ has another order: see Experiment"
    assert "_subcommand_parsers" in inspect.getsource(LightningCLI._add_subcommands), "see CommandLine.parsers"


def test_a_parser_lists_its_options():
    parser = jsonargparse.ArgumentParser()
    parser.add_argument("--some.option", type=int)
    assert options_of(parser)["--some.option"].dest == "some.option"


def test_the_trainer_and_a_launcher_hold_what_ours_looks_at():
    assert isinstance(cluster_environment(trainer()), ClusterEnvironment)
    assert {"auto_requeue", "requeue_signal"} <= set(inspect.signature(SLURMEnvironment).parameters), (
        "see callbacks/stop_signals.py"
    )
    assert "self.procs" in inspect.getsource(_SubprocessScriptLauncher), "Experiment waits for these processes"
    assert rank_zero_only.rank == 0, "Experiment asks it which process is the first"


def test_a_module_has_no_trainer_until_it_is_given_one():
    module, running = LightningModule(), trainer()
    assert trainer_of(module) is None
    module.trainer = running
    assert trainer_of(module) is running


def test_the_hyperparameters_of_a_module_are_those_that_it_is_given_and_are_not_logged(tmp_path):
    module = LightningModule()
    set_hyperparameters(module, {"a": 1, "b": {"c": [2]}})
    assert dict(module.hparams) == {"a": 1, "b": {"c": [2]}}
    assert module._log_hyperparams is False


def test_a_metric_that_is_set_reaches_callbacks(monkeypatch):
    running = fitted([], monkeypatch)
    set_metric(running, "told", torch.tensor(1.5))
    assert running.callback_metrics["told"] == running.logged_metrics["told"] == 1.5


def test_the_state_of_a_trainer_is_what_it_would_save(monkeypatch, tmp_path):
    running = fitted([], monkeypatch)
    running.save_checkpoint(tmp_path / "x.ckpt")
    saved, state = torch.load(tmp_path / "x.ckpt", weights_only=True), state_of(running)
    assert set(saved) == set(state)
    assert saved["loops"] == state["loops"]
    assert all(torch.equal(saved["state_dict"][name], tensor) for name, tensor in state["state_dict"].items())


def test_a_resumed_trainer_can_be_told_to_begin_the_next_epoch():
    running = trainer()
    running.fit_loop.restarting = True
    begin_next_epoch(running)
    assert running.fit_loop.restarting is False


def test_a_search_for_a_learning_rate_that_failed_tells_what_it_has_tried(tmp_path):
    class Fails(Forecaster):
        def training_step(self, batch):
            if self.global_step == 7:
                raise MemoryError
            return super().training_step(batch)

    data = Series(noise(60), fold=2)
    model = Fails(partial(LSTM, hidden_size=2), optimizer=partial(SGD, lr=1.0), schema=data.schema)
    running = trainer(max_epochs=20, default_root_dir=tmp_path)
    with pytest.raises(MemoryError):
        Tuner(running).lr_find(model, datamodule=data, min_lr=1e-6, max_lr=1.0, num_training=10, update_attr=False)
    found = rates_and_losses(running)
    assert len(found["lr"]) >= len(found["loss"]) == 7
    assert found["lr"] == sorted(found["lr"])
    assert 1e-6 <= found["lr"][0] < found["lr"][-1] < 1


# ---- hooks that are left out ----


def test_a_step_calls_the_hooks_that_callbacks_have_and_no_others(monkeypatch):
    class Has(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            heard.append("class")

    heard = []
    several = LambdaCallback(
        on_before_backward=lambda *_: heard.append("instance"), on_after_backward=lambda *_: heard.append("instance")
    )
    callbacks = [Callback(), Has(), several]
    running = trainer(callbacks=callbacks, max_epochs=1)
    skip_empty_hooks(running)
    empty, has, several = callbacks
    assert [name for name in STEP_HOOKS if getattr(empty, name) is not None] == []
    assert [name for name in STEP_HOOKS if getattr(has, name) is not None] == ["on_train_batch_end"]
    data = Series(noise(60), fold=2, batch_size=100)
    running.fit(Forecaster(partial(LSTM, hidden_size=2), schema=data.schema), data)
    assert heard == ["instance", "instance", "class"]


def test_the_step_hooks_are_all_that_lightning_calls_in_every_step(monkeypatch):
    class Counts(Callback):
        pass

    calls, running = [], trainer(max_epochs=1, limit_train_batches=3, limit_val_batches=0)
    for name in dir(Callback):
        if name.startswith("on_"):
            setattr(Counts, name, lambda self, *_, name=name, **__: calls.append(name))
    running.callbacks.append(Counts())
    data = Series(noise(60), fold=2, batch_size=5)
    running.fit(Forecaster(partial(LSTM, hidden_size=2), schema=data.schema), data)
    assert {name for name in calls if calls.count(name) == 3} == set(STEP_HOOKS)


def test_a_module_keeps_text_and_none_as_torch_does():
    class Small(Module):
        def __init__(self):
            super().__init__()
            self.layer, self.text = torch.nn.Linear(1, 1), None
            self.register_buffer("seen", torch.zeros(1))

    module = Small()
    module.text = "a"
    assert (module.text, vars(module)["text"]) == ("a", "a")
    module.text = None
    assert module.text is None
    module.layer = module.seen = None  # these are kept elsewhere, and stay there
    assert dict(module.named_parameters()) == {}
    assert list(module.state_dict()) == []
    module.text = torch.nn.Linear(1, 1)
    assert list(module.state_dict()) == ["text.weight", "text.bias"]


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
    assert Stopped.behind(raised.value).status == 143, "see Experiment, which looks for what led to the exit"
    assert "on_exception" in [call[0] for call in calls]
    assert signal.getsignal(signal.SIGINT) == before
    assert issubclass(SIGTERMException, SystemExit), "see Experiment"


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
        assert name in names, f"Trainer has no {name} any more: see Experiment"
