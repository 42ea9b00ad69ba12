"""The states of streams in one safetensors file, with which a program goes on where another one stopped."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from forecastlab.adapters.torch import tree_flatten, tree_leaves, tree_unflatten
from forecastlab.batch import Batch, State
from forecastlab.errors import ConfigError, DataError
from forecastlab.export.files import with_ending, write
from forecastlab.export.safetensors import read_safetensors, safetensors
from forecastlab.limits import require_plain
from forecastlab.network.kept import Kept
from forecastlab.network.network import Network
from forecastlab.network.stream import Stream

FORMAT, VERSION = "forecastlab streams", 1
"""What the file says that it is."""
_ABOUT = "about"
"""The tensor that holds, as JSON in UTF-8, what is no tensor."""
_SIZES = ".sizes"
"""Ending of the tensors that tell the sizes of each stream's part of the tensor of the same name."""
_UNITS = ("s", "ms", "us", "ns")

Parts = dict[str, Tensor]


def save_streams(streams: Sequence[Stream], path: str | Path) -> None:
    """Writes the states of streams into one file, whole or not at all. It holds no weights.

    Args:
        streams: streams of one network, in any number; each may be at a time of its own.
        path: a file that ends in .safetensors.

    Raises:
        ConfigError: for streams of several networks, or none.
        DataError: if the file cannot be written.
        ForecastlabError: if safetensors is not installed.
    """
    path = with_ending(path, ".safetensors")
    network = streams[0].network if streams else None
    if network is None or any(stream.network is not network for stream in streams):
        raise ConfigError("expected one or more streams of one network; write those of another one into another file")
    kept = [stream.kept for stream in streams]
    packed = _packed([_parts(one) for one in kept])
    about = {
        "format": FORMAT,
        "version": VERSION,
        "network": _digest_of(cast(Network, network)),
        "sha256": _sha256(packed),
        "series": [one.series for one in kept],
        "zones": ["" if one.time is None or one.time.tz is None else str(one.time.tz) for one in kept],
        "in_advance": [{name: _plain(value) for name, value in one.in_advance.items()} for one in kept],
    }
    packed[_ABOUT] = torch.frombuffer(bytearray(json.dumps(about).encode()), dtype=torch.uint8)
    write(path, safetensors().save(packed))


def load_streams(network: Network, path: str | Path) -> list[Stream]:
    """Streams that go on where those of `save_streams` were: their forecasts are the same to the last bit.

    No code of the file is run.

    Args:
        network: the network of the streams, with the same weights.
        path: the file.

    Returns:
        The streams, in the order in which they were saved; `series` is the name of each one's series.

    Raises:
        DataError: if the file is missing or damaged, or belongs to another network.
        ConfigError: if the network is not trained.
        ForecastlabError: if safetensors is not installed.
    """
    path = with_ending(path, ".safetensors")
    packed = read_safetensors(path)
    try:
        text = bytes(packed.pop(_ABOUT).numpy())
        about = json.loads(text)
        require_plain(about, str(path), len(text))
        if about["format"] != FORMAT or about["version"] != VERSION:
            raise ValueError(f"its form is {about['format']!r} of version {about['version']!r}")
        if about["sha256"] != _sha256(packed):
            raise ValueError("its checksum is another one")
        if about["network"] != _digest_of(network):
            raise DataError(
                f"{path} has the states of another network, or of other weights: load that network, or begin new "
                "streams with model.stream()"
            )
        texts = list(zip(about["series"], about["zones"], about["in_advance"], strict=True))
        streams = [network.stream() for _ in texts]
        for stream, parts, (series, zone, in_advance) in zip(
            streams, _unpacked(packed, len(texts)), texts, strict=True
        ):
            _restore(stream, parts, zone)
            stream.kept.series, stream.kept.in_advance = series, in_advance
    except (ValueError, KeyError, TypeError, IndexError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} was not written by save_streams, or is damaged: {reason}") from None
    return streams


def _digest_of(network: Network) -> str:
    """What tells networks apart whose states do not fit each other: their settings and weights."""
    return _sha256(network.state_dict(), json.dumps(network.settings, sort_keys=True, default=str))


