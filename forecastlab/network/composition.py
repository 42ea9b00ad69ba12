"""`Composition`: backbone, decoder and loss head, with scaling and intervals around them: the maths of a forecast."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from forecastlab.backbones.base import Backbone
from forecastlab.backbones.lstm import LSTM
from forecastlab.backbones.stepping import compile_steps
from forecastlab.batch import Batch, LayerStates, Prediction, Scaling, Schema
from forecastlab.data.transform import Transforms
from forecastlab.decoders import Decoder, DeepAR, Linear
from forecastlab.errors import ConfigError
from forecastlab.losses import MAPE, MSE, Likelihood, Loss
from forecastlab.network import anchor as anchors
from forecastlab.network import smoothing as smoothings
from forecastlab.network import window_norm as window_norms
from forecastlab.network.agreement import schema_of
from forecastlab.network.ancestral import ancestral_paths
from forecastlab.network.around import (
    built_across,
    built_anchor,
    built_backbone,
    built_channels,
    built_embeddings,
    built_intervals,
    built_linear_window,
    built_smoothing,
    built_window_norm,
    own_columns,
)
from forecastlab.network.by_name import ByName
from forecastlab.network.columns import replaced, taken
from forecastlab.network.draws import Draws, seeded
from forecastlab.network.inputs import Input, inputs_of
from forecastlab.network.level import Level
from forecastlab.network.needs import (
    require_causal,
    require_choice,
    require_layer_states,
    require_likelihood,
    require_steps_apart,
    require_whole_segments,
    require_windows,
)
from forecastlab.network.original_units import require_original_units
from forecastlab.network.parts import built, described
from forecastlab.network.scaled import Scaled
from forecastlab.network.series import SeriesRows


class Encoding(NamedTuple):
    """What the backbone makes of a batch."""

    outputs: Tensor
    """(batch, time, width)"""
    state: LayerStates | None = None
    """Its `layer_states` after the last row; None for a decoder that does not start from them."""


class Run(NamedTuple):
    """The outputs of a network for a batch, in its own units."""

    raw: Tensor
    """(batch, origins, horizon, targets, outputs): the forecast that the decoder's outputs stand for, or draws."""
    encoded: Tensor
    """(batch, time, width): the backbone's outputs; those at the origins alone where no more is read."""
    dropped: Tensor
    """(batch, time, width): the same after dropout."""


