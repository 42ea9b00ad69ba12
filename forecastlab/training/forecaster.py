"""`Forecaster`, the LightningModule: it trains a network and scores it."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch.cli import ReduceLROnPlateau
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from forecastlab.adapters.lightning import Module, set_hyperparameters, set_metric, trainer_of
from forecastlab.backbones.base import Backbone
from forecastlab.backbones.lstm import LSTM
from forecastlab.batch import Batch, Prediction, Schema
from forecastlab.data.seen import Seen
from forecastlab.data.trained_on import records_of, require_same
from forecastlab.decoders import Decoder, Linear
from forecastlab.errors import ConfigError, DataError
from forecastlab.losses import MSE, Loss
from forecastlab.metrics import ForecastMetrics
from forecastlab.network import anchor as anchors
from forecastlab.network import smoothing as smoothings
from forecastlab.network import window_norm as window_norms
from forecastlab.network.agreement import difference, require_alike, require_weights, schema_of
from forecastlab.network.finite import require_finite
from forecastlab.network.network import Network
from forecastlab.network.original_units import require_support
from forecastlab.network.parts import built, described
from forecastlab.penalties import Penalty
from forecastlab.runs.checkpoint_schema import require_structure
from forecastlab.training.calibration import Calibration
from forecastlab.training.epoch_means import EpochMeans
from forecastlab.training.requirements import require_double, require_positive, require_trainable
from forecastlab.training.weight_average import WeightAverage
from forecastlab.training.weights_from import take_weights

Schedule = Callable[[Optimizer], ReduceLROnPlateau] | Callable[[Optimizer], LRScheduler]
"""In this order the short name of ReduceLROnPlateau means Lightning's, which has a `monitor`, not its base in torch."""


