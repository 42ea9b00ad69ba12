"""Measures pairs of computations, one beside the other, and writes one table of their ratios.

Both of a pair run in turns, in one process on one thread, and are compared by the least CPU time of each: a machine
that is busy with something else slows both and adds to neither. `make bench` writes the table, as JSON and as Markdown,
and the plots into build/benchmarks. A row of it is a `ratio`, of what the title of its table says, or a `value` with a
unit.
"""

import json
import os
import platform
import time
from collections import defaultdict
from pathlib import Path

import pytest
import torch

OUT = Path(os.environ.get("BENCH_DIR", "build/benchmarks"))
SECONDS = 2.0
"""How long a pair is measured, but for at least four turns."""

_rows: list[dict[str, object]] = []


@pytest.fixture(autouse=True)
def _one_thread():
    torch.manual_seed(0)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def folder():
    """Where everything is written."""
    OUT.mkdir(parents=True, exist_ok=True)
    return OUT


@pytest.fixture
def record():
    """A function that adds a row to the table."""
    return lambda **row: _rows.append(row)


@pytest.fixture
def compare(benchmark, record):
    """A function that measures a computation against another, and adds the ratio of their times to the table."""

    def measure(table, name, size, ours, other):
        spent = defaultdict(list)

        def turn():
            for key, function in (("other", other), ("ours", ours)):
                start = time.process_time()
                function()
                spent[key].append(time.process_time() - start)

        turn()  # compiles, fills caches
        spent.clear()
        turn()
        once = spent["ours"][0] + spent["other"][0]
        benchmark.pedantic(turn, rounds=max(3, min(200, int(SECONDS / max(once, 1e-6)))))
        ours_s, other_s = min(spent["ours"]), min(spent["other"])
        row = {"table": table, "name": name, "size": size, "ratio": ours_s / other_s}
        row |= {"ours_ms": 1e3 * ours_s, "other_ms": 1e3 * other_s, "turns": len(spent["ours"])}
        benchmark.extra_info.update(row)
        record(**row)
        return row

    return measure


def pytest_sessionfinish():
    """Writes the table."""
    if not _rows:
        return
    OUT.mkdir(parents=True, exist_ok=True)
    cpu = next((line.split(":")[1].strip() for line in _cpu_lines() if line.startswith("model name")), "")
    about = {"python": platform.python_version(), "torch": torch.__version__}
    about |= {"cpu": cpu or platform.processor() or platform.machine(), "threads": 1}
    (OUT / "table.json").write_text(json.dumps({"about": about, "rows": _rows}, indent=1))
    (OUT / "table.md").write_text(_markdown(about))


def _cpu_lines():
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def _markdown(about):
    lines = [", ".join(f"{key} {value}" for key, value in about.items()), ""]
    for table in dict.fromkeys(row["table"] for row in _rows):
        rows = [row for row in _rows if row["table"] == table]
        sizes = list(dict.fromkeys(row["size"] for row in rows))
        found = {(row["name"], row["size"]): row.get("ratio", row.get("value")) for row in rows}
        lines += [f"### {table}", "", "| | " + " | ".join(sizes) + " |", "|---|" + "---:|" * len(sizes)]
        for name in dict.fromkeys(row["name"] for row in rows):
            cells = (found.get((name, size)) for size in sizes)
            lines.append(f"| {name} | " + " | ".join(map(_short, cells)) + " |")
        lines.append("")
    return "\n".join(lines)


def _short(value):
    """Three digits, but all of those before the point."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
