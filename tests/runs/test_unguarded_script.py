"""A script that begins processes without `if __name__ == "__main__":`."""

import subprocess
import sys

import pytest

SCRIPT = """
import forecastlab

config = forecastlab.Config.of("quickstart").with_values({"trainer.max_epochs": 1})
forecastlab.crossval(config, folds=[1, 2], jobs=2, baselines=["persistence"])
"""


@pytest.mark.slow
def test_a_script_without_a_guard_is_told_to_put_one(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1  # of the script itself, and none of its processes
    assert "every process of a training imports this script" in done.stderr
    assert 'if __name__ == "__main__":' in done.stderr
