"""The reference in the documentation is what the parsers know."""

import inspect
import re

import pytest

from forecastlab.adapters.jsonargparse import options_of, subcommands_of
from forecastlab.cli.completion import commands
from forecastlab.data.ozone_datamodule import OzoneDataModule
from forecastlab.data.table_datamodule import TableDataModule
from tests.reference.pages import FOLDER, PAGES

TEXTS = {page: (FOLDER / page).read_text(encoding="utf-8") for page in PAGES}
CELL = re.compile(r"(?<!\\)\|")
BELOW_CLASSES = ("--model.backbone.", "--model.across.", "--model.decoder.", "--model.loss.", "--model.optimizer.")


def entries(text):
    """The first cell of each row of the tables of a text, and the last one."""
    cells = [CELL.split(line)[1:-1] for line in text.splitlines() if line.startswith("| `")]
    return {one[0].strip(" `"): one[-1].strip() for one in cells}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_what_the_parsers_know_now(page):
    assert TEXTS[page] == PAGES[page](), "python -m tests.reference.pages writes it"


@pytest.mark.parametrize("page", PAGES)
def test_everything_has_a_text_of_its_own(page):
    found = entries(TEXTS[page])
    assert len(found) > 50
    assert [name for name, text in found.items() if not text] == []


def test_every_option_of_every_command_is_on_a_page():
    keys = entries(TEXTS["config.md"])
    parts = re.split(r"^## (\w+)$", TEXTS["commands.md"], flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], map(entries, parts[2::2]), strict=True))
    of_data = {
        f"--data.{name}" for own in (OzoneDataModule, TableDataModule) for name in inspect.signature(own).parameters
    }
    for command, parser in subcommands_of(commands()).items():
        options = {name for name in options_of(parser) if name.startswith("--")} - {"--help", "--allow_import"}
        sizes = {name for name in options if name.startswith((*BELOW_CLASSES, "--model.lr_scheduler."))}
        whole = {"--data", "--model", "--trainer", "--early_stopping", "--checkpoints"}  # files of their parts
        of_config = {"crossval": "fit", "tune": "fit", "explain": "test"}.get(command, command)
        of_tests = {name for name in options if name.startswith("--data.")} - of_data  # other tests made data modules
        left = options - sizes - whole - of_tests - {*keys} - {*sections[command]} - {*sections[of_config]}
        assert {name for name in left if not name.endswith((".help", ".schema"))} == set(), command
