"""`Forecaster`, the LightningModule: it composes backbone, decoder and loss, and holds the training policy."""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast

import pandas as pd
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import ReduceLROnPlateau
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from forecastlab.backbones.base import Backbone
from forecastlab.backbones.lstm import LSTM
from forecastlab.backbones.stepping import compile_steps
from forecastlab.batch import Batch, Prediction, Scaling, Schema
from forecastlab.data.panel import Panel, left_out
from forecastlab.data.predictions import predictions_table
from forecastlab.data.recipe import Recipe
from forecastlab.data.seen import Seen
from forecastlab.data.trained_on import TrainedOn, records_of, require_same
from forecastlab.data.windows import Windows
from forecastlab.decoders import Decoder, Linear
from forecastlab.errors import ConfigError, DataError, ForecastlabError, NotFiniteError
from forecastlab.limits import bounded_network, require_sizes
from forecastlab.losses import MSE, Loss
from forecastlab.metrics import ForecastMetrics
from forecastlab.network.factory import Described, build, describe
from forecastlab.network.finite import largest_input, require_finite
from forecastlab.network.intervals import RecentMargins, SplitConformal
from forecastlab.network.stream import Stream
from forecastlab.network.window_norm import WindowNorm
from forecastlab.penalties import Penalty
from forecastlab.runs.checkpoint import read_checkpoint
from forecastlab.runs.checkpoint_schema import require_settings, require_structure

Schedule = Callable[[Optimizer], ReduceLROnPlateau] | Callable[[Optimizer], LRScheduler]
"""In this order the short name of ReduceLROnPlateau means Lightning's, which has a `monitor`, not its base in torch."""


AT_ONCE = 256
"""Windows that are forecast together where no batch size says how many."""


