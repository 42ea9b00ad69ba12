import inspect
from functools import partial

import pytest

import forecastlab
from forecastlab.backbones.gru import GRU
from forecastlab.decoders import Linear
from forecastlab.errors import ConfigError
from forecastlab.losses import MAE
from forecastlab.network.network import Network
from forecastlab.training.forecaster import Forecaster
from tests.models.series import days


class OwnGRU(GRU):
    """A cell of a user's."""

    source = "a test"


@pytest.fixture(scope="module")
def schema():
    return forecastlab.TableDataModule(days(60), lookback=5).schema


@pytest.mark.parametrize("build", [Network, Forecaster])
@pytest.mark.parametrize("backbone", ["GRU", GRU])
def test_the_name_and_its_arguments_build_what_a_partial_builds(build, backbone, schema):
    short = build(backbone, hidden_size=16, num_layers=2, loss="MAE", decoder="Linear", schema=schema)
    written = build(partial(GRU, hidden_size=16, num_layers=2), Linear, MAE, schema=schema)
    assert short.settings == written.settings
    assert short.settings["backbone"]["class_path"] == "forecastlab.backbones.gru.GRU"


def test_the_optimizer_has_a_name_too(schema):
    model = Forecaster("GRU", optimizer="AdamW", schema=schema)
    assert model.hparams["optimizer"]["class_path"].endswith(".AdamW")


def test_an_argument_that_both_have_is_the_networks_own(schema):
    model = Forecaster("GRU", dropout=0.25, schema=schema)
    assert model.settings["dropout"] == 0.25
    assert "dropout" not in model.settings["backbone"]["init_args"]


def test_a_name_that_no_class_has_is_refused_with_the_one_that_was_meant(schema):
    with pytest.raises(
        ConfigError, match=r"model\.backbone: there is no backbone 'GUR'; did you mean GRU\? Available: "
    ):
        Forecaster("GUR", schema=schema)
    with pytest.raises(ConfigError, match=r"model\.loss: there is no loss 'LSTM'"):
        Forecaster("GRU", loss="LSTM", schema=schema)


def test_an_argument_that_nobody_has_is_refused(schema):
    with pytest.raises(ConfigError, match=r"model\.backbone: .*'hiden_size'"):
        Forecaster("GRU", hiden_size=16, schema=schema)
    with pytest.raises(TypeError, match="'hidden_size'"):
        Forecaster(hidden_size=16, schema=schema)
    with pytest.raises(TypeError, match="positional"):
        Forecaster("GRU", *[None] * 99)
    with pytest.raises(TypeError, match="multiple values"):
        Forecaster("GRU", backbone="GRU", schema=schema)


def test_the_name_of_a_cell_of_ones_own_is_found(schema):
    assert isinstance(Forecaster("OwnGRU", hidden_size=3, schema=schema).backbone, OwnGRU)


def test_help_shows_the_arguments_of_the_class():
    names = list(inspect.signature(Forecaster).parameters)
    assert names == list(inspect.signature(Forecaster.__init__).parameters)[1:]
    assert {"backbone", "optimizer", "schema"} <= set(names)
