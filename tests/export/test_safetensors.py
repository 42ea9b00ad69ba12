import json
import struct
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forecastlab.backbones.lstm import LSTM
from forecastlab.errors import DataError, ForecastlabError
from forecastlab.export import load_safetensors, save_safetensors
from forecastlab.network.registry import registered_backbones
from forecastlab.training.forecaster import Forecaster
from tests.series import Series, noise, trainer

SMALL = partial(LSTM, hidden_size=3)


def network(backbone=SMALL, **arguments):
    """A network whose weights and scaling are no defaults, and a batch for it."""
    data = Series(noise(60), fold=2, lookback=6, batch_size=5, **arguments)
    torch.manual_seed(0)
    model = Forecaster(backbone, anchor="last", linear_skip=True, schema=data.schema)
    data.setup("fit")
    model.scaling.load_state_dict(data.scaling.state_dict())
    return model.eval(), next(iter(data.val_dataloader()))


@pytest.mark.parametrize("backbone", registered_backbones().values(), ids=lambda cls: cls.__name__)
def test_every_network_loads_back_equal(tmp_path, backbone):
    model, batch = network(backbone)
    save_safetensors(model, tmp_path / "model.safetensors")
    loaded = load_safetensors(tmp_path / "model.safetensors")
    ours, theirs = model.state_dict(), loaded.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) and value.dtype == theirs[name].dtype for name, value in ours.items())
    assert dict(loaded.hparams) == dict(model.hparams)
    assert not loaded.training
    with torch.no_grad():
        assert torch.equal(loaded(batch), model(batch))


def tensors_of(path):
    """The tensors of a safetensors file, read as its format is described: a length, a JSON header, the bytes."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    found = {}
    for name, entry in header.items():
        kind = {"F32": "<f4", "F64": "<f8"}[entry["dtype"]]
        assert kind == ("<f8" if name.startswith("scaling.") else "<f4")
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        found[name] = np.frombuffer(content[begin:end], kind).reshape(entry["shape"])
    return found


def test_any_program_can_read_the_weights_and_what_they_are(tmp_path):
    model, _ = network(targets=["y", "x"], horizon=2)
    save_safetensors(model, tmp_path / "model.safetensors", {"seed_everything": 3})
    found = tensors_of(tmp_path / "model.safetensors")
    assert found.keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(found[name], value.numpy())
    about = json.loads((tmp_path / "model.json").read_text())
    assert about["model"]["schema"]["targets"] == ["y", "x"]
    assert about["model"]["backbone"]["class_path"] == "forecastlab.backbones.lstm.LSTM"
    assert about["config"] == {"seed_everything": 3}
    for name, numbers in about["scaling"].items():
        np.testing.assert_array_equal(np.array(numbers), found[f"scaling.{name}"])


def test_weights_keep_their_precision(tmp_path):
    model, _ = network()
    model.double()
    save_safetensors(model, tmp_path / "model.safetensors")
    loaded = load_safetensors(tmp_path / "model.safetensors").state_dict()
    assert all(value.dtype == torch.float64 for value in loaded.values())


def test_a_network_that_is_loaded_can_be_trained_on(tmp_path):
    model, _ = network()
    save_safetensors(model, tmp_path / "model.safetensors")
    loaded = load_safetensors(tmp_path / "model.safetensors")
    trainer(max_epochs=1).fit(loaded.train(), Series(noise(60), fold=2, lookback=6, batch_size=5))
    assert any(not torch.equal(a, b) for a, b in zip(loaded.parameters(), model.parameters(), strict=True))


@pytest.fixture
def saved(tmp_path):
    save_safetensors(network()[0], tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def test_a_flipped_bit_is_noticed(saved):
    content = bytearray(saved.read_bytes())
    content[-1] ^= 1
    saved.write_bytes(content)
    with pytest.raises(DataError, match="do not belong together"):
        load_safetensors(saved)


def test_files_of_two_networks_are_not_mixed(saved, tmp_path):
    other, _ = network(partial(LSTM, hidden_size=4))
    save_safetensors(other, tmp_path / "other.safetensors")
    saved.with_suffix(".json").write_bytes((tmp_path / "other.json").read_bytes())
    with pytest.raises(DataError, match="do not belong together"):
        load_safetensors(saved)


@pytest.mark.parametrize(
    ("name", "message"),
    [("model.safetensors", "cannot read"), ("model.json", "cannot read")],
)
def test_a_missing_file_is_named(saved, name, message):
    (saved.parent / name).unlink()
    with pytest.raises(DataError, match=rf"{message} \S*{name}"):
        load_safetensors(saved)


def test_a_file_of_another_ending_is_refused(saved):
    with pytest.raises(DataError, match=r"ends in \.safetensors"):
        load_safetensors(saved.with_suffix(".json"))


def edited(saved: Path, **changes):
    described = saved.with_suffix(".json")
    described.write_text(json.dumps(json.loads(described.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 3}, "of version 3, but 2 or less is expected"),
        ({"format": "other"}, "was not written by forecastlab export"),
        ({"model": {}}, "no network can be built from them"),
        ({"model": {"schema": {"features": 3}}}, "no network can be built from them"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(saved, changes, message):
    edited(saved, **changes)
    with pytest.raises(DataError, match=message):
        load_safetensors(saved)


@given(content=st.binary(max_size=50) | st.text(alphabet='[]{}":,1e9nul', max_size=40).map(str.encode))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_as_a_description_are_refused(saved, content):
    saved.with_suffix(".json").write_bytes(content)
    with pytest.raises(DataError):
        load_safetensors(saved)


@pytest.mark.parametrize("class_path", ["evil_module.Backbone", "os.system", "torch.nn.Linear", "forecastlab.cli.main"])
@pytest.mark.parametrize("place", ["backbone", "loss", "optimizer", "a branch"])
def test_no_class_path_in_a_description_is_imported(saved, tmp_path, monkeypatch, class_path, place):
    (tmp_path / "evil_module.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'w')\nclass Backbone: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    evil = {"class_path": class_path, "init_args": {}}
    model = json.loads(saved.with_suffix(".json").read_text())["model"]
    if place == "a branch":
        model["backbone"] = {"class_path": "forecastlab.hybrids.series.Series", "init_args": {"branches": [evil]}}
    else:
        model[place] = evil
    edited(saved, model=model)
    with pytest.raises(ForecastlabError):
        load_safetensors(saved).configure_optimizers()
    assert not (tmp_path / "marker").exists()
    assert "evil_module" not in sys.modules


def test_the_package_is_asked_for_where_it_is_missing(saved, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(ForecastlabError, match=r"pip install 'forecastlab\[export\]'"):
        load_safetensors(saved)


def test_a_place_that_cannot_be_written_is_named(saved):
    with pytest.raises(DataError, match="cannot write"):
        save_safetensors(network()[0], saved / "below" / "a.safetensors")
    assert sorted(path.name for path in saved.parent.iterdir()) == ["model.json", "model.safetensors"]
