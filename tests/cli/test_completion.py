"""The scripts that complete command lines, asked in a real bash; zsh and fish were asked by hand."""

import contextlib
import os
import re
import shlex
import subprocess

import pytest

from forecastlab.cli import AT_ONCE, COMMANDS, main
from forecastlab.network.registry import registered_backbones

ASK = """
eval "$(cat "$1")"
COMP_WORDS=("${@:2}")
COMP_CWORD=$(($# - 2))
COMP_LINE="${*:2}"
COMP_POINT=${#COMP_LINE}
set -- $(complete -p forecastlab)
while [[ $1 != -F ]]; do shift; done
$2
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """The file of each shell's script; made once, for it takes seconds."""
    folder = tmp_path_factory.mktemp("scripts")
    made = {}
    for shell in ("bash", "zsh", "fish"):
        made[shell] = folder / shell
        with made[shell].open("w") as file, contextlib.redirect_stdout(file):
            assert main(["completion", shell]) == 0
    return made


@pytest.fixture
def complete(scripts, tmp_path):
    """What bash offers for the last word of a command line."""

    def ask(*words):
        done = subprocess.run(
            ["bash", "--norc", "-c", ASK, "bash", scripts["bash"], "forecastlab", *words],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=tmp_path,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split()

    return ask


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["cro"], ["crossval"]),
        (["fit", "--trainer.max_e"], ["--trainer.max_epochs"]),
        (["fit", "--lr"], ["--lr_find"]),
        (["test", "--lr"], []),
        (["crossval", "--lr"], []),
        (["crossval", "--ckpt"], []),
        (["tune", "--ckpt"], []),
        (["crossval", "--fol"], ["--folds"]),
        (["crossval", "--jobs", "2", "--trainer.max_e"], ["--trainer.max_epochs"]),
        (["tune", "--sampler", "t"], ["tpe"]),
        (["tune", "--early_stopping.pat"], ["--early_stopping.patience"]),
        (["explain", "--thresh"], ["--threshold"]),
        (["explain", "--ckpt"], ["--ckpt_path"]),
        (["data", "--data.series_c"], ["--data.series_column"]),
        (["fit", "--data", "T"], ["TableDataModule"]),
        (["fit", "--data.scale_by", ""], ["global", "series"]),
        (["fit", "--data.horiz"], ["--data.horizon"]),
        (["fit", "--model.anchor", ""], ["none", "last", "mean", "seasonal"]),
        (["fit", "--model.backbone.num_l"], ["--model.backbone.num_layers"]),
        (["fit", "--model.optimizer.momentum_"], ["--model.optimizer.momentum_decay"]),
        (["fit", "--trainer.inference_mode", "f"], ["false"]),
        (["reproduce", "van"], ["van-diepen"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["data", "--allow"], ["--allow_import"]),
        (["runs", "--allow"], []),
        (["runs", "--so"], ["--sort"]),
        (["runs", "r"], ["rm"]),
        (["runs", "rm", "--y"], ["--yes"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_a_word_is_completed(complete, words, offered):
    assert complete(*words) == offered


def test_every_command_and_every_backbone_is_offered(complete):
    assert complete("") == list(COMMANDS)
    assert complete("crossval", "--model.backbone", "") == list(registered_backbones())


@pytest.mark.parametrize("option", ["--config", "-c", "--ckpt_path", "--data.path"])
def test_names_of_files_are_completed(complete, tmp_path, option):
    (tmp_path / "mine.yaml").write_text("")
    (tmp_path / "other.yaml").write_text("")
    assert complete("fit", option, "mi") == ["mine.yaml"]


@pytest.mark.parametrize("command", ["fit", "crossval", "tune", "data", "test"])
def test_names_of_shipped_configs_are_completed_beside_those_of_files(complete, tmp_path, command):
    (tmp_path / "quick.yaml").write_text("")
    assert complete(command, "--config", "qui") == ["quick.yaml", "quickstart"]
    assert complete(command, "--config", "ozone/w") == ["ozone/windowed_lstm"]
    assert complete("tune", "--space", "spaces/") == ["spaces/recurrent"]


def test_names_of_experiments_and_of_runs_are_completed(complete, tmp_path):
    for version in (0, 1):
        (tmp_path / "lightning_logs" / "sales" / f"version_{version}").mkdir(parents=True)
    assert complete("runs", "sa") == ["sales"]
    assert sorted(complete("runs", "rm", "sales/")) == ["sales/version_0", "sales/version_1"]
    assert complete("runs", "rm", "sales/version_0", "--yes", "sales/version_1") == ["sales/version_1"]


def test_classes_are_offered_by_their_short_names_and_abstract_ones_are_not(complete):
    assert complete("fit", "--model.backbone", "Lay") == []
    assert complete("fit", "--model.backbone", "GR") == ["GRU"]
    assert complete("fit", "--model.decoder", "Seq") == ["Seq2Seq"]


def test_asking_for_the_script_draws_no_seed_and_builds_nothing(cli, monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "untouched")
    assert cli("completion", "bash").err == ""
    assert os.environ["PL_GLOBAL_SEED"] == "untouched"


def test_where_nothing_is_known_bash_completes_names_of_files_by_itself(scripts):
    ask = f"source {shlex.quote(str(scripts['bash']))}; complete -p forecastlab"
    done = subprocess.run(["bash", "--norc", "-c", ask], capture_output=True, text=True, timeout=60)
    assert "-o default" in done.stdout
    assert done.stderr == ""


def test_the_script_of_zsh_describes_every_command_in_words_that_a_shell_can_read(scripts):
    text = scripts["zsh"].read_text()
    assert text.startswith("#compdef forecastlab\n")
    for command in COMMANDS:
        (listed,) = re.findall(rf"^_shtab_forecastlab_{command}_options=\(\n(.*?)^\)", text, re.DOTALL | re.MULTILINE)
        words = shlex.split(listed)  # fails where a quote of a help text is left open
        assert any("--allow_import" in word for word in words) is (command not in AT_ONCE)
        assert all(re.match(r"(\(- : \*\))?(\*|\{|-|:|\()", word) for word in words)
    assert '"--trainer.max_epochs=[' in text
    assert "compdef _shtab_forecastlab" in text
    assert '"--config=[' in text
    assert ":_forecastlab_configs" in text
    assert re.search(r"^_forecastlab_configs\(\).* quickstart ", text, re.MULTILINE)


def test_zsh_is_told_which_options_have_a_value_and_offers_runs_rm_first(scripts):
    text = scripts["zsh"].read_text()
    assert '"--yes[' in text
    assert '"--version[' in text
    (experiments,) = re.findall(r"^_forecastlab_experiments\(\).*", text, re.MULTILINE)
    assert "compadd -- rm " in experiments
    assert text.index("_shtab_forecastlab_runs_commands() { _forecastlab_experiments; }") > text.index(
        "_shtab_forecastlab_runs_commands() {\n"
    ), "the last one counts"
    assert ":_forecastlab_runs" in text


def test_the_script_of_fish_offers_every_command_and_the_values_of_options(scripts):
    lines = [shlex.split(line) for line in scripts["fish"].read_text().splitlines() if line.startswith("complete -c")]
    found = {words[words.index("-a") + 1] for words in lines if "-a" in words and words[4].startswith("_shtab")}
    assert set(COMMANDS) <= found
    of_fit = {w[6]: w for w in lines if w[4:6] == ["_shtab_forecastlab_using fit", "-l"]}
    backbones = of_fit["model.backbone"]
    assert backbones[8].split() == list(registered_backbones())
    assert "(_forecastlab_configs)" in of_fit["config"]


def test_another_shell_is_refused(cli):
    answer = cli("completion", "tcsh")
    assert answer.status == 2
    assert "bash" in answer.err
