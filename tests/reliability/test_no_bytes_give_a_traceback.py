"""Promise: whatever bytes a config or a data file holds, a command ends in status 2 with a few lines, or works."""

import json
import os
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forecastlab.cli import main
from forecastlab.errors import DataError
from forecastlab.evaluation.gather import gather, read_result
from forecastlab.runs.run import Run
from forecastlab.runs.slurm import begun_before
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
    assert_ends_well(capsys, "compare", run, f"--output={tmp_path / 'out'}")


# The files of a crossval that is called again


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The root of a crossval of one fold, which is finished; to be looked at only."""
    root = tmp_path_factory.mktemp("finished")
    (root / "tiny.yaml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PL_GLOBAL_SEED", "0")
        assert main(crossval(root)) == 0
    return root


def crossval(root):
    given = fit(root / "tiny.yaml", root, "--folds=5", "--baselines=persistence", epochs=1)
    return ["crossval", *given[1:]]


FOLD = "fold_5/seed_0"
READ = {
    "settings.yaml": "delete the file",
    f"{FOLD}/result.json": "delete it",
    f"{FOLD}/predictions.csv": "delete",
}
"""The files that a crossval reads when it is called again, and what is said of a damaged one."""
WRITTEN = ("config.yaml", "results.csv", "predictions.csv")
"""Those that it writes anew."""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *((name, content) for name in READ for content in (b"\xff\xfe\x00", b"a: [\n")),
        *((name, b"") for name in WRITTEN),
    ],
)
def test_a_damaged_file_of_a_crossval_is_named_with_the_remedy_or_made_anew(finished, tmp_path, cli, name, content):
    root = shutil.copytree(finished, tmp_path / "root")
    path = folder(root) / name
    whole = path.read_bytes()
    weights = {found: found.read_bytes() for found in root.rglob("*.ckpt")}
    path.write_bytes(content)
    assert cli("runs", f"--trainer.default_root_dir={root}").status == 0
    if name in WRITTEN:
        assert cli("compare", folder(root), f"--output={tmp_path}").status == 2
    answer = cli(*crossval(root))
    assert {found: found.read_bytes() for found in root.rglob("*.ckpt")} == weights
    if name in WRITTEN:
        assert answer.status == 0
        moved = whole.replace(f"{finished}".encode(), f"{root}".encode())  # a config says where its run is
        assert path.read_bytes() == moved
        return
    assert answer.status == 2
    (line,) = answer.err.splitlines()
    assert line.startswith("forecastlab: error: ")
    assert f"{path}" in line
    assert READ[name] in line


@pytest.mark.parametrize("name", [f"{FOLD}/result.json", f"{FOLD}/predictions.csv"])
def test_the_remedy_for_a_damaged_file_of_a_fold_gives_the_same_results(finished, tmp_path, cli, name):
    root = shutil.copytree(finished, tmp_path / "root")
    (folder(root) / name).unlink()
    before = (folder(root) / "predictions.csv").read_bytes()
    assert cli(*crossval(root)).status == 0
    assert (folder(root) / "predictions.csv").read_bytes() == before


def test_a_link_to_a_forecast_is_not_taken_for_the_rows_of_a_test(finished, tmp_path, cli):
    root = shutil.copytree(finished, tmp_path / "root")
    scored = folder(root) / FOLD / "predictions.csv"
    before = scored.read_bytes()
    scored.unlink()
    assert cli("predict", "--ckpt_path", folder(root) / FOLD / "checkpoints" / "best.ckpt").status == 0
    assert scored.is_symlink()
    assert cli(*crossval(root)).status == 0
    assert not scored.is_symlink()
    assert scored.read_bytes() == before


@given(content=YAML | damaged(b"seeds: [0]\nmodel: {backbone: LSTM}\n"))
@QUIETLY
def test_any_bytes_as_what_a_run_was_begun_with(tmp_path, content):
    run = Run(tmp_path, "any", "version_0")
    run.folder.mkdir(parents=True, exist_ok=True)
    (run.folder / "settings.yaml").write_bytes(content)
    said = "settings.yaml is damaged"
    try:
        found = Run.continued(tmp_path, "any", {"not": "these"}, {"rows": 1}, new=False)
    except DataError as error:
        said = str(error)
    else:
        assert found.folder != run.folder
        shutil.rmtree(found.folder)
    assert "settings.yaml is damaged" in said
    assert len(said.splitlines()) == 1


RESULT = {
    "fit": {"best_epoch": 0, "epochs": 1, "seconds": 0.5, "val/loss": 0.25},
    "test": {f"test/{name}": 0.5 for name in ("mse_scaled", "mae", "rmse", "mase", "skill")},
}
ROWS = "unique_id,target,ds,cutoff,y,forecast\n007,y,2020-01-02,2020-01-01,1.5,1.0\n"


@given(
    files=st.tuples(st.binary(max_size=80) | damaged(json.dumps(RESULT).encode()), st.just(ROWS.encode()))
    | st.tuples(st.just(json.dumps(RESULT).encode()), st.binary(max_size=80) | damaged(ROWS.encode()))
)
@QUIETLY
def test_any_bytes_as_what_a_fold_came_to(tmp_path, files):
    content, rows = files
    fold = tmp_path / "fold_1" / "seed_0"
    fold.mkdir(parents=True, exist_ok=True)
    (fold / "result.json").write_bytes(content)
    (fold / "predictions.csv").write_bytes(rows)
    said = f"delete {fold}"
    try:
        if "test" in read_result(fold):
            gather(tmp_path, "net")
    except DataError as error:
        said = str(error)
    assert str(fold) in said
    assert "delete" in said
    assert len(said.splitlines()) == 1


@given(content=st.binary(max_size=20))
@QUIETLY
def test_any_bytes_as_the_name_of_a_job(tmp_path, capsys, content):
    run = Run(tmp_path, "any", "version_0")
    (run.folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    (run.folder / "checkpoints" / "last.ckpt").touch()
    (run.folder / "slurm_job").write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
        patch.setitem(os.environ, "SLURM_JOB_ID", "77")
        patch.setitem(os.environ, "SLURM_RESTART_COUNT", "1")
        found = begun_before(tmp_path, "any")
    said = capsys.readouterr().err
    if content == b"77":
        assert found is not None
    elif not content.replace(b"_", b"").isdigit():
        assert found is None
        assert f"{run.folder / 'slurm_job'} is damaged" in said
        assert "go on with --ckpt_path" in said