class Composition(nn.Module, metaclass=ByName):
    """A backbone, a decoder and a loss head with scaling and intervals around them: batches in, forecasts out.

    Batches and forecasts are in original units and in double precision. Values are converted to the network's precision
    when they are scaled; forecasts become double again before they are turned back. A batch is scaled once (`scaled`),
    run through backbone, decoder and loss head (`run`), and turned back once (`prediction`).

    Parts are classes or their names, `functools.partial(cls, **arguments)`, or mappings of `class_path` and
    `init_args`. They are stored as mappings, so that a checkpoint rebuilds the network without any other file.
    Arguments of the backbone may stand beside those of the network, as in `Network("GRU", hidden_size=16,
    schema=schema)`; an argument that both have is the network's.

    Args:
        backbone: sequence in, sequence out.
        decoder: from the encoded history to the horizon.
        loss: training criterion, in scaled units. It also gives the forecast and its quantiles from the outputs.
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
            number of 2 or more adds so many, of which the encoding says how much each counts (`LinearWindow`). They
            begin with zeros.
        channels: "independent" forecasts each target from its own past with the same weights, beside the features that
            are no targets. "mixed" reads all targets together.
        across: of independent channels, a backbone that runs over the targets and mixes their encodings (`Across`).
        embeddings: sizes of vectors that are learned, by what they belong to (`Embeddings`): "series" for each series
            of a panel, "target" for each of independent channels, or a column of text for each of its values.
        dropout: probability that a value of the encoding is dropped before the decoder reads it, in training.
        intervals: probabilities, such as 0.9, of prediction intervals that are calibrated on the validation range
            (`SplitConformal`); if the loss has quantiles, the bounds must be among them.
        interval_window: number of past origins whose errors calibrate the intervals at each origin, if their truth is
            known there. None keeps the calibration of the validation range.
        compile: whether torch.compile turns chunks of the backbone's steps into one call (`compile_steps`).
        schema: names and sizes of the data, `data.schema`.

    Attributes:
        settings: the arguments as plain data; `Network.rebuild` makes the same network from them.
        trained: whether the weights are trained. It is true after an epoch of training, and for weights of a checkpoint
            or an export. If you put weights in by hand, set it to True.

    Raises:
        ConfigError: for parts that do not fit each other.
    """

    def __init__(
        self,
        backbone: Callable[[int], Backbone] = LSTM,
        decoder: Callable[[int, int, int, int, int], Decoder] = Linear,
        loss: Callable[[], Loss] = MSE,
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
        intervals: Sequence[float] = (),
        interval_window: int | None = None,
        compile: bool = False,
        *,
        schema: dict[str, Any],
    ) -> None:
        super().__init__()
        for name, value, choices in (
            ("anchor", anchor, get_args(anchors.Kind)),
            ("window_norm", window_norm, get_args(window_norms.Kind)),
            ("smoothing", smoothing, get_args(smoothings.Kind)),
            ("loss_units", loss_units, ("scaled", "window")),
            ("channels", channels, ("mixed", "independent")),
        ):
            require_choice(name, value, choices)
        if not 0 <= dropout < 1:
            raise ConfigError(f"model.dropout must be at least 0 and below 1, got {dropout}")
        parts = {"backbone": backbone, "decoder": decoder, "loss": loss}
        self.settings: dict[str, Any] = {
            **{name: described(name, part) for name, part in parts.items()},
            "anchor": anchor,
            "window_norm": window_norm,
            "smoothing": smoothing,
            "smoothing_seasons": list(smoothing_seasons),
            "loss_units": loss_units,
            "linear_skip": bool(linear_skip),
            "linear_window": linear_window,
            "channels": channels,
            "across": None if across is None else described("across", across),
            "embeddings": dict(embeddings or {}),
            "dropout": float(dropout),
            "intervals": [float(coverage) for coverage in intervals],
            "interval_window": interval_window,
            "compile": bool(compile),
            "schema": schema,
        }
        self.trained = False
        self.schema: Schema = schema_of(schema)
        features, known, targets = (len(x) for x in (self.schema.features, self.schema.known, self.schema.targets))
        horizon, static = self.schema.horizon, len(self.schema.static)
        self.scaling = Scaling(features, known, targets, static, len(self.schema.series) or 1)
        self.transforms = Transforms(self.schema)
        self.loss: Loss = built("loss", self.settings["loss"], Loss)
        require_original_units(self.loss, self.settings, bool(self.transforms))
        if self.transforms and isinstance(self.loss, MAPE):
            raise ConfigError("the loss MAPE is about original units, which data.transform leaves: choose one of them")
        vectors, independent = self.settings["embeddings"], channels == "independent"
        self.embeddings = built_embeddings(vectors, self.schema, independent)
        self.channels = built_channels(independent, vectors, self.schema, self.embeddings)
        width = len(self.inputs_by_name())
        known = known if self.embeddings is None else self.embeddings.known
        self.backbone: Backbone = built_backbone(self.settings["backbone"], self.inputs_by_name(), self.schema)
        if compile:
            compile_steps(self.backbone)
        self.across = built_across(self.settings["across"], self.schema, self.channels, self.backbone)
        self.anchor = built_anchor(anchor, self.schema)
        self.window_norm = built_window_norm(window_norm, self.schema, self.anchor)
        self.smoothing = built_smoothing(smoothing, smoothing_seasons, self.schema, self.settings, self.loss)
        self.loss_units = loss_units
        divides = self.window_norm is not None and self.window_norm.divides
        if loss_units == "window" and not divides and self.smoothing is None:
            raise ConfigError(f"model.loss_units: window needs a window_norm that has units, got {window_norm}")
        decoded = targets if self.channels is None else 1
        sizes = self.backbone.output_size, horizon, decoded, known, self.loss.outputs
        self.decoder: Decoder = built("decoder", self.settings["decoder"], Decoder, *sizes)
        self.decoder.point = self.loss.fed_back
        if self.decoder.starts_from:
            require_layer_states(self.decoder, self.backbone, self.across)
        if self.draws:
            require_likelihood(self.decoder, self.loss)
        if linear_skip:
            require_steps_apart("linear_skip", self.decoder)
        self.skip = nn.Linear(width, horizon * decoded * self.loss.outputs) if linear_skip else None
        self.linear_window = built_linear_window(
            linear_window, self.schema, self.decoder, self.loss, self.backbone.output_size
        )
        self.require_lookback(self.schema)
        self.dropout = nn.Dropout(dropout)
        self.intervals = built_intervals(intervals, interval_window, self.schema, self.loss)
        self._rows = SeriesRows(
            self.schema, any(getattr(part, "series", None) is not None for part in (self.embeddings, self.smoothing))
        )

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the weights."""
        return next(self.parameters()).dtype

    @property
    def calibration_origins(self) -> int:
        """Number of origins before an origin that calibrate its intervals; 0 without an `interval_window`."""
        return 0 if self.intervals is None else self.intervals.calibration_origins

    @property
    def series_told_apart(self) -> tuple[str, ...]:
        """Names of the series that weights or scalings tell apart, in the order of their numbers; () if none do."""
        return self._rows.names

    @property
    def levels(self) -> tuple[float, ...]:
        """Probability levels of the quantiles that are forecast, ascending; () if there are none."""
        return self.loss.levels if self.intervals is None else self.intervals.levels

    def inputs_by_name(self, target: int = 0) -> list[Input]:
        """What the backbone reads; of independent channels, for the target of that number."""
        return inputs_of(self.schema, self.embeddings, self.channels, self.reads_level, target)

    @property
    def reads_level(self) -> bool:
        """Whether the logarithm of the level is an input: of counts, whose scatter depends on their level."""
        return self.settings["window_norm"] == "level" and self.loss.whole

    @property
    def told_by(self) -> Loss | Draws:
        """What tells point, quantiles and score of `Run.raw`: the loss, or draws if the decoder draws its forecasts."""
        return Draws(self.loss.levels) if self.draws else self.loss

    @property
    def draws(self) -> bool:
        """Whether forecasts are told from paths that the decoder draws."""
        return isinstance(self.decoder, DeepAR)

    def require_trained(self) -> None:
        """Checks that the network is trained.

        Raises:
            ConfigError: if the weights are still the initial ones.
        """
        if not self.trained:
            raise ConfigError(
                "this network is not trained: its forecasts mean nothing. Train it, load a checkpoint with "
                "Forecaster.load, or, if you have put weights into it yourself, say so: model.trained = True"
            )

    def find_scalings(self, names: Sequence[str], all_of_them: bool = True) -> dict[int, str]:
        """Finds the scaling, and the margins of the intervals, of each series of the data.

        Args:
            names: the series' names.
            all_of_them: whether each series must have a scaling, as for a test. If not, one is enough.

        Returns:
            The numbers of the series without a scaling, with the reason. In a message the reason follows the name.

        Raises:
            ConfigError: if a series that must have a scaling has none.
        """
        return self._rows.find(names, all_of_them)

    def without_scaling(self, names: Sequence[str]) -> dict[int, str]:
        """The numbers of the series that have no scaling, with the reason, which follows the name in a message."""
        return self._rows.without_scaling(names)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Within the block, dropout and gradients are off."""
        training = [module for module in self.modules() if module.training]
        self.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            for module in training:
                module.training = True

    def forward(self, batch: Batch) -> Tensor:
        """Point forecasts in original units, (batch, origins, horizon, targets)."""
        scaled = self.scaled(batch)
        return self.transforms.back(self.told_by.point(self.run(scaled).raw) * scaled.scale + scaled.offset)

    def scaled(self, batch: Batch) -> Scaled:
        """A batch in the network's units and precision."""
        row, dtype = self._rows.scaling(batch.series), self.dtype
        batch = self.transforms.applied(batch)
        x = self.scaling.scale("feature", batch.history, row)
        center, scale = self.scaling.target_units(batch.target, row)
        last_center, last_scale = self.scaling.target_units(batch.last, row)
        offset, here = (center, last_center) if self.anchor is None else self.anchor(batch)
        unit = least = None
        if self.smoothing is not None:
            own, offset, here, unit = self.smoothing(batch.history, self._rows.learned(batch.series))
            least = unit <= window_norms.LEAST
            scale, last_scale, unit = offset, here, unit.to(dtype)
            x = replaced(x.to(dtype), self.smoothing.columns, own.to(dtype))
        elif self.window_norm is None:
            x = x.to(dtype)
        elif isinstance(self.window_norm, Level):
            x, level = self.window_norm(x, batch.history, dtype)
            unit = level / last_scale.to(dtype)
            if self.anchor is None:
                offset, here = torch.zeros_like(center), torch.zeros_like(last_center)
        else:
            size = (batch.last / last_scale).abs()
            x, unit = self.window_norm(x, size, dtype)
            least = unit <= self.window_norm.least(size).to(dtype)
        if self.loss.original_units:  # the unit of the scaler multiplies forecasts, and the target stays as it is
            unit = (last_scale.to(dtype) if unit is None else unit * last_scale.to(dtype)).expand(len(x), 1, -1)
            offset, here = torch.zeros_like(center), torch.zeros_like(last_center)
            scale, last_scale = torch.ones_like(scale), torch.ones_like(last_scale)
        if self.schema.static:
            static = self.scaling.scale("static", batch.static, batch.series).to(dtype)
            x = torch.cat([x, static[:, None].expand(-1, x.shape[1], -1)], -1)
        known = self.scaling.scale("known", batch.known, row).to(dtype)
        vectors = None
        if self.embeddings is not None:
            vectors, known = self.embeddings(batch, known, self._rows.learned(batch.series))
        last = ((batch.last - here) / last_scale).to(dtype)
        return Scaled(
            inputs=x,
            vectors=vectors,
            known=known,
            last=last if unit is None else last / unit,
            target=(batch.target - offset).div_(scale).to(dtype),
            offset=offset,
            scale=scale,
            unit=unit,
            least=least,
        )

    def run(self, scaled: Scaled, scored: bool = False, whole: bool = False) -> Run:
        """Backbone, dropout and decoder.

        Args:
            scaled: the batch.
            scored: whether the loss is wanted, which a decoder that draws its forecasts has of the truth alone.
            whole: whether the encoding before the origins is asked for, even if no forecast reads it.
        """
        return self.decode(scaled, self.encoded(scaled, whole), scored)

    def encoded(self, scaled: Scaled, whole: bool = False) -> Encoding:
        """The backbone's outputs, those of independent channels mixed if that is wanted, and its state.

        Args:
            scaled: the batch.
            whole: whether those before the origins are asked for, even if no forecast reads them.
        """
        x = self.inputs(scaled)
        drawn = self.training and self.dropout.p > 0  # for the whole encoding, so that a seed gives the same network
        if self.decoder.starts_from:
            y, state = self.backbone(x)
            return Encoding(y, self.backbone.layer_states(state))
        every = whole or drawn or self.decoder.attends
        return Encoding(self._mixed(self.backbone(x)[0] if every else self.backbone.latest(x, scaled.last.shape[1])))

    def inputs(self, scaled: Scaled) -> Tensor:
        """What the backbone reads, (batch, time, inputs); (batch * targets, ...) for independent channels."""
        x = scaled.inputs
        if self.embeddings is not None:
            assert scaled.vectors is not None
            x = self.embeddings.joined(x, scaled.vectors)
        x = x if self.channels is None else self.channels.inputs(x)
        if not self.reads_level:
            return x
        assert scaled.unit is not None
        level = scaled.unit.log()
        level = level if self.channels is None else self.channels.apart(level)
        return torch.cat([x, level.expand(-1, x.shape[1], -1)], -1)

    def decode(self, scaled: Scaled, encoding: Encoding, scored: bool = False) -> Run:
        """Dropout and decoder.

        Args:
            scaled: the batch. Only the inputs at the origins are read.
            encoding: what the backbone makes of `inputs`.
            scored: as in `run`.
        """
        encoded, state = encoding
        dropped = self.dropout(encoded)
        decoder: Callable[..., Tensor] = self.decoder
        if isinstance(self.decoder, DeepAR) and not self.training:
            if not scored:
                with seeded(self.decoder.seed, dropped.device):
                    return Run(self.paths(scaled, dropped, state, self.decoder.samples), encoded, dropped)
            decoder = self.decoder.conditional
        forced = self.decoder.feeds_back and (self.training or (scored and self.draws))
        target = scaled.target if forced else None
        if target is not None and scaled.unit is not None:
            target = target / scaled.unit[:, None]
        known, last = scaled.known, scaled.last
        if self.channels is not None:
            known, last = self.channels.repeated(known), self.channels.apart(last)
            target = None if target is None else self.channels.apart(target)
        if state is not None:
            decoder = partial(decoder, state=state)
        raw = decoder(dropped, known, last, target)
        if self.skip is not None:
            raw = raw + self.skip(self.inputs(scaled)[:, -last.shape[1] :]).view_as(raw)
        if self.linear_window is not None:
            own = taken(scaled.inputs, own_columns(self.schema)).mT
            own = own if self.channels is None else own.flatten(0, 1).unsqueeze(1)
            raw = self.loss.shifted(raw, self.linear_window(own, dropped[:, -1]).mT[:, None])
        if self.channels is not None:
            raw = self.channels.together(raw)
        raw = self.loss.parameters_of(raw)
        if scaled.unit is not None:
            raw = self.loss.times(raw, scaled.unit[:, None])
        return Run(raw, encoded, dropped)

    def paths(self, scaled: Scaled, encoded: Tensor, state: LayerStates | None, number: int) -> Tensor:
        """Paths in scaled units, (batch, origins, horizon, targets, paths), whose steps are drawn one after another.

        Args:
            scaled: the batch.
            encoded: (batch, time, width): the backbone's outputs.
            state: as in `Encoding`.
            number: number of paths.
        """
        assert isinstance(self.loss, Likelihood)
        return ancestral_paths(self.decoder, self.loss, self.channels, scaled, encoded, state, number)

    def prediction(self, raw: Tensor, batch: Batch, scaled: Scaled, margin: Tensor | None = None) -> Prediction:
        """The forecasts in original units, from the decoder's outputs.

        Args:
            raw: (batch, origins, horizon, targets, outputs): the outputs of `run`.
            batch: the samples.
            scaled: the same in the network's units.
            margin: (batch, origins, coverages, horizon, targets): margins of the intervals; None for the validation's.
        """
        point, quantiles = self.told_by.point(raw), self.told_by.quantiles(raw)
        if self.intervals is not None:
            if not torch.compiler.is_compiling() and not self.intervals.fitted:  # values are unknown in a compilation
                raise ConfigError(
                    "model.intervals are not calibrated, since this network was trained without validation: train it "
                    "with validation, or leave model.intervals out"
                )
            if margin is None and self.intervals.series:
                margin = self.margins(batch.series)[:, None]
            unit = self._unit_of_the_loss(scaled)
            quantiles = self.intervals(point / unit, quantiles / unit[..., None], margin) * unit[..., None]
            if self.loss.original_units:
                quantiles = quantiles.clamp(*self.loss.support)
        offset, scale = scaled.offset, scaled.scale
        return Prediction(
            batch.series,
            batch.index,
            self.transforms.back(point * scale + offset),  # an anchored change of 0 is exactly 0 in original units too
            batch.target,
            batch.weight,
            self.transforms.back((quantiles * scale.unsqueeze(-1) + offset.unsqueeze(-1)).mT).mT,
        )

    def loss_of(self, run: Run, batch: Batch, scaled: Scaled) -> Tensor:
        """The training criterion of a batch, a scalar."""
        raw, target, scale, unit = run.raw, scaled.target, scaled.scale, self._unit_of_the_loss(scaled)
        if unit.ndim:  # not a single 1, by which large outputs would be multiplied
            raw, target, scale = self.loss.times(raw, 1 / unit), target / unit, scale * unit
        loss: Tensor = self.loss(raw, target, batch.weight, scaled.offset, scale)
        return loss

    def _unit_of_the_loss(self, scaled: Scaled) -> Tensor:
        """What scaled values are divided by where errors are measured, a single 1 or what broadcasts to the target."""
        unit = scaled.target.new_ones(())
        if self.loss_units == "window" and scaled.unit is not None:
            unit = scaled.unit[:, None]
        if not scaled.scale.requires_grad:
            return unit
        # a level that is learned cannot make errors smaller by being larger: they are divided by what it is now
        return unit * (scaled.scale.detach() / scaled.scale).to(unit)

    @property
    def errors_follow_the_scaler(self) -> bool:
        """Whether the unit of `errors` and of the margins is that of the scaler, and not of a window or of the target.

        A smoothing divides by the level of the window, and a likelihood of counts is about the target as it is.
        """
        return self.loss_units == "scaled" and self.smoothing is None and not self.loss.original_units

    def errors(self, raw: Tensor, scaled: Scaled) -> Tensor:
        """The scores that calibrate the intervals, (batch, origins, horizon, targets, coverages).

        They are in units of the loss.
        """
        assert self.intervals is not None
        unit = self._unit_of_the_loss(scaled)
        told = self.told_by
        raw = told.times(raw, 1 / unit)
        return self.intervals.errors(told.point(raw), told.quantiles(raw), scaled.target / unit)

    def in_least_unit(self, scaled: Scaled) -> Tensor:
        """Whether the errors of windows are in the least unit that a window can have, (batch, 1, targets)."""
        if self.loss_units == "scaled" or scaled.least is None:
            return scaled.last.new_zeros(len(scaled.last), 1, scaled.last.shape[-1], dtype=torch.bool)
        return scaled.least

    def margins(self, series: Tensor) -> Tensor:
        """The margins that the validation gave each series, (series, coverages, horizon, targets).

        Args:
            series: (series,), integer: their numbers in the data.
        """
        assert self.intervals is not None
        return self.intervals.margins(self._rows.margins(series))

    def trace(self, batch: Batch, target: int = 0) -> dict[str, Tensor]:
        """The signals of the backbone's `trace` and, under "decoder.", of the decoder's.

        Args:
            batch: the samples.
            target: number of the target whose signals are wanted, of independent channels.
        """
        scaled = self.scaled(batch)
        inputs, known, last = self.inputs(scaled), scaled.known, scaled.last
        if self.channels is not None:
            known, last = self.channels.repeated(known), self.channels.apart(last)
        signals = self.backbone.trace(inputs)
        encoded, state = self.encoded(scaled)
        trace: Callable[..., dict[str, Tensor]] = self.decoder.trace
        if state is not None:
            trace = partial(trace, state=state)
        decoded = trace(encoded, known, last)
        signals |= {f"decoder.{name}": signal for name, signal in decoded.items()}
        if self.channels is None:
            return signals
        return {name: self.channels.of_target(signal, target) for name, signal in signals.items()}

    def require_lookback(self, data: Schema) -> None:
        """Raises ConfigError if the network cannot use the lookback of the data."""
        if data.lookback != "full":
            require_whole_segments(self.backbone, int(data.lookback))
            return
        require_causal(self.backbone)
        if self.decoder.starts_from:
            require_windows("decoder.init_args.initial_state: encoder", data)
        for name in ("window_norm", "smoothing", "across"):
            if getattr(self, name) is not None:
                require_windows(name, data)
        if self.anchor is not None and self.anchor.kind != "last":
            require_windows(f"anchor: {self.anchor.kind}", data)

    def _mixed(self, encoded: Tensor) -> Tensor:
        """The backbone's outputs, those of independent channels mixed if that is wanted."""
        return encoded if self.across is None else self.across(encoded)
