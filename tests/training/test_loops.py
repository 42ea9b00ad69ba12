"""`short_epochs` against Lightning's own loops, which are the reference: every number and every call must be theirs."""

from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.callbacks import (
    GradientAccumulationScheduler,
    LambdaCallback,
    LearningRateMonitor,
    ModelCheckpoint,
    StochasticWeightAveraging,
    Timer,
)
from lightning.pytorch.cli import ReduceLROnPlateau
from torch.optim import LBFGS, SGD, Adam
from torch.optim.lr_scheduler import OneCycleLR, StepLR
from torch.utils.data import DataLoader

import forecastlab
from forecastlab.backbones.lstm import LSTM
from forecastlab.errors import NotFiniteError
from forecastlab.training.callbacks import (
    Checkpoints,
    EarlyStopping,
    GivenSettings,
    RandomState,
    RunLogger,
    TrainingCurves,
)
from forecastlab.training.forecaster import Forecaster
from forecastlab.training.loops import ShortEpochLoop, ShortFitLoop, short_epochs
from tests.series import Series, noise, trainer

HOOKS = [name for name in dir(Callback) if name.startswith("on_") or name in ("setup", "teardown")]


class StepsTheRate(Forecaster):
    """Has a schedule by steps, and one by epochs."""

    def configure_optimizers(self):
        optimizer = Adam(self.parameters())
        steps = OneCycleLR(optimizer, 0.1, total_steps=self.trainer.estimated_stepping_batches)
        epochs = StepLR(optimizer, step_size=2)
        return [optimizer], [{"scheduler": steps, "interval": "step"}, {"scheduler": epochs, "interval": "epoch"}]


def summary(value):
    """What can be compared of an argument of a hook: numbers, kinds and shapes."""
    if isinstance(value, torch.Tensor):
        return value.detach().tolist()
    if isinstance(value, dict) and "loss" in value:
        return {name: summary(part) for name, part in value.items()}
    if isinstance(value, tuple):
        return [summary(part) for part in value]
    return value if isinstance(value, int | str | None) else type(value).__name__


def recorder(calls, who, base):
    """A class that overrides every hook of a base, and writes down each call and what the trainer counts then."""

    def hook(name):
        def record(self, *arguments, **options):
            running, module = arguments[:2] if base is Callback else (self._trainer, self)
            counted = (None, None, None)
            if running is not None and name not in ("teardown", "on_fit_end"):
                progress = running.fit_loop.epoch_loop.batch_progress.current
                counted = (running.current_epoch, running.global_step, (progress.ready, progress.completed))
                counted += (running.fit_loop.epoch_loop._results.batch is None,)
                counted += (running.is_last_batch, running.training, sorted(running.callback_metrics))
            given = arguments[2:] if base is Callback else arguments
            called_in = getattr(module, "_current_fx_name", None)
            calls.append((who, name, called_in, counted, [summary(x) for x in given], sorted(options)))

        return record

    return type("Recorder", (base,), {name: hook(name) for name in HOOKS if hasattr(base, name)})


class Recording(recorder([], "", Callback)):
    """Replaced by `recorded`; here so that the hooks of a callback are known."""


class LogsEverywhere(Forecaster):
    """Logs in several hooks, by step and by epoch."""

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch)
        self.log("logged/both", loss, on_step=True, on_epoch=True, prog_bar=True)
        self.log("logged/number", float(batch_idx), on_step=False, on_epoch=True, reduce_fx="max")
        return {"loss": loss, "more": batch.weight.sum()}

    def on_before_optimizer_step(self, optimizer):
        self.log("logged/rate", optimizer.param_groups[0]["lr"], on_step=True)

    def on_train_batch_end(self, outputs, batch, batch_idx):
        self.log("logged/more", outputs["more"], on_step=True)

    def on_validation_batch_end(self, outputs, batch, batch_idx):
        self.log("logged/validation", float(batch_idx), on_step=True, prog_bar=True)


