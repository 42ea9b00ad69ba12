"""`Model`: a trained network with the config that it came from; it forecasts, draws, is scored and is saved."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from lightning.pytorch import Trainer
from matplotlib.figure import Figure

from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.data.panel import Panel
from forecastlab.data.reading.counted import COUNTED, numbers_of
from forecastlab.data.reading.source import read_source
from forecastlab.data.recipe import Recipe
from forecastlab.data.table_datamodule import TableDataModule
from forecastlab.data.tables import read_tables
from forecastlab.data.trained_on import Span, TrainedOn, short
from forecastlab.errors import ConfigError, DataError
from forecastlab.evaluation.crossval import Crossval, crossval
from forecastlab.experiment.believed import believed
from forecastlab.experiment.config import Config
from forecastlab.experiment.refitted import MARK
from forecastlab.experiment.words import in_words
from forecastlab.models.quiet import within_a_program
from forecastlab.runs.checkpoint import read_checkpoint
from forecastlab.runs.engines.engine import Engine
from forecastlab.runs.files import write_output
from forecastlab.training.callbacks import SeenRows
from forecastlab.training.forecast_panels import forecast_figure
from forecastlab.training.forecaster import Forecaster


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A trained network, and the config that it came from. `forecastlab.fit` makes one, and so does `Model.load`.

    Attributes:
        network: the network with the weights of the best epoch.
        config: what it was trained with; it holds the frame too, if the data were one and the model was not loaded.
        epochs: number of epochs that trained the weights.
        loss: the validation loss after the last of them, in scaled units; None for weights that every row trained.
    """

    network: Forecaster
    config: Config
    epochs: int
    loss: float | None
    _content: bytes = field(repr=False)

    @classmethod
    def load(cls, path: str | Path) -> "Model":
        """A model from a checkpoint: of `save`, or of the command `fit`. No code of the file is run.

        Raises:
            DataError: if the file is not there, damaged, or no checkpoint that carries its config.
            ConfigError: if it names classes that may not be imported.
        """
        checkpoint = read_checkpoint(path)
        if not isinstance(checkpoint.get("config"), str):
            raise DataError(f"{path} carries no config: load its network alone with forecastlab.Forecaster.load")
        values, _ = believed(checkpoint["config"], resumes=False, in_its_run=False)
        return cls.of(path, Config.of(values))

    @classmethod
    def of(cls, path: str | Path, config: Config) -> "Model":
        """A model from a checkpoint whose config is known.

        Args:
            path: the checkpoint.
            config: what it was trained with.

        Raises:
            DataError: if the file is not there, damaged, or no checkpoint.
            ConfigError: if it names classes that may not be imported.
        """
        checkpoint = read_checkpoint(path)
        epochs = checkpoint.get(MARK, checkpoint["epoch"] + 1)
        loss = None if MARK in checkpoint else checkpoint.get("best_score")
        return cls(Forecaster.load(path), config, epochs, loss, Path(path).read_bytes())

    def save(self, path: str | Path) -> None:
        """Writes the model as a checkpoint, which `Model.load` and every command with `--ckpt_path` take.

        It holds the network, its scaling and its config, and no rows of the data.

        Raises:
            ConfigError: if the file cannot be written.
        """
        write_output(self._content, Path(path))

    def forecast(self, frame: Any = None, paths: int | None = None, seed: int = 0) -> pd.DataFrame:
        """Forecasts the steps beyond the end of each series.

        Args:
            frame: newer rows, or other series, with the columns of the training's; of any kind that `fit` takes. A
                series ends with its last row that has a target; rows after it hold what is known in advance. None for
                the rows of the training's data.
            paths: number of sample paths that are wanted in place of the forecast.
            seed: of their random numbers.

        Returns:
            A row per series, target and step: `unique_id, target, ds, cutoff, y` (empty), `forecast` and the bounds of
            the intervals such as `forecast-lo-90, forecast-hi-90`, in original units. Of paths a row per series,
            target, sample and step: `unique_id, target, ds, cutoff, sample, value`; `attrs["method"]` says how they
            are drawn.

        Raises:
            DataError: for rows that cannot be read or forecast from.
        """
        return self.network.forecast(self._rows(frame), paths, seed)

    def plot(self, frame: Any = None, series: str | Sequence[str] | None = None, history: int | None = None) -> Figure:
        """Draws the forecast beside the rows before it, with all intervals, a panel for each series.

        Args:
            frame: as in `forecast`.
            series: the names of the series to draw; None for the first six, and a line says so if there are more.
            history: rows before the forecast that are drawn; None for four horizons, and at least 30.

        Raises:
            DataError: for rows that cannot be read or forecast from.
            ConfigError: for a series that has no forecast.
        """
        rows = self._rows(frame)
        panel = Panel.of(read_tables(rows, Recipe.from_dict(self.network.schema.recipe)), self.network.schema)
        names = [series] if isinstance(series, str) else series
        return forecast_figure(panel, self.network.forecast(rows), series=names, history=history)

    def score(self, frame: Any = None, allow_seen: bool = False) -> dict[str, float]:
        """The metrics of the command `test`, on the newest rows that did not train the model.

        These are the test range of the training's fold. Of a frame that goes on after the training's rows, they are all
        rows after those.

        Args:
            frame: rows with the columns of the training's, old ones before the new ones; None for the training's data.
            allow_seen: scores rows that trained the weights nevertheless; `test/seen` is their share.

        Returns:
            Metrics by name, such as `test/mae`, in the target's own unit, and `test/mase`.

        Raises:
            ConfigError: if the rows trained the weights, or none is left to score.
            DataError: for rows that cannot be read.
        """
        module = self._data if frame is None else self._after_training(self._config(frame).data_module())
        record = self._record
        if module.fold == "all" and record is not None:
            raise ConfigError(
                f"every row of these data trained the model, so that none is left to score: give score a frame that "
                f"goes on after {short(record.data.last)}, or estimate the error with crossval()"
            )
        model = copy.deepcopy(self.network)
        model.allow_seen = allow_seen
        trainer = self.config.values["trainer"]
        with within_a_program():
            (metrics,) = Trainer(
                accelerator=trainer["accelerator"],
                precision=trainer["precision"],
                devices=1,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                callbacks=[SeenRows()],
            ).test(model, module, verbose=False)
        return {name: float(value) for name, value in metrics.items()}

    def crossval(
        self,
        frame: Any = None,
        folds: Sequence[int] | None = None,
        seeds: Sequence[int] | None = None,
        baselines: Sequence[str] | None = None,
        jobs: int = 1,
        new: bool = False,
        experiment: str | None = None,
        engine: str | Engine = "local",
    ) -> Crossval:
        """Trains the config anew on every fold, and scores it beside baselines (`forecastlab.crossval`).

        The folds run in processes of their own, each of which gets a copy of the frame. Their results go to
        lightning_logs, where a repeated call goes on; the frame itself is not kept there. A script needs
        `if __name__ == "__main__":` around it.

        Args:
            frame: the rows; None for the training's data.
            folds: numbers of the folds; None for all.
            seeds: None for the config's.
            baselines: names of baselines; None for the usual ones.
            jobs: folds trained at once.
            new: begins a new run instead of going on with an equal one.
            experiment: name of the run's folder; None for the config's, or "default".
            engine: where the folds are trained: "local", "ray", "ray:ADDRESS", "slurm", or an engine.

        Raises:
            ConfigError: for a setting that cannot be used.
            DataError: for data, or files of an earlier call, that cannot be used.
        """
        config = self._config(frame, {} if experiment is None else {"experiment": experiment})
        if config.values["data"]["init_args"]["fold"] == "all":
            config = config.with_values({"data.fold": "last"})
        with within_a_program():
            return crossval(config, folds, seeds, baselines, jobs, new, engine=engine)

    def __repr__(self) -> str:
        schema, record = self.network.schema, self._record
        counted = schema.recipe.get("time_format") == COUNTED or bool(schema.recipe.get("slots"))
        step = "rows" if counted else schema.recipe.get("frequency")
        steps = "1 step" if schema.horizon == 1 else f"{schema.horizon} steps"
        reads = "all rows so far" if schema.lookback == "full" else f"{schema.lookback} rows"
        of = f" of {len(schema.panel)} series" if schema.panel else ""
        weights = sum(parameter.numel() for parameter in self.network.parameters())
        parts = [type(part).__name__ for part in (self.network.decoder, self.network.loss)]
        lines = [
            f"Model       forecasts {', '.join(schema.targets)}{of}, {steps} ({step}) from {reads}",
            f"network     {in_words(self.network.settings['backbone'])}, {', '.join(parts)}: {weights:,} weights",
        ]
        if coverages := self.network.settings["intervals"]:
            lines.append(f"intervals   {', '.join(f'{coverage:.0%}' for coverage in coverages)}")
        elif self.network.levels:
            lines.append(f"quantiles   {', '.join(f'{level:g}' for level in self.network.levels)}")
        if record is not None:
            lines.append(f"trained on  {self._words(record.fit)} of {record.rows} rows (fold {record.fold})")
        epochs = "1 epoch" if self.epochs == 1 else f"{self.epochs} epochs"
        if self.loss is None or record is None or record.validation is None:
            lines.append(f"epochs      {self.epochs}")
        else:
            lines.append(f"validation  loss {self.loss:.4f} after {epochs}, on {self._words(record.validation)}")
        return "\n".join(lines)

    def _words(self, span: Span) -> str:
        """The times of some rows, or their numbers where rows are counted."""
        if self.network.schema.recipe.get("time_format") != COUNTED:
            return str(span)
        first, last = numbers_of(pd.DatetimeIndex([span.first, span.last]))
        return f"rows {first} .. {last}"

    @property
    def _record(self) -> TrainedOn | None:
        return self.network.trained_on[-1] if self.network.trained_on else None

    def _config(self, frame: Any, values: Mapping[str, Any] | None = None) -> Config:
        given: dict[str, Any] = {} if frame is None else {"data.path": frame}
        if given:
            self._require_table()
        return self.config.with_values({**given, **(values or {})}) if given or values else self.config

    @cached_property
    def _data(self) -> ForecastDataModule:
        """The training's data."""
        return self.config.data_module()

    def _rows(self, frame: Any) -> pd.DataFrame:
        """Raw columns: the training's, or a frame's or file's, read as the training's were."""
        data = self._require_table()
        if frame is None:
            data.prepare_data()
            return data.frame()
        return read_source(frame, data.dialect, data.recipe.series_columns)[0]

    def _require_table(self) -> TableDataModule:
        """The training's data, if they are of the kind that is read from a frame."""
        if isinstance(self._data, TableDataModule):
            return self._data
        raise ConfigError(
            f"the data come from {type(self._data).__name__}, which takes no frame: use model.network.forecast, or "
            "forecastlab predict --ckpt_path"
        )

    def _after_training(self, module: ForecastDataModule) -> ForecastDataModule:
        """New data that are tested on the rows behind those of the training, if there are such."""
        record = self._record
        if record is None or record.fingerprint == module.fingerprint or module.fold_by == "series":
            return module
        spans = [span for span in (record.fit, record.validation) if span is not None]
        times, last = module.times[: -module.horizon], max(pd.Timestamp(span.last) for span in spans)
        if (times.tz is None) != (last.tz is None):
            with_, without = ("training", "frame") if times.tz is None else ("frame", "training")
            raise DataError(
                f"the times of the {with_} have a zone, and those of the {without} none: expected both or none"
            )
        later = times[times > last]
        if len(later):
            module.fold, module.cutoffs, module.test_size = 1, [str(later[0])], None
        return module