def _sha256(tensors: Mapping[str, Tensor], text: str = "") -> str:
    digest = hashlib.sha256(text.encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _parts(kept: Kept) -> Parts:
    """What a stream keeps, as tensors by name; a part is left out where there is none."""
    parts: Parts = {"static": torch.tensor(list(kept.static.values()), dtype=torch.float64)}
    if kept.time is not None:
        parts["time"] = _stamps([kept.time])
    if kept.held is not None:
        parts["held"] = torch.from_numpy(kept.held)
    seen = [(place, *one) for place, one in enumerate(kept.seen) if one is not None]
    parts["seen.place"] = torch.tensor([place for place, _, _ in seen], dtype=torch.int64)
    parts["seen.time"] = _stamps([time for _, time, _ in seen])
    parts["seen.value"] = torch.tensor([value for _, _, value in seen], dtype=torch.float64)
    if kept.past:
        times, inputs, targets = zip(*kept.past, strict=True)
        parts["past.time"] = _stamps(times)
        parts["past.inputs"], parts["past.targets"] = (torch.from_numpy(np.stack(rows)) for rows in (inputs, targets))
    if kept.state is not None:
        parts |= {f"state.{number}": leaf for number, leaf in enumerate(tree_leaves(kept.state))}
    if kept.encoded is not None:
        parts["encoded"] = kept.encoded
    if kept.recent is not None:
        recent = kept.recent
        parts |= {"recent.errors": recent.errors, "recent.weight": recent.weight}
        made = [(place, *one) for place, one in enumerate(recent.forecasts) if one is not None]
        parts["recent.count"] = torch.tensor(len(recent.forecasts))
        parts["recent.place"] = torch.tensor([place for place, _, _ in made], dtype=torch.int64)
        if made:
            parts["recent.raw"] = torch.cat([raw for _, raw, _ in made])
            for name in Batch._fields:
                parts[f"recent.{name}_of_batch"] = torch.cat([getattr(batch, name) for _, _, batch in made])
    return parts


def _restore(stream: Stream, parts: Parts, zone: str) -> None:
    """Puts the tensors of `_parts` back into a new stream."""
    kept, device = stream.kept, stream.network.device
    kept.static = dict(zip(stream.network.schema.static, parts["static"].tolist(), strict=False))
    if "time" in parts:
        (kept.time,) = _times(parts["time"], zone)
    if "held" in parts:
        kept.held = parts["held"].numpy()
        kept.seen = [None] * len(kept.held)
    values = zip(
        parts["seen.place"].tolist(), _times(parts["seen.time"], zone), parts["seen.value"].tolist(), strict=True
    )
    for place, time, value in values:
        kept.seen[place] = (time, value)
    if "past.time" in parts:
        rows = (parts[name].numpy() for name in ("past.inputs", "past.targets"))
        kept.past = list(zip(_times(parts["past.time"], zone), *rows, strict=True))
    if "encoded" in parts:
        kept.encoded = parts["encoded"].to(device)
        leaves, form = tree_flatten(stream.network.backbone.initial_state(1))
        leaves = [parts[f"state.{number}"].to(device) for number in range(len(leaves))]
        kept.state = cast(State, tree_unflatten(leaves, form))
    if kept.recent is not None:
        recent = kept.recent
        recent.errors, recent.weight = parts["recent.errors"].to(device), parts["recent.weight"].to(device)
        recent.forecasts = [None] * min(int(parts["recent.count"]), stream.network.schema.horizon)
        for number, place in enumerate(parts["recent.place"].tolist()):
            one = slice(number, number + 1)
            batch = Batch(*(parts[f"recent.{name}_of_batch"][one].to(device) for name in Batch._fields))
            recent.forecasts[place] = (parts["recent.raw"][one].to(device), batch)


def _packed(streams: Sequence[Parts]) -> Parts:
    """The parts of all streams by name, one behind another, so that there are as many tensors as names.

    A tensor beside each tells the sizes of the parts, (streams, dimensions), and -1 where a stream has no such part.
    """
    packed: Parts = {}
    for name in dict.fromkeys(name for parts in streams for name in parts):
        there = [parts[name] for parts in streams if name in parts]
        packed[name] = torch.cat([part.detach().cpu().flatten() for part in there])
        none = [-1] * there[0].dim()
        sizes = [list(parts[name].shape) if name in parts else none for parts in streams]
        packed[f"{name}{_SIZES}"] = torch.tensor(sizes, dtype=torch.int64).view(len(streams), -1)
    return packed


def _unpacked(packed: Parts, count: int) -> list[Parts]:
    """The inverse of `_packed`, for so many streams."""
    streams: list[Parts] = [{} for _ in range(count)]
    for name, flat in packed.items():
        if name.endswith(_SIZES):
            continue
        begin = 0
        for parts, sizes in zip(streams, packed[f"{name}{_SIZES}"].tolist(), strict=True):
            if -1 in sizes:
                continue
            end = begin + math.prod(sizes)
            parts[name] = flat[begin:end].clone().view(sizes)
            begin = end
    return streams


def _stamps(times: Sequence[pd.Timestamp]) -> Tensor:
    """(times, 2), integer: the time since 1970 in UTC, and the number of its unit."""
    stamps = [[int(time.asm8.view(np.int64)), _UNITS.index(time.unit)] for time in times]
    return torch.tensor(stamps, dtype=torch.int64).view(-1, 2)


def _times(stamps: Tensor, zone: str) -> list[pd.Timestamp]:
    """The inverse of `_stamps`, in a time zone; "" for none."""
    times = [pd.Timestamp(np.array([stamp]).view(f"datetime64[{_UNITS[unit]}]")[0]) for stamp, unit in stamps.tolist()]
    return [time.tz_localize("UTC").tz_convert(zone) for time in times] if zone else times


def _plain(value: Any) -> Any:
    """A raw value of a row as JSON has it; a network reads the same from it."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool | int | float | str):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value)