def fitted(
    folder, short, *, network=Forecaster, network_settings=None, callbacks=(), data=None, ckpt_path=None, **rest
):
    """A training by Lightning's loops or by ours, and all that is left of it."""
    torch.manual_seed(0)
    data = data or Series(noise(60), fold=2, batch_size=5)
    settings = {"optimizer": partial(Adam, lr=0.01), **(network_settings or {})}
    model = network(partial(LSTM, hidden_size=3), schema=data.schema, **settings)
    logger = RunLogger(folder, "ours" if short else "theirs", 0)
    arguments = {"max_epochs": 4, "logger": logger, "enable_checkpointing": any(_keeps(one) for one in callbacks)}
    running = trainer(callbacks=list(callbacks), **{**arguments, **rest})
    if short:
        short_epochs(running)
    plain = []
    used = LambdaCallback(
        on_train_batch_end=lambda running, *_: plain.append(
            isinstance(running.fit_loop, ShortFitLoop) and running.fit_loop.epoch_loop._batches is not None
        )
    )
    running.callbacks.append(used)
    running.fit(model, data, ckpt_path=ckpt_path, weights_only=ckpt_path is not None or None)
    left = running._checkpoint_connector.dump_checkpoint(weights_only=False)
    log = Path(logger.log_dir, "metrics.csv")
    return (
        running,
        plain,
        {
            "weights": {name: value.tolist() for name, value in model.state_dict().items()},
            "optimizer": _plain(left["optimizer_states"]),
            "schedules": _plain(left["lr_schedulers"]),
            "progress": left["loops"],
            "counts": (left["epoch"], left["global_step"], running.fit_loop.epoch_loop.val_loop._has_run),
            "callbacks": str(_plain(left["callbacks"])).replace("/ours/", "/theirs/"),
            "curves": log.read_text() if log.exists() else "",
            "metrics": _plain(running.callback_metrics),
            "logged": _plain(running.logged_metrics),
            "bar": _plain(running.progress_bar_metrics),
            "random": torch.rand(1).item(),
        },
    )


def _keeps(callback):
    return isinstance(callback, Checkpoints | ModelCheckpoint)


