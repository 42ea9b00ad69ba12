import bz2
import gzip
import io
import json
import lzma
import zipfile

import pandas as pd
import pytest
import torch
import zstandard

from forecastlab import limits
from forecastlab.data.reading.source import read_source
from forecastlab.errors import ConfigError, DataError
from forecastlab.experiment.config_reading import read_config
from forecastlab.export import load_safetensors, save_safetensors
from forecastlab.network.bounded import bounded_network
from forecastlab.runs.checkpoint import read_checkpoint, require_intact
from forecastlab.training.forecaster import Forecaster
from tests.series import Series, noise

GB = 10**9


@pytest.fixture
def model():
    return Forecaster(schema=Series(noise(60), fold=2).schema)


@pytest.fixture
def checkpoint(model):
    return {"state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams)}


def small_memory(monkeypatch, size):
    monkeypatch.setattr(limits, "available_memory", lambda: size)


def test_the_memory_there_is_lies_between_nothing_and_the_whole_machine():
    found = limits.available_memory()
    assert found is not None
    assert 2**20 < found < 2**50


def test_a_checkpoint_of_ours_is_read(tmp_path, checkpoint):
    torch.save(checkpoint, tmp_path / "x.ckpt")
    assert set(read_checkpoint(tmp_path / "x.ckpt")) == {"state_dict", "hyper_parameters"}


def test_a_checkpoint_that_unpacks_to_more_than_it_is_is_refused(tmp_path, checkpoint):
    torch.save(checkpoint, tmp_path / "x.ckpt")
    with zipfile.ZipFile(tmp_path / "x.ckpt") as archive, zipfile.ZipFile(tmp_path / "bomb.ckpt", "w") as bomb:
        for entry in archive.infolist():
            bomb.writestr(entry.filename, archive.read(entry), compress_type=zipfile.ZIP_DEFLATED)
        bomb.writestr("archive/data/99", bytes(10**8), compress_type=zipfile.ZIP_DEFLATED)
    with pytest.raises(DataError, match="is compressed"):
        require_intact(tmp_path / "bomb.ckpt")


def test_a_checkpoint_whose_entries_share_their_bytes_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.ckpt", "w") as archive:
        archive.writestr("archive/data.pkl", bytes(1000))
        archive.infolist()[0].filename = "archive/data.pkl"
        archive.filelist.extend(archive.infolist() * 99)
    with pytest.raises(DataError, match="claims to hold 100000 bytes"):
        require_intact(tmp_path / "x.ckpt")


def test_a_tensor_that_repeats_few_numbers_without_end_is_refused(tmp_path, checkpoint):
    weights = checkpoint["state_dict"]
    name = next(iter(weights))
    torch.save({**checkpoint, "state_dict": {**weights, name: torch.zeros(1).expand(10**13)}}, tmp_path / "x.ckpt")
    with pytest.raises(DataError, match="does not hold that many values"):
        read_checkpoint(tmp_path / "x.ckpt")


def test_plain_data_that_refer_to_themselves_are_refused(tmp_path, checkpoint):
    laughs = ["lol"]
    for _ in range(12):
        laughs = [laughs] * 10
    settings = {**checkpoint["hyper_parameters"], "more": laughs}
    for more in ({"more": laughs}, {"hyper_parameters": settings}):
        torch.save({**checkpoint, **more}, tmp_path / "x.ckpt")
        with pytest.raises(DataError, match="once all its references are followed"):
            read_checkpoint(tmp_path / "x.ckpt")
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(DataError, match="deep in each other"):
        limits.require_plain(endless, "it")


def test_a_bytearray_of_any_length_is_refused_before_it_is_made(tmp_path, checkpoint):
    import pickle

    class Long:
        def __reduce__(self):
            return bytearray, (3 * 10**12,)

    torch.save({**checkpoint, "more": Long()}, tmp_path / "x.ckpt", pickle_module=pickle)
    with pytest.raises(DataError, match="bytearray"):
        read_checkpoint(tmp_path / "x.ckpt")


def test_a_checkpoint_larger_than_the_memory_is_refused(tmp_path, checkpoint, monkeypatch):
    torch.save(checkpoint, tmp_path / "x.ckpt")
    small_memory(monkeypatch, 1000)
    with pytest.raises(DataError, match=r"needs .* of memory \(its size\), but only 1.0 kB are available"):
        read_checkpoint(tmp_path / "x.ckpt")


@pytest.mark.parametrize(
    ("name", "value"),
    [("hidden_size", 200_000), ("hidden_size", 10**9), ("num_layers", 10**6), ("num_layers", 10**12)],
)
def test_a_network_larger_than_its_weights_is_refused_before_it_is_built(tmp_path, checkpoint, name, value):
    settings = checkpoint["hyper_parameters"]
    settings["backbone"] = {**settings["backbone"], "init_args": {name: value}}
    torch.save(checkpoint, tmp_path / "x.ckpt")
    with pytest.raises((DataError, ConfigError), match="the network that is described"):
        Forecaster.load(tmp_path / "x.ckpt")


def test_the_guard_of_a_network_changes_nothing_of_it(model):
    torch.manual_seed(0)
    free = Forecaster(**model.hparams)
    torch.manual_seed(0)
    with bounded_network(free.state_dict()):
        bounded = Forecaster(**model.hparams)
    for ours, theirs in zip(free.state_dict().values(), bounded.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("length", [2**63, 10**12, 10**6])
def test_a_safetensors_header_longer_than_its_file_is_refused(tmp_path, model, length):
    save_safetensors(model, tmp_path / "x.safetensors")
    content = (tmp_path / "x.safetensors").read_bytes()
    (tmp_path / "x.safetensors").write_bytes(length.to_bytes(8, "little") + content[8:])
    with pytest.raises(DataError, match=f"its header claims {length} bytes"):
        load_safetensors(tmp_path / "x.safetensors")


def test_the_json_file_of_an_export_has_a_largest_size(tmp_path, model, monkeypatch):
    monkeypatch.setattr("forecastlab.export.safetensors.TEXT", 10_000)
    save_safetensors(model, tmp_path / "x.safetensors")
    about = json.loads((tmp_path / "x.json").read_text())
    (tmp_path / "x.json").write_text(json.dumps({**about, "more": "x" * 10_000}))
    with pytest.raises(DataError, match="such a file has at most"):
        load_safetensors(tmp_path / "x.safetensors")


def zipped(content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.csv", content)
    return buffer.getvalue()


def test_a_text_file_that_needs_more_memory_than_there_is_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "x.csv"
    path.write_text("t,y\n" + "1,2\n" * 100_000)  # 0.4 MB, which are 1.6 MB as numbers
    assert len(read_source(path)[0]) == 100_000
    small_memory(monkeypatch, 10**6)
    with pytest.raises(DataError, match=r"needs 2.0 MB of memory .*but only 1.0 MB are available"):
        read_source(path)


def test_a_parquet_file_that_needs_more_memory_than_there_is_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "x.parquet"
    pd.DataFrame({"y": [1.0] * 1_000_000}).to_parquet(path)
    assert path.stat().st_size < 10**5
    small_memory(monkeypatch, 10**6)
    with pytest.raises(DataError, match="1000000 rows of 1 columns"):
        read_source(path)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zipped, zstandard.compress])
def test_a_packed_file_that_unpacks_to_more_than_the_memory_holds_is_refused(tmp_path, monkeypatch, pack):
    path = tmp_path / "x.csv"
    path.write_bytes(pack(b"t,y\n" + b"1,2\n" * 1_000_000))
    assert path.stat().st_size < 10**5
    small_memory(monkeypatch, 2 * 10**6)
    with pytest.raises(DataError, match="what it unpacks to"):
        read_source(path)


def test_aliases_of_a_config_that_stand_for_more_than_a_config_holds_are_refused(tmp_path):
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 10)}]" for number in range(1, 9)]
    path = tmp_path / "x.yaml"
    path.write_text("\n".join(lines))
    with pytest.raises(ConfigError, match="once all its references are followed"):
        read_config(str(path))
    path.write_text("a: &a [*a]")
    with pytest.raises(ConfigError, match=r"deep in each other|not valid YAML"):
        read_config(str(path))


def test_a_config_of_absurd_length_is_refused(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("#" * (limits.TEXT + 1))
    with pytest.raises(ConfigError, match="such a file has at most"):
        read_config(str(path))
