import errno
import fcntl
import importlib.util
import os
import signal
import socket
import stat
import subprocess
import sys

import pytest

from forecastlab.errors import ConfigError
from forecastlab.runs import locks
from forecastlab.runs import run as run_module
from forecastlab.runs.files import locked, write_whole
from forecastlab.runs.run import Run


@pytest.fixture
def run(tmp_path):
    return Run.new(tmp_path, "experiment")


def test_a_run_is_locked_by_a_file_that_is_open_for_writing(run, monkeypatch):
    """As NFS, whose clients lock the ranges of files, asks for."""
    locked = []

    def note(file, how):
        locked.append((os.fstat(file), fcntl.fcntl(file, fcntl.F_GETFL)))

    monkeypatch.setattr(fcntl, "flock", note)
    with run.alone():
        pass
    ((status, flags),) = locked
    assert stat.S_ISREG(status.st_mode)
    assert flags & os.O_ACCMODE == os.O_RDWR


def test_a_second_process_is_kept_out_until_the_first_is_done(run, monkeypatch):
    code = (
        "import sys; from pathlib import Path; from forecastlab.runs import run; run.PATIENCE = 0\n"
        f"with run.Run(Path({str(run.root)!r}), 'experiment', 'version_0').alone(): print('in')"
    )
    with run.alone():
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert other.returncode == 1
        assert f"another process is working on {run.folder}" in other.stderr
        monkeypatch.setattr(run_module, "PATIENCE", 0.0)
        with pytest.raises(ConfigError, match="another process is working on"), run.alone():
            pass
    assert not list(run.folder.iterdir())
    with run.alone():
        pass


def test_a_lock_on_a_file_that_was_taken_away_does_not_count(run, monkeypatch):
    real, seen = fcntl.flock, []

    def taken_away(file, how):
        real(file, how)
        if not seen:
            (run.folder / "lock").unlink()  # by the one who held it until just now
        seen.append(os.fstat(file).st_ino)

    monkeypatch.setattr(fcntl, "flock", taken_away)
    with run.alone():
        assert (run.folder / "lock").stat().st_ino == seen[-1]
        assert len(seen) == 2


def test_a_file_system_that_cannot_lock_is_named_once(run, monkeypatch, capsys):
    def refuse(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    for _ in range(2):
        with run.alone():
            pass
    assert capsys.readouterr().err.count(f"the file system of {run.folder} cannot lock files") == 1


def test_a_process_that_is_killed_frees_its_run_which_said_who_held_it(run, monkeypatch):
    code = (
        "import sys, time; from pathlib import Path; from forecastlab.runs.run import Run\n"
        f"with Run(Path({str(run.root)!r}), 'experiment', 'version_0').alone():\n"
        "    print('in', flush=True); time.sleep(600)"
    )
    monkeypatch.setattr(run_module, "PATIENCE", 0.0)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"in\n"
        assert run.is_worked_on()
        with pytest.raises(ConfigError) as refused, run.alone():
            pass
        assert f"{run.folder} (process {other.pid} of {socket.gethostname()}): wait" in str(refused.value)
        other.send_signal(signal.SIGKILL)
    assert (run.folder / "lock").exists()
    assert not run.is_worked_on()
    with run.alone():
        assert run.is_worked_on()
        assert (run.folder / "lock").read_text() == f"process {os.getpid()} of {socket.gethostname()}"


def test_what_is_in_a_lock_that_somebody_else_wrote_is_not_told(run, monkeypatch):
    monkeypatch.setattr(run_module, "PATIENCE", 0.0)
    with run.alone():
        (run.folder / "lock").write_text("process 1 of \x1b[31mred")
        with pytest.raises(ConfigError, match=r"version_0: wait"), run.alone():
            pass


# Windows, whose module msvcrt is played by one that notes what is asked of it


class Msvcrt:
    """`locking` as Windows documents it: a byte is locked by one descriptor, and freed with its file."""

    LK_LOCK, LK_NBLCK = 1, 2

    def __init__(self):
        self.calls = []

    def locking(self, file, how, size):
        self.calls.append((how, os.lseek(file, 0, os.SEEK_CUR), size))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            number = errno.EACCES if how == self.LK_NBLCK else errno.EDEADLK
            raise OSError(number, "as Windows says it") from None


@pytest.fixture
def msvcrt(monkeypatch):
    """The module of locks as Windows imports it, in the place of this system's."""
    played = Msvcrt()
    with monkeypatch.context() as windows:
        windows.setitem(sys.modules, "msvcrt", played)
        windows.setitem(sys.modules, "fcntl", None)
        windows.setattr(sys, "platform", "win32")
        spec = importlib.util.spec_from_file_location("locks_of_windows", locks.__file__)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    assert module.WINDOWS
    for name in ("WINDOWS", "lock", "is_still"):
        monkeypatch.setattr(locks, name, getattr(module, name))
    return played


def test_windows_locks_one_byte_behind_what_the_file_holds_and_keeps_others_out(run, monkeypatch, msvcrt):
    monkeypatch.setattr(run_module, "PATIENCE", 0.0)
    with run.alone():
        assert msvcrt.calls == [(Msvcrt.LK_NBLCK, 1 << 30, 1)]
        assert (run.folder / "lock").stat().st_size < 300, "the byte need not be there"
        assert run.is_worked_on()
        with pytest.raises(ConfigError, match=rf"\(process {os.getpid()} of "), run.alone():
            pass
    assert not list(run.folder.iterdir())
    assert not run.is_worked_on()
    with run.alone():
        pass


def test_windows_waits_for_the_lock_of_a_file_as_long_as_it_takes(tmp_path, msvcrt, monkeypatch):
    real, refusals = msvcrt.locking, [0, 0]

    def busy(file, how, size):
        if refusals:
            refusals.pop()
            raise OSError(errno.EDEADLK, "Resource deadlock avoided")
        real(file, how, size)

    monkeypatch.setattr(msvcrt, "locking", busy)
    path = tmp_path / "metrics.csv"
    with locked(path):
        assert refusals == []
        assert path.read_bytes() == b""
        write_whole(path, "a")
    assert [found.name for found in tmp_path.iterdir()] == ["metrics.csv"]
    assert msvcrt.calls == [(Msvcrt.LK_LOCK, 1 << 30, 1)]


def test_windows_replaces_a_file_when_whoever_reads_it_is_done(tmp_path, msvcrt, monkeypatch):
    real, refusals = type(tmp_path).replace, [0, 0]

    def read_by_somebody(self, target):
        if refusals:
            refusals.pop()
            raise PermissionError(errno.EACCES, "Access is denied")
        return real(self, target)

    monkeypatch.setattr(type(tmp_path), "replace", read_by_somebody)
    write_whole(tmp_path / "a.txt", "new")
    assert (refusals, (tmp_path / "a.txt").read_text()) == ([], "new")


def test_windows_deletes_a_run_but_for_the_file_that_is_held(run, msvcrt, monkeypatch):
    """Windows refuses to delete a file that is open."""
    real, held = type(run.folder).unlink, run.folder / "lock"
    for name in ("checkpoints/best.ckpt", "config.yaml"):
        (run.folder / name).parent.mkdir(exist_ok=True)
        (run.folder / name).write_text("a")

    def unlink(self, missing_ok=False):
        if self == held and run_module._held:
            raise PermissionError(errno.EACCES, "Access is denied")
        real(self, missing_ok)

    monkeypatch.setattr(type(run.folder), "unlink", unlink)
    run.delete()
    assert list(run.root.iterdir()) == []
