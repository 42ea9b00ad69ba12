import pickle

import numpy as np
import pandas as pd
import pytest

import forecastlab
from forecastlab.errors import DataError
from forecastlab.experiment.config import Config
from tests.models.series import days

SMALL = {"backbone": {"class_path": "GRU", "init_args": {"hidden_size": 3}}}


def config(source, **arguments):
    """A config whose data are read from a frame or file."""
    settings = {"path": source, "lookback": 5, "splits": 2, **arguments}
    return Config.of(
        {
            "data": {"class_path": "TableDataModule", "init_args": settings},
            "model": SMALL,
            "trainer": {"max_epochs": 1, "accelerator": "cpu"},
        }
    )


def test_a_config_reads_its_frame_and_its_text_says_only_that_there_is_one():
    frame = days(60)
    held = config(frame)
    np.testing.assert_array_equal(held.data_module().table.values["y"], frame["y"])
    assert held.values["data"]["init_args"]["path"] == "<frame>"
    assert "path: <frame>" in held.to_yaml()


def test_a_config_of_values_that_name_a_file_holds_nothing(tmp_path):
    path = tmp_path / "series.csv"
    days(60).to_csv(path, index=False)
    assert config(path).held is None
    assert config(path) == config(str(path))
    assert config(days(60)).with_values({"data.path": str(path)}).held is None
    assert config([path]).values["data"]["init_args"]["path"] == [str(path)]


def test_other_values_keep_the_frame_and_another_frame_takes_its_place():
    held = config(days(60)).with_values({"data.lookback": 4, "data.fold": 1})
    assert len(held.data_module().table.times) == 60
    assert len(held.with_values({"data.path": days(70)}).data_module().table.times) == 70
    assert len(pickle.loads(pickle.dumps(held)).data_module().table.times) == 60


def test_a_text_of_a_config_that_held_a_frame_asks_for_one(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(config(days(60)).to_yaml())
    with pytest.raises(DataError, match="were a frame in Python"):
        _ = Config.of(path).data_module().tables
    assert len(Config.of(path).with_values({"data.path": days(60)}).data_module().table.times) == 60


def test_every_fold_of_a_cross_validation_gets_the_frame_and_another_frame_begins_anew(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    done = forecastlab.crossval(config(days(60)), baselines=["persistence"])
    assert done.failed == {}
    assert sorted(done.run.results["fold"].unique()) == [1, 2]
    assert forecastlab.crossval(config(days(60)), baselines=["persistence"]).folder == done.folder
    assert forecastlab.crossval(config(days(61)), folds=[1], baselines=["persistence"]).folder != done.folder
    assert "persistence" in repr(forecastlab.compare([done]))


def test_every_trial_of_a_study_gets_the_frame(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    space = {"model.backbone.init_args.hidden_size": {"type": "int", "low": 2, "high": 3}}
    tuned = forecastlab.tune(config(days(60)), space, trials=2)
    assert tuned.finished == 2
    assert (tuned.folder / "trials.csv").exists()
    assert "best    val/loss " in repr(tuned)
    assert pd.read_csv(tuned.folder / "trials.csv")["error"].isna().all()
