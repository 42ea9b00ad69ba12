import shutil

import pandas as pd
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.cli.commands import EPOCHS, files, fit, folder


def curves(run):
    """Steps and values that TensorBoard shows."""
    events = EventAccumulator(str(run), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    names = [name for name in events.Tags()["scalars"] if name != "epoch"]
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in names}


def figures(run):
    events = EventAccumulator(str(run), size_guidance={"images": 0})
    events.Reload()
    return [event.step for event in events.Images("forecast/validation")]


def metrics(run):
    return pd.read_csv(run / "metrics.csv")


def saved(run, name):
    return torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)


def assert_same_weights(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.fixture
def resume(cli, root):
    """Goes on with the newest run."""

    given = ["fit", "--ckpt_path=last", f"--trainer.default_root_dir={root}"]

    def run(*more, epochs):
        return cli(*given, f"--trainer.max_epochs={epochs}", *more)

    return run


@pytest.mark.parametrize("pieces", [[1, 4], [3, 4], [1, 2, 3, 4]], ids=str)
def test_a_run_in_pieces_equals_a_whole_one(trained, tmp_path, config, cli, pieces):
    first, *others = pieces
    assert cli(*fit(config, tmp_path, epochs=first)).status == 0
    for epochs in others:
        assert cli(*fit(config, tmp_path, "--ckpt_path=last", epochs=epochs)).status == 0
    assert [path.name for path in (tmp_path / "lightning_logs" / "tiny").iterdir()] == ["version_0"]
    whole, resumed = folder(trained), folder(tmp_path)
    assert (resumed / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
    assert curves(resumed) == curves(whole)
    assert figures(resumed) == figures(whole)
    for name in ("best", "last"):
        assert_same_weights(saved(resumed, name)["state_dict"], saved(whole, name)["state_dict"])
        assert saved(resumed, name)["epoch"] == saved(whole, name)["epoch"]


def test_a_checkpoint_needs_no_config_to_be_resumed(tmp_path, root, resume, cli, config):
    assert resume(epochs=EPOCHS + 2).status == 0
    assert cli(*fit(config, tmp_path / "whole", epochs=EPOCHS + 2)).status == 0
    assert (folder(root) / "metrics.csv").read_bytes() == (folder(tmp_path / "whole") / "metrics.csv").read_bytes()


def test_a_run_is_resumed_by_path_from_any_folder(root, cli, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    last = folder(root) / "checkpoints" / "last.ckpt"
    assert cli("fit", "--ckpt_path", last, f"--trainer.max_epochs={EPOCHS + 1}").status == 0
    assert len(metrics(folder(root))) == EPOCHS + 1
    assert files(elsewhere) == []


def test_a_finished_run_stays_as_it_is(root, resume):
    before = (folder(root) / "metrics.csv").read_bytes()
    answer = resume(epochs=EPOCHS)
    assert answer.status == 0
    assert answer.out.startswith("best val/loss 0.")
    assert (folder(root) / "metrics.csv").read_bytes() == before


def test_a_copied_last_checkpoint_goes_on_in_a_new_run(trained, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(folder(trained) / "checkpoints" / "last.ckpt", tmp_path / "copy.ckpt")
    given = ["--ckpt_path=copy.ckpt", "--trainer.default_root_dir=."]
    assert cli("fit", *given, f"--trainer.max_epochs={EPOCHS + 1}").status == 0
    assert list(metrics(folder(tmp_path, "copy"))["epoch"]) == [EPOCHS]


def test_the_best_epoch_so_far_is_kept_when_no_later_one_is_better(root, resume):
    losses = metrics(folder(root))["val/loss"]
    best = saved(folder(root), "best")
    answer = resume("--model.optimizer.lr=0.02", "--data.validation=tail", "--model.dropout=0.99", epochs=EPOCHS + 3)
    later = metrics(folder(root))["val/loss"].iloc[EPOCHS:]
    assert answer.status == 0
    assert (later > losses.min()).all(), "the later epochs must be worse for this test"
    assert answer.out.startswith(f"best val/loss {losses.min():.4f} in epoch {losses.idxmin()}; ")
    assert_same_weights(saved(folder(root), "best")["state_dict"], best["state_dict"])
    assert saved(folder(root), "best")["epoch"] == losses.idxmin()


def test_a_run_that_was_stopped_early_goes_on_with_more_patience(tmp_path, config, cli):
    rate = "--model.optimizer.lr=0.3"
    assert cli(*fit(config, tmp_path, rate, "--early_stopping.patience=1", epochs=200)).status == 0
    stopped = len(metrics(folder(tmp_path)))
    more = ["--ckpt_path=last", "--early_stopping.patience=1000"]
    assert cli(*fit(config, tmp_path, rate, *more, epochs=stopped + 5)).status == 0
    assert len(metrics(folder(tmp_path))) == stopped + 5


def test_a_run_that_was_stopped_early_stays_stopped(tmp_path, config, cli):
    given = fit(config, tmp_path, "--model.optimizer.lr=0.3", "--early_stopping.patience=1", epochs=200)
    assert cli(*given).status == 0
    before = (folder(tmp_path) / "metrics.csv").read_bytes()
    answer = cli(*given, "--ckpt_path=last")
    assert answer.status == 0
    assert (folder(tmp_path) / "metrics.csv").read_bytes() == before
    assert figures(folder(tmp_path)) == [saved(folder(tmp_path), "last")["global_step"]]


def test_what_was_tested_stays_in_the_log_of_a_resumed_run(root, resume, cli):
    assert cli("test", "--ckpt_path=best", f"--trainer.default_root_dir={root}").status == 0
    tested = metrics(folder(root))["test/mae"].dropna()
    assert resume(epochs=EPOCHS + 1).status == 0
    assert metrics(folder(root))["test/mae"].dropna().equals(tested)
    assert list(metrics(folder(root))["epoch"]) == list(range(EPOCHS + 1))


def test_tensorboard_tells_the_command_of_each_part_of_a_run_at_the_step_that_it_began_with(root, resume):
    assert resume(epochs=EPOCHS + 1).status == 0
    events = EventAccumulator(str(folder(root)), size_guidance={"tensors": 0})
    events.Reload()
    steps = metrics(folder(root))["step"] + 1
    found = events.Tensors("run/command/text_summary")
    assert [event.step for event in found] == [0, steps.iloc[EPOCHS - 1]]
    assert [b"--ckpt_path=last" in event.tensor_proto.string_val[0] for event in found] == [False, True]
    assert len(events.Tensors("run/data/text_summary")) == 2


def test_the_best_checkpoint_cannot_be_resumed(root, cli):
    before = files(root)
    answer = cli("fit", "--ckpt_path=best", f"--trainer.default_root_dir={root}")
    assert answer.status == 2
    assert "holds weights only and cannot be resumed; resume from last.ckpt in the same folder" in answer.err
    assert files(root) == before


@pytest.mark.parametrize("experiment", ["tiny", None])
def test_nothing_to_resume_is_an_error(tmp_path, config, cli, experiment):
    args = fit(config, tmp_path) if experiment else ["fit", f"--trainer.default_root_dir={tmp_path}"]
    answer = cli(*args, "--ckpt_path=last")
    assert (answer.status, answer.out) == (2, "")
    assert "no run" in answer.err
    assert "train one first with forecastlab fit" in answer.err
    assert files(tmp_path) == []


def test_another_network_cannot_be_resumed(root, resume):
    before = files(root)
    answer = resume("--model.backbone.hidden_size=5", epochs=EPOCHS + 1)
    assert answer.status == 2
    assert "do not fit this network" in answer.err
    assert files(root) == before
