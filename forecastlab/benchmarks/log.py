"""The log of scorings: who scored which tasks when, with which version, so that nobody can choose by test windows."""

import csv
import io
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

import forecastlab
from forecastlab.benchmarks.summary import FIGURES
from forecastlab.errors import DataError

COLUMNS = (
    *("date", "version", "commit", "suite", "task", "recipe", "settings", "backbone", "seeds", "scoring"),
    *FIGURES,
    *("wall_s", "cpu_s"),
)
"""The columns of the log; `scoring` counts the scorings of a task by one version, from 1."""


def append(path: Path, entry: Mapping[str, Any]) -> int:
    """Adds a scoring at the end of a log, with the date, the version and the commit.

    Args:
        path: the log, a CSV file; begun if it is not there.
        entry: the other columns by name.

    Returns:
        Which scoring of this task by this version it is, from 1.

    Raises:
        DataError: if the file is not such a log, or cannot be written.
    """
    version, commit = forecastlab.__version__, commit_of_the_code()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            earlier = read(path)
            same = (earlier["version"] == version) & (earlier["suite"] == entry["suite"])
            number = int((same & (earlier["task"] == entry["task"])).sum()) + 1
            date = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            row = {**entry, "date": date, "version": version, "commit": commit, "scoring": number}
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            if not path.exists():
                writer.writerow(COLUMNS)
            writer.writerow(["" if row.get(name) is None else row[name] for name in COLUMNS])
            with path.open("a", encoding="utf-8") as file:
                file.write(text.getvalue())
    except OSError as error:
        raise DataError(f"cannot write the log {path}: {error.strerror}; name another with --log") from None
    return number


def read(path: Path) -> pd.DataFrame:
    """The scorings of a log, with `COLUMNS`; none if there is no file.

    Raises:
        DataError: if it is not such a log.
    """
    if not path.exists():
        return pd.DataFrame({name: [] for name in COLUMNS})
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(COLUMNS[:9], "str"), keep_default_na=False, na_values={})
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not a log of scorings: {error}; name another with --log") from None
    if tuple(table.columns) != COLUMNS:
        columns = ", ".join(COLUMNS[:6])
        raise DataError(
            f"{path} is not a log of scorings: expected the columns {columns}, ...; name another with --log"
        )
    return table


def commit_of_the_code() -> str:
    """The commit of the code that runs, with a + behind it if files were changed since; "" if it is not known."""
    folder = Path(forecastlab.__file__).parent
    commands = (["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain", "--", "."])
    answers = []
    for command in commands:
        try:
            done = subprocess.run(["git", "-C", str(folder), *command], capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.SubprocessError):
            return ""
        if done.returncode:
            return ""
        answers.append(done.stdout.strip())
    return answers[0] + ("+" if answers[1] else "")
