"""Sizes that a file claims: they are compared with the free memory before they are used.

A file may claim in a few bytes more memory than the machine has. The system kills a process that takes too much,
without a message. These functions raise an error first, which names the file, the size and the limit.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from forecastlab.errors import DataError

TEXT = 16 * 2**20
"""Bytes of the largest text of settings that is read: a config, or the JSON file of an export."""
ENTRIES = 100_000
"""Values, and thousands of characters, that plain data may hold besides one for each byte that they are written in."""
LARGEST = 10_000_000
"""The largest whole number in the settings of a network or its data: a size, or a number of rows."""
DEPTH = 60
"""Mappings and lists that may lie in each other."""
_MAKERS = ("arange", "empty", "eye", "full", "linspace", "ones", "rand", "randn", "zeros")
"""What makes a tensor from numbers, in torch and as `new_...` of a tensor."""
_CGROUP = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def available_memory() -> int | None:
    """Bytes that this process may still take; None where the system does not tell."""
    found = []
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            found += [int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:")]
    except OSError:
        pass
    for path in _CGROUP:
        try:
            found.append(int(Path(path).read_text(encoding="ascii")))
        except (OSError, ValueError):  # another system, or "max"
            continue
    return min(found, default=None)


def require_memory(path: str | Path, needed: int, why: str) -> None:
    """Compares the memory that a file needs with the free memory.

    Args:
        path: the file.
        needed: bytes, as few as it can take.
        why: what takes them, for the message.

    Raises:
        DataError: if there is not enough.
    """
    there = available_memory()
    if there is not None and needed > there:
        raise DataError(
            f"{path} needs {_size(needed)} of memory ({why}), but only {_size(there)} are available: use a smaller "
            "file, or a machine with more memory"
        )


def require_file(path: str | Path, most: int | None = None) -> int:
    """The bytes of a file that will be read as a whole.

    Args:
        path: where it is; addresses, folders, devices and pipes are no files.
        most: the most bytes that such a file can have.

    Raises:
        DataError: if there is no regular file, or if it is larger than `most` or than the memory.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise DataError(f"cannot read {path}: there is no such file")
        size = path.stat().st_size
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        raise DataError(f"cannot read {path}: {error}") from None
    if most is not None and size > most:
        raise DataError(f"{path} has {_size(size)}, but such a file has at most {_size(most)}: give another file")
    require_memory(path, size, "its size")
    return size


def require_plain(value: Any, what: str, written: int = 0) -> None:
    """Counts the values of plain data with all references, so that no later walk through them runs for ever.

    Args:
        value: mappings, lists and scalars; tensors count as scalars.
        what: what the data are, for the message.
        written: bytes that the data were read from.

    Raises:
        DataError: if there are more of them than bytes and `ENTRIES`, or if they lie deeper in each other than `DEPTH`.
    """
    count, most = 0, ENTRIES + written
    waiting: list[tuple[Any, int]] = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        count += 1
        if isinstance(item, str | bytes):
            count += len(item) // 1000
        elif isinstance(item, Mapping):
            waiting += [(part, depth + 1) for pair in item.items() for part in pair]
        elif isinstance(item, list | tuple | set):
            waiting += [(part, depth + 1) for part in item]
        if depth > DEPTH or count + len(waiting) > most:
            raise DataError(
                f"{what} holds more than {most:,} values, or values more than {DEPTH} deep in each other, once all "
                "its references are followed: nothing that forecastlab writes does"
            )


def require_sizes(settings: Any, what: str) -> None:
    """Refuses whole numbers that are too large for any size of a network or of its data.

    Args:
        settings: plain data.
        what: what the settings are, for the message.

    Raises:
        DataError: if one is beyond `LARGEST`, or as `require_plain` does.
    """
    require_plain(settings, what, LARGEST)
    waiting = [("", settings)]
    while waiting:
        name, item = waiting.pop()
        if isinstance(item, Mapping):
            waiting += [(str(key), part) for key, part in item.items()]
        elif isinstance(item, list | tuple):
            waiting += [(name, part) for part in item]
        elif isinstance(item, int) and abs(item) > LARGEST:
            raise DataError(f"{what} has {name} = {item}, but such a number is at most {LARGEST:,}: lower it")


def read_yaml(text: str, what: str) -> Any:
    """The plain content of a text in YAML.

    Args:
        text: the text.
        what: what the text is, for the message.

    Raises:
        DataError: if it is longer than `TEXT`, or if its aliases stand for more than `require_plain` takes.
        yaml.YAMLError, ValueError, RecursionError: if it is not YAML.
    """
    if len(text) > TEXT:
        raise DataError(f"{what} has {_size(len(text))} of text, but settings have at most {_size(TEXT)}")
    content = yaml.safe_load(text)
    require_plain(content, what, len(text))
    return content


@contextmanager
def bounded_network(weights: Mapping[str, torch.Tensor] | None = None) -> Iterator[None]:
    """Within the block, building a network that does not fit in the memory raises an error.

    The size of every tensor is checked before it is made, so a `hidden_size` of millions costs nothing.

    Args:
        weights: the `state_dict` that the network is to take, which says how many parameters it may have.

    Raises:
        DataError: if the network needs more memory, or has more parameters.
    """
    registered = 0

    def count(module: torch.nn.Module, name: str, parameter: torch.nn.Parameter | None) -> None:
        nonlocal registered
        registered += parameter is not None
        if weights is not None and registered > 4 * len(weights) + 100:  # a parameter may be replaced, or shared
            raise DataError(
                f"the network that is described has more than {registered - 1} parameters, but there are weights for "
                f"{len(weights)}: its settings and its weights do not belong together"
            )

    hook = register_module_parameter_registration_hook(count)
    try:
        with _BoundedTensors():
            yield
    finally:
        hook.remove()


class _BoundedTensors(TorchFunctionMode):
    """Adds up the sizes of the tensors that are made from numbers, and ends before they take more than there is."""

    def __init__(self) -> None:
        super().__init__()
        self.most = available_memory() or math.inf
        self.taken = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.taken += _bytes_asked_for(func, args, kwargs or {})
        if self.taken > self.most:
            raise DataError(
                f"the network that is described needs at least {_size(self.taken)} of memory, but only "
                f"{_size(int(self.most))} are available: lower its sizes"
            )
        return func(*args, **(kwargs or {}))


def _bytes_asked_for(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
    """The size of the tensor that a function makes from numbers; 0 for one that makes none."""
    name = getattr(func, "__name__", "").removeprefix("new_")
    if name not in _MAKERS:
        return 0
    given = [value for value in (*args, *kwargs.values()) if not isinstance(value, torch.Tensor)]
    shape = next((value for value in given if isinstance(value, list | tuple)), given)
    sizes = [value for value in shape if isinstance(value, int) and not isinstance(value, bool)]
    count = max(sizes, default=0) if name in ("arange", "linspace") else math.prod(sizes)
    return count * (kwargs.get("dtype") or torch.get_default_dtype()).itemsize


def _size(count: int) -> str:
    """A number of bytes as a reader takes it in."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"