def _plain(value):
    """Nested values with tensors as lists."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items() if "time" not in str(name)}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def both(tmp_path, **arguments):
    """Trains in both ways; `callbacks` may be a function that makes them."""
    made = arguments.pop("callbacks", list)
    _, _, expected = fitted(tmp_path, False, callbacks=made(), **arguments)
    running, plain, found = fitted(tmp_path, True, callbacks=made(), **arguments)
    assert found == expected
    return running, plain


def ours():
    """The callbacks that the command line gives a training."""
    stopping = EarlyStopping(monitor="val/loss", patience=50)
    return [GivenSettings(), RandomState(), TrainingCurves(), stopping, Checkpoints(write_interval=0.0)]


def averaging():
    return [StochasticWeightAveraging(0.01, swa_epoch_start=2)]


PLAIN = {
    "several batches": {},
    "one batch": {"data": partial(Series, noise(60), fold=2, lookback="full")},
    "validation now and then": {"check_val_every_n_epoch": 3, "callbacks": ours},
    "validation within an epoch": {"val_check_interval": 2, "callbacks": ours},
    "validation after steps": {"val_check_interval": 3, "check_val_every_n_epoch": None, "max_epochs": 3},
    "no validation": {"limit_val_batches": 0},
    "a validation beforehand": {"num_sanity_val_steps": 2},
    "a schedule by epochs": {"network_settings": {"lr_scheduler": partial(StepLR, step_size=2)}, "callbacks": ours},
    "schedules by steps and epochs": {"network": StepsTheRate},
    "a schedule by the loss": {
        "network_settings": {"lr_scheduler": partial(ReduceLROnPlateau, monitor="train/loss", patience=0, factor=0.5)}
    },
    "clipping by norm": {"gradient_clip_val": 0.01, "callbacks": lambda: [TrainingCurves()]},
    "clipping by value": {"gradient_clip_val": 0.001, "gradient_clip_algorithm": "value"},
    "dropout": {"network_settings": {"dropout": 0.5}},
    "an optimizer that asks again": {"network_settings": {"optimizer": partial(LBFGS, lr=0.1, max_iter=3)}},
    "no more steps": {"max_steps": 13, "max_epochs": -1, "callbacks": ours},
    "fewer batches": {"limit_train_batches": 2, "limit_val_batches": 1},
    "no steps beyond": {"fast_dev_run": 2, "logger": None},
    "early stopping": {
        "max_epochs": 30,
        "network_settings": {"optimizer": partial(SGD, lr=0.5)},
        "callbacks": lambda: [EarlyStopping(monitor="val/loss", patience=1), Checkpoints()],
    },
    "early stopping by the training": {
        "max_epochs": 30,
        "min_epochs": 3,
        "callbacks": lambda: [EarlyStopping(monitor="train/loss", patience=1, min_delta=10.0)],
    },
    "a time limit": {"max_time": {"hours": 1}, "callbacks": lambda: [Timer(interval="step")]},
    "callbacks of Lightning": {
        "callbacks": lambda: [LearningRateMonitor("step"), ModelCheckpoint(monitor="val/loss", save_last=True)]
    },
    "logging in hooks": {"network": LogsEverywhere, "check_val_every_n_epoch": 2, "log_every_n_steps": 2},
    "averaged weights": {"callbacks": averaging},
    "loaders made again": {"reload_dataloaders_every_n_epochs": 2},
    "overfitting": {"overfit_batches": 3},
}


@pytest.mark.filterwarnings("ignore:You requested to overfit")  # that is what is asked for
@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_training_is_lightnings_to_the_last_bit(name, tmp_path):
    arguments = {**PLAIN[name]}
    if "data" in arguments:
        _, _, expected = fitted(tmp_path, False, **{**arguments, "data": arguments["data"]()})
        _, plain, found = fitted(tmp_path, True, **{**arguments, "data": arguments["data"]()})
        assert found == expected
    else:
        _, plain = both(tmp_path, **arguments)
    assert plain, "nothing was trained"
    assert all(plain)


@pytest.mark.parametrize("sanity", [0, 2])
def test_every_hook_of_callbacks_and_module_is_called_when_and_as_lightning_calls_it(sanity, tmp_path):
    found = {}
    for short in (False, True):
        calls = found[short] = []
        stopping = type("Stopping", (recorder(calls, "stopping", Callback), EarlyStopping), {})
        kept = type("Kept", (recorder(calls, "kept", Callback), Checkpoints), {})
        callbacks = [recorder(calls, "first", Callback)(), Callback(), kept(), stopping("val/loss")]
        callbacks.append(recorder(calls, "last", Callback)())
        running, plain, _ = fitted(
            tmp_path, short, callbacks=callbacks, check_val_every_n_epoch=2, num_sanity_val_steps=sanity
        )
        assert all(plain) == short
        assert len(running.callbacks) == 6
    theirs, mine = found[False], found[True]
    for number, (expected, call) in enumerate(zip(theirs, mine, strict=False)):
        assert call == expected, f"call {number}"
    assert len(mine) == len(theirs)
    seen = {name for _, name, *_ in mine}
    assert {"on_train_batch_start", "on_before_zero_grad", "on_validation_batch_end", "on_train_epoch_end"} <= seen


def overriding(name):
    """A network with a hook of its own that does what Lightning's does."""
    base = getattr(LightningModule, name)
    return type("Own", (Forecaster,), {name: lambda self, *given, **options: base(self, *given, **options)})


class Watched(Forecaster):
    """Writes down the hooks of its own, and logs which one it thinks it is in."""

    calls: list

    def note(self, name):
        gradients = sum(parameter.grad is not None for parameter in self.parameters())
        self.calls.append((name, self._current_fx_name, self.trainer.global_step, gradients))

    def on_train_epoch_start(self):
        super().on_train_epoch_start()
        self.note("on_train_epoch_start")

    def on_before_zero_grad(self, optimizer):
        self.note("on_before_zero_grad")

    def on_before_backward(self, loss):
        self.note("on_before_backward")

    def on_after_backward(self):
        self.note("on_after_backward")

    def on_before_optimizer_step(self, optimizer):
        self.note("on_before_optimizer_step")

    def on_train_batch_end(self, outputs, batch, batch_idx):
        self.note(f"on_train_batch_end {batch_idx} {outputs['loss'].item()}")

    def on_train_epoch_end(self):
        super().on_train_epoch_end()
        self.note("on_train_epoch_end")

    def on_validation_batch_start(self, batch, batch_idx, dataloader_idx=0):
        self.note(f"on_validation_batch_start {batch_idx} {dataloader_idx}")

    def on_validation_batch_end(self, outputs, batch, batch_idx, dataloader_idx=0):
        self.note(f"on_validation_batch_end {batch_idx} {dataloader_idx}")

    def on_before_batch_transfer(self, batch, dataloader_idx):
        self.calls.append(("on_before_batch_transfer", dataloader_idx))
        return batch._replace(target=batch.target + 1)

    def on_after_batch_transfer(self, batch, dataloader_idx):
        self.calls.append(("on_after_batch_transfer", dataloader_idx))
        return batch._replace(last=batch.last + 1)


