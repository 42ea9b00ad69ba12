"""`Forecaster.load`: what it reads of a checkpoint, and what it refuses."""

import zipfile

import pytest
import torch

from forecastlab.errors import ConfigError, DataError, ForecastlabError
from forecastlab.training.forecaster import Forecaster
from tests.frames import wide
from tests.network.fitted import fitted


def test_a_loaded_network_is_ready_to_forecast_on_the_cpu(tmp_path):
    model = fitted(tmp_path, wide(40), dropout=0.5)
    assert not model.training
    assert model.device.type == "cpu"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no checkpoint"),
        (b"", "damaged or not a checkpoint at all"),
        (b"hello", "damaged or not a checkpoint at all"),
        ({"state_dict": {}}, "is not a checkpoint of a Forecaster: it holds no hyper-parameters"),
        ({"hyper_parameters": {}}, "it holds no weights"),
        ([1, 2], "it holds no weights"),
    ],
)
def test_what_is_no_checkpoint_of_a_network_is_refused(tmp_path, content, words):
    path = tmp_path / "x.ckpt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(DataError, match=words):
        Forecaster.load(path)


def changed(path, **parts):
    """A checkpoint with other parts."""
    torch.save({**torch.load(path, weights_only=True), **parts}, path)


def test_a_flipped_bit_is_noticed(tmp_path):
    fitted(tmp_path, wide(40))
    path = tmp_path / "x.ckpt"
    with zipfile.ZipFile(path) as archive:
        entry = max(archive.infolist(), key=lambda entry: entry.file_size)
    content = bytearray(path.read_bytes())
    content[entry.header_offset + 200] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        Forecaster.load(path)


@pytest.mark.parametrize(
    "parameters",
    [
        {"colour": "red"},
        {"schema": {"columns": ["y"]}},
        {"schema": 5},
        {"backbone": {"class_path": 5}},
        {"dropout": "a"},
    ],
    ids=str,
)
def test_settings_that_this_version_does_not_know_are_refused(tmp_path, parameters):
    fitted(tmp_path, wide(40))
    path = tmp_path / "x.ckpt"
    changed(path, hyper_parameters={**torch.load(path, weights_only=True)["hyper_parameters"], **parameters})
    with pytest.raises(ForecastlabError):
        Forecaster.load(path)


def test_weights_that_do_not_fit_the_settings_are_refused(tmp_path):
    fitted(tmp_path, wide(40))
    path = tmp_path / "x.ckpt"
    weights = torch.load(path, weights_only=True)["state_dict"]
    weights["decoder.linear.bias"] = torch.zeros(7)
    changed(path, state_dict=weights)
    with pytest.raises(ConfigError, match=r"does not fit this version of forecastlab: (.*\s)*.*decoder.linear.bias"):
        Forecaster.load(path)


def test_loading_runs_no_code_of_the_file(tmp_path, monkeypatch):
    mark = tmp_path / "was_run"

    class Evil:
        def __reduce__(self):
            return open, (str(mark), "w")

    fitted(tmp_path, wide(40))
    path = tmp_path / "x.ckpt"
    good = torch.load(path, weights_only=True)
    (tmp_path / "evil_network.py").write_text(f"open({str(mark)!r}, 'w').close()\nfrom torch.nn import GRU\n")
    monkeypatch.syspath_prepend(tmp_path)
    for part in ("backbone", "decoder", "loss", "penalties"):
        evil = {"class_path": "evil_network.GRU", "init_args": {}}
        changed(path, hyper_parameters={**good["hyper_parameters"], part: [evil] if part == "penalties" else evil})
        with pytest.raises(ConfigError, match=r"evil_network.GRU is not imported"):
            Forecaster.load(path)
    torch.save({**good, "extra": Evil()}, path)
    with pytest.raises(DataError, match="not a readable checkpoint"):
        Forecaster.load(path)
    assert not mark.exists()
