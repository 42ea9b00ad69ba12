"""`Network`: loads a trained network and forecasts with it; it needs torch and pandas, and no Lightning."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from forecastlab.batch import Batch, Prediction
from forecastlab.data.panel import Panel, left_out
from forecastlab.data.predictions import predictions_table
from forecastlab.data.recipe import Recipe
from forecastlab.data.tables import read_tables
from forecastlab.data.trained_on import TrainedOn, records_of
from forecastlab.data.windows import Windows
from forecastlab.errors import ConfigError, DataError, ForecastlabError, RefusedRowsError
from forecastlab.limits import require_sizes
from forecastlab.network.bounded import bounded_network
from forecastlab.network.composition import Composition
from forecastlab.network.finite import require_finite
from forecastlab.network.intervals import RecentMargins
from forecastlab.network.paths import Paths
from forecastlab.network.row_reader import RowReader
from forecastlab.network.stream import Stream, advance
from forecastlab.runs.checkpoint import read_checkpoint
from forecastlab.runs.checkpoint_schema import require_settings

WINDOWS_IN_A_BATCH = 256
"""Windows that are forecast together where no batch size says how many."""


class Network(Composition):
    """A `Composition` that is loaded from a file and forecasts frames and streams of rows.

    Attributes:
        trained_on: the trainings behind the weights, oldest first; () for none, or for weights of a version that kept
            no record.
    """

    of_training: ClassVar[tuple[str, ...]] = ("optimizer", "lr_scheduler", "penalties", "weight_average")
    """Settings of a checkpoint that say how it was trained, and that the network does not take."""
    trained_on: tuple[TrainedOn, ...] = ()
    _recent: RecentMargins | None = None
    _reader: RowReader | None = None
    """Reads the rows of all streams."""

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """A trained network from a checkpoint, on the CPU, ready to forecast; no code of the file is run.

        Args:
            path: `checkpoints/best.ckpt` of a run, for example.

        Raises:
            DataError: if the file is not there, damaged, or not a checkpoint of a Forecaster.
            ConfigError: if it names classes that may not be imported, or that do not fit its weights.
        """
        checkpoint = read_checkpoint(path)
        if not isinstance(checkpoint.get("hyper_parameters"), dict):
            raise DataError(f"{path} is not a checkpoint of a Forecaster: it holds no hyper-parameters")
        try:
            network = cls.rebuild(checkpoint["hyper_parameters"], checkpoint["state_dict"])
            network.trained_on = records_of(checkpoint)
        except DataError as error:
            raise ConfigError(f"{path} does not fit this version of forecastlab: {error}") from None
        network.trained = checkpoint.get("global_step") != 0
        return network

    @classmethod
    def rebuild(cls, settings: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Self:
        """Builds a network from the plain data of a checkpoint or an export, ready to forecast.

        Args:
            settings: the arguments of the network, and of its training.
            weights: its `state_dict`, including the scaling. The weights keep their precision; only an older scaling in
                single precision is converted.

        Raises:
            DataError: if no network can be built from them.
            ConfigError: if a class is not allowed, or refuses its arguments.
        """
        require_sizes(settings, "the network that is described")
        require_settings(settings, "no network can be built from them")
        try:
            with bounded_network(weights):
                network = cls(**{name: value for name, value in settings.items() if name not in cls.of_training})
            network.load_state_dict(weights, assign=True)
            network.to(next(network.parameters()).dtype)  # other tensors get the precision of the weights
        except ForecastlabError:
            raise
        except Exception as error:  # any kind of error: settings and weights come from a file
            reason = "\n".join(str(error).splitlines()[:4])
            raise DataError(f"no network can be built from them: {reason}") from error
        network.trained = True
        return network.eval()

    def forecast(self, frame: pd.DataFrame, paths: int | None = None, seed: int = 0) -> pd.DataFrame:
        """Forecasts the steps beyond the end of each series.

        A series that cannot be forecast, such as one that is shorter than the lookback, is left out with a warning.

        Args:
            frame: raw columns with the names of the training's file. A series ends with its last row that has a target.
                Rows after it hold known covariates.
            paths: number of sample paths that are wanted in place of the forecast (`Paths`).
            seed: of their random numbers.

        Returns:
            A row per series, target and step, with the columns of `predictions.csv`: `unique_id, target, ds, cutoff,
            y` (empty), `forecast` and the quantiles', in original units. Of paths a row per series, target, sample and
            step: `unique_id, target, ds, cutoff, sample, value`; `attrs["method"]` says how they are drawn.

        Raises:
            DataError: for a frame that lacks columns or rows, has values that cannot be used, or no series that can be
                forecast, or if a forecast is not a number.
            ConfigError: if the network has no scaling for any series, or is not trained.
        """
        self.require_trained()
        panel = Panel.of(read_tables(frame, Recipe.from_dict(self.schema.recipe)), self.schema)
        unscaled = self.find_scalings(panel.names, all_of_them=False)
        ends = panel.at_the_end(0, unscaled)
        for sentence in left_out(panel.names, {**panel.not_at_the_end(), **unscaled}):
            warnings.warn(sentence, stacklevel=2)
        if paths is not None:
            drawn = Paths(self, panel, unscaled, paths, seed)
            table = pd.concat(drawn.tables(), ignore_index=True)
            table.attrs["method"] = drawn.method
            return table
        recent = self._margins_at(panel.at_the_end(self.calibration_origins, unscaled), last=1)
        with self.evaluating():
            parts = []
            for batch in self.batches(ends):
                parts.append(self.predict(batch, recent))
                require_finite(parts[-1], batch, self, panel.names, panel.times)
        prediction = Prediction(*(torch.cat(part).cpu() for part in zip(*parts, strict=True)))
        return predictions_table(panel.names, panel.labels, self.schema.targets, self.levels, prediction)

    def stream(self) -> Stream:
        """A stream of one series: it takes one row at a time and gives the forecast after each.

        Raises:
            ConfigError: if the network is not trained.
        """
        self.require_trained()
        if self._reader is None:
            self._reader = RowReader(self.schema)
        return Stream(self, self._reader)

    def update_streams(
        self,
        streams: Sequence[Stream],
        rows: Sequence[Mapping[str, Any]],
        ahead: Sequence[Sequence[Mapping[str, Any]]] = (),
    ) -> pd.DataFrame | None:
        """Takes in the next row of each of many streams, which the network runs together.

        It does what `Stream.update` does for each, in a fraction of the time. The forecasts are those of `update` but
        for rounding, since sums of a batch are added up in another order. With an `interval_window` or the decoder
        `DeepAR` the streams are run one by one.

        If a row is refused, no stream changes. The error names all of them, and the others can be given again.

        Args:
            streams: streams of this network, each once; each may be at a time of its own.
            rows: the row of each, as for `Stream.update`.
            ahead: the known covariates of the next steps, of each; () if none are needed.

        Returns:
            The forecasts one behind another, in the form of `Forecaster.forecast`. The index, `stream`, is the number
            of the stream in `streams`. A stream without a forecast has no rows. None if no stream has one.

        Raises:
            RefusedRowsError: for rows that `Stream.update` refuses. Its `refused` has the error of each.
            ConfigError: for streams of another network, a stream that is there twice, or as many rows as there are not
                streams.
        """
        if any(stream.network is not self for stream in streams):
            raise ConfigError("expected streams of this network, as model.stream() makes them")
        if len({id(stream) for stream in streams}) < len(streams):
            raise ConfigError("a stream is there twice: give each of its rows in a call of its own, in order of time")
        if len(rows) != len(streams) or (ahead and len(ahead) != len(streams)):
            raise ConfigError(
                f"expected a row for each of {len(streams)} streams, got {len(rows)}"
                + (f", and {len(ahead)} lists of rows ahead" if ahead else "")
            )
        if not streams:
            return None
        forecasts, refused = advance(streams, rows, ahead or [()] * len(streams))
        if refused:
            raise RefusedRowsError(refused, len(rows))
        if forecasts.table is None:
            return None
        each = self.schema.horizon * len(self.schema.targets)
        return forecasts.table.set_axis(pd.Index(np.repeat(forecasts.numbers, each), name="stream"))

    def recalibrate(self, windows: Windows | None) -> None:
        """Sets the intervals of `predict`: calibrated at each origin, if there is an `interval_window`.

        Args:
            windows: consecutive origins of each series: the origins of later batches, and `calibration_origins` more
                before them. Truth after an origin does not affect its intervals. None restores the margins of the
                validation.
        """
        self._recent = None if windows is None else self._margins_at(windows)

    def predict(self, batch: Batch, recent: RecentMargins | None = None) -> Prediction:
        """Forecasts of a batch, with quantiles, in original units.

        Args:
            batch: the samples.
            recent: margins of the intervals at their origins; None for the margins of `recalibrate` or of the
                validation.
        """
        scaled = self.scaled(batch)
        return self.prediction(self.run(scaled).raw, batch, scaled, self.margin(batch, recent))

    def margin(self, batch: Batch, recent: RecentMargins | None = None) -> Tensor | None:
        """The margins of the intervals at a batch's origins; None for those of the validation."""
        recent = self._recent if recent is None else recent
        return None if recent is None else recent.at(batch.series, batch.index)

    def _margins_at(self, windows: Windows, last: int | None = None) -> RecentMargins | None:
        """The margins of the intervals at some origins, of each series at the `last` ones; None if these are all alike.

        An origin without a target does not count, since a stream gives no forecast there either.
        """
        if self.intervals is None or not self.calibration_origins:
            return None
        rows, batches = windows.rows, []
        with self.evaluating():
            for batch in self.batches(windows):
                scaled = self.scaled(batch)
                series, index = batch.series.repeat_interleave(batch.index.shape[1]), batch.index.flatten()
                observed = rows.observed[rows.base[series.cpu()] + index.cpu()].any(-1).to(self.device)
                weight = batch.weight.flatten(0, 1) * observed[:, None, None]
                errors = self.errors(self.run(scaled).raw, scaled)
                batches.append((series, index, errors.flatten(0, 1), weight))
        series, index, errors, weight = (torch.cat(part) for part in zip(*batches, strict=True))
        counts = series.unique_consecutive(return_counts=True)[1].tolist()
        parts = zip(*(part.split(counts) for part in (series, index, errors, weight)), strict=True)
        kept = []
        for number, row, error, counted in parts:
            margins = self.intervals.recent(error, counted, self.margins(number[:1])[0], last)
            kept.append((number[-len(margins) :], row[-len(margins) :], margins))
        return RecentMargins(*map(torch.cat, zip(*kept, strict=True)))

    def batches(self, windows: Windows, most: int = WINDOWS_IN_A_BATCH) -> Iterator[Batch]:
        """The samples in batches on this device. Whole sequences differ in length, so each is a batch.

        Args:
            windows: the samples.
            most: the largest number of windows in a batch.
        """
        for chosen in torch.arange(len(windows)).split(1 if self.schema.lookback == "full" else most):
            yield Batch(*(part.to(self.device) for part in windows[chosen.tolist()]))
