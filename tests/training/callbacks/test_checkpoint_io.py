import os
import signal
import subprocess
import sys
import zipfile

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forecastlab.errors import DataError
from forecastlab.runs.checkpoint import require_intact
from forecastlab.training.callbacks import AtomicCheckpointIO

OLD = {"weights": torch.arange(1000.0), "epoch": 3}
NEW = {"weights": torch.arange(2000.0), "epoch": 4}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoints" / "last.ckpt"


def saved(path, checkpoint):
    AtomicCheckpointIO().save_checkpoint(checkpoint, path)


def holds(path, checkpoint):
    """Whether a file holds a checkpoint, whole."""
    loaded = AtomicCheckpointIO().load_checkpoint(path, weights_only=True)
    return loaded["epoch"] == checkpoint["epoch"] and torch.equal(loaded["weights"], checkpoint["weights"])


def test_a_checkpoint_is_saved_into_a_folder_that_did_not_exist_and_nothing_else_stays_there(path):
    saved(path, OLD)
    assert holds(path, OLD)
    assert os.listdir(path.parent) == ["last.ckpt"]


def test_a_newer_checkpoint_takes_the_place_of_the_older(path):
    saved(path, OLD)
    saved(path, NEW)
    assert holds(path, NEW)
    assert os.listdir(path.parent) == ["last.ckpt"]


def test_a_path_may_be_text(path):
    saved(str(path), OLD)
    assert holds(str(path), OLD)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), RuntimeError("no")])
def test_a_write_that_fails_midway_leaves_the_old_checkpoint_and_no_other_file(path, monkeypatch, error):
    saved(path, OLD)

    def fail(checkpoint, file):
        file.write(b"PK" + bytes(1000))
        raise error

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(type(error)):
        saved(path, NEW)
    monkeypatch.undo()
    assert holds(path, OLD)
    assert os.listdir(path.parent) == ["last.ckpt"]


def test_a_first_write_that_fails_leaves_no_file_at_all(path, monkeypatch):
    def fail(checkpoint, file):
        file.write(bytes(1000))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="No space"):
        saved(path, NEW)
    assert os.listdir(path.parent) == []


def test_the_bytes_are_on_the_disk_before_the_name_changes(path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: calls.append("fsync") or fsync(file))
    monkeypatch.setattr(os, "replace", lambda *names: calls.append("replace") or replace(*names))
    saved(path, OLD)
    assert calls == ["fsync", "replace", "fsync"]


KILLED = """
import os, signal, sys, torch
from forecastlab.training.callbacks.checkpoint_io import AtomicCheckpointIO

def killed(checkpoint, file, save=torch.save):
    save(checkpoint, file)
    file.truncate(file.tell() // 2)
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

torch.save = killed
AtomicCheckpointIO().save_checkpoint({"weights": torch.arange(2000.0), "epoch": 4}, sys.argv[1])
"""


def test_a_process_that_is_killed_while_it_writes_leaves_the_old_checkpoint(path):
    saved(path, OLD)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert holds(path, OLD)
    (partial,) = set(os.listdir(path.parent)) - {"last.ckpt"}
    assert partial.startswith(".last.ckpt.")
    with pytest.raises(DataError):
        require_intact(path.parent / partial)
    saved(path, NEW)
    assert holds(path, NEW)


def test_a_flipped_bit_is_noticed(path):
    saved(path, OLD)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)
    torch.load(path, weights_only=True)  # which torch would not notice
    with pytest.raises(DataError, match="is damaged"):
        AtomicCheckpointIO().load_checkpoint(path)


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_refused_or_holds_the_same(tmp_path, data):
    path = tmp_path / "x.ckpt"
    saved(path, OLD)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    path.write_bytes(content)
    try:
        require_intact(path)
    except DataError:
        return
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith("data/0")]
        assert [archive.read(name) for name in names] == [OLD["weights"].numpy().tobytes()]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04"])
def test_what_is_no_checkpoint_is_refused(tmp_path, content):
    (tmp_path / "x.ckpt").write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "x.ckpt")


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "x.ckpt")
