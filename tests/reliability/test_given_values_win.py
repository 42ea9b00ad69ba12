"""Promise: untrained weights are never scored, and what the command line says beats what a checkpoint holds."""

import pytest
import torch
import yaml

from tests.reliability.processes import fit, folder, last_path, load, rows

COMMANDS = ("validate", "test", "predict")


@pytest.fixture
def root(tmp_path, config, cli):
    """The root of a run of two epochs, whose schedule has lowered the learning rate once."""
    assert cli(*fit(config, tmp_path, "--model.lr_scheduler.step_size=2", epochs=2)).status == 0
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_untrained_weights_are_never_scored(tmp_path, config, cli, command):
    for given in ([], ["--config", config]):
        answer = cli(command, *given)
        assert answer.status == 2
        assert "needs trained weights" in answer.err
    untrained = tmp_path / "untrained.ckpt"
    assert cli(*fit(config, tmp_path, epochs=1)).status == 0
    torch.save({**load(last_path(tmp_path)), "global_step": 0}, untrained)
    answer = cli(command, "--ckpt_path", untrained)
    assert (answer.status, "are not trained" in answer.err) == (2, True)


@pytest.mark.parametrize("more", [["--trainer.max_epochs=0"], ["--trainer.limit_train_batches=0"]])
def test_a_run_that_trains_nothing_leaves_nothing_to_score(tmp_path, config, cli, more):
    assert cli(*fit(config, tmp_path, *more, epochs=1)).status == 0
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.parametrize("name", ["last", "best"])
@pytest.mark.parametrize("command", [*COMMANDS, "fit"])
def test_a_checkpoint_that_is_not_there_is_an_error(tmp_path, config, cli, command, name):
    place = f"--trainer.default_root_dir={tmp_path / 'empty'}"
    answer = cli(command, "--config", config, place, f"--ckpt_path={name}")
    assert answer.status == 2
    assert f"has a {name}.ckpt" in answer.err
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize("source", ["command line", "config"])
def test_a_learning_rate_that_is_given_beats_that_of_the_checkpoint(root, config, cli, source):
    if source == "config":
        content = yaml.safe_load(config.read_text())
        content["model"]["optimizer"]["init_args"]["lr"] = 0.05
        config.write_text(yaml.safe_dump(content))
        more = []
    else:
        more = ["--model.optimizer.lr=0.05"]
    more += ["--model.lr_scheduler.step_size=2", "--ckpt_path=last"]
    assert cli(*fit(config, root, *more, epochs=5)).status == 0
    rates = [float(row["train/learning_rate"]) for row in rows(folder(root))]
    # those of a run that had this rate from the start: lowered by 0.7 after every second epoch
    assert rates == pytest.approx([0.005, 0.005, 0.05 * 0.7, 0.05 * 0.7, 0.05 * 0.7**2])


def test_a_schedule_that_is_given_beats_that_of_the_checkpoint(root, config, cli):
    more = ["--model.lr_scheduler.step_size=3", "--model.lr_scheduler.gamma=0.1", "--ckpt_path=last"]
    assert cli(*fit(config, root, *more, epochs=5)).status == 0
    rates = [float(row["train/learning_rate"]) for row in rows(folder(root))]
    assert rates == pytest.approx([0.005, 0.005, 0.005, 0.0005, 0.0005])  # as if from the start


@pytest.mark.parametrize("schedule", ["ExponentialLR", "null"])
def test_another_schedule_begins_afresh_at_the_given_rate(root, config, cli, schedule):
    more = [f"--model.lr_scheduler={schedule}", "--ckpt_path=last"]
    if schedule != "null":
        more.append("--model.lr_scheduler.gamma=0.5")
    assert cli(*fit(config, root, *more, epochs=4)).status == 0
    rates = [float(row["train/learning_rate"]) for row in rows(folder(root))]
    assert rates[2:] == pytest.approx([0.005, 0.0025 if schedule != "null" else 0.005])


def test_another_optimizer_begins_afresh(root, config, cli):
    more = ["--model.optimizer=SGD", "--model.optimizer.momentum=0.5", "--model.optimizer.lr=0.02", "--ckpt_path=last"]
    assert cli(*fit(config, root, *more, epochs=3)).status == 0
    (state,) = load(last_path(root))["optimizer_states"]
    assert state["param_groups"][0]["momentum"] == 0.5
    assert set(state["state"][0]) == {"momentum_buffer"}


@pytest.mark.parametrize(
    ("option", "name", "value"), [("weight_decay=0.1", "weight_decay", 0.1), ("betas=[0.8,0.9]", "betas", (0.8, 0.9))]
)
def test_other_settings_of_the_optimizer_beat_those_of_the_checkpoint(root, config, cli, option, name, value):
    assert cli(*fit(config, root, f"--model.optimizer.{option}", "--ckpt_path=last", epochs=3)).status == 0
    (state,) = load(last_path(root))["optimizer_states"]
    assert tuple(state["param_groups"][0][name]) == value if name == "betas" else value
    assert "exp_avg" in state["state"][0]  # the optimizer's memory is kept


def test_a_patience_that_is_given_beats_that_of_the_checkpoint(root, config, cli):
    assert cli(*fit(config, root, "--early_stopping.patience=1", "--ckpt_path=last", epochs=400)).status == 0
    losses = [float(row["val/loss"]) for row in rows(folder(root))]
    assert len(losses) < 400
    assert losses[-1] >= min(losses[:-1])
    assert min(losses[:-1]) == losses[-2]  # it stopped after one epoch without a better loss


@pytest.mark.parametrize("command", COMMANDS)
def test_values_that_are_given_beat_those_in_the_checkpoint(root, cli, command):
    given = ["--data.fold=4", "--data.batch_size=7", "--data.rows=1200"]
    allowed = [] if command == "predict" else ["--allow_seen"]  # rows of that fold trained the weights
    answer = cli(command, "--ckpt_path", last_path(root), *given, *allowed)
    assert answer.status == 0


@pytest.mark.parametrize("command", [*COMMANDS, "fit"])
@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("--model.backbone.hidden_size=9", "do not fit this network"),
        ("--model.backbone=GRU", "do not fit this network"),
        ("--data.horizon=2", "the network was built for horizon=1, but the data have 2"),
        ('--data.features=["T0","T1"]', "features differ from those the network was trained on"),
    ],
)
def test_values_that_would_change_the_shape_of_the_weights_are_refused(root, cli, command, option, reason):
    before = last_path(root).read_bytes()
    answer = cli(command, "--ckpt_path", last_path(root), option)
    assert answer.status == 2
    assert reason in answer.err or "do not fit this network" in answer.err
    assert len(answer.err.splitlines()) <= 10
    assert last_path(root).read_bytes() == before
