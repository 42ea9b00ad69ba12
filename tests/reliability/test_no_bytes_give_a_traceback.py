"""Promise: whatever bytes a config or a data file holds, a command ends in status 2 with a few lines, or works."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forecastlab.cli import main
from tests.reliability.processes import CONFIG, fit, folder

QUIETLY = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORDS = [
    "data",
    "model",
    ":",
    " ",
    "\n",
    "- ",
    "[",
    "}",
    "{",
    "'",
    '"',
    "&a",
    "*a",
    "!!str",
    "|",
    "1e9",
    "#",
    "\t",
    "?",
    "\0",
]
YAML = st.binary(max_size=80) | st.lists(st.sampled_from(WORDS), max_size=20).map(lambda words: "".join(words).encode())


@st.composite
def damaged(draw, whole):
    """A file with some bytes replaced, left out or put in."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        content[at : at + draw(st.integers(0, 30))] = draw(st.binary(max_size=8))
    return bytes(content)


def assert_ends_well(capsys, *args):
    """The command ended by itself: `main` lets an error of any other kind through."""
    capsys.readouterr()
    status = main([str(arg) for arg in args])
    said = capsys.readouterr().err
    assert status in (0, 2)
    if status == 2:
        error = said[said.index("forecastlab: error: ") :]
        assert len(error.splitlines()) <= 10
        assert "Traceback" not in said


@given(content=YAML | damaged(CONFIG.encode()))
@QUIETLY
def test_any_bytes_as_a_config(tmp_path, capsys, content):
    path = tmp_path / "any.yaml"
    path.write_bytes(content)
    for command in ("data", "crossval"):
        folds = [] if command == "data" else ["--folds=9", f"--trainer.default_root_dir={tmp_path}"]  # none is trained
        assert_ends_well(capsys, command, "--config", path, *folds)


@given(content=YAML | damaged(CONFIG.encode()))
@QUIETLY
def test_any_bytes_as_a_config_that_is_trained(tmp_path, capsys, content):
    path = tmp_path / "any.yaml"
    path.write_bytes(content)
    assert_ends_well(capsys, *fit(path, tmp_path, "--trainer.fast_dev_run=true", epochs=1))


def rows(number):
    """Rows of the ozone file: a date, 72 measurements, and whether the day had much ozone."""
    return "".join(
        f"1/{day}/1998,{','.join(f'{day + column / 7:.1f}' for column in range(72))},0.\n" for day in range(1, number)
    )


NUMBERS = st.sampled_from(
    ["1.5", "?", "", "nan", "inf", "1e400", "1e39", "x", '"', "\r", "\0", ",", "\n", "1/5/1998", "-", "é"]
)


@given(
    content=st.binary(max_size=200)
    | damaged(rows(32).encode())
    | st.lists(NUMBERS, max_size=90).map(",".join).map(str.encode)
)
@QUIETLY
def test_any_bytes_as_a_data_file(tmp_path, capsys, content):
    path = tmp_path / "any.data"
    path.write_bytes(content)
    assert_ends_well(capsys, "data", "--data.source=uci", f"--data.path={path}", "--data.rows=31", "--data.lookback=2")


@pytest.mark.parametrize("name", ["settings.yaml", "results.csv", "predictions.csv"])
@given(content=YAML | st.lists(NUMBERS, max_size=30).map(",".join).map(str.encode))
@QUIETLY
def test_any_bytes_in_the_folder_of_a_run(tmp_path, capsys, name, content):
    run = folder(tmp_path)
    run.mkdir(parents=True, exist_ok=True)
    (run / "settings.yaml").write_text("seeds: [0]\n")
    (run / "results.csv").write_text("model,fold,seed,mse_scaled\nLSTM,1,0,0.5\n")
    (run / "predictions.csv").write_text("unique_id,target,ds,cutoff,y,forecast\n")
    (run / name).write_bytes(content)
    assert_ends_well(capsys, "compare", run, f"--out={tmp_path / 'out'}")
