"""The help that one reads names options that there are, and leads to all others."""

import inspect

import pytest
from jsonargparse import capture_parser

from forecastlab.adapters.jsonargparse import options_of, subcommands_of
from forecastlab.backbones.lstm import LSTM
from forecastlab.cli.help import HELPS, TOPICS, asked, short
from forecastlab.cli.help_topics import entries_of
from forecastlab.data.options import DataOptions
from forecastlab.data.table_datamodule import TableDataModule
from forecastlab.experiment.environment import prepare
from forecastlab.experiment.experiment import Experiment


@pytest.fixture(scope="module")
def parsers():
    prepare()
    return subcommands_of(capture_parser(Experiment, ["fit"]))


@pytest.mark.parametrize("command", HELPS)
def test_every_option_of_the_short_help_exists(parsers, command):
    known = set(options_of(parsers[command])) | {"--allow_import"}
    known |= {f"--data.{name}" for cls in (TableDataModule, DataOptions) for name in inspect.signature(cls).parameters}
    known |= {f"--model.backbone.{name}" for name in inspect.signature(LSTM).parameters} | {"--model.optimizer.lr"}
    named = [option.split()[0] for options in HELPS[command].groups.values() for option in options]
    assert len(named) == len(set(named))
    assert [name for name in named if name not in known] == []


@pytest.mark.parametrize("command", HELPS)
def test_the_short_help_fits_on_a_screen_and_names_all_topics(command):
    text = short(command)
    assert len(text.splitlines()) <= 60
    assert max(map(len, text.splitlines())) <= 130
    assert [topic for topic in TOPICS if f"--help {topic}" not in text] == []


@pytest.mark.parametrize(
    ("args", "topic"),
    [
        (["--help"], ""),
        (["-h", "--config", "x"], ""),
        (["--config", "x", "--help", "data"], "data"),
        (["--help=trainer"], "trainer"),
        (["--config", "x"], None),
        ([], None),
    ],
)
def test_what_is_asked_for_follows_help(args, topic):
    assert asked(args) == topic


def test_the_entries_of_a_part_are_cut_out_of_the_whole_help():
    text = "\n".join(
        [
            *("usage: x", "", "Group:", "  --data.path PATH      one", "                        more"),
            *("  -t, --trainer TRAINER", "  --trainer.devices N   two", "  --trainers N          three", "", "Other:"),
        ]
    )
    assert entries_of(text, ["data"]).splitlines() == ["  --data.path PATH      one", "                        more"]
    assert entries_of(text, ["trainer"]).splitlines() == ["  -t, --trainer TRAINER", "  --trainer.devices N   two"]
    assert entries_of(text, ["nothing"]) == ""


@pytest.mark.parametrize(
    ("topic", "word"),
    [
        ("trainer", "--trainer.max_epochs"),
        ("training", "--early_stopping.patience"),
        ("model.backbone", "  GRU "),
        ("data", "  TableDataModule "),
    ],
)
def test_a_topic_shows_its_options_and_no_others(cli, topic, word):
    answer = cli("fit", "--help", topic)
    assert (answer.status, answer.err) == (0, "")
    assert word in answer.out
    assert "--seed_everything" not in answer.out


def test_an_unknown_topic_gets_a_suggestion(cli):
    answer = cli("fit", "--help", "trainr")
    assert answer.status == 2
    assert "did you mean trainer?" in answer.err
