"""Promise: a loss that is no number stops the run, names the rows, and does not touch the last good checkpoint."""

import re

import pytest
import torch

from tests.reliability.processes import STEPS, fit, folder, last_path, load, rows

SPOILED = ("--allow_import=tests", "--trainer.callbacks+=tests.reliability.callbacks.SpoiledBatch")
ALWAYS = "--checkpoints.write_interval=0"
NEVER = "--checkpoints.write_interval=1e9"


def numbers(text):
    """The numbers in a list such as 3, 17, 40..42."""
    found = []
    for span in text.split(", "):
        first, _, last = span.partition("..")
        found += range(int(first), int(last or first) + 1)
    return found


@pytest.mark.parametrize("stage", ["train", "val"])
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_loss_that_is_no_number_stops_the_run_and_names_the_rows(tmp_path, config, cli, stage, value):
    more = [f"--trainer.callbacks.stage={stage}", f"--trainer.callbacks.value=.{value}", "--data.batch_size=30"]
    answer = cli(*fit(config, tmp_path, *SPOILED, *more, ALWAYS, epochs=5))
    assert answer.status == 2
    said = answer.err[answer.err.index("forecastlab: error: ") :]
    assert len(said.splitlines()) <= 10
    match = re.search(rf"{stage}/loss is {value} in epoch 2, .* rows ([\d., ]+) \((\S+) \.\. (\S+)\)", said)
    spoiled = re.search(r"spoiled: (.*)", answer.err)
    assert numbers(match.group(1)) == [int(row) for row in spoiled.group(1).split()]
    assert "2001-01-01" <= match.group(2) < match.group(3) < "2006-01-01"
    kept = load(last_path(tmp_path))
    assert kept["epoch"] == 2
    assert all(value.isfinite().all() for value in kept["state_dict"].values())
    more = ["--ckpt_path=last", "--data.batch_size=30"]
    assert cli(*fit(config, tmp_path, *more, epochs=3)).status == 0  # without the spoiled batch it goes on


def test_a_run_whose_checkpoints_are_seldom_written_keeps_its_last_good_epoch(tmp_path, config, cli):
    slow = "--trainer.callbacks+=tests.reliability.callbacks.SlowEpochs"
    assert cli(*fit(config, tmp_path, *SPOILED, slow, NEVER, epochs=5)).status == 2
    kept = load(last_path(tmp_path))
    assert (kept["epoch"], kept["global_step"]) == (2, 2 * STEPS)
    assert len(rows(folder(tmp_path))) >= 2


@pytest.mark.parametrize("interval", [ALWAYS, NEVER])
@pytest.mark.parametrize("epochs", [3, 5], ids=["in the last epoch", "in the midst"])
def test_weights_that_are_no_numbers_are_never_written(tmp_path, config, cli, interval, epochs):
    spoiled = ["--allow_import=tests", "--trainer.callbacks=tests.reliability.callbacks.SpoiledWeights"]
    more = [*spoiled, "--trainer.check_val_every_n_epoch=2", interval]  # so that no loss sees them
    answer = cli(*fit(config, tmp_path, *more, epochs=epochs))
    assert answer.status == 2
    assert "no longer finite" in answer.err
    for path in tmp_path.rglob("*.ckpt"):
        assert all(value.isfinite().all() for value in load(path)["state_dict"].values())
    if interval == ALWAYS:
        assert load(last_path(tmp_path))["epoch"] == 2


def test_a_diverging_training_says_so(tmp_path, config, cli):
    answer = cli(*fit(config, tmp_path, "--model.optimizer=SGD", "--model.optimizer.lr=1e38", epochs=3))
    assert answer.status == 2
    assert "train/loss is" in answer.err
    assert "--trainer.gradient_clip_val" in answer.err
    assert torch.get_num_threads() == 1
