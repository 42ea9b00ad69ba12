import random
import shutil
from functools import partial

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.cli import ReduceLROnPlateau
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.optim import Adam
from torch.optim.lr_scheduler import StepLR

from forecastlab.backbones.lstm import LSTM
from forecastlab.errors import ConfigError, DataError, NotFiniteError
from forecastlab.training.callbacks import (
    AtomicCheckpointIO,
    Checkpoints,
    EarlyStopping,
    RandomState,
    RunLogger,
    TrainingCurves,
    checkpoints,
)
from forecastlab.training.forecaster import Forecaster
from tests.series import Series, noise, trainer

WINDOWS = {"lookback": 6, "batch_size": 8, "splits": 3, "fold": 2, "validation": "tail"}
SLOW, FAST = partial(Adam, lr=0.03), partial(Adam, lr=0.3)
STEPS = partial(StepLR, step_size=3, gamma=0.5)
PLATEAU = partial(ReduceLROnPlateau, monitor="val/loss", patience=1, factor=0.5)


class PowerCutError(RuntimeError):
    pass


class Cut(Callback):
    """Ends the process, so to speak, in the middle of an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.current_epoch == self.epoch and batch_idx == 2:
            trainer.checkpoint_callback.on_exception = lambda *_: None  # nothing is written any more
            raise PowerCutError


def run(
    root,
    epochs,
    *callbacks,
    resumed=False,
    optimizer=SLOW,
    schedule=STEPS,
    patience=100,
    interval=1e9,
    data=None,
    **arguments,
):
    """Trains with everything that draws numbers or counts; a resumed run starts from other random states."""
    for seed in (torch.manual_seed, np.random.seed, random.seed):
        seed(1 if resumed else 0)
    folder = root / "run" / "version_0"
    last = folder / "checkpoints" / "last.ckpt"
    step = torch.load(last, weights_only=True)["global_step"] if resumed else None
    data = Series(noise(120), **{**WINDOWS, **(data or {})})
    model = Forecaster(
        partial(LSTM, hidden_size=4, num_layers=2, dropout=0.2),
        optimizer=optimizer,
        lr_scheduler=schedule,
        dropout=0.3,
        schema=data.schema,
    )
    running = trainer(
        max_epochs=epochs,
        logger=RunLogger(root, "run", 0, step),
        callbacks=[
            Checkpoints(write_interval=interval),
            RandomState(),
            TrainingCurves(),
            EarlyStopping("val/loss", patience=patience),
            *callbacks,
        ],
        enable_checkpointing=True,
        plugins=[AtomicCheckpointIO()],
        **arguments,
    )
    running.fit(model, data, ckpt_path=str(last) if resumed else None, weights_only=True)
    return running, model, data


def checkpoint(root, name):
    return torch.load(root / "run" / "version_0" / "checkpoints" / f"{name}.ckpt", weights_only=True)


def scalars(root):
    """Steps and values of every curve in TensorBoard."""
    events = EventAccumulator(str(root / "run" / "version_0"))
    events.Reload()
    tags = events.Tags()["scalars"]
    assert {"train/loss", "val/loss", "train/learning_rate", "train/gradient_norm"} <= set(tags)
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}


def assert_same(ours, theirs, path=""):
    """Equality of nested states, tensors bit for bit."""
    assert type(ours) is type(theirs), path
    if isinstance(ours, torch.Tensor):
        assert torch.equal(ours, theirs), path
    elif isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), path
        for key in ours:
            assert_same(ours[key], theirs[key], f"{path}.{key}")
    elif isinstance(ours, list | tuple):
        assert len(ours) == len(theirs), path
        for number, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(a, b, f"{path}.{number}")
    else:
        assert ours == theirs, path


def assert_same_runs(whole, resumed):
    assert_same(checkpoint(resumed, "last")["state_dict"], checkpoint(whole, "last")["state_dict"])
    assert_same(checkpoint(resumed, "best")["state_dict"], checkpoint(whole, "best")["state_dict"])
    for part in ("optimizer_states", "lr_schedulers", "random_state", "callbacks", "epoch", "global_step", "loops"):
        assert_same(checkpoint(resumed, "last")[part], checkpoint(whole, "last")[part], part)
    metrics = [(root / "run" / "version_0" / "metrics.csv").read_text() for root in (whole, resumed)]
    assert metrics[0] == metrics[1]
    assert scalars(resumed) == scalars(whole)


@pytest.fixture(autouse=True)
def _seed(monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "7")


CASES = {
    "steps": {},
    "plateau": {"schedule": PLATEAU},
    "no schedule": {"schedule": None},
    "accumulated": {"accumulate_grad_batches": 3},
    "clipped": {"gradient_clip_val": 0.1},
    "full": {"data": {"lookback": "full", "validation": "test"}},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_run_that_is_stopped_and_resumed_ends_as_one_that_was_not(tmp_path, case):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run(whole, 7, **case)
    run(stopped, 3, **case)
    run(stopped, 7, resumed=True, **case)
    assert_same_runs(whole, stopped)
    assert len(scalars(whole)["val/loss"]) == 7


def test_a_run_that_counts_steps_can_be_resumed_after_a_whole_epoch(tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run(whole, 7)
    run(stopped, 7, max_steps=18)
    run(stopped, 7, max_steps=42, resumed=True)
    assert_same_runs(whole, stopped)


def test_an_epoch_that_was_cut_short_counts_as_one_and_the_next_is_whole(tmp_path):
    batches = []

    class Counts(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            batches.append((trainer.current_epoch, batch_idx))

    run(tmp_path, 7, max_steps=8)
    run(tmp_path, 3, Counts(), resumed=True)
    assert batches == [(2, number) for number in range(6)]
    assert [step for step, _ in scalars(tmp_path)["train/loss"]] == [5, 7, 13]


@pytest.mark.parametrize("case", [CASES["steps"], CASES["plateau"]], ids=["steps", "plateau"])
def test_a_run_that_broke_off_twice_within_an_epoch_ends_as_one_that_did_not(tmp_path, case):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(whole, 7, **case)
    with pytest.raises(PowerCutError):
        run(broken, 7, Cut(2), interval=0.0, **case)
    with pytest.raises(PowerCutError):
        run(broken, 7, Cut(4), resumed=True, interval=0.0, **case)
    run(broken, 7, resumed=True, **case)
    assert_same_runs(whole, broken)


def test_what_was_logged_after_the_last_checkpoint_is_logged_once(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(whole, 6)
    with pytest.raises(PowerCutError):
        run(broken, 6, Cut(2), interval=0.0)
    with pytest.raises(PowerCutError):  # this session logs epochs 2 and 3, and writes no checkpoint
        run(broken, 6, Cut(4), resumed=True)
    assert checkpoint(broken, "last")["epoch"] == 2
    run(broken, 6, resumed=True)
    assert_same_runs(whole, broken)


def test_early_stopping_counts_on_over_a_resume(tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    ended, _, _ = run(whole, 200, patience=4, optimizer=FAST)
    epochs = ended.current_epoch
    assert 5 < epochs < 200
    run(stopped, epochs - 2, patience=4, optimizer=FAST)
    ended, _, _ = run(stopped, 200, patience=4, optimizer=FAST, resumed=True)
    assert ended.current_epoch == epochs
    assert_same_runs(whole, stopped)


def test_a_run_that_had_stopped_early_stays_as_it_is_unless_it_is_given_more_patience(tmp_path):
    ended, _, _ = run(tmp_path, 200, patience=4, optimizer=FAST)
    epochs, weights = ended.current_epoch, checkpoint(tmp_path, "last")["state_dict"]
    again, _, _ = run(tmp_path, 200, patience=4, optimizer=FAST, resumed=True)
    assert again.current_epoch == epochs
    assert_same(checkpoint(tmp_path, "last")["state_dict"], weights)
    assert len(scalars(tmp_path)["val/loss"]) == epochs
    more, _, _ = run(tmp_path, 200, patience=6, optimizer=FAST, resumed=True)
    assert more.current_epoch >= epochs + 2


@pytest.mark.parametrize("interval", [0.0, 1e9])
def test_the_best_checkpoint_is_that_of_the_lowest_validation_loss(tmp_path, interval):
    running, _, data = run(tmp_path, 12, optimizer=FAST, interval=interval)
    losses = [value for _, value in scalars(tmp_path)["val/loss"]]
    best = checkpoint(tmp_path, "best")
    assert best["epoch"] == int(np.argmin(losses)) < 11
    assert best["global_step"] == 6 * (best["epoch"] + 1)
    assert running.checkpoint_callback.best_score == pytest.approx(min(losses))
    loaded = Forecaster.load_from_checkpoint(tmp_path / "run/version_0/checkpoints/best.ckpt", weights_only=True)
    (found,) = trainer().validate(loaded, data, verbose=False)
    assert found["val/loss"] == pytest.approx(min(losses), rel=1e-6)
    assert_same(dict(loaded.state_dict()), best["state_dict"])


def test_the_best_checkpoint_is_what_lightning_tests_with_best(tmp_path):
    running, model, data = run(tmp_path, 12)
    loaded = Forecaster.load_from_checkpoint(tmp_path / "run/version_0/checkpoints/best.ckpt", weights_only=True)
    (expected,) = trainer().test(loaded, data, verbose=False)
    (found,) = running.test(model, data, ckpt_path="best", verbose=False, weights_only=True)
    assert found == pytest.approx(expected)


def test_the_best_score_outlives_a_resume_that_does_not_improve_it(tmp_path):
    wild = {"optimizer": partial(Adam, lr=3.0), "schedule": None}
    run(tmp_path, 12, **wild)
    before = checkpoint(tmp_path, "best")
    assert before["epoch"] < 11
    running, _, _ = run(tmp_path, 14, resumed=True, **wild)
    assert min(value for _, value in scalars(tmp_path)["val/loss"][12:]) > running.checkpoint_callback.best_score
    assert_same(checkpoint(tmp_path, "best"), before)
    assert running.checkpoint_callback.best_epoch == before["epoch"]
    assert_same(running.checkpoint_callback.best_weights, before["state_dict"])


def test_between_writes_the_best_weights_wait_in_memory(tmp_path):
    folder = tmp_path / "run" / "version_0" / "checkpoints"

    class Looks(Callback):
        found: list

        def on_train_epoch_end(self, trainer, pl_module):
            self.found = sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    looks = Looks()
    run(tmp_path, 3, looks)
    assert looks.found == []
    assert sorted(path.name for path in folder.iterdir()) == ["best.ckpt", "last.ckpt"]


def test_a_checkpoint_is_written_after_every_epoch_if_asked_for_but_not_before_the_first(tmp_path):
    epochs = []
    last = tmp_path / "run" / "version_0" / "checkpoints" / "last.ckpt"

    class Looks(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            logged = len((last.parents[1] / "metrics.csv").read_text().splitlines()) - 1 if last.exists() else None
            epochs.append((checkpoint(tmp_path, "last")["epoch"] if last.exists() else None, logged))

    run(tmp_path, 3, Looks(), limit_train_batches=1, interval=0.0)
    assert epochs == [(None, None), (1, 1), (2, 2)], "and no epoch before one is missing from the log"


class Fails(Callback):
    """Fails in the middle of an epoch."""

    def __init__(self, error):
        self.error = error

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.current_epoch == 4 and batch_idx == 2:
            raise self.error


def test_a_run_that_fails_writes_what_its_last_finished_epoch_led_to(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "COPY_INTERVAL", 0.0)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(whole, 7)
    with pytest.raises(MemoryError):
        run(broken, 7, Fails(MemoryError()))
    assert checkpoint(broken, "last")["epoch"] == 4
    assert checkpoint(broken, "last")["global_step"] == 24
    run(broken, 7, resumed=True)
    assert_same_runs(whole, broken)


def test_a_run_that_broke_off_in_its_first_epoch_leaves_no_checkpoint(tmp_path):
    with pytest.raises(PowerCutError):
        run(tmp_path, 7, Cut(0))
    folder = tmp_path / "run" / "version_0" / "checkpoints"
    assert not list(folder.glob("*"))


def test_a_best_checkpoint_that_is_newer_than_the_last_one_keeps_its_score(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run(whole, 7)
    run(killed, 3)
    assert checkpoint(whole, "best")["epoch"] > 3
    shutil.copy(whole / "run/version_0/checkpoints/best.ckpt", killed / "run/version_0/checkpoints/best.ckpt")
    run(killed, 7, resumed=True)
    assert_same_runs(whole, killed)


def test_a_best_checkpoint_that_was_lost_is_sought_anew(tmp_path):
    run(tmp_path, 3)
    (tmp_path / "run/version_0/checkpoints/best.ckpt").unlink()
    running, _, _ = run(tmp_path, 7, resumed=True)
    losses = [value for _, value in scalars(tmp_path)["val/loss"]]
    assert checkpoint(tmp_path, "best")["epoch"] == 3 + int(np.argmin(losses[3:]))
    assert running.checkpoint_callback.best_score == pytest.approx(min(losses[3:]))


class Spoils(Callback):
    """Makes a weight infinite in the middle of an epoch."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.current_epoch == 2:
            pl_module.decoder.linear.weight.data[0, 0] = torch.inf


