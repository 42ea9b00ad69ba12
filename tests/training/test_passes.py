"""An epoch of several passes: the same steps of training as in as many epochs, with one validation behind them."""

from functools import partial

import pytest
import torch
from torch.optim import Adam
from torch.optim.lr_scheduler import StepLR

from forecastlab.backbones.lstm import LSTM
from forecastlab.runs.metrics_file import metrics_table
from forecastlab.training.callbacks import Checkpoints, EarlyStopping, RunLogger, TrainingCurves
from forecastlab.training.forecaster import Forecaster
from tests.series import Series, noise, trainer

DATA = {"one sequence": {"lookback": "full"}, "windows": {"lookback": 3, "batch_size": 5}}


def fitted(folder, data, *, epochs, network=None, ckpt_path=None, **arguments):
    """The weights of a training, and its log."""
    torch.manual_seed(0)
    module = Series(noise(60), fold=2, **data)
    model = Forecaster(
        partial(LSTM, hidden_size=3), optimizer=partial(Adam, lr=0.01), schema=module.schema, **(network or {})
    )
    logger = RunLogger(folder, "run", 0)
    running = trainer(max_epochs=epochs, logger=logger, **arguments)
    running.fit(model, module, ckpt_path=ckpt_path, weights_only=ckpt_path is not None or None)
    return running, model.state_dict(), metrics_table(folder / "run" / "version_0" / "metrics.csv")


@pytest.mark.parametrize("name", DATA)
def test_passes_train_the_weights_that_as_many_epochs_train(name, tmp_path):
    network = {"dropout": 0.3}
    _, weights, log = fitted(tmp_path / "passes", {**DATA[name], "passes": 4}, epochs=3, network=network)
    running, expected, curve = fitted(
        tmp_path / "epochs", DATA[name], epochs=12, network=network, check_val_every_n_epoch=4
    )
    assert all(torch.equal(weights[key], expected[key]) for key in expected)
    validated = curve.dropna(subset=["val/loss"])
    assert log["step"].tolist() == validated["step"].tolist()
    assert log["val/loss"].tolist() == validated["val/loss"].tolist()
    means = curve["train/loss"].to_numpy().reshape(3, 4).mean(1)
    assert log["train/loss"].tolist() == pytest.approx(means.tolist(), rel=1e-6)
    assert running.global_step == log["step"].max() + 1


def test_a_schedule_and_the_patience_count_epochs_and_not_passes(tmp_path):
    network = {"lr_scheduler": partial(StepLR, step_size=1, gamma=0.5)}
    callbacks = [TrainingCurves(), EarlyStopping("val/loss", patience=2, min_delta=100.0)]
    running, _, log = fitted(
        tmp_path, {"lookback": "full", "passes": 5}, epochs=9, network=network, callbacks=callbacks
    )
    assert log["train/learning_rate"].tolist() == [0.01, 0.005, 0.0025]
    assert (running.current_epoch, running.global_step) == (3, 15)


def test_a_training_that_is_resumed_between_epochs_of_several_passes_ends_with_the_same_weights(tmp_path):
    settings = {"data": {"lookback": 3, "batch_size": 5, "passes": 3}, "enable_checkpointing": True}
    _, expected, _ = fitted(tmp_path / "whole", **settings, epochs=4, callbacks=[Checkpoints()])
    half, _, _ = fitted(tmp_path / "half", **settings, epochs=2, callbacks=[Checkpoints()])
    last = half.checkpoint_callback.folder / "last.ckpt"
    _, weights, _ = fitted(tmp_path / "rest", **settings, epochs=4, callbacks=[Checkpoints()], ckpt_path=last)
    assert all(torch.equal(weights[key], expected[key]) for key in expected)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_training_on_some_windows_per_epoch_goes_on_with_the_windows_of_a_whole_one(tmp_path, workers):
    data = {"lookback": 3, "batch_size": 5, "windows_per_epoch": 7, "num_workers": workers}
    settings = {"data": data, "enable_checkpointing": True}
    _, expected, _ = fitted(tmp_path / "whole", **settings, epochs=4, callbacks=[Checkpoints()])
    half, _, _ = fitted(tmp_path / "half", **settings, epochs=2, callbacks=[Checkpoints()])
    assert half.global_step == 4  # two steps an epoch, of five windows and of two
    last = half.checkpoint_callback.folder / "last.ckpt"
    _, weights, _ = fitted(tmp_path / "rest", **settings, epochs=4, callbacks=[Checkpoints()], ckpt_path=last)
    assert all(torch.equal(weights[key], expected[key]) for key in expected)


def test_validation_and_test_take_one_pass():
    module = Series(noise(60), fold=2, passes=7)
    module.setup("fit")
    module.setup("test")
    once = Series(noise(60), fold=2)
    once.setup("fit")
    once.setup("test")
    assert len(module.train_dataloader()) == 7 * len(once.train_dataloader())
    for name in ("val_dataloader", "test_dataloader", "predict_dataloader"):
        assert len(getattr(module, name)()) == len(getattr(once, name)())
