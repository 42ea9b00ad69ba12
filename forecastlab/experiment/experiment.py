"""An experiment: LightningCLI with our defaults, run folders, and checkpoints that carry their config."""

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentError
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException, SIGTERMException

from forecastlab.adapters.lightning import CommandLine, skip_empty_hooks
from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.data.trained_on import records_of, require_same
from forecastlab.errors import ConfigError, as_typed, our_error
from forecastlab.experiment.checks import as_begun, checked_threads, require_judge, require_possible
from forecastlab.experiment.config_files import config_of, experiment_name, read_configs, root_folder
from forecastlab.experiment.devices import end_other_processes, leave_other_devices, rank
from forecastlab.experiment.environment import unwrapped
from forecastlab.experiment.held import holding
from forecastlab.experiment.lr_find import SUFFIX, find_learning_rate
from forecastlab.experiment.messages import dropped_arguments, half_a_schedule, in_words_of_users, not_built
from forecastlab.experiment.options import listed, values_of
from forecastlab.experiment.outcome import relative, tell_fit, tell_forecast, tell_test
from forecastlab.experiment.paths_file import Format, write_paths
from forecastlab.experiment.refitted import MARK, finished
from forecastlab.experiment.run_board import RunBoard
from forecastlab.experiment.run_config import RunConfig
from forecastlab.metrics import PARTS, Part
from forecastlab.network import factory
from forecastlab.network.agreement import require_same_shapes
from forecastlab.network.bounded import bounded_network
from forecastlab.network.paths import Paths
from forecastlab.runs.run import CHECKPOINTS, LOGS, Run, experiment_of, open_checkpoint
from forecastlab.runs.signals import Stopped
from forecastlab.runs.slurm import begun_before, requeue, sign
from forecastlab.training.callbacks import (
    AtomicCheckpointIO,
    Checkpoints,
    EarlyStopping,
    EpochLine,
    ForecastFigure,
    GivenSettings,
    PredictionWriter,
    RandomState,
    RunFolder,
    RunLogger,
    SeenRows,
    StopSignals,
    TrainingCurves,
)
from forecastlab.training.forecaster import Forecaster


