import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from forecastlab.errors import ConfigError
from forecastlab.runs.engines.engine import Ending, Engine, News, Unit, Workers
from forecastlab.runs.engines.local import Local
from forecastlab.runs.engines.named import engine_of
from forecastlab.runs.engines.ray_tasks import Ray
from forecastlab.runs.engines.remote import RemoteWorkers, attend
from forecastlab.runs.engines.slurm_jobs import Slurm
from forecastlab.runs.jobs import Job, run_jobs

ROOT = Path(__file__).parents[2]


def work(argument, report):
    """What the jobs of these tests do, in a process of their own."""
    what, path = argument
    report(0.5, "half way")
    print("in", os.getcwd(), "with", os.environ.get("CUDA_VISIBLE_DEVICES"))
    if what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "killed once" and not path.exists():
        path.write_text("begun")
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "waits":
        path.write_text("begun")
        time.sleep(600)
    path.write_text("done")


@dataclass
class Scripted(Engine, Workers):
    """An engine that runs nothing: its units end as they are told to."""

    endings: dict[str, list[Ending]]
    submitted: list[Unit] = field(default_factory=list)
    at_once: int = 0
    stopped: bool = False
    running: dict[int, Unit] = field(default_factory=dict)

    @contextlib.contextmanager
    def open(self, folder, preload):
        yield self

    def submit(self, units):
        self.running |= units
        self.submitted += units.values()
        self.at_once = max(self.at_once, len(self.running))

    def news(self, timeout):
        number, unit = self.running.popitem()
        return News({number: (0.5, "half way")}, {number: self.endings[unit.name].pop(0)})

    def stop(self):
        self.stopped = True


DIED, DONE = Ending("died", "its node was lost"), Ending("done")


def jobs(tmp_path, *names):
    return [Job(name, work, (name, tmp_path / name), Path("logs", name), threads=2) for name in names]


def test_a_unit_that_dies_is_begun_again_and_the_third_death_is_a_failure(tmp_path, capsys):
    engine = Scripted({"twice": [DIED, DIED, DONE], "thrice": [DIED] * 3, "fine": [DONE]})
    failed = run_jobs(jobs(tmp_path, "twice", "thrice", "fine"), 2, engine=engine, folder=tmp_path)
    assert failed == {"thrice": "failed: its node was lost (it died 3 times)"}
    assert sorted(unit.name for unit in engine.submitted) == ["fine"] + ["thrice"] * 3 + ["twice"] * 3
    assert engine.at_once == 2
    assert engine.stopped
    assert capsys.readouterr().out.splitlines().count("twice: its node was lost; it is begun again") == 2


def test_an_error_of_a_unit_itself_is_not_tried_again(tmp_path):
    engine = Scripted({"bad": [Ending("failed", "row 7 is missing")], "told": [Ending("stopped")]})
    assert run_jobs(jobs(tmp_path, "bad", "told"), 1, engine=engine) == {
        "bad": "failed: row 7 is missing",
        "told": "stopped; run again, it goes on where it was",
    }
    assert len(engine.submitted) == 2


def test_a_unit_is_values_and_absolute_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    engine = Scripted({"one": [DONE]})
    run_jobs(jobs(tmp_path, "one"), 1, ("json",), engine=engine, folder=Path("run"))
    (unit,) = engine.submitted
    assert pickle.loads(unit.work) == (work, ("one", tmp_path / "one"))
    assert (unit.log, unit.folder) == (tmp_path / "logs" / "one", tmp_path)
    assert (unit.threads, unit.preload) == (2, ("json",))


def test_no_engine_is_begun_for_nothing():
    assert run_jobs([], 1, engine=Ray(address="not:an:address")) == {}


def test_engines_have_names_addresses_and_settings():
    assert engine_of("local") == Local()
    assert engine_of("ray") == Ray(None, 0.0)
    assert engine_of("ray:10.0.0.1:6379,gpus=0.5") == Ray("10.0.0.1:6379", 0.5)
    assert engine_of("slurm:partition=gpu,gpus=2,minutes=240,memory=8GB") == Slurm(240, 2, "8GB", "gpu")
    assert engine_of(own := Slurm(qos="night")) is own


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dask", "expected local, ray, ray:ADDRESS or slurm, got 'dask'"),
        ("local:gpus=1", "--engine local has no gpus; it takes nothing"),
        ("ray:gpu=1", "--engine ray has no gpu; it takes address, gpus"),
        ("slurm:10.0.0.1", "--engine slurm has no address; it takes minutes, gpus, memory"),
        ("slurm:minutes=4:00", "expected a number for minutes, got '4:00'"),
    ],
)
def test_an_engine_that_cannot_be_named_is_refused(text, said):
    with pytest.raises(ConfigError, match=said):
        engine_of(text)


