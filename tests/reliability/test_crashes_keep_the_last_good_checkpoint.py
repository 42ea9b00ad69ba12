"""Promise: no crash costs the last good checkpoint, and a checkpoint that cannot be used is named, with the remedy."""

import contextlib
import errno
import os
import pickle
import resource
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback

from forecastlab.evaluation.fold import Fold, fit_and_test
from forecastlab.experiment.config import Config
from tests.reliability.processes import assert_same_run, fit, folder, last_path, load, partial_files, rows, start

SLOW = ("--allow_import=tests", "--trainer.callbacks=tests.reliability.callbacks.SlowEpochs")
ALWAYS = "--checkpoints.write_interval=0"


def die_while_saving(number: int, elsewhere: str) -> None:
    """Lets the process kill itself when half of its next checkpoint but `number` is written."""
    os.environ["TMPDIR"] = elsewhere
    saves = []

    def save(checkpoint, file, save=torch.save):
        saves.append(file)
        save(checkpoint, file)
        if len(saves) > number:
            file.flush()
            file.truncate(file.tell() // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    torch.save = save


@pytest.mark.parametrize("number", [4, 5])  # both files have been written twice by then
def test_a_process_killed_in_the_middle_of_a_save_leaves_the_checkpoint_before(tmp_path, config, cli, number):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        assert os.stat(elsewhere).st_dev != os.stat(tmp_path).st_dev
        running = start(
            tmp_path / "output", fit(config, killed, ALWAYS, epochs=6), die_while_saving, (number, elsewhere)
        )
        assert running.ended() == -signal.SIGKILL
    assert len(partial_files(killed)) == 1
    checkpoints = folder(killed) / "checkpoints"
    assert {path.name for path in checkpoints.glob("[!.]*")} == {"best.ckpt", "last.ckpt"}
    assert load(checkpoints / "last.ckpt")["epoch"] >= 2
    load(checkpoints / "best.ckpt")
    assert cli(*fit(config, killed, ALWAYS, "--ckpt_path=last", epochs=6)).status == 0
    assert partial_files(killed) == []  # what was left over is cleaned up
    assert cli(*fit(config, whole, ALWAYS, epochs=6)).status == 0
    assert_same_run(folder(killed), folder(whole))


def mounted(folder: Path) -> bool:
    """Whether a file system of two megabytes could be put there."""
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    return os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0


def unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def can_mount() -> bool:
    with tempfile.TemporaryDirectory() as name:
        able = mounted(Path(name))
        if able:
            unmount(Path(name))
    return able


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    assert mounted(disk)
    yield disk
    unmount(disk)


if can_mount():  # where nobody may, a limit on the size of files stands for a full disk, see below

    def test_a_disk_that_fills_up_keeps_the_checkpoint_before(small_disk, tmp_path, config, cli):
        running = start(tmp_path / "output", fit(config, small_disk, *SLOW, ALWAYS, epochs=50))
        running.until(lambda: "epoch 2 batch 0" in running.said())
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        assert running.ended() == 2
        said = [line for line in running.said().splitlines() if not line.startswith("epoch")]
        assert said[-1].startswith("forecastlab: error: ")
        assert "No space left on device" in said[-1]
        assert not any("Traceback" in line for line in said)
        assert partial_files(small_disk) == []
        epoch = load(last_path(small_disk))["epoch"]
        assert epoch >= 1
        filler.unlink()
        assert cli(*fit(config, small_disk, *SLOW, "--ckpt_path=last", epochs=epoch + 2)).status == 0
        steps = [int(row["step"]) for row in rows(folder(small_disk))]
        assert steps == [10 * number + 9 for number in range(epoch + 2)]

    def test_a_disk_that_is_nearly_full_is_found_out_at_the_start(small_disk, config, cli):
        answer = cli(*fit(config, small_disk, "--model.backbone.hidden_size=200", epochs=1))
        assert answer.status == 2
        assert "is nearly full" in answer.err
        assert "--trainer.default_root_dir" in answer.err
        assert "epoch" not in answer.out
        assert not list(small_disk.rglob("*"))

    def test_a_folder_that_cannot_be_written_to_is_found_out_at_the_start(small_disk, config, cli):
        assert cli(*fit(config, small_disk, epochs=1)).status == 0
        before = last_path(small_disk).read_bytes()
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        for command in (
            fit(config, small_disk, epochs=2),
            fit(config, small_disk, "--ckpt_path=last", epochs=2),
            ["test", "--ckpt_path", last_path(small_disk)],
        ):
            answer = cli(*command)
            assert answer.status == 2
            assert answer.err.splitlines()[-1].startswith("forecastlab: error: cannot ")
            assert "Read-only file system" in answer.err
        assert last_path(small_disk).read_bytes() == before


def no_room(path):
    return SimpleNamespace(free=1000)


def no_leave(*args, **kwargs):
    raise PermissionError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize(
    ("name", "stand_in", "reason"),
    [("shutil.disk_usage", no_room, "is nearly full: 0.0 MB are free"), ("tempfile.TemporaryFile", no_leave, "denied")],
    ids=["no room", "no leave"],
)
def test_what_cannot_be_written_is_found_out_before_the_first_step(tmp_path, config, cli, name, stand_in, reason):
    assert cli(*fit(config, tmp_path, epochs=1)).status == 0
    before = {path: path.read_bytes() for path in folder(tmp_path).rglob("*") if path.is_file()}
    for more in ([], ["--ckpt_path=last"]):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(f"forecastlab.runs.run.{name}", stand_in)
            answer = cli(*fit(config, tmp_path, *more, epochs=2))
        assert answer.status == 2
        assert reason in answer.err
        assert "--trainer.default_root_dir" in answer.err
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path in before} == before
        assert [path.name for path in folder(tmp_path).parent.iterdir()] == ["version_0"]


