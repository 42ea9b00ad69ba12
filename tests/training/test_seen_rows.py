"""What a Forecaster remembers of its trainings, and the rows that it refuses to score, in Python."""

import pytest
import torch

from forecastlab.errors import ConfigError, DataError
from forecastlab.export.safetensors import load_safetensors, save_safetensors
from forecastlab.training.forecaster import Forecaster
from tests.series import Series, noise, trainer

TAIL = {"validation": "tail", "splits": 5, "lookback": 2}


def series(fold, seed=0, **settings):
    return Series(noise(120, seed), fold=fold, **{**TAIL, **settings})


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint of the last fold."""
    path = tmp_path_factory.mktemp("seen") / "model.ckpt"
    data, training = series(5), trainer(max_epochs=1)
    training.fit(Forecaster(schema=data.schema), data)
    training.save_checkpoint(path)
    return path


@pytest.fixture
def model(checkpoint):
    return Forecaster.load(checkpoint)


def folds(model):
    return [record.fold for record in model.trained_on]


def test_a_fresh_network_remembers_nothing_and_a_loaded_one_what_trained_it(model):
    assert Forecaster(schema=series(5).schema).trained_on == ()
    assert model.trained_on == (series(5).trained_on,)


def test_a_score_on_trained_rows_is_refused_and_says_how_to_insist(model):
    with pytest.raises(ConfigError, match="all 20 test rows of fold 2") as caught:
        trainer().test(model, series(2), verbose=False)
    assert "model.allow_seen = True" in str(caught.value)


def test_an_allowed_score_carries_its_mark(model):
    model.allow_seen = True
    (metrics,) = trainer().test(model, series(2), verbose=False)
    assert metrics["test/seen"] == 1
    assert "seen in training" in model.seen.notes[0]


def test_the_own_test_rows_are_scored_without_a_mark(model):
    (metrics,) = trainer().test(model, series(5), verbose=False)
    assert not {"test/seen", "test/optimistic"} & set(metrics)


def test_a_checkpoint_that_lightning_loads_is_checked_too(checkpoint):
    model = Forecaster(schema=series(5).schema)
    with pytest.raises(ConfigError, match="test rows of fold 2"):
        trainer().test(model, series(2), ckpt_path=str(checkpoint), weights_only=True, verbose=False)


def test_validation_by_itself_is_refused_on_rows_that_fitted(model):
    trainer().validate(model, series(5), verbose=False)
    with pytest.raises(ConfigError, match="validation rows of fold 3"):
        trainer().validate(model, series(3), verbose=False)


def test_a_loaded_network_that_is_trained_on_remembers_both_trainings(model):
    model.train()
    trainer(max_epochs=1).fit(model, series(2))
    assert folds(model) == [5, 2]
    trainer(max_epochs=1).fit(model, series(2))
    assert folds(model) == [5, 2], "the same rows are not written down twice"
    with pytest.raises(ConfigError, match="test rows of fold 2"):
        trainer().test(model, series(2), verbose=False)


def test_a_network_remembers_the_trainings_of_the_weights_it_began_with(checkpoint):
    model = Forecaster(weights_from=str(checkpoint), schema=series(2).schema)
    trainer(max_epochs=1).fit(model, series(2))
    assert folds(model) == [5, 2]


@pytest.mark.parametrize("other", [{"fold": 4}, {"fold": 5, "seed": 1}], ids=["fold", "data"])
def test_a_training_is_not_resumed_on_other_rows(checkpoint, other):
    data = series(**other)
    with pytest.raises(ConfigError, match="goes on with the rows it began with"):
        trainer(max_epochs=2).fit(Forecaster(schema=data.schema), data, ckpt_path=str(checkpoint), weights_only=True)


def test_a_training_is_resumed_on_its_own_rows(checkpoint):
    data = series(5)
    model = Forecaster(schema=data.schema)
    trainer(max_epochs=2).fit(model, data, ckpt_path=str(checkpoint), weights_only=True)
    assert folds(model) == [5]


def test_an_epoch_chosen_on_the_test_rows_makes_their_score_optimistic():
    data = series(5, validation="test")
    model = Forecaster(schema=data.schema)
    trainer(max_epochs=1).fit(model, data)
    (metrics,) = trainer().test(model, data, verbose=False)
    assert metrics["test/optimistic"] == 1


def test_a_refit_has_every_row_and_no_validation():
    data = series("all").refit()
    assert (data.ranges.fit, len(data.ranges.validation)) == (range(2, 120), 0)
    model = Forecaster(schema=data.schema)
    trainer(max_epochs=1, limit_val_batches=0).fit(model, data)
    (record,) = model.trained_on
    assert (record.fit, record.validation, record.protocol) == (record.data, None, "none")
    torch.testing.assert_close(model.scaling.target_center.squeeze().item(), noise(120)["y"].mean(), rtol=1e-6, atol=0)


def test_a_refit_needs_a_trainer_that_does_not_validate():
    data = series("all").refit()
    with pytest.raises(ConfigError, match="limit_val_batches=0"):
        trainer(max_epochs=1).fit(Forecaster(schema=data.schema), data)


def test_a_damaged_record_is_named(checkpoint, tmp_path):
    held = torch.load(checkpoint, weights_only=True)
    held["trained_on"] = [{"keys": "?"}]
    torch.save(held, tmp_path / "damaged.ckpt")
    with pytest.raises(DataError, match=r"trained_on\.0\.fit is missing"):
        Forecaster.load(tmp_path / "damaged.ckpt")


def test_an_export_carries_what_trained_the_weights(model, tmp_path):
    save_safetensors(model, tmp_path / "model.safetensors")
    assert load_safetensors(tmp_path / "model.safetensors").trained_on == model.trained_on
