"""`Forecaster`, the LightningModule: it composes backbone, decoder and loss, and holds the training policy."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import ReduceLROnPlateau
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from forecastlab.backbones.base import Backbone
from forecastlab.backbones.lstm import LSTM
from forecastlab.batch import Batch, Scaling, Schema
from forecastlab.decoders import Decoder, Linear
from forecastlab.errors import ConfigError, NotFiniteError
from forecastlab.factory import Described, build, describe
from forecastlab.losses import MSE, Loss
from forecastlab.metrics import ForecastMetrics

Schedule = Callable[[Optimizer], ReduceLROnPlateau] | Callable[[Optimizer], LRScheduler]
"""In this order the short name of ReduceLROnPlateau means Lightning's, which has a `monitor`, not its base in torch."""


class Prediction(NamedTuple):
    """Forecasts of a batch beside the truth, in original units."""

    series: Tensor
    """(batch,), integer: number of the series."""
    index: Tensor  # type: ignore[assignment]  # hides tuple.index, as in Batch
    """(batch, origins), integer: table row of the origin."""
    forecast: Tensor
    """(batch, origins, horizon, targets)"""
    target: Tensor
    """(batch, origins, horizon, targets)"""
    weight: Tensor
    """(batch, origins, horizon, targets): 0 where there is no truth to score."""