def limit_file_size(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_file_that_cannot_be_finished_keeps_the_checkpoint_before(tmp_path, config, cli):
    assert cli(*fit(config, tmp_path, epochs=1)).status == 0
    before = last_path(tmp_path).read_bytes()
    command = fit(config, tmp_path, "--ckpt_path=last", epochs=3)
    running = start(tmp_path / "output", command, limit_file_size, (len(before) // 2,))
    assert running.ended() == 2
    assert running.said().splitlines()[-1].startswith("forecastlab: error: cannot ")
    assert "File too large" in running.said().splitlines()[-1]
    assert "Traceback" not in running.said()
    assert partial_files(tmp_path) == []
    assert last_path(tmp_path).read_bytes() == before
    assert cli(*command).status == 0


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def bit_flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    at = content.index(load(path)["state_dict"]["decoder.linear.weight"].numpy().tobytes())
    content[at] ^= 1
    path.write_bytes(content)
    torch.load(path, weights_only=True)  # which torch would not notice


def text(path: Path) -> None:
    path.write_text("not a checkpoint\n")


def of_another_program(path: Path) -> None:
    torch.save({"state_dict": {"weight": torch.zeros(3)}, "epoch": 3, "global_step": 7}, path)


def with_odd_contents(path: Path) -> None:
    torch.save({"state_dict": {"weight": 1.0}, "epoch": 3, "global_step": "7", "config": []}, path)


def old_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"state_dict": {}}))


UNUSABLE = [truncated, empty, bit_flipped, text, of_another_program, with_odd_contents, old_pickle]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> bytes:
    """A last.ckpt."""
    from forecastlab.cli import main
    from tests.reliability.processes import CONFIG

    root = tmp_path_factory.mktemp("trained")
    (root / "tiny.yaml").write_text(CONFIG)
    assert main(fit(root / "tiny.yaml", root, epochs=1)) == 0
    return last_path(root).read_bytes()


@pytest.mark.parametrize("spoil", UNUSABLE)
def test_a_checkpoint_that_cannot_be_used_is_named_with_the_remedy(tmp_path, config, cli, trained, spoil):
    path = tmp_path / "spoilt.ckpt"
    path.write_bytes(trained)
    spoil(path)
    for command in (fit(config, tmp_path, "--ckpt_path", path, epochs=2), ["test", "--ckpt_path", path]):
        answer = cli(*command)
        assert answer.status == 2
        (line,) = answer.err.splitlines()
        assert line.startswith("forecastlab: error: ")
        assert str(path) in line
        assert "use a" in line


@pytest.mark.parametrize("spoil", [truncated, empty, bit_flipped, of_another_program])
def test_last_falls_back_to_the_newest_one_that_can_be_used_and_says_so(tmp_path, config, cli, trained, spoil):
    for version in range(4):
        last_path(tmp_path, version).parent.mkdir(parents=True)
        last_path(tmp_path, version).write_bytes(trained)
        (folder(tmp_path, version) / "config.yaml").write_text(load(last_path(tmp_path, version))["config"])
    spoil(last_path(tmp_path, 2))
    last_path(tmp_path, 3).unlink()
    answer = cli(*fit(config, tmp_path, "--ckpt_path=last", epochs=2))
    assert answer.status == 0
    notes = [line for line in answer.err.splitlines() if line.startswith("forecastlab:")]
    assert len(notes) == 2
    assert "version_3 has no last.ckpt" in notes[0]
    assert str(last_path(tmp_path, 2)) in notes[1]
    assert all(f"taking {last_path(tmp_path, 1)}" in note for note in notes)
    assert load(last_path(tmp_path, 1))["epoch"] == 2
    assert load(last_path(tmp_path, 0))["epoch"] == 1
    for version in (0, 1):
        spoil(last_path(tmp_path, version))
    answer = cli(*fit(config, tmp_path, "--ckpt_path=last", epochs=2))
    assert answer.status == 2
    assert str(last_path(tmp_path, 2)) in answer.err


def test_a_damaged_best_checkpoint_is_refused_and_the_resumed_run_finds_a_new_best(tmp_path, config, cli):
    assert cli(*fit(config, tmp_path, epochs=2)).status == 0
    best = folder(tmp_path) / "checkpoints" / "best.ckpt"
    truncated(best)
    answer = cli("test", "--ckpt_path=best", "--experiment=tiny", f"--trainer.default_root_dir={tmp_path}")
    assert (answer.status, str(best) in answer.err) == (2, True)
    assert cli(*fit(config, tmp_path, "--ckpt_path=last", epochs=4)).status == 0
    assert load(best)["epoch"] in (2, 3)
    assert cli("test", "--ckpt_path", best).status == 0


@pytest.mark.parametrize("lost", ["truncated", "missing"])
def test_a_fold_whose_checkpoint_is_lost_begins_afresh(tmp_path, config, cli, lost):
    class PowerCut(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            if trainer.current_epoch == 3:
                raise ConnectionError

    fold = Fold(folder(tmp_path) / "fold_5" / "seed_0", Config.from_args(fit(config, tmp_path, ALWAYS, epochs=5)[1:]))
    fold.folder.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("forecastlab.evaluation.fold.ProgressReport", lambda report: PowerCut())
        with pytest.raises(ConnectionError):
            fit_and_test(fold, print)
    last = fold.folder / "checkpoints" / "last.ckpt"
    truncated(last) if lost == "truncated" else last.unlink()
    fit_and_test(fold, print)
    assert cli(*fit(config, tmp_path / "whole", ALWAYS, epochs=5)).status == 0
    one, other = rows(fold.folder), rows(folder(tmp_path / "whole"))
    assert [row["val/loss"] for row in one] == [row["val/loss"] for row in other]
