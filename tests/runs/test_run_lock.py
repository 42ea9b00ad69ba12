import errno
import fcntl
import os
import stat
import subprocess
import sys

import pytest

from forecastlab.errors import ConfigError
from forecastlab.runs import run as run_module
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
