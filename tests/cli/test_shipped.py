"""Configs that are part of the package, named in place of a path."""

from pathlib import Path

import pytest

from forecastlab.errors import ConfigError
from forecastlab.experiment.shipped import names, path_of, with_paths

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def empty(tmp_path, monkeypatch):
    """The working folder: an empty one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_config_of_the_repository_has_a_name_and_is_the_file_of_that_name():
    expected = {
        str(path.relative_to(REPOSITORY / "configs"))[:-5]: path for path in REPOSITORY.glob("configs/**/*.yaml")
    }
    assert {"quickstart", "ozone/windowed_lstm", "spaces/recurrent"} <= set(expected)
    assert names() == sorted(expected)
    for name, path in expected.items():
        assert Path(path_of(name)).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("args", [["--config", "quickstart"], ["--config=quickstart"], ["-c", "quickstart"]])
def test_a_name_trains_in_an_empty_folder_and_names_the_experiment(cli, empty, args):
    assert cli("fit", *args, "--trainer.max_epochs=1").status == 0
    assert (empty / "lightning_logs" / "quickstart" / "version_0" / "checkpoints" / "best.ckpt").exists()


def test_data_takes_a_name_too(cli):
    answer = cli("data", "--config", "quickstart")
    assert answer.status == 0
    assert "\nrows " in answer.out


@pytest.mark.parametrize("file", ["quickstart", "ozone/lstm"])
def test_a_file_comes_before_a_config_of_its_name(empty, file):
    (empty / file).parent.mkdir(exist_ok=True)
    (empty / file).write_text("threads: 1")
    assert path_of(file) == file


def test_a_folder_does_not_hide_a_config_of_its_name(empty):
    (empty / "quickstart").mkdir()
    assert Path(path_of("quickstart")).parts[-2:] == ("configs", "quickstart.yaml")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("quikstart", "quickstart"),
        ("quickstart.yaml", "quickstart"),
        ("configs/quickstart.yaml", "quickstart"),
        ("windowed_lstm", "ozone/windowed_lstm"),
        ("ozone/widowed_lstm", "ozone/windowed_lstm"),
        ("ozon/windowed_lstm", "ozone/windowed_lstm"),
    ],
)
@pytest.mark.parametrize("command", ["fit", "crossval", "tune", "data", "test"])
def test_an_unknown_name_is_refused_with_the_closest_one_and_all_names(cli, empty, command, given, meant):
    answer = cli(command, "--config", given)
    assert answer.status == 2
    assert f"no file {given!r}, and no shipped config has this name; did you mean {meant}? Available: " in answer.err
    assert answer.err.rstrip().endswith(", ".join(names()))
    assert len(answer.err.splitlines()) <= 10
    assert not list(empty.iterdir())


def test_an_unknown_space_of_tune_is_refused_likewise(cli):
    answer = cli("tune", "--config", "quickstart", "--space", "spaces/recurent")
    assert answer.status == 2
    assert "did you mean spaces/recurrent? Available: " in answer.err


def test_a_name_that_is_close_to_a_file_of_the_user_gets_that_file_alone(cli, empty):
    (empty / "sales.yaml").write_text("threads: 1")
    answer = cli("fit", "--config", "sale.yaml")
    assert answer.status == 2
    assert answer.err.endswith("no shipped config has this name; did you mean sales.yaml?\n")


def test_a_name_that_is_close_to_none_gets_the_list_alone():
    with pytest.raises(ConfigError, match=r"has this name\. Available: airline/attention_lstm, "):
        path_of("zzzzzz")


@pytest.mark.parametrize(
    "text", ["{threads: 1}", "threads: 1\n", "threads: 1\nseed_everything: 2", "-", "", "a://b.yaml", "/nowhere.yaml"]
)
def test_what_is_no_name_is_left_to_the_parser(text):
    assert path_of(text) == text


def test_other_words_of_a_command_line_stay_as_they_are():
    args = ["fit", "quickstart", "--experiment", "quickstart", "--config={threads: 1}", "--data.path=quickstart"]
    assert with_paths(args) == args
