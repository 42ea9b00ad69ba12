import os
import random
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

import forecastlab
from forecastlab.data.survey import OpenQuestionError
from forecastlab.errors import ConfigError, DataError
from tests.models.series import FEW, days, shops


def test_a_frame_becomes_a_model_that_forecasts_the_steps_behind_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = days(120)
    model = forecastlab.fit(frame, target="y", horizon=3, settings=FEW)
    forecast = model.forecast()
    assert list(forecast["ds"]) == list(pd.date_range("2024-04-30", periods=3))
    assert np.isfinite(forecast["forecast"]).all()
    assert list(tmp_path.iterdir()) == []  # nothing is left behind


def test_all_kinds_of_sources_give_the_same_model(tmp_path):
    frame = days(120)
    frame.to_csv(tmp_path / "series.csv", index=False)
    series = frame.set_index("ds")["y"]
    forecasts = [
        forecastlab.fit(source, "y", 3, settings=FEW).forecast()["forecast"].to_numpy()
        for source in (frame, pl.from_pandas(frame), series, tmp_path / "series.csv", [str(tmp_path / "series.csv")])
    ]
    for other in forecasts[1:4]:
        np.testing.assert_array_equal(other, forecasts[0])


def test_settings_win_over_what_was_chosen():
    settings = {**FEW, "model.backbone": "GRU", "model.backbone.hidden_size": 5}
    model = forecastlab.fit(days(120), "y", 2, lookback=9, settings=settings)
    assert type(model.network.backbone) is forecastlab.GRU
    assert model.network.backbone.output_size == 5
    assert (model.network.schema.lookback, model.network.schema.horizon) == (9, 2)


def test_the_chosen_schedule_is_as_long_as_the_training_unless_it_is_given():
    def length(settings):
        schedule = forecastlab.fit(days(120), "y", 2, lookback=9, settings=settings).config.values["model"][
            "lr_scheduler"
        ]
        return schedule["init_args"]["T_max"]

    assert length(FEW) == 2
    assert length({**FEW, "model.lr_scheduler.T_max": 7}) == 7


def test_several_targets_are_forecast():
    model = forecastlab.fit(days(120).assign(z=lambda frame: 2 * frame["y"]), ["y", "z"], 2, settings=FEW)
    assert list(model.forecast()["target"]) == ["y", "y", "z", "z"]


def test_a_question_that_the_data_leave_open_names_the_argument_that_answers_it():
    frame = days(120).rename(columns={"y": "a"}).assign(b=lambda frame: frame["a"] ** 2)
    with pytest.raises(OpenQuestionError, match=r"could be predicted: a, b\. Answer with target='a'$"):
        forecastlab.fit(frame)


def test_an_argument_that_nothing_has_is_refused_with_the_one_that_was_meant():
    with pytest.raises(ConfigError, match="no argument 'horizont'; did you mean horizon"):
        forecastlab.fit(days(120), "y", horizont=3)
    with pytest.raises(ConfigError, match=r"did you mean model\.backbone"):
        forecastlab.fit(days(120), "y", settings={"model.bakbone": "GRU"})
    with pytest.raises(DataError, match="got int"):
        forecastlab.fit(3)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"splits": 1}, "splits must be a number of folds, 2 or more, got 1"),
        ({"batch_size": 0}, "batch_size must be a whole number, 1 or more, got 0"),
        ({"horizon": 0}, "horizon must be a whole number, 1 or more, got 0"),
        ({"lookback": 0}, 'lookback must be a positive number of rows or "full", got 0'),
    ],
)
def test_an_argument_out_of_range_is_refused_in_our_words_alone(arguments, told):
    with pytest.raises(ConfigError) as refused:
        forecastlab.fit(days(120), "y", **{"horizon": 3, **arguments}, settings=FEW)
    assert str(refused.value) == told
    assert refused.value.__context__ is None  # a program that does not catch it shows nothing else


