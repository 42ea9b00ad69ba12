import subprocess
import sys

import pytest

import forecastlab
from forecastlab import cli as command_line
from forecastlab.cli import main
from tests.cli.commands import environment

LIGHTNINGS = {"fit", "validate", "test", "predict"}


@pytest.mark.parametrize("args", [[], ["-h"], ["--help"], ["help"]])
def test_help_lists_every_command(cli, args):
    answer = cli(*args)
    assert (answer.status, answer.err) == (0, "")
    for name, text in command_line.COMMANDS.items():
        assert f"  {name:<11}{text}" in answer.out


def test_every_command_that_is_listed_can_be_run():
    from forecastlab.cli import dispatch

    assert set(command_line.COMMANDS) == set(dispatch.COMMANDS) | set(command_line.AT_ONCE) | LIGHTNINGS


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["fit", "--help"], ["backbones"]])
def test_a_reader_that_has_seen_enough_ends_a_command_quietly(args):
    command = [sys.executable, "-m", "forecastlab", *args]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (141, b"")


def test_version_is_one_line(cli):
    answer = cli("--version")
    assert (answer.status, answer.out, answer.err) == (0, f"forecastlab {forecastlab.__version__}\n", "")


@pytest.mark.parametrize(
    ("name", "meant"), [("fti", "fit"), ("tset", "test"), ("Predict", "predict"), ("crosval", "crossval")]
)
def test_an_unknown_command_is_an_error_with_a_suggestion(cli, name, meant):
    answer = cli(name)
    assert (answer.status, answer.out) == (2, "")
    assert f"unknown command {name!r}; did you mean {meant}?" in answer.err
    assert len(answer.err.splitlines()) == 1


@pytest.mark.parametrize("name", ["--hepl", "", "xyz"])
def test_a_command_that_is_like_none_is_an_error_with_a_list(cli, name):
    answer = cli(name)
    assert (answer.status, answer.out) == (2, "")
    assert f"unknown command {name!r}. Available: init, fit, " in answer.err


def test_help_version_and_unknown_commands_import_nothing_heavy():
    program = (
        "import sys\n"
        "from forecastlab.cli import main\n"
        "calls = ([], ['--help'], ['fit', '--help'], ['--version'], ['fti'])\n"
        "assert [main(args) for args in calls] == [0, 0, 0, 0, 2]\n"
        "print(sorted({'torch', 'lightning', 'numpy', 'pandas', 'jsonargparse', 'yaml'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment())
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "[]"


def test_runs_are_listed_and_deleted_without_anything_that_trains(tmp_path):
    program = (
        "import sys\n"
        "from forecastlab.cli import main\n"
        "from forecastlab.runs.run import Run\n"
        "run = Run.new(__import__('pathlib').Path('lightning_logs'), 'a')\n"
        "(run.folder / 'metrics.csv').write_text('step,epoch,val/loss\\n1,0,0.5\\n')\n"
        "assert [main(['runs', '--root', '.']), main(['runs', 'rm', 'a/version_0', '--yes'])] == [2, 0]\n"
        "assert main(['runs', '--where', 'a']) == 0, 'there is no run left'\n"
        "print(sorted({'torch', 'lightning', 'sklearn', 'matplotlib', 'jsonargparse'} & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, env=environment()
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "[]"


def test_a_console_that_lacks_letters_shows_question_marks(tmp_path):
    """As that of Windows does where its output goes into a file."""
    command = [sys.executable, "-m", "forecastlab", "data", "--config", "quickstart"]
    narrow = {**environment(), "PYTHONIOENCODING": "cp1252"}
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, env=narrow)
    wide = subprocess.run(command, cwd=tmp_path, capture_output=True, env={**narrow, "PYTHONIOENCODING": "utf-8"})
    assert (ended.returncode, wide.returncode) == (0, 0), ended.stderr
    assert ended.stdout.decode("cp1252") == "".join(
        letter if letter.encode("cp1252", "ignore") else "?" for letter in wide.stdout.decode()
    )
    assert ended.stdout != wide.stdout


def test_arguments_are_the_process_own_unless_given(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["forecastlab", "--version"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("forecastlab ")


def test_the_whole_help_of_fit_lists_settings_of_every_part(cli):
    answer = cli("fit", "--help", "all")
    assert (answer.status, answer.err) == (0, "")
    for option in ("--config", "--print_config", "--experiment", "--ckpt_path", "--seed_everything", "--threads"):
        assert option in answer.out
    for option in ("--trainer.max_epochs", "--model.backbone", "--model.lr_scheduler", "--data", "--early_stopping"):
        assert option in answer.out


@pytest.mark.parametrize(
    "name", ["validate", "test", "predict", "crossval", "compare", "reproduce", "data", "backbones"]
)
def test_every_command_explains_itself(cli, name):
    answer = cli(name, "--help")
    assert (answer.status, answer.err) == (0, "")
    assert f"forecastlab {name}" in answer.out or "--ckpt_path" in answer.out
