"""Optimizers, data and weights that do not fit a network are refused."""

import math
from functools import partial

import pytest
from torch.optim import Adam
from torch.optim.lr_scheduler import StepLR

from forecastlab.backbones.bn_lstm import BNLSTM
from forecastlab.backbones.larnn import LARNN
from forecastlab.backbones.lstm import LSTM
from forecastlab.errors import ConfigError
from forecastlab.hybrids.bidirectional import Bidirectional
from forecastlab.hybrids.parallel import Parallel
from forecastlab.losses import MSE
from forecastlab.training.forecaster import Forecaster
from tests.frames import module, panel
from tests.series import Series, as_if_trained, counting, noise, trainer
from tests.training.networks import SMALL, saved, trained


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"optimizer": partial(Adam, lr=-1.0)}, "model.optimizer: Invalid learning rate: -1"),
        ({"optimizer": MSE}, "model.optimizer: there is no Optimizer .*MSE: a class of"),
        ({"lr_scheduler": StepLR}, "model.lr_scheduler: .*step_size"),
        ({"lr_scheduler": Adam}, "model.lr_scheduler: there is no LRScheduler .*Adam: a class of"),
    ],
)
def test_an_optimizer_that_cannot_be_built_is_refused_before_the_training(arguments, words):
    data = Series(noise(60), fold=2)
    with pytest.raises(ConfigError, match=words):
        trained(data, SMALL, **arguments)


@pytest.mark.parametrize(
    "network", [BNLSTM, partial(LARNN, batch_norm=True), partial(Parallel, branches=[LSTM, BNLSTM])]
)
def test_a_backbone_that_normalises_over_sequences_is_not_trained_on_one(network):
    data = Series(noise(60), fold=2, lookback="full")
    with pytest.raises(ConfigError, match=r"normalises over the sequences of a batch.*Set --data.lookback"):
        trained(data, network)


def test_a_backbone_that_sees_the_future_is_refused_where_every_step_is_an_origin():
    two_ways = partial(Bidirectional, backbone=SMALL)
    full = Series(noise(60), fold=2, lookback="full")
    with pytest.raises(ConfigError, match=r"Bidirectional is not causal.*Set --data.lookback"):
        Forecaster(two_ways, schema=full.schema)
    with pytest.raises(ConfigError, match="Parallel is not causal"):
        Forecaster(partial(Parallel, branches=[SMALL, two_ways]), schema=full.schema)
    model = Forecaster(two_ways, schema=Series(noise(60), fold=2, lookback=5).schema)
    with pytest.raises(ConfigError, match="Bidirectional is not causal"):
        trainer().test(model, full, verbose=False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"features": ["x"]}, r"features differ .*: missing \['y'\], unknown \[\]"),
        ({"features": ["y", "x"]}, "features come in another order .*number 1, y instead of x"),
        ({"targets": ["x"]}, r"targets differ .*: missing \['y'\], unknown \['x'\]"),
        ({"horizon": 2}, "built for horizon=1, but the data have 2"),
        ({"calendar": ["hour"]}, r"features differ .*unknown \['hour_sin', 'hour_cos'\]"),
    ],
)
@pytest.mark.parametrize("stage", ["fit", "validate", "test", "predict"])
def test_data_of_another_schema_are_refused(stage, arguments, words):
    model = Forecaster(SMALL, schema=Series(noise(60), fold=2).schema)
    with pytest.raises(ConfigError, match=words):
        getattr(trainer(max_epochs=1), stage)(model, datamodule=Series(noise(60), fold=2, **arguments))


@pytest.mark.parametrize("stage", ["fit", "validate", "test", "predict"])
def test_weights_for_other_columns_are_refused_where_the_shapes_are_the_same(tmp_path, stage):
    saved(tmp_path / "x.ckpt", Series(noise(60), fold=2))
    for arguments, words in (
        ({"features": ["y", "x"]}, "features come in another order"),
        ({"targets": ["x"]}, "targets differ"),
    ):
        data = Series(noise(60), fold=2, **arguments)
        model = Forecaster(SMALL, schema=data.schema)
        with pytest.raises(ConfigError, match=words):
            getattr(trainer(max_epochs=2), stage)(model, data, ckpt_path=tmp_path / "x.ckpt", weights_only=True)


def test_weights_for_series_in_another_order_are_refused_where_each_has_its_own_scaling(tmp_path):
    frame = panel(30)
    settings = {"series_column": "unique_id", "scale_by": "series"}
    saved(tmp_path / "x.ckpt", module(tmp_path, frame, **settings))
    data = module(tmp_path, frame.sort_values("unique_id", ascending=False, kind="stable"), **settings)
    with pytest.raises(ConfigError, match="series come in another order than those the network was trained on"):
        trainer().test(Forecaster(SMALL, schema=data.schema), data, ckpt_path=tmp_path / "x.ckpt", weights_only=True)


def test_data_of_another_frequency_are_refused():
    model = Forecaster(SMALL, schema=Series(noise(60), fold=2).schema)
    hourly = Series(counting(60, "h"), "h", fold=2)
    with pytest.raises(ConfigError, match="trained on data of frequency D, but these have h"):
        trainer().test(model, hourly, verbose=False)


def test_a_network_for_windows_serves_windows_of_another_length():
    model = as_if_trained(Forecaster(SMALL, anchor="last", schema=Series(noise(60), fold=2, lookback=5).schema))
    (found,) = trainer().test(model, Series(noise(60), fold=2, lookback=9), verbose=False)
    assert math.isfinite(found["test/mae"])
