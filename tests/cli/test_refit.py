"""`fold: all` trains on every row, for as many epochs as were best on the tail."""

import shutil
from functools import partial

import lightning.pytorch as lightning
import numpy as np
import pandas as pd
import pytest
import torch

from forecastlab.cli import main
from forecastlab.data.table_datamodule import TableDataModule
from forecastlab.experiment import refit
from forecastlab.losses.counts import NegativeBinomial
from forecastlab.training.callbacks import Refit
from forecastlab.training.forecaster import Forecaster
from tests.cli.commands import fit, folder
from tests.network.calibrated import conformal_quantile
from tests.series import Series, noise, trainer

CONFIG = """
data:
  class_path: TableDataModule
  init_args: {path: days.csv, lookback: 4, fold: all, batch_size: 50}
model:
  backbone: {class_path: GRU, init_args: {hidden_size: 4}}
  intervals: [0.5]
  optimizer: {class_path: Adam, init_args: {lr: 0.02}}
  lr_scheduler: {class_path: ReduceLROnPlateau, init_args: {monitor: val/loss, patience: 0}}
"""
EPOCHS = 4


def days(newest=0.0):
    """A hundred days; of the last ten, which are among the validation tail, the values can be moved."""
    values = np.sin(np.arange(100.0)) + 20
    values[-10:] += newest
    return pd.DataFrame({"ds": pd.date_range("2023-01-01", periods=100), "y": values})