def test_a_config_out_of_range_is_refused_in_our_words_alone():
    data = {"class_path": "TableDataModule", "init_args": {"path": days(120), "targets": ["y"], "splits": 1}}
    with pytest.raises(ConfigError, match=r"^splits must be a number of folds, 2 or more, got 1$") as refused:
        forecastlab.Config.of({"data": data}).data_module()
    assert refused.value.__context__ is None


def test_what_was_chosen_without_a_word_is_said(capsys):
    frame = days(120)
    frame.loc[[30, 31, 60], "y"] = -999.0
    forecastlab.fit(frame.assign(z=1.0 * np.arange(120)), settings=FEW)
    said = capsys.readouterr().err
    assert "note: y is forecast, 14 steps ahead: target and horizon were not given\n" in said
    assert "note: -999 in y, taken for a missing value\n" in said


def test_nothing_is_said_of_what_was_given(capsys):
    forecastlab.fit(days(120), "y", 3, settings=FEW)
    assert capsys.readouterr() == ("", "")


def test_a_named_experiment_is_kept_as_the_command_keeps_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model = forecastlab.fit(days(120), "y", 3, experiment="kept", settings=FEW)
    kept = tmp_path / "lightning_logs" / "kept" / "version_0"
    assert {"config.yaml", "metrics.csv", "checkpoints"} <= {path.name for path in kept.iterdir()}
    assert "test it" in capsys.readouterr().out
    again = forecastlab.Model.load(kept / "checkpoints" / "best.ckpt")
    pd.testing.assert_frame_equal(again.forecast(days(120)), model.forecast())


def test_every_row_trains_if_asked():
    model = forecastlab.fit(days(120), "y", 3, fold="all", settings=FEW)
    assert model.network.trained_on[-1].fit.last.startswith("2024-04-29")
    assert model.epochs <= 2
    assert model.loss is None


def test_the_program_around_it_stays_as_it_was(monkeypatch):
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    threads = torch.get_num_threads()
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(11)
    wanted = random.random(), np.random.rand(), torch.rand(1)
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(11)
    forecastlab.fit(days(120), "y", 3, settings={**FEW, "threads": threads + 1 if threads == 1 else 1})
    assert (random.random(), np.random.rand(), torch.rand(1)) == wanted
    assert torch.get_num_threads() == threads
    assert "PL_GLOBAL_SEED" not in os.environ


def test_the_frame_of_the_caller_is_not_changed_and_its_later_changes_do_not_reach_the_model():
    frame = days(120)
    before = frame.copy()
    model = forecastlab.fit(frame, "y", 3, settings=FEW)
    pd.testing.assert_frame_equal(frame, before)
    forecast = model.forecast()
    frame["y"] = 0.0
    pd.testing.assert_frame_equal(model.forecast(), forecast)


def test_several_devices_and_trials_without_an_epoch_are_refused():
    with pytest.raises(ConfigError, match=r"trainer\.devices: a program trains on one device, got 2"):
        forecastlab.fit(days(120), "y", 3, settings={"trainer.devices": 2})
    with pytest.raises(ConfigError, match="there is no model"):
        forecastlab.fit(days(120), "y", 3, settings={"trainer.fast_dev_run": True})


def test_a_script_prints_nothing_of_devices_and_seeds(tmp_path):
    days(120).to_csv(tmp_path / "series.csv", index=False)
    text = 'import forecastlab\nforecastlab.fit("series.csv", "y", 3, settings={"trainer.max_epochs": 1}).score()\n'
    (tmp_path / "script.py").write_text(text)
    ended = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (ended.stdout, ended.stderr) == ("", "")


def test_a_model_of_many_series_forecasts_each():
    model = forecastlab.fit(shops(4), "y", 3, settings=FEW)
    assert list(model.forecast()["unique_id"].unique()) == ["s0", "s1", "s2", "s3"]
