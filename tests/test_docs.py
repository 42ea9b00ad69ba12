"""What the documentation says works: its commands and options exist, its configs parse, and its examples run."""

import contextlib
import inspect
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import forecastlab
from forecastlab import TableDataModule, baselines, decoders, losses
from forecastlab.cli import main
from forecastlab.experiment.config import Config
from forecastlab.network.registry import registered_backbones
from forecastlab.training import callbacks
from tests.evaluation.browser import look_at

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
READ = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
BLOCK = re.compile(r"^(<!-- run -->\n)?```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
RUN = [page for page in PAGES if "<!-- run -->" in page.read_text()]


def name(page):
    return str(page.relative_to(ROOT))


def blocks(page, *languages):
    """The blocks of code of a page: whether it is to be run, its language, its text."""
    found = BLOCK.findall(page.read_text())
    return [(bool(marked), language, text) for marked, language, text in found if language in languages]


def commands(text):
    """The command lines of forecastlab in a block of the shell, as words."""
    for line in text.replace("\\\n", " ").splitlines():
        for found in re.findall(r"\bforecastlab ((?:'[^']*'|[^')>|])*)", line.partition(" #")[0]):
            yield shlex.split(found)


def configs(page):
    return [content for _, _, text in blocks(page, "yaml") if "data" in (content := yaml.safe_load(text))]


@pytest.fixture(autouse=True)
def _leave_no_traces(monkeypatch):
    """Takes back what a command in this process sets."""
    for variable in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        monkeypatch.setenv(variable, "0")


@pytest.fixture(scope="module")
def options():
    """The options of every command, as the completion of bash knows them."""
    script = io.StringIO()
    with contextlib.redirect_stdout(script):
        assert main(["completion", "bash"]) == 0
    found = re.findall(r"^_shtab_forecastlab_(\w+)_option_strings=\((.*)\)$", script.getvalue(), re.MULTILINE)
    known = {command: {*shlex.split(listed), "--help"} for command, listed in found}
    known["runs"] |= known.pop("runs_rm")
    return known


@pytest.mark.parametrize("page", READ, ids=name)
def test_the_commands_of_a_page_and_their_options_exist(options, page):
    text = page.read_text()
    written = [words for _, _, block in blocks(page, "", "sh") for words in commands(block)]
    written += [words for code in re.findall(r"`(forecastlab [^`]+)`", text) for words in commands(code)]
    for command, *words in written:
        assert command in options
        for word in words:
            assert not word.startswith("--") or word.partition("=")[0] in options[command], (command, word)
            assert not word.startswith("configs/") or (ROOT / word).exists()
    for option in re.findall(r"`(--[\w.-]+)[^`]*`", text):
        assert any(option in known for known in options.values()), option


def test_the_values_of_the_space_are_values_of_a_config(options):
    (space,) = (yaml.safe_load(text) for _, _, text in blocks(ROOT / "docs" / "tuning.md", "yaml"))
    assert {f"--{value.replace('.init_args', '')}" for value in space} <= options["fit"]


@pytest.mark.parametrize("page", [page for page in READ if configs(page)], ids=name)
def test_the_configs_of_a_page_are_understood(page, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for config in configs(page):
        assert Config.of(config).values["data"]["class_path"].endswith(config["data"]["class_path"])


@pytest.mark.parametrize("page", RUN, ids=name)
def test_the_examples_of_a_page_run(page, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # for modules that a page writes
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    shared = {}
    for marked, language, text in blocks(page, "python", "sh", "yaml"):
        if named := re.match(r"# (\w+\.(?:yaml|py))\n", text):
            (tmp_path / named[1]).write_text(text)
        elif marked and language == "python":
            exec(compile(text, page.name, "exec"), shared)
        elif marked:
            assert [main(words) for words in commands(text)] == [0] * text.count("forecastlab ")


def test_every_promise_is_on_its_page():
    text = (ROOT / "docs" / "promises.md").read_text()
    for path in (ROOT / "tests" / "reliability").glob("test_*.py"):
        assert f'--8<-- "{name(path)}"' in text


def test_what_takes_the_place_of_other_names_is_there(options):
    settings = inspect.signature(TableDataModule).parameters
    text = (ROOT / "docs" / "moving.md").read_text()
    rows = [[cell.strip() for cell in line.split(" | ")] for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) > 40
    for _, ours, *_ in rows:
        for code in re.findall(r"`([^`]+)`", ours):
            key, _, value = code.partition(": ")
            if value and value[0].isupper():
                assert hasattr(forecastlab, value), code
            if key.startswith(("trainer.", "early_stopping.", "model.")) and "(" not in key and key != "model.save":
                assert f"--{key}" in options["fit"], code
            elif re.fullmatch(r"[a-z_]+", key) and key not in ("test", "predict", "trainer"):
                assert key in settings, code


def test_the_page_on_choosing_shows_the_figures_of_the_benchmarks():
    docs = ROOT / "docs"
    benchmarks = (docs / "benchmarks.md").read_text().replace("\\_", "_")
    table = (docs / "choosing.md").read_text().partition("<!-- tasks -->\n")[2].partition("<!-- end -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    assert len(rows) >= 6
    for _, task, ratio, _ in rows:
        (found,) = re.findall(rf"^\| {re.escape(task)} \| [\d.]+ \| [\d.]+ \| ([\d.]+) \|", benchmarks, re.MULTILINE)
        assert ratio == found, task


def test_everything_public_is_in_the_reference():
    reference = "\n".join(page.read_text() for page in PAGES if page.parent.name == "api") + "\n"
    named = [*registered_backbones(), *baselines.__all__, *callbacks.__all__, *decoders.__all__]
    for one in [*named, *(one for one in losses.__all__ if one[0].isupper())]:
        assert re.search(rf"^::: forecastlab\.\S*\.{one}\n", reference, re.MULTILINE), one


def test_the_site_is_built_without_a_warning_and_fits_a_phone_without_the_network(tmp_path):
    site = tmp_path / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stderr
    for page in ("data.html", "api/forecaster.html"):
        found, asked = look_at(site / page, 390, tmp_path)
        assert asked == []
        assert found["scroll"] == found["width"] == 390