def trained(place, newest=0.0, *more):
    place.mkdir(exist_ok=True)
    (place / "days.yaml").write_text(CONFIG)
    days(newest).to_csv(place / "days.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PL_GLOBAL_SEED", "0")
        patch.chdir(place)
        return main(fit("days.yaml", ".", *more, epochs=EPOCHS))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished run; to be looked at only."""
    place = tmp_path_factory.mktemp("refit")
    assert trained(place) == 0
    return place


def saved(place, name="best"):
    return torch.load(folder(place, "days") / "checkpoints" / f"{name}.ckpt", weights_only=True)


def test_best_and_last_are_weights_of_every_row_for_the_best_number_of_epochs(finished):
    log = pd.read_csv(folder(finished, "days") / "metrics.csv")
    best = int(log.loc[log["val/loss"].idxmin(), "epoch"])
    for name in ("best", "last"):
        checkpoint = saved(finished, name)
        assert checkpoint["refitted"] == best + 1
        (record,) = checkpoint["trained_on"]
        assert record["fit"] == ["2023-01-01 00:00:00", "2023-04-10 00:00:00"]
        assert record["validation"] is None
    again = pd.read_csv(folder(finished, "days") / "refit" / "metrics.csv")
    assert again["epoch"].tolist() == list(range(best + 1))
    assert "val/loss" not in again
    assert again["train/learning_rate"].tolist() == log["train/learning_rate"].tolist()[: best + 1]


def test_the_weights_are_those_of_a_training_in_python_on_every_row(finished):
    """Fresh weights of the same seed, all rows, no validation: what the command does is no more than this."""
    checkpoint = saved(finished)
    module = TableDataModule(str(finished / "days.csv"), lookback=4, fold="all", batch_size=50).refit()
    settings = {**checkpoint["hyper_parameters"], "lr_scheduler": None}
    lightning.seed_everything(0)
    model = Forecaster(**settings)
    log = pd.read_csv(folder(finished, "days") / "refit" / "metrics.csv")
    assert log["train/learning_rate"].nunique() == 1, "so that the schedule can be left out"
    trainer(max_epochs=checkpoint["refitted"], limit_val_batches=0).fit(model, module)
    theirs = checkpoint["state_dict"]
    for name, value in model.state_dict().items():
        if not name.startswith("intervals"):
            torch.testing.assert_close(theirs[name], value, msg=name)
    values = days()["y"]
    assert float(theirs["scaling.target_center"]) == pytest.approx(values.mean(), rel=1e-6)


def test_the_newest_rows_have_a_say(finished, tmp_path):
    assert trained(tmp_path / "moved", 3.0) == 0
    ours, theirs = (saved(place)["state_dict"]["decoder.linear.weight"] for place in (finished, tmp_path / "moved"))
    assert not torch.allclose(ours, theirs)


def test_intervals_are_as_wide_as_on_the_tail(finished, tmp_path):
    series = Series(noise(60), fold=3, validation="tail")
    model = Forecaster(intervals=[0.5], schema=series.schema)
    trainer(max_epochs=1).fit(model, series)
    width = model.intervals.margin * model.scaling.target_scale
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    again = Forecaster(intervals=[0.5], schema=series.schema)
    trainer(max_epochs=1, limit_val_batches=0, callbacks=[Refit(weights)]).fit(again, series.refit())
    assert not torch.equal(again.scaling.target_scale, model.scaling.target_scale)
    torch.testing.assert_close(again.intervals.margin * again.scaling.target_scale, width)


PANEL = {"series_column": "unique_id", "lookback": 4, "fold": "all", "val_size": 24, "batch_size": 50}


def panel():
    """Three series of counts whose scatter differs a hundredfold, and grows at the end."""
    random, parts = np.random.default_rng(0), []
    for number, level in enumerate((2, 40, 900)):
        values = random.poisson(level * np.where(np.arange(80) < 56, 1.0, 1.5))
        parts.append(days().iloc[:80].assign(y=values, unique_id=f"s{number}"))
    return pd.concat(parts, ignore_index=True)


def both_trainings(scale_by="global", **settings):
    """A network that was calibrated on the validation tail, and the one that takes its intervals over."""
    data = TableDataModule(panel(), scale_by=scale_by, **PANEL)
    models = [Forecaster(intervals=[0.5], schema=data.schema, **settings) for _ in range(2)]
    trainer(max_epochs=1).fit(models[0], data)
    weights = {name: value.clone() for name, value in models[0].state_dict().items()}
    trainer(max_epochs=1, limit_val_batches=0, callbacks=[Refit(weights)]).fit(models[1], data.refit())
    assert not torch.equal(models[0].scaling.target_scale, models[1].scaling.target_scale)
    return models


@pytest.mark.parametrize("scale_by", ["global", "series"])
def test_each_series_keeps_the_margin_of_its_own_errors_on_the_tail(scale_by):
    first, again = both_trainings(scale_by)
    tail = TableDataModule(panel(), scale_by=scale_by, **PANEL)
    tail.setup("fit")
    errors = {number: [] for number in range(3)}
    for batch in tail.val_dataloader():
        forecast = first.predict_step(batch).forecast
        for number, error in zip(
            batch.series.tolist(), (batch.target - forecast).abs().flatten().tolist(), strict=True
        ):
            errors[number].append(error)
    by_hand = [conformal_quantile(np.array(own), 0.5) for own in errors.values()]
    width = (again.intervals.own[:, 0, 0] * again.scaling.target_scale).flatten()
    np.testing.assert_allclose(width, by_hand, rtol=1e-4)
    assert min(np.diff(sorted(by_hand))) > 10, "the series differ, and so do their margins"
    table = again.forecast(panel())
    half = (table["forecast-hi-50"] - table["forecast-lo-50"]) / 2
    np.testing.assert_allclose(half, by_hand, rtol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        {"window_norm": "robust", "anchor": "last", "loss_units": "window"},
        {"loss": partial(NegativeBinomial, quantiles=[0.25, 0.75]), "window_norm": "level"},
    ],
    ids=["window", "count"],
)
def test_margins_that_are_not_in_the_scalers_unit_stay_as_they_are(settings):
    first, again = both_trainings(**settings)
    for name in ("margin", "own"):
        torch.testing.assert_close(getattr(again.intervals, name), getattr(first.intervals, name), rtol=0, atol=0)
    assert again.intervals.own.isfinite().all()


@pytest.fixture
def here(finished, tmp_path, monkeypatch):
    root = shutil.copytree(finished, tmp_path / "here")
    monkeypatch.chdir(root)
    return root


def test_there_is_no_row_left_to_score(here, cli):
    for command in ("test", "validate"):
        answer = cli(command, "--ckpt_path=best")
        assert (answer.status, answer.out) == (2, "")
        assert "crossval" in answer.err
        assert "another fold" not in answer.err
    answer = cli("test", "--ckpt_path=last", "--data.fold=3")
    assert answer.status == 2
    assert "trained on" in answer.err
    assert cli("predict", "--ckpt_path=best").status == 0


def test_new_rows_are_scored_as_the_refusal_advises(here, cli):
    more = days().assign(ds=pd.date_range("2023-04-11", periods=100))
    pd.concat([days(), more]).to_csv("grown.csv", index=False)
    given = ["--data.path=grown.csv", "--data.fold=1", "--data.cutoffs=[2023-04-11]"]
    answer = cli("test", "--ckpt_path=best", *given)
    assert (answer.status, answer.err) == (0, "")
    assert len(pd.read_csv(folder(here, "days") / "predictions.csv")) == 100


def test_a_finished_run_is_not_trained_on(here, cli):
    answer = cli("fit", "--ckpt_path=last")
    assert (answer.status, answer.out) == (2, "")
    assert "is finished" in answer.err
    assert "--model.weights_from" in answer.err


def test_it_is_said_that_every_row_is_trained_on(tmp_path, capsys):
    assert trained(tmp_path / "said") == 0
    said = capsys.readouterr().out
    assert "fresh weights are trained on every row for" in said
    assert "hold weights of every row, of which none is left to score; intervals are as wide as on the tail" in said
    assert "forecastlab test" not in said


def test_a_refit_that_was_interrupted_goes_on_and_ends_alike(finished, tmp_path, monkeypatch, capsys):
    place = tmp_path / "interrupted"

    class StoppedHereError(Exception):
        pass

    class Once(refit.Refit):
        def on_train_epoch_start(self, trainer, pl_module):
            if trainer.current_epoch == 1:
                raise StoppedHereError

    with monkeypatch.context() as patch:
        patch.setattr(refit, "Refit", Once)
        with pytest.raises(StoppedHereError):
            trained(place, 0.0, "--checkpoints.write_interval=0")
    assert "refitted" not in saved(place)
    monkeypatch.chdir(place)
    assert main(["fit", "--ckpt_path=last"]) == 0
    ours, theirs = saved(place), saved(finished)
    assert ours["refitted"] == theirs["refitted"]
    assert all(torch.equal(value, theirs["state_dict"][name]) for name, value in ours["state_dict"].items())


def test_a_process_killed_between_the_two_files_is_made_good(here, cli, finished, tmp_path):
    path = folder(here, "days") / "checkpoints" / "best.ckpt"
    first = saved(here)
    del first["refitted"]
    torch.save({**first, "state_dict": {name: value * 0 for name, value in first["state_dict"].items()}}, path)
    assert cli("fit", "--ckpt_path=last").status == 2
    assert saved(here)["refitted"] == saved(finished)["refitted"]
    assert torch.equal(
        saved(here)["state_dict"]["decoder.linear.weight"], saved(finished)["state_dict"]["decoder.linear.weight"]
    )


def test_a_window_of_recent_errors_is_refused_where_every_row_trains(tmp_path, capsys):
    assert trained(tmp_path / "window", 0.0, "--model.interval_window=10") == 2
    assert "fold: all trains on every row" in capsys.readouterr().err
