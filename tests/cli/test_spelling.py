"""Every option has one name; earlier ones are understood, with a note."""

import argparse

import pytest

from forecastlab.adapters.jsonargparse import options_of, subcommands_of
from forecastlab.cli import spelling
from forecastlab.cli.completion import commands
from forecastlab.cli.spelling import as_spelt
from forecastlab.errors import ConfigError

ALL = ("fit", "validate", "test", "predict", "crossval", "compare", "benchmark", "reproduce", "explain", "export")
EARLIER = {
    **{(command, "--allow-import"): "--allow_import" for command in (*ALL, "init", "tune", "data")},
    **{(command, "--allow-seen"): "--allow_seen" for command in ("validate", "test", "crossval")},
    ("backbones", "--input-size"): "--input_size",
    ("benchmark", "--data"): "--data.path",
    ("compare", "--out"): "--output",
    ("fit", "--lr-find"): "--lr_find",
    **{
        ("init", f"--{name}"): f"--{name.replace('-', '_')}"
        for name in ("time-column", "time-format", "series-column", "season-length", "na-values", "sheet-name")
    },
    ("predict", "--paths-format"): "--paths_format",
    ("predict", "--paths-seed"): "--paths_seed",
    **{
        ("reproduce", f"--{name}"): f"--{name.replace('-', '_')}" for name in ("check-every", "hidden-size", "key-size")
    },
    ("reproduce", "--path"): "--data.path",
    ("reproduce", "--root"): "--trainer.default_root_dir",
    ("tune", "--keep-weights"): "--keep_weights",
    ("tune", "--seed"): "--sampler_seed",
}


@pytest.fixture(scope="module")
def parsers() -> dict[str, argparse.ArgumentParser]:
    return subcommands_of(commands())


@pytest.mark.parametrize(("command", "earlier"), EARLIER)
def test_an_earlier_name_is_understood_with_one_line(capsys, parsers, command, earlier):
    now = EARLIER[command, earlier]
    assert as_spelt([command, earlier, "value", f"{earlier}=value"]) == [command, now, "value", f"{now}=value"]
    assert capsys.readouterr().err == f"forecastlab: note: {earlier} is spelt {now}\n"
    assert now in options_of(parsers[command])


def test_no_option_of_any_command_joins_words_by_a_dash_or_has_an_earlier_name(parsers):
    for command, parser in parsers.items():
        own = [option for option in options_of(parser) if option.startswith("--") and "." not in option]
        assert [option for option in own if "-" in option[2:]] == []
        assert spelling.FOLDER_OF_RUNS not in own
        assert {*own} & {*spelling.RENAMED.get(command, {})} == set()


@pytest.mark.parametrize(
    "words",
    [
        ["fit", "--ckpt_path", "last", "--trainer.max_epochs=3"],
        ["fit", "--data", "TableDataModule", "--data.path=my-file--out.csv", "--experiment", "my-run"],
        ["reproduce", "van-diepen", "--new"],
        ["runs", "--sort", "-test/skill", "--sort=-test/skill"],
        ["test", "--seed", "1", "-c", "--out"],
        ["fit", "--trainer.logger.init_args.tags.a-b=1"],
        ["runs"],
    ],
)
def test_all_else_stays_as_it_is_without_a_word(capsys, words):
    assert as_spelt(words) == words
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("given", [["--logs", "a/lightning_logs/"], ["--logs=a/lightning_logs"]])
def test_the_folder_of_runs_is_named_by_the_folder_above_it(capsys, given):
    assert "".join(as_spelt(["compare", "x", *given])).replace("=", "") == "comparex--trainer.default_root_dira"
    assert capsys.readouterr().err == "forecastlab: note: --logs is spelt --trainer.default_root_dir\n"


def test_a_folder_of_runs_of_another_name_is_refused_with_what_to_do(cli):
    answer = cli("compare", "x", "--logs", "results")
    assert answer.status == 2
    assert "--logs results: --trainer.default_root_dir names" in answer.err
    assert "results/EXPERIMENT" in answer.err
    with pytest.raises(ConfigError):
        as_spelt(["compare", "--logs=lightning_logs/.."])


def test_a_command_runs_as_if_the_name_were_the_present_one(cli):
    now, earlier = cli("backbones", "--input_size", 5), cli("backbones", "--input-size=5")
    assert (now.status, now.err) == (0, "")
    assert (earlier.status, earlier.out) == (0, now.out)
    assert earlier.err == "forecastlab: note: --input-size is spelt --input_size\n"


def test_only_the_first_of_several_processes_says_so(capsys, monkeypatch):
    monkeypatch.setattr("forecastlab.experiment.devices.rank", lambda: 1)
    assert as_spelt(["fit", "--lr-find"]) == ["fit", "--lr_find"]
    assert capsys.readouterr().err == ""
