"""Compilation of the kernels, and a cache of their machine code."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numpy.typing import NDArray

Array = NDArray[Any]
Kernel = TypeVar("Kernel", bound=Callable[..., Any])

# Products may be fused with sums. Nothing else is relaxed: infinities and NaN stay, and sums keep their order.
OPTIONS: dict[str, Any] = {"fastmath": {"contract"}, "error_model": "numpy"}


def digest(folder: Path) -> str:
    """A name for the state of all Python files in a folder: it changes with every change of one of them."""
    sha = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        content = path.read_bytes()
        sha.update(f"{path.name} {len(content)} ".encode() + content)
    return "of_" + sha.hexdigest()[:16]


SOURCES = digest(Path(__file__).parent)


def compiled(function: Kernel) -> Kernel:
    """Compiles a function at its first call and keeps the machine code on disk, beside its file or in the home.

    numba compiles anew when the file of the function changes. It does not see a change in another file, whose functions
    are part of the machine code. But it names the files of its cache by the qualified name of the function. So the name
    holds the digest of all files in this folder: after a change in any of them, numba finds no old machine code.
    """
    function.__qualname__ = f"{SOURCES}.{function.__name__}"
    try:
        return cast(Kernel, numba.njit(cache=True, nogil=True, **OPTIONS)(function))
    except RuntimeError:  # neither folder can be written: every process compiles
        return cast(Kernel, numba.njit(nogil=True, **OPTIONS)(function))


def inlined(function: Kernel) -> Kernel:
    """Compiles a function into the kernels that call it."""
    return cast(Kernel, numba.njit(forceinline=True, **OPTIONS)(function))