class Experiment(CommandLine):
    """A `fit`, `validate`, `test` or `predict`: everything that it needs is built at once, and `execute` runs it.

    Args:
        args: the command line, beginning with the sub-command; or what it would be parsed to (`Config.arguments`).
        run: the run whose folder is written to; None for the checkpoint's, or a new one.
        callbacks: further callbacks of the trainer.
        called: the command that the user called, for messages; None for the sub-command.
        held: the frame that the data are read from, where the config says that there is one.

    Raises:
        ConfigError: for a setting that cannot be used.
        DataError: for a checkpoint or data that cannot be used.
        Stopped: if a signal ended it; it says how to go on.
    """

    run: Run | None = None
    """The run whose folder is written to."""
    new_run: Run | None = None
    """The run whose folder this call made."""

    def __init__(
        self,
        args: Sequence[str] | dict[str, Any],
        run: Run | None = None,
        callbacks: Sequence[Callback] = (),
        called: str | None = None,
        held: Any = None,
    ) -> None:
        if rank() and threading.current_thread() is threading.main_thread():
            # it has nothing to keep, and while it waits for the first one no handler of Python's is reached
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.given_run = run
        self.given_callbacks = callbacks
        self.held = held
        self.command = args["subcommand"] if isinstance(args, dict) else args[0]
        self.called = called or self.command
        self.words = None if isinstance(args, dict) else ["forecastlab", *args]
        self.checkpoint: Path | None = None
        self.loaded: dict[str, Any] = {}
        self.given_configs: list[dict[str, Any]] = []
        if isinstance(args, dict):
            settings = args[self.command]
            self.root, self.name = Path(settings["trainer"]["default_root_dir"] or ".", LOGS), settings["experiment"]
        else:
            args = [self.command, *self._with_checkpoint(list(args[1:]))]
        strict = {"exit_on_error": False, "allow_abbrev": False}
        usage = "forecastlab {} [--config FILE] [--OPTION VALUE ...]"  # the generated one has eighty lines
        usages = {name: {**strict, "usage": usage.format(name)} for name in self.subcommands()}
        self._held = ExitStack()
        with self._failing_well():
            super().__init__(
                Forecaster,
                ForecastDataModule,
                subclass_mode_data=True,
                save_config_callback=RunConfig,
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
                seed_everything_default=0,
                parser_kwargs={**strict, **usages},
                args=args,
            )

    def execute(self) -> "Experiment":
        """Runs the sub-command, and says what came out."""
        with self._held, self._failing_well():
            try:
                self.run_subcommand()
            finally:
                leave_other_devices()
        return self

    @contextmanager
    def _failing_well(self) -> Iterator[None]:
        """Ends the other processes, and removes an empty run folder, when something goes wrong within the block."""
        try:
            yield
        except BaseException as error:
            end_other_processes(getattr(self, "trainer", None))
            self._held.close()  # first, since Windows deletes no file that is held
            if self.new_run is not None:
                self.new_run.discard_if_not_begun()
            leave_other_devices()
            of_an_option = isinstance(error, ValueError) and "`val_check_interval`" in str(error)
            if isinstance(error, MisconfigurationException) or of_an_option:  # it is checked against the data
                raise ConfigError(str(error)) from error
            if isinstance(error, SIGTERMException):
                raise Stopped(signal.SIGTERM, self._how_to_go_on()) from None
            if stopped := Stopped.behind(error):
                again = requeue() if stopped.number not in (signal.SIGINT, signal.SIGTERM) else None
                raise Stopped(stopped.number, again or self._how_to_go_on()) from None
            raise

    def _with_checkpoint(self, given: list[str]) -> list[str]:
        """Options, and before them the config of the checkpoint that they name."""
        self.root = root_folder(given)
        self.given_configs = list(read_configs(given).values())
        self.name = experiment_name(given)
        ckpt_path = values_of(given, "--ckpt_path")
        if self.command == "fit" and self.given_run is None and not ckpt_path:
            begun = begun_before(self.root, self.name)
            ckpt_path = [] if begun is None else [str(begun)]
        if ckpt_path:
            checkpoint = self._load(ckpt_path[-1])
            if self.command != "fit" or not values_of(given, "--config", "-c"):
                return ["--config", config_of(self.loaded, self.command, given, checkpoint), *given]
        return given

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The sub-commands, and for each the arguments of the trainer's method that are no options."""
        own = {"verbose", "weights_only", "return_predictions"}  # a second table; what is decided here; what is lost
        return {name: skipped | own for name, skipped in CommandLine.subcommands().items()}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--experiment", type=str | None, default=self.name, help="name of the run's folder")
        parser.add_argument(
            "--threads", type=int, default=1, help="CPU threads; recurrent networks are fastest with one"
        )
        text = "what crossval scores on the same rows, such as [ridge, seasonal_naive]; `crossval --help` lists them"
        parser.add_argument("--baselines", type=list[str] | None, default=None, help=text)
        parser.add_class_arguments(EarlyStopping, "early_stopping")
        parser.set_defaults({"early_stopping.monitor": "val/loss", "early_stopping.patience": 20})
        parser.set_defaults({"early_stopping.strict": False})  # what it monitors is checked before the training
        parser.add_class_arguments(Checkpoints, "checkpoints")
        parser.link_arguments("data.schema", "model.schema", self._schema, apply_on="instantiate")
        parser.set_defaults({"trainer.num_sanity_val_steps": 0, "trainer.enable_model_summary": False})

    def add_options_of(self, subcommand: str, parser: LightningArgumentParser) -> None:
        if subcommand == "fit":
            text = "draw the loss over the learning rate and suggest one, in place of the training"
            parser.add_argument("--lr_find", action="store_true", help=text)
        if subcommand in ("test", "validate"):
            text = "score rows that trained the weights; every place that shows the score says so"
            parser.add_argument("--allow_seen", action="store_true", help=text)
        if subcommand == "predict":
            text = "write so many sample paths of each series too, as paths.csv"
            parser.add_argument("--paths", type=int | None, default=None, help=text)
            parser.add_argument("--paths_seed", type=int, default=0, help="seed of the paths")
            parser.add_argument("--paths_format", type=Format, default="csv", help="csv, or parquet")
        if subcommand in ("test", "predict"):
            text = "series of a panel that the figure shows (default: the first six)"
            parser.add_argument("--series", nargs="+", type=str, default=None, metavar="NAME", help=text)
        if subcommand == "test":
            text = f"print and write the figures of each part too: {', '.join(PARTS)}"
            parser.add_argument("--by", type=Part | None, default=None, help=text)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        with in_words_of_users(self.parsers[self.command]):
            try:
                self.config = parser.parse_object(args) if isinstance(args, dict) else parser.parse_args(args)
            except ArgumentError as error:
                if "arguments are required" in str(error):
                    self._require_checkpoint()
                raise
        settings = self.config[self.command]
        notes = dropped_arguments(self.given_configs, settings.model)
        if self.command == "fit" and not isinstance(args, dict):
            notes += half_a_schedule(settings.model, settings.trainer.max_epochs)
        for note in notes:
            rank_zero_only(print)(f"forecastlab: {note}", file=sys.stderr)

    def take_checkpoint(self) -> None:
        """The checkpoint's config was read before the command line's, which therefore wins."""
        config = self.config[self.command]
        if config.ckpt_path and self.checkpoint is None:  # it was named in a config file
            self._load(config.ckpt_path)
        self._require_checkpoint()
        config.ckpt_path = None if self.checkpoint is None else str(self.checkpoint)
        if self.command == "fit" and self.checkpoint and MARK in self.loaded:
            finished(self.checkpoint.resolve().parent.parent)  # the process may have been killed between two files
            raise ConfigError(
                f"{self.checkpoint} was trained on every row for as many epochs as were best, and is finished: to "
                f"train it on, begin a new run with --model.weights_from {self.checkpoint}"
            )
        if self.command == "fit" and self.checkpoint and "optimizer_states" not in self.loaded:
            raise ConfigError(
                f"{self.checkpoint} holds weights only and cannot be resumed; resume from last.ckpt in the same folder"
            )
        if self.command != "fit" and not self.loaded["global_step"]:
            raise ConfigError(f"the weights in {self.checkpoint} are not trained: there is nothing to score")

    def _schema(self, data: dict[str, Any]) -> dict[str, Any]:
        """That of the data in training; after it the checkpoint's, which the data must then agree with."""
        schema: dict[str, Any] = data if self.command == "fit" else self.loaded["hyper_parameters"]["schema"]
        return schema

    def _require_checkpoint(self) -> None:
        if self.checkpoint is None and self.command != "fit":
            raise ConfigError(
                f"{self.called} needs trained weights: --ckpt_path best (of the newest run), last, or the path of a "
                "checkpoint"
            )

    def set_seed(self) -> None:
        try:
            super().set_seed()
        except ValueError as error:
            raise ConfigError(f"seed_everything: {error}") from None

    def before_instantiate_classes(self) -> None:
        torch.set_num_threads(checked_threads(self.value(self.config, "threads")))

    def instantiate_classes(self) -> None:
        try:
            with bounded_network(self.loaded.get("state_dict")), holding(self.held):
                unwrapped(super().instantiate_classes)
        except Exception as error:  # of any kind: a logger, profiler or plugin is somebody else's
            told = None if our_error(error) else not_built(error, vars(self.value(self.config, "trainer")))
            if told is None:
                raise
            raise ConfigError(told) from error
        if self.loaded:
            require_same_shapes(self.loaded["state_dict"], self.model.state_dict(), self.checkpoint)
        self.model.allow_seen = bool(self.value(self.config, "allow_seen", False))

    def after_instantiate_classes(self) -> None:
        """Finds out what cannot work before processes are started for several devices."""
        if self.run is not None and self.run.folder.exists() and not rank():
            weights = sum(tensor.nbytes for tensor in self.model.state_dict().values())
            # Adam keeps two numbers per weight; three such files are on the disk while one is replaced
            self.run.require_room(3 * 3 * weights if self.command == "fit" else 0)
        require_possible(self.value(self.config, "trainer"), self.trainer, self.datamodule)
        if self.command == "fit" and self.loaded:  # before anything of the run is written anew
            require_same(records_of(self.loaded), self.datamodule.trained_on)
        if self.command == "fit" and self.datamodule.fold != "all":
            _ = self.datamodule.reference  # it is asked for only when the run is tested
        require_judge(**{name: self.value(self.config, name) for name in ("early_stopping", "checkpoints")})

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        config = self.value(self.config_init, "trainer")
        self._take_folder(config)
        config["callbacks"] = self._callbacks(config)
        for name, value in as_begun(config).items():
            config[name] = value
        if self.run is not None and config["logger"] is not False:
            theirs = [] if config["logger"] in (None, True) else listed(config["logger"])
            config["logger"] = [*theirs, self._logger(self.run)]
        config["enable_progress_bar"] = any(isinstance(callback, ProgressBar) for callback in config["callbacks"])
        config["plugins"] = [*listed(config["plugins"]), AtomicCheckpointIO()]
        if config["log_every_n_steps"] is None:
            config["log_every_n_steps"] = 1  # curves are per epoch; a step is logged only by a callback of the user's
        try:
            trainer = self.build_trainer(config)
        except Exception as error:  # of any kind: it asks packages and devices that may not be there
            if our_error(error) is not None:
                raise
            reason = "\n".join(str(error).splitlines()[:6]) or type(error).__name__
            raise ConfigError(f"trainer: {reason}") from error
        skip_empty_hooks(trainer)
        return trainer

    def fit(self, model: Forecaster, datamodule: ForecastDataModule, **options: Any) -> None:
        """Trains, or only looks for a learning rate."""
        if not self.value(self.config, "lr_find"):
            self.trainer.fit(model, datamodule=datamodule, **options)
        elif self.checkpoint is not None:
            raise ConfigError("--lr_find begins with fresh weights: leave --ckpt_path out")
        else:
            find_learning_rate(self.trainer, model, datamodule)

    def validate(self, model: Forecaster, datamodule: ForecastDataModule, **options: Any) -> None:
        """Scores the validation range, without the table that Lightning would print."""
        self.trainer.validate(model, datamodule=datamodule, verbose=False, **options)

    def test(self, model: Forecaster, datamodule: ForecastDataModule, **options: Any) -> None:
        """Scores the test range, without the table that Lightning would print."""
        self.trainer.test(model, datamodule=datamodule, verbose=False, **options)

    def after_fit(self) -> None:
        """Says what came out and how to go on."""
        if self.run is not None and not self.value(self.config, "lr_find"):
            tell_fit(self.trainer, self.datamodule, self.run)

    def after_validate(self) -> None:
        """Says what the validation came to."""
        if self.trainer.is_global_zero:
            for name, value in self.trainer.callback_metrics.items():
                print(f"{name:<11} {float(value):.6g}")

    def after_test(self) -> None:
        """Says what was scored, and where the predictions are."""
        tell_test(self.trainer, self.model, self.datamodule, self.value(self.config, "by"))

    def after_predict(self) -> None:
        """Writes sample paths if they are wanted; says which series are not forecast, and where the predictions are."""
        tell_forecast(self.trainer, self.datamodule)
        number = self.value(self.config, "paths")
        if number is None or self.run is None or rank():
            return
        data = self.datamodule
        paths = Paths(self.model, data.panel, data.unscaled, number, self.value(self.config, "paths_seed"))
        path = write_paths(paths, self.run.folder, self.value(self.config, "paths_format"))
        print(f"paths       {relative(path)}: {paths.method}")

    def _load(self, given: str) -> Path:
        self.checkpoint, self.loaded = open_checkpoint(given, self.root, self.name)
        if self.name is None:  # what the checkpoint says of its experiment is not believed, only where it lies
            self.name = experiment_of(self.checkpoint)
        return self.checkpoint

    def _callbacks(self, config: Any) -> list[Callback]:
        callbacks = [
            *listed(config["callbacks"]),
            *self.given_callbacks,
            GivenSettings(),
            RandomState(),
            StopSignals(),
            SeenRows(),
            *([TrainingCurves(), RunBoard(self.words)] if self.command == "fit" else [PredictionWriter()]),
        ]
        if config["fast_dev_run"]:
            return callbacks
        if self.run is not None:
            callbacks.append(RunFolder(self.run.folder))
        shows_progress = any(isinstance(callback, ProgressBar) for callback in callbacks)
        callbacks.append(self.value(self.config_init, "early_stopping"))
        if config["enable_checkpointing"] is not False:
            callbacks.append(self.value(self.config_init, "checkpoints"))
        if config["enable_progress_bar"] is not False and not shows_progress:
            callbacks.append(EpochLine())  # after early stopping, whose count it tells
        return [*callbacks, ForecastFigure(self.value(self.config, "series"))]

    def _take_folder(self, config: Any) -> None:
        """Finds or makes the folder of the run, whatever loggers it has; a run that keeps nothing has none."""
        fits = self.command == "fit"
        keeps_nothing = fits and config["logger"] is False and config["enable_checkpointing"] is False
        if config["fast_dev_run"] or keeps_nothing:
            return
        run = self.given_run or (Run.of_checkpoint(self.checkpoint) if self.checkpoint else None)
        if run is None:
            root = Path(config["default_root_dir"] or ".", LOGS)
            experiment = self.value(self.config, "experiment") or "default"
            if fits and self.value(self.config, "lr_find"):
                experiment += SUFFIX
            if not rank():
                run = self.new_run = Run.new(root, experiment)
                sign(run)
            else:
                run = Run(root, experiment, "version_0")  # only the first process writes
        if fits and not rank():
            self._held.enter_context(run.alone())
        self.run, self.root = run, run.root

    def _logger(self, run: Run) -> RunLogger:
        """The log of the run, beside whatever other loggers there are."""
        fits = self.command == "fit"
        goes_on = fits and self.loaded and run is not self.new_run
        resumed = self.loaded["global_step"] if goes_on else None
        evaluated = None if fits else max(0, self.loaded["global_step"] - 1)
        return RunLogger(run.root, run.experiment, run.version, resumed, evaluated)

    def _how_to_go_on(self) -> str:
        if self.command != "fit":
            return ""
        last = self.run.folder / CHECKPOINTS / "last.ckpt" if self.run is not None else None
        checkpoint = last if last is not None and last.exists() else self.checkpoint
        if checkpoint is None:
            return "no epoch was finished, so there is nothing to go on with"
        imports = "".join(f" --allow_import {as_typed(package)}" for package in factory.allowed_imports())
        return f"go on with: forecastlab fit --ckpt_path {as_typed(relative(checkpoint))}{imports}"
