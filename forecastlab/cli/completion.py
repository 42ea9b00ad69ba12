"""`forecastlab completion`: a script that completes commands, options, file names and shipped configs in a shell.

jsonargparse can print such a script by itself (`parser.get_completion_script("shtab-bash")`). It is not used here: a
hybrid takes backbones, which may be hybrids, and jsonargparse follows them into each other. Its script has 339
megabytes and takes five minutes to make. It also offers `forecastlab.backbones.gru.GRU`, and abstract classes, where
`GRU` is enough. So the options are read from the parsers, and those of classes, one level deep, from their signatures.
"""

import argparse
import contextlib
import inspect
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import shtab
from jsonargparse import capture_parser
from lightning.pytorch import Trainer
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from forecastlab.adapters.jsonargparse import options_of, positionals_of, subcommands_of
from forecastlab.cli import (
    AT_ONCE,
    COMMANDS,
    backbones,
    benchmark,
    compare,
    crossval,
    data,
    explain,
    export,
    init,
    reproduce,
    run_removal,
    run_table,
)
from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.decoders import Decoder
from forecastlab.errors import ForecastlabError
from forecastlab.experiment import shipped
from forecastlab.experiment.experiment import Experiment
from forecastlab.losses import Loss
from forecastlab.network.registry import registered_backbones
from forecastlab.runs.run import LOGS
from forecastlab.training.callbacks import Checkpoints, EarlyStopping
from forecastlab.training.forecaster import Forecaster

FILES = ("--ckpt_path", "--figure", "--output", "--data.path", "--model.weights_from")
ONLY_FIT = ("--ckpt_path", "--lr_find")
"""Options of `fit` that commands which train from fresh weights refuse."""
FOLDERS = ("--trainer.default_root_dir",)
BASH = "complete -o bashdefault -o default -F _shtab_forecastlab forecastlab"
"""Where nothing else is known, file names are completed, also after `--config=`."""
SHELLS = ("bash", "zsh", "fish")
CONFIGS, RUNS, EXPERIMENTS = (
    {"bash": name, "zsh": name, "fish": f"({name})"}
    for name in ("_forecastlab_configs", "_forecastlab_runs", "_forecastlab_experiments")
)
FUNCTIONS = {
    "bash": """
_forecastlab_configs() {{ _shtab_compgen_files "$1"; compgen -W "{names}" -- "$1"; }}
_forecastlab_runs() {{ compgen -W "$(cd {logs} 2>/dev/null && compgen -G '*/version_*')" -- "$1"; }}
_forecastlab_experiments() {{ compgen -W "{remove} $(ls {logs} 2>/dev/null)" -- "$1"; }}
""",
    "zsh": """
_forecastlab_configs() {{ _alternative 'files:file:_files' 'configs:shipped config:({names})'; }}
_forecastlab_runs() {{ local -a found=({logs}/*/version_*(/N)); compadd -- ${{found#{logs}/}}; }}
_forecastlab_experiments() {{ local -a found=({logs}/*(/N:t)); compadd -- {remove} $found; }}
_shtab_forecastlab_runs_commands() {{ _forecastlab_experiments; }}
""",
    "fish": """
function _forecastlab_configs
    __fish_complete_path (commandline -ct)
    printf '%s\\n' {names}
end
function _forecastlab_runs
    for folder in {logs}/*/version_*; string replace {logs}/ '' $folder; end
end
function _forecastlab_experiments
    printf '%s\\tdelete runs\\n' {remove}
    for folder in {logs}/*/; string replace -r '.*/(.*)/' '$1' $folder; end
end
""",
}
"""In each shell, what completes a config, by the names of files and of the shipped ones, a run, and an experiment."""


OF_VALUE = re.compile(r'^(  "--[\w.]+)\[(?=.*\]:)', re.MULTILINE)
"""Where the script of zsh says that an option has a value."""


class Option(NamedTuple):
    """An option and the values that are known of it."""

    name: str
    values: Sequence[str] = ()


