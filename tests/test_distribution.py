"""What is given to others: the wheel, installed and run, and the source distribution."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import yaml
from packaging.version import Version

import forecastlab

ROOT = Path(__file__).parents[1]
TOP = [
    *("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "constraints.txt", "mkdocs.yml"),
    *("pyproject.toml", ".gitignore", ".pre-commit-config.yaml"),
]
LEFT_OUT = shutil.ignore_patterns(
    ".*_cache", ".git", ".venv", ".hypothesis", "*.egg-info", "__pycache__", "build", "dist"
)
BUILD = "import sys, setuptools.build_meta as backend; print(getattr(backend, f'build_{sys.argv[1]}')(sys.argv[2]))"


def files(folder):
    """The paths of all files in a folder that are no output of a run, relative to it."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not {"__pycache__", ".ipynb_checkpoints"}.intersection(path.parts)
    }


def build(source, kind, out):
    """Builds a distribution as pip does, without the network; returns its path."""
    done = subprocess.run([sys.executable, "-c", BUILD, kind, out], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The content of the source distribution."""
    folder = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT, folder / "clone", symlinks=True, ignore=LEFT_OUT)
    shutil.rmtree(folder / "clone" / "lightning_logs")
    for file in (".gitkeep", "a run"):
        (folder / "clone" / "lightning_logs" / file).parent.mkdir(exist_ok=True)
        (folder / "clone" / "lightning_logs" / file).touch()
    with tarfile.open(build(folder / "clone", "sdist", folder)) as archive:
        archive.extractall(folder, filter="data")
    return folder / f"forecastlab-{forecastlab.__version__}"


@pytest.fixture(scope="module")
def wheel(unpacked, tmp_path_factory):
    """The wheel that is built from the source distribution."""
    return build(unpacked, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The programs of an environment that has the wheel, and what it needs from the environment of the tests."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "--quiet", wheel]
    subprocess.run(install, check=True, capture_output=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": folder, "platbase": folder}))
    (packages / "shared.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin"


@pytest.fixture
def command(installed, tmp_path):
    """Runs a program of that environment in an empty folder; returns what it printed."""

    def run(program, *args):
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PL_"))}
        done = subprocess.run(
            [installed / program, *args], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_the_wheel_holds_the_whole_package_and_all_configs_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        contents = {name: archive.read(name) for name in held}
    configs = {f"forecastlab/configs/{path}": ROOT / "configs" / path for path in files(ROOT / "configs")}
    assert "forecastlab/configs/quickstart.yaml" in configs
    package = {f"forecastlab/{path}": ROOT / "forecastlab" / path for path in files(ROOT / "forecastlab")}
    expected = package | configs
    assert held == set(expected)
    for name, path in expected.items():
        assert contents[name] == path.read_bytes(), name


def test_the_source_distribution_holds_all_tests_docs_notebooks_and_configs(unpacked):
    for folder in ("tests", "docs", "notebooks", "configs", ".ci"):
        assert files(unpacked / folder) == files(ROOT / folder)
    for file in TOP:
        assert (unpacked / file).read_bytes() == (ROOT / file).read_bytes()
    runs = [path for path in unpacked.rglob("*") if "lightning_logs" in path.parent.name]
    assert [path.name for path in runs] == [".gitkeep"], "no run of ours is given away"


def test_the_wheel_says_what_it_is(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        about = Parser().parsestr(archive.read(name).decode())
    assert (about["Name"], about["Version"]) == ("forecastlab", forecastlab.__version__)
    assert about["License-Expression"] == "MIT"
    assert "Programming Language :: Python :: 3.11" in about.get_all("Classifier")
    assert about["Author"] is about["Author-email"] is about["Project-URL"] is about["Home-page"] is None


def test_the_changelog_has_a_dated_section_of_this_version_or_of_the_one_it_develops_from():
    headings = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")]
    newest = next(line for line in headings if line != "## Unreleased")
    version, _, date = newest.removeprefix("## ").partition(" - ")
    ours = Version(forecastlab.__version__)
    assert len(date.split("-")) == 3
    if ours.is_devrelease:
        assert Version(version) < ours
        assert headings[0] == "## Unreleased"
    else:
        assert Version(version) == ours


@pytest.mark.slow
def test_the_installed_wheel_trains_and_tests_a_shipped_config_in_an_empty_folder(command, installed, tmp_path):
    place = command("python", "-c", "import forecastlab; print(forecastlab.__file__)").strip()
    assert Path(place).is_relative_to(installed.parent), "the tests' own copy is not what runs"
    assert command("forecastlab", "--version") == f"forecastlab {forecastlab.__version__}\n"
    assert "best val/loss " in command("forecastlab", "fit", "--config", "quickstart", "--trainer.max_epochs=2")
    command("forecastlab", "test", "--ckpt_path", "best", "--experiment", "quickstart")
    run = tmp_path / "lightning_logs" / "quickstart" / "version_0"
    assert (run / "predictions.csv").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["lightning_logs"]


def test_a_commit_is_checked_by_the_linters_of_make_lint():
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = {hook["entry"].removeprefix(".venv/bin/") for hook in repository["hooks"]}
    recipe = (ROOT / "Makefile").read_text().partition("\nlint: ")[2].partition("\n\n")[0].splitlines()[1:]
    assert hooks == {line.strip().removeprefix("$(BIN)/").removesuffix(" .") for line in recipe}