@pytest.mark.parametrize(("engine", "package"), [(Ray(), "ray"), (Slurm(), "submitit")])
def test_an_engine_whose_package_is_missing_names_the_extra(tmp_path, monkeypatch, engine, package):
    monkeypatch.setitem(sys.modules, package, None)
    extra = {"ray": "ray", "submitit": "slurm"}[package]
    with pytest.raises(ConfigError, match=rf"pip install 'forecastlab\[{extra}\]'"):
        run_jobs(jobs(tmp_path, "one"), 1, engine=engine, folder=tmp_path)


def test_slurm_is_refused_where_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="this machine has no srun"):
        run_jobs(jobs(tmp_path, "one"), 1, engine=Slurm(), folder=tmp_path)


def test_jobs_of_slurm_run_begin_again_and_leave_nothing_but_what_they_wrote(tmp_path, monkeypatch, capfd):
    """By submitit's local executor."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    engine = Slurm(cluster="local")
    failed = run_jobs(jobs(tmp_path, "killed once", "fine"), 2, engine=engine, folder=tmp_path / "run")
    assert failed == {}
    assert [(tmp_path / name).read_text() for name in ("killed once", "fine")] == ["done", "done"]
    assert not list((tmp_path / "run").iterdir())
    printed = capfd.readouterr().out.splitlines()
    again = (
        f"killed once: the process was killed by signal 9; see {tmp_path / 'logs' / 'killed once'}; it is begun again"
    )
    assert sorted(printed) == sorted([again, "killed once: done", "fine: done"])


def unit(what, path):
    return Unit(what, pickle.dumps((work, (what, path))), path.with_suffix(".log"), path.parent, 1, ())


def test_a_worker_writes_how_its_unit_ends_and_hides_gpus_that_nobody_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    (tmp_path / "driver").touch()
    for gpus, seen in ((False, ""), (True, "3")):
        attend(unit("fine", tmp_path / f"with {gpus}"), tmp_path / "1.json", gpus)
        assert '"ending": ["done", ""]' in (tmp_path / "1.json").read_text()
        assert (tmp_path / f"with {gpus}.log").read_text() == f"in {tmp_path} with {seen}\n"


def test_a_worker_whose_command_is_over_begins_nothing(tmp_path):
    attend(unit("fine", tmp_path / "out"), tmp_path / "1.json", gpus=False)
    assert not list(tmp_path.iterdir())


class Nothing(RemoteWorkers):
    """Workers that are given nothing to do."""

    def begin(self, calls):
        raise NotImplementedError

    def over(self, timeout):
        return set()

    def cancel(self, handle):
        raise NotImplementedError

    def last_words(self, unit, handle):
        raise NotImplementedError


ATTEND = """
import sys
from pathlib import Path
from forecastlab.runs.engines.remote import attend
from tests.runs.test_engines import unit
attend(unit("waits", Path(sys.argv[1])), Path(sys.argv[2]), gpus=False)
"""


def test_the_next_command_ends_workers_of_one_that_was_killed_and_spares_those_of_one_that_lives(tmp_path):
    living, next_one = Nothing(tmp_path), Nothing(tmp_path)
    dead = tmp_path / "engine" / "dead"
    with living.at_work():
        dead.mkdir()
        (dead / "driver").touch()  # nobody holds it
        path = tmp_path / "out"
        code = [sys.executable, "-c", ATTEND, str(path), str(dead / "1.json")]
        worker = subprocess.Popen(code, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
        while not path.exists():
            assert worker.poll() is None
            time.sleep(0.1)
        with next_one.at_work():
            assert worker.wait() == 0
            assert {folder.name for folder in (tmp_path / "engine").iterdir()} == {
                living.folder.name,
                next_one.folder.name,
            }
    assert path.read_text() == "begun"
    assert "stopped by SIGTERM" in path.with_suffix(".log").read_text()
    assert not (tmp_path / "engine").exists()