class Forecaster(LightningModule):
    """Trains and applies a backbone and a decoder; batches come and forecasts leave in original units.

    Parts are classes, `functools.partial(cls, **arguments)`, or mappings of `class_path` and `init_args`; they are
    saved as such mappings, so that a checkpoint rebuilds the network without any other file.

    Args:
        backbone: sequence in, sequence out.
        decoder: from the encoded history to the horizon.
        loss: training criterion, in scaled units.
        optimizer: any of torch's.
        lr_scheduler: any of torch's, stepped once an epoch; ReduceLROnPlateau takes `monitor: val/loss`.
        anchor: "last" predicts the change from the target's last observed value, "none" its level.
        linear_skip: adds a linear map of the last input row to the decoder's output.
        dropout: probability with which a value of the encoding is dropped before the decoder, in training.
        schema: names and sizes of the data, `data.schema`.

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
        linear_skip: bool = False,
        dropout: float = 0.0,
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
        settings = {"anchor": anchor, "linear_skip": bool(linear_skip), "dropout": float(dropout), "schema": schema}
        self._set_hparams({"lr_scheduler": None, **self._parts, **settings})
        self.anchor = anchor
        self.schema = Schema.from_dict(schema)
        if self.schema.static:
            raise ConfigError(f"static covariates are not used by any network yet: leave out {self.schema.static}")
        features, known, targets = (len(x) for x in (self.schema.features, self.schema.known, self.schema.targets))
        horizon = self.schema.horizon
        self.scaling = Scaling(features, known, targets)
        self.loss: Loss = self._build("loss", Loss)
        self.backbone: Backbone = self._build("backbone", Backbone, features)
        self._require_causal(self.schema)
        width = self.backbone.output_size
        self.decoder: Decoder = self._build("decoder", Decoder, width, horizon, targets, known, self.loss.outputs)
        self.skip = nn.Linear(features, horizon * targets * self.loss.outputs) if linear_skip else None
        self.dropout = nn.Dropout(dropout)
        self._sums: dict[str, list[tuple[Tensor, Tensor]]] = {}

    def forward(self, batch: Batch) -> Tensor:
        """Point forecasts in original units, (batch, origins, horizon, targets)."""
        return self._point(self._raw(batch), batch)

    def configure_optimizers(self) -> Any:
        optimizer = self._build("optimizer", Optimizer, self.parameters())
        if "lr_scheduler" not in self._parts:
            return optimizer
        scheduler = self._build("lr_scheduler", LRScheduler, optimizer)
        monitor = getattr(scheduler, "monitor", "val/loss")
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": monitor}}

    def setup(self, stage: str) -> None:
        """Takes over the scaling that the data module fitted, before training only.

        Raises:
            ConfigError: if the data are not of the form that the network was built for.
        """
        data = getattr(self.trainer, "datamodule", None)
        if data is None:
            return
        schema = Schema.from_dict(data.schema)
        self._require_schema(schema)
        self._require_causal(schema)
        if stage == "fit":
            self._require_rows(schema)
            self.scaling.load_state_dict(data.scaling.state_dict())

    def on_train_epoch_start(self) -> None:
        self._sums.pop("train/loss", None)  # of an epoch that was interrupted

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
        loss = self._loss(batch)
        self._add("train/loss", loss.detach(), batch)
        finite = loss.detach().isfinite()
        if self.trainer.world_size > 1:  # gradients are averaged over devices, whose batches may differ in weight
            weight = batch.weight.sum()
            total, bad = self.trainer.strategy.reduce(torch.stack([weight, (~finite).to(weight)]), reduce_op="sum")
            loss = loss * weight * self.trainer.world_size / total
            finite = bad == 0  # all devices stop together: none waits for another
        if not finite:
            raise self._not_finite("train/loss")
        return loss

    def on_train_epoch_end(self) -> None:
        mean = self._mean("train/loss")
        if self._is_read():
            self.log("train/loss", mean, sync_dist=True)  # equal on all devices, but Lightning cannot know
            return
        # straight to the loggers: `log` would cost more than a short step of training
        for logger in self.trainer.loggers:
            logger.log_metrics({"train/loss": float(mean), "epoch": self.current_epoch}, self.global_step - 1)

    def on_validation_epoch_start(self) -> None:
        self._sums.pop("val/loss", None)

    def validation_step(self, batch: Batch) -> None:
        self._add("val/loss", self._loss(batch), batch)

    def on_validation_epoch_end(self) -> None:
        self.log("val/loss", self._mean("val/loss"), sync_dist=True)

    def on_test_start(self) -> None:
        """Takes the units of the metrics from the data module.

        Raises:
            ConfigError: if there is none.
        """
        data = getattr(self.trainer, "datamodule", None)
        if data is None:
            raise ConfigError(
                "the test metrics need the training rows: pass the data module, trainer.test(model, data)"
            )
        self.metrics = ForecastMetrics(data.reference).to(self.device)

    def test_step(self, batch: Batch) -> Prediction:  # type: ignore[override]  # callbacks get any output
        prediction = self.predict_step(batch)
        self.metrics.update(prediction.forecast, batch.target, batch.weight, batch.last)
        return prediction

    def on_test_epoch_end(self) -> None:
        self.log_dict(self.metrics.compute(), sync_dist=True)

    def predict_step(self, batch: Batch) -> Prediction:
        return Prediction(batch.series, batch.index, self(batch), batch.target, batch.weight)

    def _build(self, part: str, base: type, *sizes: Any) -> Any:
        """Builds a part of the network; a value that it refuses is an error of the configuration."""
        try:
            return build(self._parts[part], base, *sizes)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"model.{part}: {error}") from error

    def _loss(self, batch: Batch) -> Tensor:
        target = self.scaling.scale_target(batch.target)
        if self.anchor == "last":
            target = target - self.scaling.scale_target(batch.last)[:, :, None]
        loss: Tensor = self.loss(self._raw(batch), target, batch.weight)
        return loss

    def _raw(self, batch: Batch) -> Tensor:
        """What the decoder gives, (batch, origins, horizon, targets, outputs), in scaled units, before anchoring."""
        x = self.scaling.scale_features(batch.history)
        encoded, _ = self.backbone(x)
        last = self.scaling.scale_target(batch.last)
        target = self.scaling.scale_target(batch.target) if self.training else None
        if self.anchor == "last":
            target = None if target is None else target - last[:, :, None]
            last = torch.zeros_like(last)
        raw: Tensor = self.decoder(self.dropout(encoded), self.scaling.scale_known(batch.known), last, target)
        if self.skip is not None:
            raw = raw + self.skip(x[:, -batch.index.shape[1] :]).view_as(raw)
        return raw

    def _point(self, raw: Tensor, batch: Batch) -> Tensor:
        point = self.loss.point(raw)
        if self.anchor == "last":
            return batch.last[:, :, None] + self.scaling.unscale_change(point)
        return self.scaling.unscale_target(point)

    def _add(self, name: str, mean: Tensor, batch: Batch) -> None:
        """Adds a batch's mean to the epoch's."""
        weight = batch.weight.sum()
        self._sums.setdefault(name, []).append((torch.stack([mean * weight, weight]), batch.index))

    def _is_read(self) -> bool:
        """Whether anything but a logger may read the training loss of this epoch: a schedule, or whoever validates."""
        trainer = self.trainer
        every = trainer.check_val_every_n_epoch
        last = self.current_epoch + 1 == trainer.max_epochs
        scheduled = any(config.monitor == "train/loss" for config in trainer.lr_scheduler_configs)
        return every is None or (self.current_epoch + 1) % every == 0 or last or scheduled

    def _mean(self, name: str) -> Tensor:
        """The weighted mean over all batches of all devices; a device may have had no batch."""
        ours = [sums for sums, _ in self._sums.get(name, [])]
        none = torch.zeros(2, device=self.device)
        sums = self.trainer.strategy.reduce(torch.stack([none, *ours]).sum(0), reduce_op="sum")
        mean = sums[0] / sums[1]
        if not mean.isfinite():
            raise self._not_finite(name)
        self._sums.pop(name, None)
        return mean

    def _not_finite(self, name: str) -> NotFiniteError:
        """The error for a loss of this epoch that is infinite or not a number; it names the rows."""
        found = [(float(sums[0]), index) for sums, index in self._sums[name] if not sums[0].isfinite()]
        if not found:
            return NotFiniteError(f"{name} is not finite on another device: see there")
        value, index = found[0]
        rows = sorted({int(row) for row in index.flatten()})
        times = getattr(getattr(self.trainer, "datamodule", None), "times", None)
        dates = "" if times is None else f" ({times[rows[0]]:%Y-%m-%d} .. {times[rows[-1]]:%Y-%m-%d})"
        return NotFiniteError(
            f"{name} is {value} in epoch {self.trainer.current_epoch}, in the batch of the origins at rows "
            f"{_spans(rows)}{dates}; nothing of this epoch is kept.\n"
            "Look at these rows, or lower the learning rate, or set --trainer.gradient_clip_val 1"
        )

    def _require_rows(self, data: Schema) -> None:
        normalises = any(getattr(module, "needs_several_rows", False) for module in self.backbone.modules())
        if normalises and data.lookback == "full":
            raise ConfigError(
                f"{type(self.backbone).__name__} normalises over the sequences of a batch, but lookback: full makes "
                "one sequence of a fold. Set --data.lookback to a number of rows"
            )

    def _require_causal(self, data: Schema) -> None:
        if not self.backbone.causal and data.lookback == "full":
            raise ConfigError(
                f"{type(self.backbone).__name__} is not causal: with lookback: full, where every step is a forecast "
                "origin, it would see the future. Set --data.lookback to a number of rows"
            )

    def _require_schema(self, data: Schema) -> None:
        for name in ("features", "targets", "known", "static", "horizon"):
            ours, theirs = getattr(self.schema, name), getattr(data, name)
            if ours != theirs:
                raise ConfigError(_difference(name, ours, theirs))


def _described(name: str, part: Any) -> Described:
    try:
        return describe(part)
    except TypeError as error:
        raise ConfigError(f"model.{name}: {error}") from error


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
