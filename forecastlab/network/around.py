"""Builds the parts around a backbone, a decoder and a loss head from their settings."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from forecastlab.backbones.base import Backbone
from forecastlab.batch import ELAPSED, PADDED, Schema
from forecastlab.decoders import Decoder
from forecastlab.errors import ConfigError
from forecastlab.losses import Loss
from forecastlab.network import anchor as anchors
from forecastlab.network import smoothing as smoothings
from forecastlab.network import window_norm as window_norms
from forecastlab.network.across import Across
from forecastlab.network.anchor import Anchor
from forecastlab.network.channels import Channels
from forecastlab.network.embeddings import SERIES, TARGET, Embeddings, text_columns
from forecastlab.network.factory import find_class
from forecastlab.network.inputs import Input
from forecastlab.network.intervals import SplitConformal
from forecastlab.network.level import Level
from forecastlab.network.linear_window import LinearWindow
from forecastlab.network.needs import require_location, require_steps_apart, require_targets, require_windows
from forecastlab.network.parts import built
from forecastlab.network.smoothing import Smoothing
from forecastlab.network.window_norm import WindowNorm


def own_columns(schema: Schema) -> list[int]:
    """Positions of the targets among the features, of those that are there."""
    return [schema.features.index(name) for name in schema.targets if name in schema.features]


def padded_column(schema: Schema) -> int | None:
    """Position of the feature that tells which rows pad a window; None without padding."""
    return None if schema.min_history is None else schema.features.index(PADDED)


def built_anchor(kind: anchors.Kind, schema: Schema) -> Anchor | None:
    """The anchor of a kind; None for "none".

    Raises:
        ConfigError: if it reads a target that is not among the features.
    """
    if kind == "none":
        return None
    if kind != "last":
        require_targets(f"anchor: {kind}", schema)
    return Anchor(kind, own_columns(schema), schema.season_length, padded_column(schema))


def built_window_norm(kind: window_norms.Kind, schema: Schema, anchor: Anchor | None) -> WindowNorm | Level | None:
    """The normalisation of a kind; None for "none".

    Raises:
        ConfigError: if it does not fit the data or the anchor.
    """
    if kind == "none":
        return None
    if kind == "level":
        require_targets("window_norm: level", schema)
        return Level(own_columns(schema), padded_column(schema))
    if anchor is None:
        raise ConfigError(f"model.window_norm: {kind} needs an anchor, such as last, which adds the level again")
    require_targets(f"window_norm: {kind}", schema)
    return WindowNorm(kind, own_columns(schema), schema.season_length, padded_column(schema))


def built_smoothing(
    kind: smoothings.Kind, seasons: Sequence[int], schema: Schema, settings: Mapping[str, Any], loss: Loss
) -> Smoothing | None:
    """The smoothing of a kind; None for "none".

    Args:
        kind: whose coefficients are learned.
        seasons: rows in each season; () for that of the data.
        schema: names and sizes of the data.
        settings: the network's, of which `anchor` and `window_norm` have no place beside it.
        loss: the loss head.

    Raises:
        ConfigError: if it does not fit the data, the other settings or the loss.
    """
    if kind == "none":
        if seasons:
            raise ConfigError("model.smoothing_seasons needs model.smoothing: set it to shared or series")
        return None
    require_targets(f"smoothing: {kind}", schema)
    require_windows(f"smoothing: {kind}", schema)
    require_location(f"smoothing: {kind}", loss)
    for name in ("anchor", "window_norm"):
        if settings[name] != "none":
            raise ConfigError(
                f"model.smoothing: {kind} finds level and unit of each window, as model.{name}: {settings[name]} does: "
                f"set model.{name} none, or leave the smoothing out"
            )
    if transformed := dict(schema.recipe.get("transform", {})):
        raise ConfigError(
            f"model.smoothing: {kind} is multiplicative already, and data.transform changes {', '.join(transformed)}: "
            "leave one of them out"
        )
    if kind == "series" and not schema.panel:
        raise ConfigError("model.smoothing: series tells series apart, and the data are one series: set it to shared")
    rows = list(seasons) or ([schema.season_length] if schema.season_length > 1 else [])
    if len(rows) > 2 or rows != sorted(set(rows)) or any(type(each) is not int or each < 2 for each in rows):
        raise ConfigError(
            f"model.smoothing_seasons: expected one or two numbers of rows from 2 on, ascending, got {list(seasons)}"
        )
    if rows and rows[-1] > int(schema.lookback):
        raise ConfigError(
            f"model.smoothing: {kind} finds a season of {rows[-1]} rows in each window, but data.lookback is "
            f"{schema.lookback}: set data.lookback to {rows[-1]} or more, or other model.smoothing_seasons"
        )
    series = len(schema.panel) if kind == "series" else 0
    return Smoothing(own_columns(schema), rows, schema.horizon, series, padded_column(schema))


def built_embeddings(sizes: Mapping[str, int], schema: Schema, independent: bool) -> Embeddings | None:
    """The vectors of series and of columns of text; None without any.

    Raises:
        ConfigError: for a size that is not positive, or of what has no vectors.
    """
    columns = text_columns(schema)
    if same := [name for name in (SERIES, TARGET) if name in columns and name in sizes]:
        raise ConfigError(f"model.embeddings: {same[0]} is also the name of a column of text: give it another name")
    for name, size in sizes.items():
        if name not in (SERIES, TARGET, *columns):
            raise ConfigError(
                f"model.embeddings: expected {SERIES}, {TARGET} or a column of text "
                f"({', '.join(columns) or 'the data have none'}), got {name!r}"
            )
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ConfigError(f"model.embeddings.{name} must be a whole number of 1 or more, got {size!r}")
        inputs = {*schema.features, *schema.static}
        if missing := [column for column in columns.get(name, ()) if column not in inputs]:
            raise ConfigError(f"model.embeddings.{name}: {missing[0]} is not among the inputs of the data")
    if SERIES in sizes and not schema.panel:
        raise ConfigError(f"model.embeddings.{SERIES} tells series apart, and the data are one series: leave it out")
    if TARGET in sizes and not independent:
        raise ConfigError(
            f"model.embeddings.{TARGET} tells independent channels apart: set channels: independent, or leave it out"
        )
    return Embeddings(sizes, schema) if set(sizes) - {TARGET} else None


def built_channels(
    independent: bool, sizes: Mapping[str, int], schema: Schema, embeddings: Embeddings | None
) -> Channels | None:
    """The targets that are taken apart; None if they are not.

    Raises:
        ConfigError: if a target is not among the features.
    """
    if not independent:
        return None
    require_targets("channels: independent", schema)
    own, inputs = own_columns(schema), len(schema.features) + len(schema.static)
    if embeddings is not None:
        own, inputs = [embeddings.kept.index(place) for place in own], embeddings.width
    return Channels(own, inputs, sizes.get(TARGET, 0))


def built_backbone(part: dict[str, Any], inputs: Sequence[Input], schema: Schema) -> Backbone:
    """The backbone; it is told which inputs are static, or tell how long steps last, if it reads them apart.

    Args:
        part: its class and arguments.
        inputs: what it reads.
        schema: names and sizes of the data.

    Raises:
        ConfigError: for a class that is not allowed, a value that it refuses, or inputs that only the data can tell.
    """
    try:
        cls: Any = find_class(part["class_path"], Backbone)
    except ValueError as error:
        raise ConfigError(f"model.backbone: {error}") from error
    given, told = part["init_args"], dict[str, Any]()
    if cls.reads_static:
        if given.get("static"):
            raise ConfigError("model.backbone.static: the data tell which inputs are static: leave it out")
        told["static"] = [place for place, one in enumerate(inputs) if one.static]
    if cls.reads_elapsed:
        if given.get("elapsed") is not None:
            raise ConfigError(
                "model.backbone.elapsed: the data tell which input it is: leave it out, and set --data.elapsed true "
                "for steps of unequal length"
            )
        names = [one.name for one in inputs]
        told["elapsed"] = names.index(ELAPSED) if schema.elapsed else None
    return cast(Backbone, built("backbone", {**part, "init_args": {**given, **told}}, Backbone, len(inputs)))


def built_across(
    part: dict[str, Any] | None, schema: Schema, channels: Channels | None, backbone: Backbone
) -> Across | None:
    """The network over the targets; None without one.

    Raises:
        ConfigError: if the channels are not independent.
    """
    if part is None:
        return None
    if channels is None:
        raise ConfigError("model.across mixes the encodings of independent channels: set channels: independent")
    return Across(
        backbone.output_size,
        len(schema.targets),
        lambda width: built("across", part, Backbone, width),
    )


def built_linear_window(maps: int, schema: Schema, decoder: Decoder, loss: Loss, width: int) -> LinearWindow | None:
    """Linear maps from the rows of a window to the steps of the horizon; None for none.

    Args:
        maps: number of maps; True for one, False for none.
        schema: names and sizes of the data.
        decoder: to whose forecasts they are added.
        loss: the loss head.
        width: width of the encoding.

    Raises:
        ConfigError: for a number below 0, or if they do not fit the data, the decoder or the loss.
    """
    if maps < 0:
        raise ConfigError(f"model.linear_window: expected true, false or a number of maps, got {maps}")
    if not maps:
        return None
    require_targets("linear_window", schema)
    require_steps_apart("linear_window", decoder)
    require_location("linear_window", loss)
    require_windows("linear_window", schema)
    return LinearWindow(int(schema.lookback), schema.horizon, int(maps), width)


def built_intervals(
    coverages: Sequence[float], window: int | None, schema: Schema, loss: Loss
) -> SplitConformal | None:
    """The intervals of some coverages; None without any.

    Raises:
        ConfigError: if there are none for the window to calibrate, or if they do not fit the loss.
    """
    if window is not None and not coverages:
        raise ConfigError("model.interval_window calibrates intervals, and there are none: set model.intervals")
    if not coverages:
        return None
    try:
        return SplitConformal(coverages, loss.levels, schema.horizon, len(schema.targets), window, len(schema.panel))
    except ValueError as error:
        raise ConfigError(f"model.intervals: {error}") from error