class Forecaster(LightningModule):
    """Trains and applies a backbone and a decoder; batches come and forecasts leave in original units.

    Those are in double precision whatever the network computes in: values become the network's precision when they are
    scaled, and forecasts leave it before they are turned back.

    Parts are classes, `functools.partial(cls, **arguments)`, or mappings of `class_path` and `init_args`; they are
    saved as such mappings, so that a checkpoint rebuilds the network without any other file.

    Args:
        backbone: sequence in, sequence out.
        decoder: from the encoded history to the horizon.
        loss: training criterion, in scaled units.
        optimizer: any of torch's.
        lr_scheduler: any of torch's, stepped once an epoch; ReduceLROnPlateau takes `monitor: val/loss`.
        anchor: "last" predicts the change from the target's last observed value, "none" its level.
        window_norm: what the targets' own past is read relative to in each window (`WindowNorm`): "last" subtracts the
            last value, "standard" also divides by the standard deviation, by which the forecasts are multiplied again.
        linear_skip: adds a linear map of the last input row to the decoder's output.
        dropout: probability with which a value of the encoding is dropped before the decoder, in training.
        penalties: what is added to the loss in training for the encoding itself.
        intervals: probabilities, such as 0.9, of prediction intervals that are calibrated on the validation range
            (`SplitConformal`); those of a loss with quantiles must be among its own.
        interval_window: number of origins by whose forecasts they are calibrated anew at each origin, as far as their
            truth is known there, so that they follow a series that changes; None keeps the validation range's.
        weights_from: checkpoint whose weights the training begins with; the scaling is that of the new data.
        compile: has torch.compile turn chunks of the backbone's steps into one call (`compile_steps`): tens of seconds
            at first, for cells without a kernel of their own.
        schema: names and sizes of the data, `data.schema`.

    Attributes:
        trained: whether there is something to forecast with: an epoch of training was finished, or the weights are
            those of a checkpoint or an export. Whoever puts weights in by hand sets it to True.
        trained_on: the trainings behind the weights, oldest first, those of `weights_from` among them; () for none, or
            for weights of a version that kept no record.
        allow_seen: whether `test` and `validate` score rows that trained the weights; the score is marked then.
        seen: which of the rows that were scored last the weights have seen; None before that.

    Raises:
        ConfigError: for parts that do not fit each other.
    """

    def __init__(
        self,
        backbone: Callable[[int], Backbone] = LSTM,
        decoder: Callable[[int, int, int, int, int], Decoder] = Linear,
        loss: Callable[[], Loss] = MSE,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] = Adam,
        lr_scheduler: Schedule | None = None,
        anchor: Literal["none", "last"] = "none",
        window_norm: Literal["none", "last", "standard"] = "none",
        linear_skip: bool = False,
        dropout: float = 0.0,
        penalties: Sequence[Callable[[], Penalty]] = (),
        intervals: Sequence[float] = (),
        interval_window: int | None = None,
        weights_from: str | None = None,
        compile: bool = False,
        *,
        schema: dict[str, Any],
    ) -> None:
        super().__init__()
        if anchor not in ("none", "last"):
            raise ConfigError(f'model.anchor must be "none" or "last", got {anchor!r}')
        if not 0 <= dropout < 1:
            raise ConfigError(f"model.dropout must be at least 0 and below 1, got {dropout}")
        parts: dict[str, Callable[..., Any]] = {
            "backbone": backbone,
            "decoder": decoder,
            "loss": loss,
            "optimizer": optimizer,
        }
        if lr_scheduler is not None:
            parts["lr_scheduler"] = lr_scheduler
        self._parts = {name: _described(name, part) for name, part in parts.items()}
        described = [_described(f"penalties.{number}", penalty) for number, penalty in enumerate(penalties)]
        settings = {
            "anchor": anchor,
            "window_norm": window_norm,
            "linear_skip": bool(linear_skip),
            "dropout": float(dropout),
            "penalties": described,
            "intervals": [float(coverage) for coverage in intervals],
            "interval_window": interval_window,
            "compile": bool(compile),
            "schema": schema,
        }  # not weights_from: it has done its work when there is something to save
        self._set_hparams({"lr_scheduler": None, **self._parts, **settings})
        self.trained = False
        self.anchor = anchor
        self.weights_from = weights_from
        self.schema = _schema(schema)
        features, known, targets = (len(x) for x in (self.schema.features, self.schema.known, self.schema.targets))
        horizon, static = self.schema.horizon, len(self.schema.static)
        self.scaling = Scaling(features, known, targets, static, len(self.schema.series) or 1)
        self.loss: Loss = self._build("loss", Loss)
        self.backbone: Backbone = self._build("backbone", Backbone, features + static)
        if compile:
            compile_steps(self.backbone)
        self._require_causal(self.schema)
        self.window_norm = self._window_norm(window_norm)
        self._require_windows(self.schema)
        width, outputs = self.backbone.output_size, self.loss.outputs
        self.decoder: Decoder = self._build("decoder", Decoder, width, horizon, targets, known, outputs)
        self.decoder.point = self.loss.point
        if linear_skip and self.decoder.feeds_back:
            raise ConfigError(
                f"model.linear_skip adds to forecasts that {type(self.decoder).__name__} has already fed back: use "
                "the decoder Linear, or leave linear_skip out"
            )
        self.skip = nn.Linear(features + static, horizon * targets * outputs) if linear_skip else None
        self.dropout = nn.Dropout(dropout)
        self.penalties = nn.ModuleList(
            _built(f"penalties.{number}", part, Penalty) for number, part in enumerate(described)
        )
        if interval_window is not None and not intervals:
            raise ConfigError("model.interval_window calibrates intervals, and there are none: set model.intervals")
        try:
            self.intervals = (
                SplitConformal(intervals, self.loss.levels, horizon, targets, interval_window, len(self.schema.panel))
                if intervals
                else None
            )
        except ValueError as error:
            raise ConfigError(f"model.intervals: {error}") from error
        self.trained_on: tuple[TrainedOn, ...] = ()
        self.allow_seen = False
        self.seen: Seen | None = None
        self._recent: RecentMargins | None = None
        self._scaling_of: Tensor | None = None
        self._margins_of: Tensor | None = None
        self._means: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {}
        self._errors: list[tuple[Tensor, Tensor, Tensor]] = []

    @classmethod
    def load(cls, path: str | Path) -> "Forecaster":
        """A trained network from a checkpoint, on the CPU, ready to forecast; no code of the file is run.

        Args:
            path: `checkpoints/best.ckpt` of a run, for example.

        Raises:
            DataError: if the file is not there, damaged, or not a checkpoint of a Forecaster.
            ConfigError: if it names classes that may not be imported, or that do not fit its weights.
        """
        checkpoint = read_checkpoint(path)
        if not isinstance(checkpoint.get("hyper_parameters"), dict):
            raise DataError(f"{path} is no checkpoint of a Forecaster: it holds no hyper-parameters")
        try:
            model = cls.rebuild(checkpoint["hyper_parameters"], checkpoint["state_dict"])
            model.trained_on = records_of(checkpoint)
        except DataError as error:
            raise ConfigError(f"{path} does not fit this version of forecastlab: {error}") from None
        model.trained = checkpoint.get("global_step") != 0
        return model

    @classmethod
    def rebuild(cls, settings: Mapping[str, Any], weights: Mapping[str, Tensor]) -> "Forecaster":
        """A network from plain data, as checkpoints and exports hold it, ready to forecast.

        Args:
            settings: the arguments of `Forecaster`, which are its `hparams`.
            weights: its `state_dict`, scaling included; they keep their precision, but for an older scaling in single
                precision.

        Raises:
            DataError: if these do not make a network.
            ConfigError: if a class is not allowed, or refuses its arguments.
        """
        require_sizes(settings, "the network that is described")
        require_settings(settings, "they do not make a network")
        try:
            with bounded_network(weights):
                model = cls(**settings)
            model.load_state_dict(weights, assign=True)
            model.to(next(model.parameters()).dtype)  # what is no part of the weights follows them
        except ForecastlabError:
            raise
        except Exception as error:  # of any kind: the settings and the weights are a file's
            reason = "\n".join(str(error).splitlines()[:4])
            raise DataError(f"they do not make a network: {reason}") from error
        model.trained = True
        return model.eval()

    def require_trained(self) -> None:
        """Makes sure that there is something to forecast with.

        Raises:
            ConfigError: if the weights are still those that the network began with.
        """
        if not self.trained:
            raise ConfigError(
                "this network is not trained: what it forecasts means nothing. Train it, load a checkpoint with "
                "Forecaster.load, or, if you have put weights into it yourself, say so: model.trained = True"
            )

    @property
    def before(self) -> int:
        """How many origins before an origin have a say in the intervals there; 0 without an `interval_window`."""
        return 0 if self.intervals is None else self.intervals.before

    @property
    def levels(self) -> tuple[float, ...]:
        """Probability levels of the quantiles that are forecast, ascending; () if there are none."""
        return self.loss.levels if self.intervals is None else self.intervals.levels

    def forecast(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Forecasts the steps beyond the end of each series.

        A series that cannot be forecast, such as one that is shorter than the lookback, is left out with a warning.

        Args:
            frame: raw columns, as the training's file has them, matched by name; a series ends with its last row that
                has a target, and rows after it hold what is known in advance.

        Returns:
            A row per series, target and step, with the columns of `predictions.csv`: `unique_id, target, ds, cutoff,
            y` (empty), `forecast` and the quantiles', in original units.

        Raises:
            DataError: for a frame that lacks columns or rows, has values that cannot be used, or no series that can be
                forecast, or if a forecast is not a number.
            ConfigError: if the network has no scaling for any series, or is not trained.
        """
        self.require_trained()
        panel = Panel.of(Recipe.from_dict(self.schema.recipe).tables(frame), self.schema)
        lookback = self.schema.lookback
        unscaled = self.find_scalings(panel.names, all_of_them=False)
        ends = panel.at_the_end(lookback, 0, unscaled)
        for sentence in left_out(panel.names, {**panel.not_at_the_end(lookback), **unscaled}):
            warnings.warn(sentence, stacklevel=2)
        recent = self._margins_at(panel.at_the_end(lookback, self.before, unscaled), last=1)
        with self.evaluating():
            parts = []
            for batch in self._batches(ends):
                parts.append(self._predicted(batch, recent))
                require_finite(parts[-1], batch, self, panel.names, panel.times)
        found = Prediction(*(torch.cat(part).cpu() for part in zip(*parts, strict=True)))
        return predictions_table(panel.names, panel.times, self.schema.targets, self.levels, found)

    def find_scalings(self, names: Sequence[str], all_of_them: bool = True) -> dict[int, str]:
        """Takes note of which scaling, and which margins of intervals, each series of the data has.

        Args:
            names: the series' names.
            all_of_them: whether each must have one, as for a test; else it is enough that one has.

        Returns:
            The numbers of the series that have none, and why, to be put behind the name.

        Raises:
            ConfigError: if there is none for one, or for any.
        """
        margins = {name: number for number, name in enumerate(self.schema.panel)}
        self._margins_of = torch.tensor([margins.get(name, -1) for name in names])
        if not self.schema.series:
            self._scaling_of = None
            return {}
        place = {name: number for number, name in enumerate(self.schema.series)}
        why = (
            " was not among those the network was trained on, and scale_by: series gave each of them a scaling of "
            "its own; train with scale_by: global to forecast new series"
        )
        unknown = {number: why for number, name in enumerate(names) if name not in place}
        if unknown and (all_of_them or len(unknown) == len(names)):
            raise ConfigError(f"series {names[next(iter(unknown))]}{why}")
        self._scaling_of = torch.tensor([place.get(name, 0) for name in names])
        return unknown

    def recalibrate(self, windows: Windows) -> None:
        """Has `predict_step` forecast with intervals calibrated at each origin, if there is an `interval_window`.

        Args:
            windows: consecutive origins of each series: those to come in batches, and `before` more before them. No
                truth behind an origin has a say there.
        """
        self._recent = self._margins_at(windows)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Leaves out dropout, and takes no gradient, within the block."""
        training = [module for module in self.modules() if module.training]
        self.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            for module in training:
                module.training = True

    def stream(self) -> Stream:
        """An object that is fed the rows of one series, one at a time, and gives the forecast after each.

        Raises:
            ConfigError: if the network is not trained.
        """
        self.require_trained()
        return Stream(self)

    def forward(self, batch: Batch) -> Tensor:
        """Point forecasts in original units, (batch, origins, horizon, targets)."""
        raw, _, _ = self._raw(batch)
        return self._point(raw, batch)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Checks that the checkpoint is whole, and its weights those of a network for the same columns.

        Raises:
            DataError: if a part of the checkpoint has another form than its readers expect.
            ConfigError: if the weights are those of another network.
        """
        require_structure(checkpoint, "the checkpoint")
        if self.CHECKPOINT_HYPER_PARAMS_KEY not in checkpoint:
            raise DataError("the checkpoint is none of a Forecaster: it holds no hyper-parameters")
        resumes = self._trainer is not None and self._trainer.state.fn == "fit"
        if resumes and "optimizer_states" not in checkpoint:
            raise DataError("the checkpoint holds weights only and cannot be resumed; resume from last.ckpt")
        trained = _schema(checkpoint[self.CHECKPOINT_HYPER_PARAMS_KEY]["schema"])
        require_alike(trained, self.schema)
        if trained.series != self.schema.series:
            raise ConfigError(_difference("series", trained.series, self.schema.series))
        _require_weights(self.state_dict(), checkpoint["state_dict"])
        self.trained = checkpoint.get("global_step") != 0
        self.weights_from = None  # a training that is resumed has begun already
        self.trained_on = records_of(checkpoint)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps what trained the weights beside them."""
        checkpoint["trained_on"] = [record.as_dict() for record in self.trained_on]

    def optimizer_for(self, parameters: Iterable[nn.Parameter]) -> tuple[Optimizer, LRScheduler | None]:
        """A new optimizer of some weights, and its schedule if there is one."""
        optimizer = self._build("optimizer", Optimizer, parameters)
        if "lr_scheduler" not in self._parts:
            return optimizer, None
        return optimizer, self._build("lr_scheduler", LRScheduler, optimizer)

    def configure_optimizers(self) -> Any:
        optimizer, scheduler = self.optimizer_for(self.parameters())
        if scheduler is None:
            return optimizer
        monitor = getattr(scheduler, "monitor", "val/loss")
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": monitor}}

    def setup(self, stage: str) -> None:
        """Takes over the scaling that the data module fitted, before training only.

        Raises:
            ConfigError: if the data are not of the form that the network was built for, or the device or the precision
                of the trainer leaves no room for original units.
        """
        _require_double(self.trainer)
        data = getattr(self.trainer, "datamodule", None)
        if data is None:
            return
        schema = Schema.from_dict(data.schema)
        require_alike(self.schema, schema)
        self._require_causal(schema)
        self._require_windows(schema)
        unscaled = self.find_scalings(data.panel.names, all_of_them=stage != "predict")
        if stage == "predict":
            data.unscaled = unscaled
        if stage == "fit":
            self._require_rows(schema)
            if self.intervals is not None and data.validation == "test":
                raise ConfigError(
                    "model.intervals are calibrated on the validation range, which validation: test scores"
                )
            self._require_errors(data)
            self.scaling.load_state_dict(data.scaling.state_dict())

    def on_fit_start(self) -> None:
        """Begins with the weights of another run, if there is one, and takes note of what trains them now.

        Raises:
            ConfigError: if the weights do not fit, or a training is resumed on other rows than it began with.
        """
        if self.weights_from is not None:
            self._take_weights(self.weights_from)
        data = getattr(self.trainer, "datamodule", None)
        if data is None:
            return
        record = data.trained_on
        if self.trainer.ckpt_path:
            require_same(self.trained_on, record)
        if self.trained_on[-1:] != (record,):
            self.trained_on = (*self.trained_on, record)

    def on_train_epoch_start(self) -> None:
        self._means.pop("train/loss", None)  # of an epoch that was interrupted

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Steps the schedule.

        Raises:
            ConfigError: if it is at its end.
        """
        try:
            super().lr_scheduler_step(scheduler, metric)
        except ValueError as error:
            raise ConfigError(f"model.lr_scheduler, which is stepped once an epoch: {error}") from error

    def training_step(self, batch: Batch) -> Tensor:
        raw, output, dropped = self._raw(batch)
        loss = self._loss(raw, batch)
        self._add("train/loss", loss.detach(), batch)
        finite = math.isfinite(loss.item())
        if self.trainer.world_size > 1:  # gradients are averaged over devices, whose batches may differ in weight
            weight = batch.weight.sum()
            ours = torch.stack([weight, torch.full_like(weight, not finite)])
            total, bad = self.trainer.strategy.reduce(ours, reduce_op="sum")
            loss = loss * weight * self.trainer.world_size / total
            finite = bool(bad == 0)  # all devices stop together: none waits for another
        if not finite:
            raise self._not_finite("train/loss", batch)
        for penalty in self.penalties:
            loss = loss + penalty(output, dropped, _unpadded(batch))
        return loss

    def on_train_epoch_end(self) -> None:
        self.trained = True
        self._publish("train/loss", self._mean("train/loss"))

    def on_validation_start(self) -> None:
        """Refuses to validate by itself with weights that are not trained or, unless `allow_seen`, have seen the rows.

        Raises:
            ConfigError: if so.
        """
        if self.trainer.state.fn == "validate":
            self.require_trained()
            self._require_unseen("validation")

    def on_validation_epoch_start(self) -> None:
        self._means.pop("val/loss", None)
        self._errors.clear()

    def validation_step(self, batch: Batch) -> None:
        raw, _, _ = self._raw(batch)
        self._add("val/loss", self._loss(raw, batch), batch)
        if self.intervals is not None and self._calibrates():
            series = batch.series.repeat_interleave(batch.index.shape[1])
            self._errors.append((self.errors(raw, batch).flatten(0, 1), batch.weight.flatten(0, 1), series))

    def on_validation_epoch_end(self) -> None:
        self._calibrate()
        mean, trainer = self._mean("val/loss"), self.trainer
        if trainer.state.fn == "fit" and trainer.is_last_batch and not trainer.sanity_checking:
            self._publish("val/loss", mean)
        else:
            self.log("val/loss", mean, sync_dist=True)  # equal on all devices, but Lightning cannot know

    def on_test_start(self) -> None:
        """Takes the units of the metrics from the data module, and calibrates the intervals at each origin.

        Raises:
            ConfigError: if there is none, if the network is not trained, or if its rows trained the weights and
                `allow_seen` is not set.
        """
        self.require_trained()
        data = getattr(self.trainer, "datamodule", None)
        if data is None:
            raise ConfigError(
                "the test metrics need the training rows: pass the data module, trainer.test(model, data)"
            )
        self._require_unseen("test")
        months = data.times.month.to_numpy()
        self.metrics = ForecastMetrics(data.reference, self.levels, self.schema.targets, months)
        if self.before:
            self.recalibrate(data.origins("test", self.before))

    def test_step(self, batch: Batch) -> Prediction:  # type: ignore[override]  # callbacks get any output
        raw = self._decoded(batch)
        prediction = self.prediction(raw, batch, self._margin(batch, self._recent))
        self._require_finite(prediction, batch, scored_only=True)
        quantiles = prediction.quantiles if self.levels else None
        crps = self.loss.crps(raw.double(), self._target(batch).double())
        self.metrics.update(
            prediction.forecast,
            batch.target,
            batch.weight,
            batch.last,
            batch.series,
            quantiles,
            index=batch.index,
            crps=None if crps is None else crps * self._units(batch)[1],
        )
        return prediction

    def on_test_epoch_end(self) -> None:
        assert self.seen is not None
        self.log_dict({**self.metrics.compute(), **self.seen.metrics}, sync_dist=True)

    def predict_step(self, batch: Batch) -> Prediction:
        prediction = self._predicted(batch, self._recent)
        if self._trainer is not None:
            self._require_finite(prediction, batch)
        return prediction

    def on_test_end(self) -> None:
        self._recent = None

    def on_predict_start(self) -> None:
        """Calibrates the intervals at the ends of the series.

        Raises:
            ConfigError: if there is no data module, whose rows that takes, or the network is not trained.
        """
        self.require_trained()
        if self.before:
            data = getattr(self.trainer, "datamodule", None)
            if data is None:
                raise ConfigError(
                    "model.interval_window needs the rows before the origins: pass the data module, "
                    "trainer.predict(model, data)"
                )
            self.recalibrate(data.origins("predict", self.before))

    def on_predict_end(self) -> None:
        self._recent = None

    def decode(self, x: Tensor, encoded: Tensor, batch: Batch) -> Tensor:
        """What the decoder makes of an encoding, (batch, origins, horizon, targets, outputs), in scaled units."""
        return self._decode(x, encoded, batch)[0]

    def prediction(self, raw: Tensor, batch: Batch, margin: Tensor | None = None) -> Prediction:
        """The forecasts that follow from what the decoder gave, in original units.

        Args:
            raw: as `decode` gives it.
            batch: the samples.
            margin: (batch, origins, coverages, horizon, targets): margins of the intervals; None for the validation's.
        """
        quantiles = self._quantiles(raw, batch, margin)
        return Prediction(batch.series, batch.index, self._point(raw, batch), batch.target, batch.weight, quantiles)

    def errors(self, raw: Tensor, batch: Batch) -> Tensor:
        """What the margins of the intervals are fitted to, (batch, origins, horizon, targets, coverages)."""
        assert self.intervals is not None
        return self.intervals.errors(self.loss.point(raw), self.loss.quantiles(raw), self._target(batch))

    def margins(self, batch: Batch) -> Tensor:
        """The validation's margins of the intervals of each sample's series, (batch, coverages, horizon, targets)."""
        assert self.intervals is not None
        return self.intervals.margins(self._margins_row(batch.series))

    def trace(self, batch: Batch) -> dict[str, Tensor]:
        """Inner signals of the backbone and, under "decoder.", of the decoder, as their own `trace` give them."""
        x = self.inputs(batch)
        encoded, _ = self.backbone(x)
        known, last, _ = self._decoder_inputs(batch)
        signals = self.backbone.trace(x)
        return signals | {f"decoder.{k}": v for k, v in self.decoder.trace(encoded, known, last).items()}

    def _predicted(self, batch: Batch, recent: RecentMargins | None) -> Prediction:
        return self.prediction(self._decoded(batch), batch, self._margin(batch, recent))

    def _decoded(self, batch: Batch) -> Tensor:
        """What `decode` makes of a batch."""
        x = self.inputs(batch)
        encoded, _ = self.backbone(x)
        return self.decode(x, encoded, batch)

    @staticmethod
    def _margin(batch: Batch, recent: RecentMargins | None) -> Tensor | None:
        """The margins of the intervals at a batch's origins; None for the validation's."""
        return None if recent is None else recent.at(batch.series, batch.index)

    def _require_finite(self, prediction: Prediction, batch: Batch, scored_only: bool = False) -> None:
        data = getattr(self.trainer, "datamodule", None)
        names, times = (None, None) if data is None else (data.panel.names, data.times)
        require_finite(prediction, batch, self, names, times, scored_only)

    def _margins_at(self, windows: Windows, last: int | None = None) -> RecentMargins | None:
        """The margins of the intervals at some origins, of each series at the `last` ones; None if these are all alike.

        An origin that has no target itself has no say: a stream gives no forecast there either.
        """
        if self.intervals is None or not self.before:
            return None
        rows, found = windows.rows, []
        with self.evaluating():
            for batch in self._batches(windows):
                series, index = batch.series.repeat_interleave(batch.index.shape[1]), batch.index.flatten()
                observed = rows.observed[rows.base[series.cpu()] + index.cpu()].any(-1).to(self.device)
                weight = batch.weight.flatten(0, 1) * observed[:, None, None]
                errors = self.errors(self._raw(batch)[0], batch)
                found.append((series, index, errors.flatten(0, 1), weight))
        series, index, errors, weight = (torch.cat(part) for part in zip(*found, strict=True))
        counts = series.unique_consecutive(return_counts=True)[1].tolist()
        parts = zip(*(part.split(counts) for part in (series, index, errors, weight)), strict=True)
        kept = []
        for number, row, error, counted in parts:
            margin = self.intervals.margins(self._margins_row(number[:1]))[0]
            margins = self.intervals.recent(error, counted, margin, last)
            kept.append((number[-len(margins) :], row[-len(margins) :], margins))
        return RecentMargins(*map(torch.cat, zip(*kept, strict=True)))

    def _batches(self, windows: Windows) -> Iterator[Batch]:
        """The samples on this device, some together; whole sequences, which differ in length, one by one."""
        for chosen in torch.arange(len(windows)).split(1 if self.schema.lookback == "full" else AT_ONCE):
            yield Batch(*(part.to(self.device) for part in windows[chosen.tolist()]))

    def _build(self, part: str, base: type, *sizes: Any) -> Any:
        return _built(part, self._parts[part], base, *sizes)

    def _loss(self, raw: Tensor, batch: Batch) -> Tensor:
        loss: Tensor = self.loss(raw, self._target(batch), batch.weight, *self._units(batch))
        return loss

    def _raw(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """What the decoder gives, (batch, origins, horizon, targets, outputs), in scaled units, before anchoring.

        Beside it the encoding, (batch, time, width), before and after dropout.
        """
        x = self.inputs(batch)
        encoded, _ = self.backbone(x)
        return self._decode(x, encoded, batch)

    def _decode(self, x: Tensor, encoded: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        dropped = self.dropout(encoded)
        raw: Tensor = self.decoder(dropped, *self._decoder_inputs(batch))
        if self.skip is not None:
            raw = raw + self.skip(x[:, -batch.index.shape[1] :]).view_as(raw)
        if self.window_norm is not None:
            raw = raw * self.window_norm.unit(self._scaled(batch), raw.dtype)[:, None, ..., None]
        return raw, encoded, dropped

    def inputs(self, batch: Batch) -> Tensor:
        """The backbone's inputs, (batch, time, features + static), scaled."""
        x = self._scaled(batch)
        if self.window_norm is not None:
            x = self.window_norm.normalised(x, cast(torch.dtype, self.dtype))
        if not self.schema.static:
            return self._rounded(x)
        static = self.scaling.scale("static", batch.static, batch.series)
        return torch.cat([self._rounded(x), self._rounded(static)[:, None].expand(-1, x.shape[1], -1)], -1)

    def _scaled(self, batch: Batch) -> Tensor:
        """The history, (batch, time, features), scaled, in double precision."""
        return self.scaling.scale("feature", batch.history, self._row(batch))

    def _rounded(self, scaled: Tensor) -> Tensor:
        """Scaled values in the network's own precision."""
        return scaled.to(cast(torch.dtype, self.dtype))

    def _decoder_inputs(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
        """Known covariates, last values and, in training, targets, all in the units in which the decoder forecasts."""
        known = self._rounded(self.scaling.scale("known", batch.known, self._row(batch)))
        last = self._rounded(self.scaling.scale("target", batch.last, self._row(batch)))
        if self.anchor == "last":
            last = torch.zeros_like(last)
        if not (self.training and self.decoder.feeds_back):
            return known, last, None
        target = self._target(batch)
        if self.window_norm is not None:
            target = target / self.window_norm.unit(self._scaled(batch), target.dtype)[:, None]
        return known, last, target

    def _target(self, batch: Batch) -> Tensor:
        """The truth, (batch, origins, horizon, targets), scaled and anchored, in the network's own precision."""
        offset, scale = self._units(batch)
        return self._rounded((batch.target - offset).div_(scale))

    def _units(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Offset and scale, which broadcast to targets: a target is its scaled value * scale + offset."""
        center, scale = self.scaling.target_units(batch.target, self._row(batch))
        return (batch.last[:, :, None] if self.anchor == "last" else center), scale

    def _row(self, batch: Batch) -> Tensor:
        """The number of each sample's scaling, (batch,)."""
        if self._scaling_of is None:
            return batch.series
        self._scaling_of = self._scaling_of.to(batch.series.device)
        return self._scaling_of[batch.series]

    def _margins_row(self, series: Tensor) -> Tensor:
        """The number of the margins of each series; -1 for those of all series together."""
        if self._margins_of is None:  # an export: its series are those that have scalings, if there are any
            return series if self.schema.series else torch.full_like(series, -1)
        self._margins_of = self._margins_of.to(series.device)
        return self._margins_of[series]

    def _point(self, raw: Tensor, batch: Batch) -> Tensor:
        offset, scale = self._units(batch)
        return self.loss.point(raw) * scale + offset  # an anchored change of 0 is exactly 0 in original units too

    def _quantiles(self, raw: Tensor, batch: Batch, margin: Tensor | None = None) -> Tensor:
        """(batch, origins, horizon, targets, levels), in original units, ascending."""
        quantiles = self.loss.quantiles(raw)
        if self.intervals is not None:
            if not torch.compiler.is_compiling() and not self.intervals.fitted:  # values are not known then
                raise ConfigError(
                    "model.intervals are calibrated by the validations of a training, and this network has had none"
                )
            if margin is None and self.intervals.series:
                margin = self.margins(batch)[:, None]
            quantiles = self.intervals(self.loss.point(raw), quantiles, margin)
        offset, scale = (unit.unsqueeze(-1) for unit in self._units(batch))
        return quantiles * scale + offset

    def _calibrates(self) -> bool:
        """Whether this validation is one of a training, and no trial of a few batches."""
        trial = self.trainer.sanity_checking or bool(self.trainer.fast_dev_run)  # type: ignore[attr-defined]  # set elsewhere
        return self.trainer.state.fn == "fit" and not trial

    def _calibrate(self) -> None:
        """Fits the intervals to the errors of the validation that has just ended, over all devices."""
        if self.intervals is None or not self._calibrates():
            return
        gathered: list[Any] = [self._errors]
        if self.trainer.world_size > 1:
            gathered = [None] * self.trainer.world_size
            ours = [tuple(part.cpu() for part in parts) for parts in self._errors]
            torch.distributed.all_gather_object(gathered, ours)
        found = zip(*(parts for rank in gathered for parts in rank), strict=True)
        errors, weight, series = (torch.cat(part) for part in found)
        self._errors.clear()
        try:
            self.intervals.fit(errors, weight, series)
        except ValueError as error:
            raise ConfigError(f"model.intervals: {error}") from None

    def _take_weights(self, path: str) -> None:
        """Begins with the weights of a checkpoint; its scaling and intervals are left behind."""
        checkpoint = read_checkpoint(path)
        weights, ours = checkpoint["state_dict"], self.state_dict()
        for name in filter(_is_learned, [*ours, *weights]):
            expected, got = (_shape(tensors.get(name)) for tensors in (ours, weights))
            if got != expected:
                raise ConfigError(
                    f"model.weights_from: the weights of {path} are those of another network; the first to differ is "
                    f"{name}: expected {expected}, got {got}"
                )
        self.load_state_dict({name: weights[name] for name in filter(_is_learned, ours)}, strict=False)
        self.trained_on = records_of(checkpoint)

    def _require_unseen(self, stage: Literal["validation", "test"]) -> None:
        data = getattr(self.trainer, "datamodule", None)
        self.seen = None if data is None else data.seen(self.trained_on, stage)
        if self.seen is not None and not self.allow_seen:
            self.seen.require_none()

    def _add(self, name: str, mean: Tensor, batch: Batch) -> None:
        """Adds a batch's mean to the epoch's."""
        self._means.setdefault(name, []).append((mean, batch.weight.sum(), batch.index))

    def _publish(self, name: str, mean: Tensor) -> None:
        """Gives the mean of an epoch, equal on all devices, to callbacks, schedules and loggers.

        That is what `log` comes to, which by itself would cost more than half of a short step of training.
        """
        trainer = self.trainer
        connector = trainer._logger_connector
        connector._callback_metrics[name] = connector._logged_metrics[name] = mean
        for logger in trainer.loggers:
            logger.log_metrics({name: float(mean), "epoch": self.current_epoch}, self.global_step - 1)

    def _mean(self, name: str) -> Tensor:
        """The weighted mean over all batches of all devices; a device may have had no batch."""
        ours = self._means.get(name, [])
        if len(ours) == 1 and self.trainer.world_size == 1:
            mean = ours[0][0]
        else:
            weighted = [torch.stack([mean * weight, weight]) for mean, weight, _ in ours]
            total = torch.stack([torch.zeros(2, device=self.device), *weighted]).sum(0)
            sums = self.trainer.strategy.reduce(total, reduce_op="sum")
            mean = sums[0] / sums[1]
        if not math.isfinite(mean.item()):
            raise self._not_finite(name)
        self._means.pop(name, None)
        return mean

    def _not_finite(self, name: str, batch: Batch | None = None) -> NotFiniteError:
        """The error for a loss of this epoch that is infinite or not a number; it names rows and the largest input."""
        found = [(float(mean), index) for mean, _, index in self._means[name] if not mean.isfinite()]
        if not found:
            return NotFiniteError(f"{name} is not finite on another device: see there")
        value, index = found[0]
        rows = sorted({int(row) for row in index.flatten()})
        times = getattr(getattr(self.trainer, "datamodule", None), "times", None)
        largest = "" if batch is None else f"\n{largest_input(self, batch)}"
        dates = "" if times is None else f" ({times[rows[0]]:%Y-%m-%d} .. {times[rows[-1]]:%Y-%m-%d})"
        return NotFiniteError(
            f"{name} is {value} in epoch {self.trainer.current_epoch}, in the batch of the origins at rows "
            f"{_spans(rows)}{dates}; nothing of this epoch is kept.\n"
            f"Look at these rows, or lower the learning rate, or set --trainer.gradient_clip_val 1{largest}"
        )

    def _require_errors(self, data: Any) -> None:
        window = None if self.intervals is None else self.intervals.window
        if window is not None and data.fold == "all":
            raise ConfigError(
                "model.interval_window follows the errors on rows that did not train the network, and fold: all trains "
                "on every row: leave it out, so that intervals stay as wide as on the validation tail, or choose "
                "another fold for a network that is followed"
            )
        known = len(data.ranges.validation) - self.schema.horizon + 1
        if window is not None and window > known:
            raise ConfigError(
                f"model.interval_window is {window} origins, but the validation range has {known}: those before them "
                "are of rows that the network is trained on, and its errors there are smaller than those to come. Set "
                f"it to {known} or less, or enlarge data.val_size"
            )

    def _require_rows(self, data: Schema) -> None:
        normalises = any(getattr(module, "needs_several_rows", False) for module in self.backbone.modules())
        if normalises and data.lookback == "full":
            raise ConfigError(
                f"{type(self.backbone).__name__} normalises over the sequences of a batch, but lookback: full makes "
                "one sequence of a fold. Set --data.lookback to a number of rows"
            )

    def _window_norm(self, kind: str) -> WindowNorm | None:
        if kind not in ("none", "last", "standard"):
            raise ConfigError(f'model.window_norm must be "none", "last" or "standard", got {kind!r}')
        if kind == "none":
            return None
        reason = None
        if self.anchor != "last":
            reason = "anchor: last, which adds the last value again"
        elif missing := [name for name in self.schema.targets if name not in self.schema.features]:
            reason = f"the targets among the features: add {missing[0]}"
        elif kind == "standard" and not self.loss.homogeneous:
            reason = f"a loss whose outputs are all in the target's unit, unlike {type(self.loss).__name__}"
        if reason is not None:
            raise ConfigError(f"model.window_norm: {kind} needs {reason}")
        return WindowNorm([self.schema.features.index(name) for name in self.schema.targets], kind == "standard")

    def _require_windows(self, data: Schema) -> None:
        if self.window_norm is not None and data.lookback == "full":
            raise ConfigError(
                "model.window_norm needs windows, but lookback: full makes every step of one sequence an origin: set "
                "--data.lookback to a number of rows"
            )

    def _require_causal(self, data: Schema) -> None:
        if not self.backbone.causal and data.lookback == "full":
            raise ConfigError(
                f"{type(self.backbone).__name__} is not causal: with lookback: full, where every step is a forecast "
                "origin, it would see the future. Set --data.lookback to a number of rows"
            )


def _require_double(trainer: Any) -> None:
    """Raises ConfigError unless batches reach the network in double precision."""
    if trainer.strategy.root_device.type == "mps":
        raise ConfigError("Apple's GPU has no double precision, which scaling needs: set --trainer.accelerator cpu")
    plugin = trainer.precision_plugin
    if plugin.convert_input(torch.zeros(1, dtype=torch.float64)).dtype != torch.float64:
        raise ConfigError(
            f"trainer.precision: {plugin.precision} would round values before they are scaled: set 32-true, 64-true, "
            "bf16-mixed or 16-mixed"
        )


def _is_learned(name: str) -> bool:
    """Whether an entry of the state_dict belongs to the network, and not to the data that it was fitted on."""
    return name.partition(".")[0] not in ("scaling", "intervals")


def _schema(values: Mapping[str, Any]) -> Schema:
    """The schema that is described, whose recipe can be read too."""
    try:
        schema = Schema.from_dict(values)
        Recipe.from_dict(schema.recipe)
    except (TypeError, AttributeError) as error:
        raise ConfigError(f"model.schema is none of this version of forecastlab: {error}") from None
    return schema


def _require_weights(ours: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
    for name in [*ours, *saved]:
        expected, got = (_shape(tensors.get(name)) for tensors in (ours, saved))
        if got != expected:
            raise ConfigError(
                "the weights are those of another network; the first to differ is "
                f"{name}: expected {expected}, got {got}"
            )


def _shape(tensor: Tensor | None) -> str:
    return "none" if tensor is None else str(tuple(tensor.shape))


def _described(name: str, part: Any) -> Described:
    try:
        return describe(part)
    except TypeError as error:
        raise ConfigError(f"model.{name}: {error}") from error


def _unpadded(batch: Batch) -> Tensor | None:
    """(batch, time): 1 for a row, 0 for padding, which repeats the last one; None without any."""
    if batch.index.shape[1] == 1 or len(batch.index) == 1:
        return None
    weight = batch.weight.new_ones(batch.history.shape[:2])
    origins = batch.index.shape[1]
    weight[:, weight.shape[1] - origins + 1 :] = (batch.index.diff(dim=1) > 0).to(weight)
    return weight


def _built(name: str, part: Described, base: type, *sizes: Any) -> Any:
    """Builds a part of the network; a value that it refuses is an error of the configuration."""
    try:
        return build(part, base, *sizes)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"model.{name}: {error}") from error


def require_alike(trained: Schema, data: Schema) -> None:
    """Raises ConfigError unless data are of the form that a network was trained on."""
    for name in ("features", "targets", "known", "static", "horizon"):
        ours, theirs = getattr(trained, name), getattr(data, name)
        if ours != theirs:
            raise ConfigError(_difference(name, ours, theirs))
    frequency, other = (schema.recipe.get("frequency") for schema in (trained, data))
    if frequency != other:
        raise ConfigError(f"the network was trained on data of frequency {frequency}, but these have {other}")
    if trained.step != data.step:
        raise ConfigError(
            f"the network's calendar is that of each row's first day alone, but now a step of {frequency} has all of "
            "its days: train it again"
        )
    for name in ("holidays", "time_zone"):
        ours, theirs = getattr(trained, name), getattr(data, name)
        if ours != theirs:
            raise ConfigError(f"the network was trained with {name}: {ours}, but the data have {name}: {theirs}")
    zone, other = (schema.recipe.get("zone") for schema in (trained, data))
    if zone != other and zone is not None:
        told, found = (f"times in {name}" if name else "times without a zone" for name in (zone, other))
        raise ConfigError(f"the network was trained on {told}, but the data have {found}: write them as those were")


def _difference(name: str, ours: Any, theirs: Any) -> str:
    if not isinstance(ours, tuple):
        return f"the network was built for {name}={ours!r}, but the data have {theirs!r}"
    if set(ours) != set(theirs):
        missing = [column for column in ours if column not in theirs]
        extra = [column for column in theirs if column not in ours]
        return f"the data's {name} differ from those the network was trained on: missing {missing}, unknown {extra}"
    first = next(number for number, (our, their) in enumerate(zip(ours, theirs, strict=False)) if our != their)
    return (
        f"the data's {name} come in another order than those the network was trained on: the first to differ is "
        f"number {first + 1}, {theirs[first]} instead of {ours[first]}"
    )


def _spans(rows: list[int], most: int = 40) -> str:
    """Ascending numbers as ranges: 3, 17, 40..42."""
    spans: list[list[int]] = []
    for row in rows:
        if spans and row == spans[-1][-1] + 1:
            spans[-1] = [spans[-1][0], row]
        else:
            spans.append([row])
    more = f" and {len(spans) - most} more" if len(spans) > most else ""
    return ", ".join("..".join(map(str, span)) for span in spans[:most]) + more