@pytest.mark.parametrize("interval", [0.0, 1e9])
def test_weights_that_are_not_finite_are_never_written(tmp_path, interval):
    with pytest.raises(NotFiniteError):
        run(tmp_path, 7, Spoils(), interval=interval)
    for path in (tmp_path / "run" / "version_0" / "checkpoints").glob("*.ckpt"):
        weights = torch.load(path, weights_only=True)["state_dict"]
        assert all(value.isfinite().all() for value in weights.values())


def test_a_full_disk_is_an_error_of_a_line_and_keeps_the_older_checkpoint(tmp_path, monkeypatch):
    run(tmp_path, 2)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(DataError, match=r"cannot write .*No space left on device"):
        run(tmp_path, 4, resumed=True)
    monkeypatch.undo()
    assert checkpoint(tmp_path, "last")["epoch"] == 2


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    folder = tmp_path / "run" / "version_0" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / ".last.ckpt.4711").write_bytes(b"half")
    run(tmp_path, 1)
    assert sorted(path.name for path in folder.iterdir()) == ["best.ckpt", "last.ckpt"]


def test_checkpoints_load_without_running_code_and_the_last_can_be_resumed(tmp_path):
    run(tmp_path, 2)
    for part in ("optimizer_states", "random_state"):
        assert part in checkpoint(tmp_path, "last")
        assert part not in checkpoint(tmp_path, "best")
    for name in ("best", "last"):
        assert checkpoint(tmp_path, name)["hyper_parameters"]["backbone"]["init_args"]["hidden_size"] == 4


def test_a_metric_that_does_not_exist_is_refused_after_the_first_validation():
    data = Series(noise(120), **WINDOWS)
    running = trainer(max_epochs=2, callbacks=[Checkpoints("val/los")], enable_checkpointing=True)
    with pytest.raises(ConfigError, match="no metric 'val/los'; after validation there are: val/loss"):
        running.fit(Forecaster(schema=data.schema), data)