class Forecaster(Network, Module):
    """A `Network` that Lightning trains and tests: steps, optimizer, what is logged and what is refused.

    In Python a part may be given by the name of its class, and arguments of the backbone beside the others, as in
    `Forecaster("GRU", hidden_size=16, schema=data.schema)`; an argument that both have is the Forecaster's.

    Args:
        backbone: sequence in, sequence out.
        decoder: from the encoded history to the horizon.
        loss: training criterion, in scaled units.
        optimizer: any of torch's.
        lr_scheduler: any of torch's, stepped once an epoch; ReduceLROnPlateau takes `monitor: val/loss`.
        anchor: what the change is predicted from (`Anchor`): "last" is the target's last observed value, "mean" that of
            the window, "seasonal" the value one season before. "none" predicts the level.
        window_norm: how the targets' own past is normalised in each window (`WindowNorm`): "last" subtracts the last
            value. "standard", "mean", "robust" and "seasonal" also divide by a unit of the window, and multiply the
            forecasts by it. "level" divides by the window's level and subtracts nothing (`Level`).
        smoothing: takes level and seasons out of each window by exponential smoothing that is learned (`Smoothing`,
            ES-RNN), in place of `anchor` and `window_norm`: "shared" has the same coefficients for all series, and
            "series" a deviation from them for each series of a panel. "none" does not smooth.
        smoothing_seasons: rows in the one or two seasons of the smoothing; () for the season of the data.
        loss_units: "scaled" computes the loss in the units of the scaler. "window" computes it in those of each window,
            so that small and large series count the same.
        linear_skip: adds a linear map of the last input row to the decoder's output.
        linear_window: adds a linear map of the target's own past in the window, the same for every target (NLinear). A
            number of 2 or more adds so many, of which the encoding says how much each counts (`LinearWindow`).
        channels: "independent" forecasts each target from its own past with the same weights, beside the features that
            are no targets. "mixed" reads all targets together.
        across: of independent channels, a backbone that runs over the targets and mixes their encodings (`Across`).
        embeddings: sizes of vectors that are learned, by what they belong to (`Embeddings`): "series" for each series
            of a panel, "target" for each of independent channels, or a column of text for each of its values.
        dropout: probability that a value of the encoding is dropped before the decoder, in training.
        penalties: terms for the encoding itself that are added to the loss in training.
        intervals: probabilities, such as 0.9, of prediction intervals that are calibrated on the validation range
            (`SplitConformal`); those of a loss with quantiles must be among its own.
        interval_window: number of origins whose forecasts calibrate the intervals anew at each origin, as far as their
            truth is known there, so that they follow a series that changes; None keeps the calibration of the
            validation range.
        weight_average: validates, keeps and tests an average of the weights after each step, in which about the last
            1 / (1 + this number) of the steps count (`WeightAverage`). None keeps the weights of the last step.
        weights_from: checkpoint whose weights the training begins with; the scaling is that of the new data.
        compile: has torch.compile turn chunks of the backbone's steps into one call (`compile_steps`): tens of seconds
            at first, for cells without a kernel of their own.
        schema: names and sizes of the data, `data.schema`.

    Attributes:
        allow_seen: whether `test` and `validate` score rows that trained the weights; the score is marked then.
        seen: which of the rows that were scored last the weights have seen; None before that.

    Raises:
        ConfigError: for parts that do not fit each other.
    """

    of_training: ClassVar[tuple[str, ...]] = ()  # it takes all settings of a checkpoint
    device = Module.device  # Lightning knows both without a search
    dtype = Module.dtype  # type: ignore[assignment]  # of a module of several it is a text

    def __init__(
        self,
        backbone: Callable[[int], Backbone] = LSTM,
        decoder: Callable[[int, int, int, int, int], Decoder] = Linear,
        loss: Callable[[], Loss] = MSE,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] = Adam,
        lr_scheduler: Schedule | None = None,
        anchor: anchors.Kind = "none",
        window_norm: window_norms.Kind = "none",
        smoothing: smoothings.Kind = "none",
        smoothing_seasons: Sequence[int] = (),
        loss_units: Literal["scaled", "window"] = "scaled",
        linear_skip: bool = False,
        linear_window: bool | int = False,
        channels: Literal["mixed", "independent"] = "mixed",
        across: Callable[[int], Backbone] | None = None,
        embeddings: Mapping[str, int] | None = None,
        dropout: float = 0.0,
        penalties: Sequence[Callable[[], Penalty]] = (),
        weight_average: float | None = None,
        intervals: Sequence[float] = (),
        interval_window: int | None = None,
        weights_from: str | None = None,
        compile: bool = False,
        *,
        schema: dict[str, Any],
    ) -> None:
        super().__init__(
            *(backbone, decoder, loss, anchor, window_norm, smoothing, smoothing_seasons, loss_units),
            linear_skip=linear_skip,
            linear_window=linear_window,
            channels=channels,
            across=across,
            embeddings=embeddings,
            dropout=dropout,
            intervals=intervals,
            interval_window=interval_window,
            compile=compile,
            schema=schema,
        )
        terms = [described(f"penalties.{number}", penalty) for number, penalty in enumerate(penalties)]
        training = {
            "optimizer": described("optimizer", optimizer),
            "lr_scheduler": None if lr_scheduler is None else described("lr_scheduler", lr_scheduler),
            "penalties": terms,
            "weight_average": weight_average,
        }  # not weights_from: it has done its work when there is something to save
        self.settings |= training
        set_hyperparameters(self, self.settings)
        self.penalties = nn.ModuleList(built(f"penalties.{number}", part, Penalty) for number, part in enumerate(terms))
        self.weights_from = weights_from
        self.allow_seen = False
        self.seen: Seen | None = None
        self._average = None if weight_average is None else WeightAverage(weight_average)
        self._means = EpochMeans()
        self._calibration = Calibration()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Checks that the checkpoint is whole, and its weights those of a network for the same columns.

        Raises:
            DataError: if a part of the checkpoint has another form than its readers expect.
            ConfigError: if the weights are those of another network.
        """
        require_structure(checkpoint, "the checkpoint")
        if self.CHECKPOINT_HYPER_PARAMS_KEY not in checkpoint:
            raise DataError("the checkpoint is none of a Forecaster: it holds no hyper-parameters")
        trainer = trainer_of(self)
        resumes = trainer is not None and trainer.state.fn == "fit"
        if resumes and "optimizer_states" not in checkpoint:
            raise DataError("the checkpoint holds weights only and cannot be resumed; resume from last.ckpt")
        trained = schema_of(checkpoint[self.CHECKPOINT_HYPER_PARAMS_KEY]["schema"])
        require_alike(trained, self.schema)
        if trained.series != self.schema.series:
            raise ConfigError(difference("series", trained.series, self.schema.series))
        require_weights(self.state_dict(), checkpoint["state_dict"])
        if resumes:
            self._resume_weights(checkpoint)
        self.trained = checkpoint.get("global_step") != 0
        self.weights_from = None  # a training that is resumed has begun already
        self.trained_on = records_of(checkpoint)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps what trained the weights beside them, and beside an average the weights that training goes on with."""
        checkpoint["trained_on"] = [record.as_dict() for record in self.trained_on]
        if self._average is not None and self._average.weights is not None:
            average, training = self._average.named(self)
            checkpoint["state_dict"] = {**checkpoint["state_dict"], **average}
            checkpoint["training_weights"] = training

    def _resume_weights(self, checkpoint: dict[str, Any]) -> None:
        """Takes up the average of a training that is resumed, and has the network begin with its last weights."""
        training, weights = checkpoint.get("training_weights"), checkpoint["state_dict"]
        if training is None:
            if self._average is not None:
                self._average.weights = None
            return
        checkpoint["state_dict"] = {**weights, **training}
        require_weights(self.state_dict(), checkpoint["state_dict"])
        if self._average is not None:
            self._average.go_on(self, weights)

    def optimizer_for(self, parameters: Iterable[nn.Parameter]) -> tuple[Optimizer, LRScheduler | None]:
        """A new optimizer of some weights, and its schedule if there is one."""
        optimizer = built("optimizer", self.hparams["optimizer"], Optimizer, parameters)
        schedule = self.hparams["lr_scheduler"]
        return optimizer, None if schedule is None else built("lr_scheduler", schedule, LRScheduler, optimizer)

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
        require_double(self.trainer)
        if stage == "fit" and self._average is not None:
            self._average = WeightAverage(self._average.eta)  # an earlier training may have been interrupted
        data = getattr(self.trainer, "datamodule", None)
        if data is None:
            return
        schema = Schema.from_dict(data.schema)
        require_alike(self.schema, schema)
        self.require_lookback(schema)
        require_positive(self, data)
        unscaled = self.find_scalings(data.panel.names, all_of_them=stage != "predict")
        if stage != "predict":
            require_support(self.loss, data.panel)
        if stage == "predict":
            data.unscaled = unscaled
        if stage == "fit":
            require_trainable(self, data)
            self.scaling.load_state_dict(data.scaling.state_dict())

    def on_fit_start(self) -> None:
        """Begins with the weights of another run, if there is one, and takes note of what trains them now.

        Raises:
            ConfigError: if the weights do not fit, or a training is resumed on other rows than it began with.
        """
        if self.weights_from is not None:
            take_weights(self, self.weights_from)
        data = getattr(self.trainer, "datamodule", None)
        if data is None:
            return
        record = data.trained_on
        if self.trainer.ckpt_path:
            require_same(self.trained_on, record)
        if self.trained_on[-1:] != (record,):
            self.trained_on = (*self.trained_on, record)

    def on_train_epoch_start(self) -> None:
        self._means.begin("train/loss")

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
        scaled = self.scaled(batch)
        run = self.run(scaled, whole=bool(self.penalties))
        loss = self.loss_of(run, batch, scaled)
        self._means.add("train/loss", loss.detach(), batch)
        finite = math.isfinite(loss.item())
        # not by the weights of the batch: in a batch of its own a window of little weight would train like any other
        weight, count = batch.weight.sum(), batch.weight.count_nonzero()
        if self.trainer.world_size > 1:  # gradients are averaged over devices, whose batches may differ in number
            ours = torch.stack([count, torch.full_like(count, not finite)]).to(weight)
            total, bad = self.trainer.strategy.reduce(ours, reduce_op="sum")
            loss = loss * weight * self.trainer.world_size / total
            finite = bool(bad == 0)  # all devices stop together: none waits for another
        else:
            loss = loss * (weight / count)
        if not finite:
            raise self._means.not_finite("train/loss", self, batch)
        unpadded = _unpadded(batch) if self.penalties else None
        if unpadded is not None and self.channels is not None:
            unpadded = self.channels.repeated(unpadded)
        for penalty in self.penalties:
            loss = loss + penalty(run.encoded, run.dropped, unpadded)
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        if self._average is not None:
            self._average.follow(self.parameters(), self.trainer.global_step + 1)  # this step is counted later

    def on_train_epoch_end(self) -> None:
        self.trained = True
        self._publish("train/loss", self._means.end("train/loss", self))

    def on_validation_start(self) -> None:
        """Refuses to validate by itself with weights that are not trained or, unless `allow_seen`, have seen the rows.

        Raises:
            ConfigError: if so.
        """
        if self.trainer.state.fn == "validate":
            self.require_trained()
            self._require_unseen("validation")

    def on_train_end(self) -> None:
        if self._average is not None:
            self._average.end(self.parameters())

    def on_validation_epoch_start(self) -> None:
        if self._average is not None and self.trainer.state.fn == "fit":
            self._average.exchange(self.parameters())
        self._means.begin("val/loss")
        self._calibration.begin()

    def validation_step(self, batch: Batch) -> None:
        scaled = self.scaled(batch)
        run = self.run(scaled, scored=True)
        self._means.add("val/loss", self.loss_of(run, batch, scaled), batch)
        if self.intervals is not None and self._calibrates():
            raw = self.run(scaled).raw if self.draws else run.raw
            self._calibration.add(self, raw, batch, scaled)

    def on_validation_epoch_end(self) -> None:
        if self.intervals is not None and self._calibrates():
            self._calibration.end(self, self.trainer.world_size)
        mean, trainer = self._means.end("val/loss", self), self.trainer
        if trainer.state.fn == "fit" and trainer.is_last_batch and not trainer.sanity_checking:
            self._publish("val/loss", mean)
        else:
            self.log("val/loss", mean, sync_dist=True)  # equal on all devices, but Lightning cannot know

    def on_validation_end(self) -> None:
        if self._average is not None and self._average.exchanged:
            self._average.exchange(self.parameters())

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
        if self.calibration_origins:
            self.recalibrate(data.origins("test", self.calibration_origins))

    def test_step(self, batch: Batch) -> Prediction:  # type: ignore[override]  # callbacks get any output
        scaled = self.scaled(batch)
        raw = self.run(scaled).raw
        prediction = self.prediction(raw, batch, scaled, self.margin(batch))
        self._require_finite(prediction, batch, scored_only=True)
        quantiles = prediction.quantiles if self.levels else None
        # the score of a distribution is that of its image under no transform but a linear one
        crps = None if self.transforms else self.told_by.crps(raw.double(), scaled.target.double())
        self.metrics.update(
            prediction.forecast,
            batch.target,
            batch.weight,
            batch.last,
            batch.series,
            quantiles,
            index=batch.index,
            crps=None if crps is None else crps * scaled.scale,
        )
        return prediction

    def on_test_epoch_end(self) -> None:
        assert self.seen is not None
        self.log_dict({**self.metrics.compute(), **self.seen.metrics}, sync_dist=True)

    def predict_step(self, batch: Batch) -> Prediction:
        prediction = self.predict(batch)
        if trainer_of(self) is not None:
            self._require_finite(prediction, batch)
        return prediction

    def on_test_end(self) -> None:
        self.recalibrate(None)

    def on_predict_start(self) -> None:
        """Calibrates the intervals at the ends of the series.

        Raises:
            ConfigError: if there is no data module, whose rows that takes, or the network is not trained.
        """
        self.require_trained()
        if self.calibration_origins:
            data = getattr(self.trainer, "datamodule", None)
            if data is None:
                raise ConfigError(
                    "model.interval_window needs the rows before the origins: pass the data module, "
                    "trainer.predict(model, data)"
                )
            self.recalibrate(data.origins("predict", self.calibration_origins))

    def on_predict_end(self) -> None:
        self.recalibrate(None)

    def _require_finite(self, prediction: Prediction, batch: Batch, scored_only: bool = False) -> None:
        data = getattr(self.trainer, "datamodule", None)
        names, times = (None, None) if data is None else (data.panel.names, data.times)
        require_finite(prediction, batch, self, names, times, scored_only)

    def _calibrates(self) -> bool:
        """Whether this validation is one of a training, and no trial of a few batches."""
        trial = self.trainer.sanity_checking or bool(self.trainer.fast_dev_run)  # type: ignore[attr-defined]  # set elsewhere
        return self.trainer.state.fn == "fit" and not trial

    def _require_unseen(self, stage: Literal["validation", "test"]) -> None:
        data = getattr(self.trainer, "datamodule", None)
        self.seen = None if data is None else data.seen(self.trained_on, stage)
        if self.seen is not None and not self.allow_seen:
            self.seen.require_none()

    def _publish(self, name: str, mean: Tensor) -> None:
        """Gives the mean of an epoch, equal on all devices, to callbacks, schedules and loggers.

        That is what `log` comes to, which by itself would cost more than half of a short step of training.
        """
        trainer = self.trainer
        set_metric(trainer, name, mean)
        for logger in trainer.loggers:
            logger.log_metrics({name: float(mean), "epoch": self.current_epoch}, self.global_step - 1)


def _unpadded(batch: Batch) -> Tensor | None:
    """(batch, time): 1 for a row, 0 for padding, which repeats the last one; None without any."""
    if batch.index.shape[1] == 1 or len(batch.index) == 1:
        return None
    weight = batch.weight.new_ones(batch.history.shape[:2])
    origins = batch.index.shape[1]
    weight[:, weight.shape[1] - origins + 1 :] = (batch.index.diff(dim=1) > 0).to(weight)
    return weight
