"""Arrays in files, one each, which are mapped into memory: what is not looked at takes none."""

import json
import mmap
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_INDEX = "arrays.json"


class MapWriter:
    """Writes arrays, each piece of their rows behind the one before.

    Args:
        folder: where they are put; it is there, and empty.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._forms: dict[str, tuple[str, list[int]]] = {}
        """Of each array, what its numbers are, and its shape."""

    def append(self, pieces: Mapping[str, NDArray[Any]]) -> None:
        """Puts rows, (rows, ...), behind those of the same name."""
        for name, piece in pieces.items():
            _, shape = self._forms.setdefault(name, (piece.dtype.str, [0, *piece.shape[1:]]))
            shape[0] += len(piece)
            with (self._folder / name).open("ab") as file:
                file.write(piece.tobytes())

    def close(self) -> None:
        """Writes down what the files hold."""
        (self._folder / _INDEX).write_text(json.dumps(self._forms))


class Maps:
    """The arrays of a folder, as `MapWriter` wrote them. They are read only: to write to one ends the process.

    Args:
        folder: where they are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._maps: list[mmap.mmap] = []
        self._tensors: dict[str, Tensor] = {}
        for name, (kind, shape) in json.loads((folder / _INDEX).read_text()).items():
            self._tensors[name] = self._tensor(folder / name, np.dtype(kind), shape)

    def _tensor(self, path: Path, kind: "np.dtype[Any]", shape: list[int]) -> Tensor:
        if not np.prod(shape, dtype=np.int64):  # of nothing there is no map
            return torch.from_numpy(np.empty(shape, kind))
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._maps.append(mapped)
        with warnings.catch_warnings():
            # a map that may be written to, which torch asks for, would count as memory even if it never is
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            return torch.from_numpy(np.frombuffer(mapped, kind).reshape(shape))

    def get(self, name: str) -> Tensor | None:
        """The array of a name, (rows, ...); None if there is none."""
        return self._tensors.get(name)

    def let_go(self) -> None:
        """Lets the pages go that were read: they come back when they are read again, and stay in the system's cache."""
        for mapped in self._maps:
            let_go(mapped)


def let_go(mapped: mmap.mmap) -> None:
    """Lets all pages of a map of a file go; what was written to them is in the file."""
    if hasattr(mmap, "MADV_DONTNEED"):  # not on every system
        mapped.madvise(mmap.MADV_DONTNEED)
