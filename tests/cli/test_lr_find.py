import numpy as np
import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from forecastlab.experiment.lr_find import smoothed, without_average
from forecastlab.training.forecaster import Forecaster
from tests.cli.commands import files, fit, folder

NAME = "tiny-lr-find"


@pytest.fixture
def losses(monkeypatch):
    """The loss of every training step."""
    found = []
    step = Forecaster.training_step

    def kept(self, batch):
        loss = step(self, batch)
        found.append(float(loss.detach()))
        return loss

    monkeypatch.setattr(Forecaster, "training_step", kept)
    return found


def test_the_curve_is_the_loss_of_each_step_at_rising_rates(config, tmp_path, cli, losses):
    answer = cli(*fit(config, tmp_path, "--lr_find", epochs=1))  # which are five steps only
    assert answer.status == 0
    curve = pd.read_csv(folder(tmp_path, NAME) / "lr_find.csv")
    assert len(curve) == 100
    np.testing.assert_allclose(curve["loss"], losses[:100], rtol=1e-4)
    steps = np.diff(np.log10(curve["learning_rate"]))[1:]
    np.testing.assert_allclose(steps, 6 / 100, rtol=1e-6)  # 1e-6 .. 1 in 100 steps


def test_a_tenth_of_the_rate_of_the_lowest_loss_is_suggested_and_nothing_is_trained(config, tmp_path, cli):
    answer = cli(*fit(config, tmp_path, "--lr_find"))
    assert answer.status == 0, answer.err
    curve = pd.read_csv(folder(tmp_path, NAME) / "lr_find.csv")
    rate = curve["learning_rate"][curve["smoothed"].argmin()] / 10
    assert f"suggested  learning rate {rate:.2g}" in answer.out
    assert "the config's is 0.02" in answer.out
    assert f"pass --model.optimizer.init_args.lr {rate:.2g}" in answer.out
    names = ("config.yaml", "events.out", "lr_find.csv", "lr_find.png")
    assert sorted(set(files(tmp_path))) == [f"lightning_logs/{NAME}/version_0/{name}" for name in names]
    assert cli(*fit(config, tmp_path, f"--model.optimizer.init_args.lr={rate:.2g}", epochs=1)).status == 0
    assert folder(tmp_path).exists()


def test_the_curve_is_in_tensorboard_too(config, tmp_path, cli):
    assert cli(*fit(config, tmp_path, "--lr_find")).status == 0
    found = [EventAccumulator(str(path)).Reload() for path in folder(tmp_path, NAME).glob("events*")]
    assert ["learning_rate"] in [board.Tags()["images"] for board in found]


def test_a_loss_that_is_no_number_ends_the_curve_and_not_the_command(config, tmp_path, cli):
    wild = ("--data.scaler=none", "--model.optimizer=SGD", "--model.anchor=none", "--model.linear_skip=true")
    answer = cli(*fit(config, tmp_path, "--lr_find", *wild))
    assert answer.status == 0
    curve = pd.read_csv(folder(tmp_path, NAME) / "lr_find.csv")
    assert 2 <= len(curve) < 100
    assert np.isfinite(curve.to_numpy()).all()


def test_losses_are_recovered_from_lightnings_running_averages():
    true = np.random.default_rng(0).uniform(1, 2, 50)
    average, averages = 0.0, []
    for step, loss in enumerate(true, 1):
        average = 0.98 * average + 0.02 * loss
        averages.append(average / (1 - 0.98 ** (step + 1)))
    np.testing.assert_allclose(without_average(averages), true)


def test_smoothing_keeps_a_straight_line_straight_inside_and_leaves_out_what_is_no_number():
    rates = np.logspace(-6, 0, 101)
    line = pd.DataFrame({"learning_rate": rates, "loss": np.log10(rates)})
    inside = slice(30, 70)
    np.testing.assert_allclose(smoothed(line)["smoothed"][inside], line["loss"][inside], atol=1e-3)
    line.loc[50, "loss"] = np.nan
    assert len(smoothed(line)) == 100


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (("--ckpt_path=last",), "--lr_find begins with fresh weights"),
        (("--trainer.fast_dev_run=true",), "leave trainer.fast_dev_run out"),
    ],
)
def test_what_does_not_go_with_it_is_named(config, root, cli, given, named):
    before = files(root)
    answer = cli(*fit(config, root, "--lr_find", *given))
    assert answer.status == 2
    assert named in answer.err
    assert files(root) == before
