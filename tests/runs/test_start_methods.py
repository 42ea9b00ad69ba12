"""Processes of trainings begin in two ways: forked from a server, or spawned where there is none."""

import subprocess
import sys

import pytest

GUARDED = """
import sys
import forecastlab
from forecastlab.runs.engines import process

if __name__ == "__main__":
    process.START = sys.argv[1]
    config = forecastlab.Config.of("quickstart").with_values({"trainer.max_epochs": 2})
    forecastlab.crossval(config, folds=[1, 2], jobs=2, baselines=["persistence"])
"""


@pytest.mark.slow
def test_spawned_and_forked_processes_write_the_same_figures(tmp_path):
    written = {}
    for method in ("forkserver", "spawn"):
        folder = tmp_path / method
        folder.mkdir()
        (folder / "script.py").write_text(GUARDED)
        command = [sys.executable, "script.py", method]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr
        run = folder / "lightning_logs" / "quickstart" / "version_0"
        written[method] = {path.relative_to(run): path.read_bytes() for path in sorted(run.rglob("predictions.csv"))}
    assert len(written["spawn"]) == 3  # of two folds and of the baselines
    assert written["spawn"] == written["forkserver"]
