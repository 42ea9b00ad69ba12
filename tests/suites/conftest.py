"""The published files of the benchmark suites."""

from pathlib import Path

import pytest

from tests.conftest import existing


@pytest.fixture(scope="session")
def published_files(real_data: Path) -> Path:
    """The folder of the published files."""
    return existing(real_data / "benchmarks")