def completion(args: Sequence[str]) -> None:
    """Prints the script.

    Args:
        args: the command line after the sub-command: the name of the shell.
    """
    print(script(parser().parse_args(args).shell))


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        prog="forecastlab completion",
        description='A script for the shell. To try it: eval "$(forecastlab completion bash)". It takes seconds to '
        "make, so keep it in a file: ~/.local/share/bash-completion/completions/forecastlab, _forecastlab in a "
        "folder of zsh's $fpath, or ~/.config/fish/completions/forecastlab.fish.",
    )
    parser.add_argument("shell", choices=SHELLS, help="which shell")
    return parser


def script(shell: str) -> str:
    """The script for one of `SHELLS`."""
    words = {"names": " ".join(shipped.names()), "logs": LOGS, "remove": run_table.REMOVE}
    made: str = shtab.complete(commands(shell), shell, preamble=FUNCTIONS[shell].format(**words))
    if shell == "zsh":  # the value may follow = too
        return OF_VALUE.sub(r"\1=[", made)
    return f"{made}\n{BASH}" if shell == "bash" else made


def commands(shell: str = "bash") -> argparse.ArgumentParser:
    """A parser of the whole command line, made of those of the commands; it knows their options, not their meaning.

    Args:
        shell: whose script is to be made of it.
    """
    own = own_parsers()
    of_lightning = subcommands_of(capture_parser(Experiment, ["fit"]))  # nothing is parsed, drawn or built
    of_configs = {name: _options(options_of(options)) for name, options in of_lightning.items()}
    shared = {**of_configs, "data": _options(options_of(data.parser()))}
    afresh = {name: one for name, one in options_of(of_lightning["fit"]).items() if name not in ONLY_FIT}
    shared |= {"crossval": _options(afresh), "tune": _options(afresh), "explain": of_configs["test"]}
    root = argparse.ArgumentParser(prog="forecastlab")
    root.add_argument("--version", action="store_true", help="version of forecastlab")
    found = root.add_subparsers()
    for name, text in COMMANDS.items():
        parents = [*([shared[name]] if name in shared else []), *([own[name]] if name in own else [])]
        command = found.add_parser(name, help=text, parents=parents, add_help=False, conflict_handler="resolve")
        if name not in AT_ONCE:
            command.add_argument("--allow_import", metavar="PACKAGE", help="whose classes a config may name")
        if name == "runs":
            _add_removal(command, shell)
        for option, action in options_of(command).items():
            if option in FILES or option in FOLDERS:
                action.complete = shtab.FILE if option in FILES else shtab.DIRECTORY  # type: ignore[attr-defined]  # for shtab
            elif option in shipped.OPTIONS:
                action.complete = CONFIGS  # type: ignore[attr-defined]  # for shtab
    return root


def _add_removal(runs: argparse.ArgumentParser, shell: str) -> None:
    """Adds `rm` to the command `runs`."""
    experiment = positionals_of(runs)[0]
    experiment.complete = EXPERIMENTS  # type: ignore[attr-defined]  # for shtab
    if shell == "zsh":  # it would look for `rm` behind an experiment; the script offers both in one place
        experiment.help = argparse.SUPPRESS
    parents = [run_removal.parser()]
    remove = runs.add_subparsers().add_parser(run_table.REMOVE, help="delete runs", parents=parents, add_help=False)
    positionals_of(remove)[0].complete = RUNS  # type: ignore[attr-defined]  # for shtab
    root = options_of(remove)["--trainer.default_root_dir"]
    root.complete = shtab.DIRECTORY  # type: ignore[attr-defined]  # for shtab


