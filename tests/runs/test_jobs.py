import dataclasses
import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest

from forecastlab.errors import DataError
from forecastlab.runs.jobs import Job, run_jobs

PRELOAD = ("torch",)
"""Which counts GPUs; each process would import it."""
PROGRESS = r"\d+ of \d+ ended  "


def work(argument, report):
    """What the jobs of these tests do, in a process of their own."""
    what, path = argument
    report(0.5, "half way")
    print("printed by", what)
    if what == "data":
        raise DataError("row 7 is missing")
    if what == "bug":
        raise ZeroDivisionError("a bug")
    if what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "slow":
        time.sleep(2)  # it is looked at twice a second
    if what == "exit":
        sys.exit(3)
    if what == "killed once" and not path.exists():
        path.write_text("begun")
        os.kill(os.getpid(), signal.SIGKILL)
    path.write_text(str(os.getpid()))


def jobs(tmp_path, *whats):
    return [
        Job(f"{what} {number}", work, (what, tmp_path / f"{number}.out"), tmp_path / f"{number}.log")
        for number, what in enumerate(whats)
    ]


def ends_in(text):
    """The lines about jobs that have ended; on a slow machine there are lines about those that run among them."""
    return [line for line in text.splitlines() if not re.match(PROGRESS, line)]


@pytest.mark.parametrize("processes", [1, 3])
def test_every_job_runs_in_a_process_of_its_own(tmp_path, processes):
    assert run_jobs(jobs(tmp_path, *["fine"] * 4), processes, PRELOAD) == {}
    pids = {path.read_text() for path in tmp_path.glob("*.out")}
    assert len(pids) == 4
    assert str(os.getpid()) not in pids


def test_what_a_job_prints_goes_to_its_log(tmp_path, capfd):
    run_jobs(jobs(tmp_path, "fine"), 1, PRELOAD)
    assert (tmp_path / "0.log").read_text() == "printed by fine\n"
    assert "printed by" not in capfd.readouterr().out


def test_a_job_that_fails_or_is_killed_does_not_touch_the_others(tmp_path, capsys):
    failed = run_jobs(jobs(tmp_path, "data", "killed", "bug", "exit", "fine", "fine"), 2, PRELOAD)
    assert failed == {
        "data 0": "failed: row 7 is missing",
        "killed 1": f"failed: the process was killed by signal 9; see {tmp_path / '1.log'} (it died 3 times)",
        "bug 2": f"failed: ZeroDivisionError: a bug; see {tmp_path / '2.log'}",
        "exit 3": f"failed: the process ended with status 3; see {tmp_path / '3.log'}",
    }
    assert "ZeroDivisionError" in (tmp_path / "2.log").read_text()
    assert {path.name for path in tmp_path.glob("*.out")} == {"4.out", "5.out"}
    printed = ends_in(capsys.readouterr().out)
    again = f"killed 1: the process was killed by signal 9; see {tmp_path / '1.log'}; it is begun again"
    assert sorted(printed) == sorted(
        [f"{name}: {why}" for name, why in failed.items()] + ["fine 4: done", "fine 5: done"] + [again] * 2
    )


def test_a_job_whose_process_is_killed_is_begun_again_unless_it_has_one_life(tmp_path, capsys):
    (one,) = jobs(tmp_path, "killed once")
    assert run_jobs([one], 1, PRELOAD) == {}
    assert (tmp_path / "0.out").read_text().isdigit()
    assert capsys.readouterr().out.splitlines()[-1] == "killed once 0: done"
    (tmp_path / "0.out").unlink()
    assert list(run_jobs([dataclasses.replace(one, lives=1)], 1, PRELOAD)) == ["killed once 0"]
    assert (tmp_path / "0.out").read_text() == "begun"


def test_a_job_runs_in_the_working_folder_and_its_log_is_named_from_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_jobs([Job("one", work, ("fine", Path("one.out")), Path("logs/one.log"))], 1, PRELOAD) == {}
    assert (tmp_path / "one.out").read_text().isdigit()
    assert (tmp_path / "logs" / "one.log").read_text() == "printed by fine\n"


def test_how_far_the_jobs_are_is_told_by_time(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("forecastlab.runs.live_line.INTERVAL", 0.0)  # each time that it looks
    run_jobs(jobs(tmp_path, "slow", "slow"), 1)
    told = [line for line in capsys.readouterr().out.splitlines() if re.match(PROGRESS, line)]
    assert told[0].startswith("0 of 2 ended  ")
    assert any("slow 0: half way" in line for line in told)
    assert any(line.startswith("1 of 2 ended  about ") for line in told)


def test_never_more_jobs_are_told_to_have_ended_than_there_are(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("forecastlab.runs.live_line.INTERVAL", 0.0)
    run_jobs(iter(jobs(tmp_path, "slow", "slow")), 1, total=1)
    told = re.findall(r"^(\d+ of \d+) ended", capsys.readouterr().out, re.MULTILINE)
    assert list(dict.fromkeys(told)) == ["0 of 1", "1 of 2"]


def test_jobs_are_asked_for_when_a_process_is_free_and_their_ends_are_told(tmp_path, capsys):
    ends = []

    def more():
        for number, job in enumerate(jobs(tmp_path, "fine", "killed", "fine", "fine")):
            assert number - len(ends) < 2  # not more than run at once
            yield job

    def ended(job, error):
        ends.append((job.name, error is None))
        return "over"

    assert set(run_jobs(more(), 2, PRELOAD, total=4, ended=ended)) == {"killed 1"}
    assert sorted(ends) == [("fine 0", True), ("fine 2", True), ("fine 3", True), ("killed 1", False)]
    printed = [line for line in ends_in(capsys.readouterr().out) if "begun again" not in line]
    assert sorted(printed) == sorted(f"{name}: over" for name, _ in ends)
