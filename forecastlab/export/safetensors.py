"""Weights as safetensors, everything else as JSON: neither can hold code."""

import hashlib
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from forecastlab import __version__
from forecastlab.data.trained_on import records_of
from forecastlab.errors import DataError, ForecastlabError
from forecastlab.export.files import with_ending, write
from forecastlab.limits import TEXT, require_file, require_plain
from forecastlab.network.network import Network
from forecastlab.training.forecaster import Forecaster

VERSION = 2
"""The version of the two files. Before version 2 the scaling was in single precision; it is still read."""


def save_safetensors(model: Network, path: str | Path, config: Mapping[str, Any] | None = None) -> list[Path]:
    """Writes a network as `path`, which ends in .safetensors, and a file beside it that ends in .json.

    The first file holds `model.state_dict()`: every weight, and the scaling. The second file describes them. `model`
    has the arguments that build the network, including its schema (names and order of the columns, horizon, lookback).
    `scaling` repeats the scaling in readable numbers and double precision, in the order of the schema's columns: scaled
    = (value - center) / scale. `trained_on` has the records of the rows that trained the weights. `config` has the
    settings of the run. `sha256` is the checksum of the first file, which shows whether the two files belong together.

    Args:
        model: the network.
        path: the file of the weights.
        config: settings of the run, as plain data.

    Returns:
        The two files.

    Raises:
        DataError: if they cannot be written.
        ForecastlabError: if safetensors is not installed.
    """
    path = with_ending(path, ".safetensors")
    weights = {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}
    content: bytes = safetensors().save(weights)
    about = {
        "format": "forecastlab",
        "version": VERSION,
        "forecastlab": __version__,
        "sha256": hashlib.sha256(content).hexdigest(),
        "model": dict(model.settings),
        "scaling": {name: value.tolist() for name, value in model.scaling.state_dict().items()},
        "trained_on": [record.as_dict() for record in model.trained_on],
        "config": dict(config or {}),
    }
    written = [path, path.with_suffix(".json")]
    write(written[0], content)
    write(written[1], json.dumps(about, indent=2, default=str).encode() + b"\n")
    return written


def load_safetensors(path: str | Path) -> Forecaster:
    """Loads the files of `save_safetensors` or `forecastlab export`. It runs no code from the files.

    Args:
        path: the file that ends in .safetensors; the one that ends in .json is beside it.

    Returns:
        The network on the CPU, ready to forecast. Its forecasts equal those of the saved network.

    Raises:
        DataError: if a file is missing or damaged, or if the two do not belong together.
        ConfigError: if a part of the network belongs to a package that is neither imported nor allowed.
        ForecastlabError: if safetensors is not installed.
    """
    path = with_ending(path, ".safetensors")
    described = path.with_suffix(".json")
    content = _read(path)
    _require_header(path, content)
    text = _read(described, TEXT)
    try:
        about = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{described} is not JSON: {error}; export the network again") from None
    require_plain(about, str(described), len(text))
    if not isinstance(about, dict) or about.get("format") != "forecastlab" or not isinstance(about.get("model"), dict):
        raise DataError(f"{described} was not written by forecastlab export; give the file that it wrote")
    if about.get("version") not in range(1, VERSION + 1):
        raise DataError(
            f"{described} is of version {about.get('version')!r}, but {VERSION} or less is expected: export the "
            "network again, with this version of forecastlab"
        )
    if about.get("sha256") != hashlib.sha256(content).hexdigest():
        raise DataError(f"{path} and {described} do not belong together, or one is damaged: export the network again")
    weights = _tensors(path, content)
    try:
        model = Forecaster.rebuild(about["model"], weights)
        model.trained_on = records_of(about)
        return model
    except DataError as error:
        raise DataError(f"{path} and {described}: {error}") from None


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name.

    Args:
        path: where it is.

    Raises:
        DataError: if it is missing, damaged, or no safetensors file.
        ForecastlabError: if safetensors is not installed.
    """
    content = _read(path)
    _require_header(path, content)
    return _tensors(path, content)


def _tensors(path: Path, content: bytes) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = safetensors().load(content)
    except Exception as error:  # safetensors raises its own kind of error, and others
        raise DataError(f"{path} is not a safetensors file: {error}") from None
    return tensors


def _require_header(path: Path, content: bytes) -> None:
    """Compares the length in the header with the length of the file, before that many bytes are read.

    Raises:
        DataError: if the file ends before the header does.
    """
    claimed = int.from_bytes(content[:8], "little")
    most = min(len(content) - 8, TEXT)
    if claimed > most:
        raise DataError(
            f"{path} is not a safetensors file: its header claims {claimed} bytes, but the file has {max(most, 0)}"
        )


def _read(path: Path, most: int | None = None) -> bytes:
    require_file(path, most)
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None


def safetensors() -> Any:
    """The module of safetensors for torch, which is an extra."""
    try:
        return importlib.import_module("safetensors.torch")
    except ImportError:
        raise ForecastlabError(
            "this needs safetensors, which is not installed: pip install 'forecastlab[export]'"
        ) from None