def own_parsers() -> dict[str, argparse.ArgumentParser]:
    """The parsers of the commands that have options of ours, without those of a config."""
    own: dict[str, argparse.ArgumentParser] = {
        "backbones": backbones.parser(),
        "compare": compare.parser(),
        "completion": parser(),
        "benchmark": benchmark.parser(),
        "crossval": crossval.parser(),
        "explain": explain.parser(),
        "export": export.parser(),
        "init": init.parser(),
        "reproduce": reproduce.parser(),
        "runs": run_table.parser(),
    }
    with contextlib.suppress(ForecastlabError):  # an extra
        from forecastlab.cli import tune

        own["tune"] = tune.parser()
    return own


def _options(actions: Mapping[str, argparse.Action]) -> argparse.ArgumentParser:
    """A parser with the given options, and those of the classes that they choose."""
    options = argparse.ArgumentParser(add_help=False)
    values = {option.name: option.values for option in _of_classes(actions)}
    for name in dict.fromkeys([*actions, *values]):
        text = actions[name].help if name in actions else None
        if text == argparse.SUPPRESS or name.endswith("+"):
            continue
        told: dict[str, Any] = {"help": (text or "").partition("\n")[0].replace("%", "%%") or None}
        if name in actions and actions[name].nargs == 0:
            options.add_argument(name, action="store_true", **told)
        else:
            options.add_argument(name, choices=values.get(name) or None, **told)
    return options


def _of_classes(given: Mapping[str, argparse.Action]) -> Iterator[Option]:
    """Options whose values are those of arguments of classes, if the given ones are those of `fit` or `data`."""
    for name, part in (
        ("--trainer", Trainer),
        ("--model", Forecaster),
        ("--early_stopping", EarlyStopping),
        ("--checkpoints", Checkpoints),
    ):
        yield from (option for option in _arguments(name, part) if option.name in given)
    chosen: dict[str, tuple[Mapping[str, Callable[..., object]], int]] = {
        "--data": (_concrete(ForecastDataModule), 0),
        "--model.backbone": (registered_backbones(), 1),
        "--model.across": (registered_backbones(), 1),
        "--model.decoder": (_concrete(Decoder), 5),
        "--model.loss": (_concrete(Loss), 0),
        "--model.optimizer": (_concrete(Optimizer), 1),
        "--model.lr_scheduler": (_concrete(LRScheduler), 1),
    }
    for name, (classes, sizes) in chosen.items():
        if name in given:
            arguments: dict[str, dict[str, None]] = {}
            for cls in classes.values():
                for option in _arguments(name, cls, sizes):
                    arguments.setdefault(option.name, {}).update(dict.fromkeys(option.values))
            yield Option(name, list(classes))
            yield from (Option(argument, list(values)) for argument, values in arguments.items())


def _arguments(prefix: str, cls: Callable[..., object], sizes: int = 0) -> list[Option]:
    """The arguments of a class as options, without the first ones, which a config does not give."""
    with contextlib.suppress(NameError, TypeError):  # names that only type checkers import
        hints = typing.get_type_hints(cls.__init__)
        passed_on = {name: found.annotation for name, found in inspect.signature(cls).parameters.items()}
        return [Option(f"{prefix}.{name}", _values(hints.get(name, passed_on[name]))) for name in _names(cls)[sizes:]]
    return [Option(f"{prefix}.{name}") for name in _names(cls)[sizes:]]


def _names(cls: Callable[..., object]) -> list[str]:
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [name for name, found in inspect.signature(cls).parameters.items() if found.kind not in kinds]


def _values(hint: Any) -> list[str]:
    """The values that a type has, if they can be counted."""
    if hint is bool:
        return ["true", "false"]
    values = typing.get_args(hint)
    if typing.get_origin(hint) is Literal:
        return [str(value) for value in values]
    return [value for part in values for value in _values(part)]


def _concrete(base: type) -> dict[str, Callable[..., object]]:
    """The public classes below a base that are not abstract, by name, sorted."""
    below: list[type] = base.__subclasses__()
    for cls in below:
        below += cls.__subclasses__()
    public = {cls.__name__: cls for cls in below if cls.__name__[0] != "_" and not inspect.isabstract(cls)}
    return dict(sorted(public.items()))
