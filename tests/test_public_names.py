import subprocess
import sys

import pytest

import forecastlab
from forecastlab import decoders, losses
from forecastlab.backbones.base import Backbone
from forecastlab.experiment.config import Config
from forecastlab.network.registry import registered_backbones
from forecastlab.public_names import parts


def test_all_registered_backbones_decoders_and_losses_are_found_in_the_files():
    others = {name: getattr(room, name) for room in (decoders, losses) for name in room.__all__ if name[0].isupper()}
    assert set(parts()) == {*registered_backbones(), *others, "Backbone"}
    for name, cls in {**registered_backbones(), **others, "Backbone": Backbone}.items():
        assert getattr(forecastlab, name) is cls


def test_they_are_listed_and_importing_the_package_or_listing_them_imports_no_torch():
    code = "import sys, forecastlab; assert {'LSTM', 'Stack', 'Quantile', 'fit'} <= {*dir(forecastlab)}; "
    code += (
        "print('torch' in sys.modules); from forecastlab import LSTM, Series, Quantile, Seq2Seq; print(LSTM.__name__)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["False", "LSTM"]


def test_a_name_that_is_not_there_is_an_attribute_error():
    for name in ("LTSM", "lstm", "_Anything"):
        with pytest.raises(AttributeError, match=f"no attribute '{name}'"):
            getattr(forecastlab, name)


def test_configs_name_the_classes_by_the_paths_that_they_had_before():
    values = Config.of("quickstart").with_values({"model.backbone": "GRU", "model.loss": "MAE"}).values["model"]
    assert values["backbone"]["class_path"] == "forecastlab.backbones.gru.GRU"
    assert values["decoder"]["class_path"] == "forecastlab.decoders.Linear"
    assert values["loss"]["class_path"] == "forecastlab.losses.MAE"
