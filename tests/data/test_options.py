"""Options that all data modules share are said once, and are there wherever options are shown."""

import inspect
import re

import pytest

from forecastlab.cli import main
from forecastlab.data.options import DataOptions
from forecastlab.data.ozone_datamodule import OzoneDataModule
from forecastlab.data.table_datamodule import TableDataModule

SHARED = [name for name in inspect.signature(DataOptions).parameters if name != "recipe"]
MODULES = [TableDataModule, OzoneDataModule]
PATH = {TableDataModule: "series.csv", OzoneDataModule: "eighthr.data"}


def texts(cls):
    """The beginning of what a docstring says about each argument."""
    return dict(re.findall(r"^    (\w+): (.*)$", inspect.getdoc(cls).partition("Args:")[2], re.MULTILINE))


TEXTS = {module: {**texts(DataOptions), **texts(module)} for module in MODULES}


@pytest.mark.parametrize("module", MODULES)
def test_a_data_module_says_no_shared_option_again_but_a_default_of_its_own(module):
    own = inspect.signature(module.__init__).parameters
    again = {name for name in SHARED if name in own}
    assert all(own[name].default != inspect.signature(DataOptions).parameters[name].default for name in again)


@pytest.mark.parametrize("module", MODULES)
def test_help_lists_each_option_once_with_its_text(module, capsys):
    assert main(["fit", f"--data.help={module.__name__}"]) == 0
    shown = re.sub(r"\s+", " ", capsys.readouterr().out.partition("Help for")[2])
    for name in inspect.signature(module).parameters:
        listed = re.findall(rf" --data\.{name} .*?\(type:", shown)
        assert len(listed) == 1, name
        assert TEXTS[module][name] in listed[0]


@pytest.mark.parametrize("module", MODULES)
def test_the_signature_has_every_shared_option_with_its_default(module):
    shown = inspect.signature(module).parameters
    assert set(SHARED) <= set(shown)
    built = module(PATH[module])
    for name in SHARED:
        if name != "fold":
            default = shown[name].default
            assert getattr(built, name) == (list(default) if isinstance(default, tuple) else default)


def test_folds_that_are_not_named_are_the_last_one_but_the_first_of_ozone():
    assert TableDataModule("series.csv").fold == 5
    assert TableDataModule("series.csv", splits=3).fold == 3
    assert TableDataModule("series.csv", cutoffs=["2020-01-01", "2020-02-01"]).fold == 2
    assert OzoneDataModule().fold == 1
    assert OzoneDataModule(fold="last", splits=4).fold == 4


@pytest.mark.parametrize("module", MODULES)
def test_an_option_that_is_none_is_refused(module):
    with pytest.raises(TypeError, match="unexpected keyword argument 'horizont'"):
        module(PATH[module], horizont=3)
