"""Sizes that a file claims: they are compared with the free memory before they are used.

A file may claim in a few bytes more memory than the machine has. The system kills a process that takes too much,
without a message. These functions raise an error first, which names the file, the size and the limit.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from forecastlab.errors import DataError

TEXT = 16 * 2**20
"""Bytes of the largest text of settings that is read: a config, or the JSON file of an export."""
ENTRIES = 100_000
"""Values, and thousands of characters, that plain data may hold besides one for each byte that they are written in."""
LARGEST = 10_000_000
"""The largest whole number in the settings of a network or its data: a size, or a number of rows."""
DEPTH = 60
"""Mappings and lists that may lie in each other."""
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
            f"{path} needs {in_units(needed)} of memory ({why}), but only {in_units(there)} are available: use a "
            "smaller file, or a machine with more memory"
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
        raise DataError(f"{path} has {in_units(size)}, but such a file has at most {in_units(most)}: give another file")
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
        raise DataError(f"{what} has {in_units(len(text))} of text, but settings have at most {in_units(TEXT)}")
    content = yaml.safe_load(text)
    require_plain(content, what, len(text))
    return content


def in_units(count: int) -> str:
    """A number of bytes as a reader takes it in."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"