@pytest.mark.filterwarnings("ignore:You have overridden")  # Lightning asks whether that is meant
def test_the_hooks_of_the_module_are_called_as_lightning_calls_them(tmp_path):
    made = []
    for _ in range(2):
        calls = []
        made.append((calls, type("Watched", (Watched,), {"calls": calls})))
    _, _, expected = fitted(tmp_path, False, network=made[0][1])
    _, plain, found = fitted(tmp_path, True, network=made[1][1])
    assert found == expected
    assert made[1][0] == made[0][0]
    assert len(made[0][0]) > 100
    assert all(plain)


class Normalised(Forecaster):
    """Has statistics of its batches, for which averaging weights adds an epoch without steps."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.norm = torch.nn.BatchNorm1d(1)

    def training_step(self, batch):
        self.norm(batch.last[..., 0, :].float())
        return super().training_step(batch)


@pytest.mark.parametrize("short", [False, True])
def test_an_optimizer_is_within_the_hook_that_lightning_calls_it_in(short, tmp_path):
    heard = []

    class Noting(SGD):
        def step(self, closure=None):
            heard.append(networks[0]._current_fx_name)
            super().step(closure)
            heard.append(networks[0]._current_fx_name)

    class Network(Forecaster):
        def configure_optimizers(self):
            networks.append(self)
            return Noting(self.parameters(), lr=0.1)

    networks = []
    fitted(tmp_path, short, network=Network, max_epochs=2)
    assert set(heard) == {"optimizer_step"}


UNUSUAL = {
    "accumulated gradients": {"accumulate_grad_batches": 2},
    "gradients accumulated later": {"callbacks": lambda: [GradientAccumulationScheduler({0: 1, 2: 2})]},
    "averaged statistics later": {"callbacks": averaging, "network": Normalised},
    "a profiler": {"profiler": "simple"},
    "64 bits": {"precision": "64-true"},
    "16 bits": {"precision": "bf16-mixed"},
    **{f"{name} of the module": {"network": overriding(name)} for name in forecastlab.training.loops.STEPPING},
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_an_unusual_training_runs_in_lightnings_loops(name, tmp_path):
    running, plain = both(tmp_path, **UNUSUAL[name])
    assert plain[-1] is False
    assert any(plain) == ("later" in name), "until then it is plain"
    assert isinstance(running.fit_loop, ShortFitLoop)


def test_loaders_of_others_and_worker_processes_are_left_to_lightning(tmp_path):
    _, plain, found = fitted(tmp_path, True, data=Series(noise(60), fold=2, batch_size=5, num_workers=1), max_epochs=2)
    _, _, expected = fitted(tmp_path / "in process", False, max_epochs=2)
    assert not any(plain)
    assert found["weights"] == expected["weights"]
    data = Series(noise(60), fold=2, batch_size=5)
    data.setup("fit")
    loader = data.train_dataloader()
    model = Forecaster(partial(LSTM, hidden_size=3), schema=data.schema)
    running = short_epochs(trainer(max_epochs=2))
    running.fit(model, *(DataLoader(loader.dataset, sampler=loader.sampler, batch_size=None) for _ in range(2)))
    assert running.fit_loop.epoch_loop._batches is None
    assert running.global_step == 2 * len(loader)


class Batchless(Forecaster):
    """Has nothing to learn from some batches."""

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch)
        return None if batch_idx == 1 else loss


@pytest.mark.filterwarnings("ignore:.training_step. returned .None.")
def test_a_step_without_a_loss_is_left_out(tmp_path):
    _, plain = both(tmp_path, network=Batchless)
    assert all(plain)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("stopped", [2, 3])
@pytest.mark.parametrize("limit", [{}, {"max_steps": 30, "max_epochs": -1}])
def test_a_resumed_training_is_the_one_that_was_never_stopped(first, stopped, limit, tmp_path):
    whole = {"max_epochs": 6, "check_val_every_n_epoch": 2, "network_settings": {"dropout": 0.5}, **limit}
    _, _, expected = fitted(tmp_path / "whole", False, callbacks=ours(), **whole)
    part = {**whole, "max_epochs": stopped, "max_steps": -1}
    fitted(tmp_path / "part", first, callbacks=ours(), **part)
    name = "ours" if first else "theirs"
    last = tmp_path / "part" / name / "version_0" / "checkpoints" / "last.ckpt"
    _, plain, found = fitted(tmp_path / "rest", True, callbacks=ours(), ckpt_path=str(last), **whole)
    assert {False, True} == set(plain), "the first epoch is Lightning's, the others are not"
    assert plain == sorted(plain)
    for part in ("weights", "optimizer", "schedules", "counts", "metrics", "random"):
        assert found[part] == expected[part], part
    _, _, theirs = fitted(tmp_path / "theirs", False, callbacks=ours(), ckpt_path=str(last), **whole)
    assert found["progress"] == theirs["progress"]


def test_the_second_fit_of_a_trainer_goes_on_as_lightnings_does(tmp_path):
    left = []
    for short in (False, True):
        torch.manual_seed(0)
        data = Series(noise(60), fold=2, batch_size=5)
        running = trainer(max_epochs=2, num_sanity_val_steps=1)
        running = short_epochs(running) if short else running
        for _ in range(2):
            model = Forecaster(partial(LSTM, hidden_size=3), schema=data.schema)
            running.fit(model, data)
            running.fit_loop.max_epochs += 2
        left.append((_plain(dict(model.state_dict())), running.fit_loop.state_dict(), running.validate(model, data)))
    assert left[0] == left[1]


@pytest.mark.parametrize("short", [False, True])
def test_a_hook_set_on_an_object_and_a_callback_that_comes_later_are_called(short, tmp_path):
    heard = []

    class Later(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            heard.append(("later", trainer.current_epoch, batch_idx))

    def add(running, module):
        if running.current_epoch == 1:
            running.callbacks.append(Later())

    single = LambdaCallback(on_train_epoch_end=add, on_before_zero_grad=lambda *_: heard.append(("single", None, None)))
    _, plain, _ = fitted(tmp_path, short, callbacks=[single], max_epochs=3, limit_train_batches=2)
    assert heard.count(("single", None, None)) == 6
    assert [call[1:] for call in heard if call[0] == "later"] == [(2, 0), (2, 1)]
    assert all(plain) == short


def test_hooks_that_nobody_overrides_are_not_called(tmp_path, monkeypatch):
    called = []
    for name in HOOKS:
        base = getattr(Callback, name)
        monkeypatch.setattr(Callback, name, _noting(called, name, base))
    fitted(tmp_path, True, callbacks=[Callback()], limit_val_batches=0)
    once = [name for name in set(called) if called.count(name) <= 2]  # of two callbacks
    assert set(called) == set(once)
    assert {"setup", "on_train_start", "on_fit_end"} <= set(once)
    assert not {"on_train_batch_end", "on_after_backward"} & set(once)


def _noting(called, name, base):
    def note(*arguments, **options):
        called.append(name)
        return base(*arguments, **options)

    return note


def test_a_loss_that_is_not_finite_ends_both_in_the_same_words(tmp_path):
    words = []
    for short in (False, True):
        settings = {"optimizer": partial(SGD, lr=1e30)}
        with pytest.raises(NotFiniteError) as raised:
            fitted(tmp_path, short, network_settings=settings, callbacks=ours())
        words.append(str(raised.value))
    assert words[0] == words[1]


def test_loops_of_somebodys_own_stay_and_ours_are_put_in_place_once():
    running = short_epochs(trainer())
    loop = running.fit_loop
    assert short_epochs(running).fit_loop is loop
    assert isinstance(loop.epoch_loop, ShortEpochLoop)
    own = trainer()
    own.fit_loop = type("Own", (type(own.fit_loop),), {})(own)
    assert type(short_epochs(own).fit_loop).__name__ == "Own"


def test_limits_set_before_stay():
    running = short_epochs(trainer(max_epochs=7, min_epochs=3, max_steps=50, min_steps=2))
    assert (running.max_epochs, running.min_epochs, running.max_steps, running.min_steps) == (7, 3, 50, 2)
    assert short_epochs(trainer(fast_dev_run=3)).max_steps == 3
