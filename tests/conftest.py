import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # no test depends on how busy the machine is
settings.load_profile("untimed")

BESIDE_THE_REPOSITORY = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real files: $FORECASTLAB_DATA, else shared/data next to the repository; skips without one.

    With FORECASTLAB_REQUIRE_DATA=1 a missing folder or file is a failure.
    """
    folder = os.environ.get("FORECASTLAB_DATA")
    path = Path(folder).expanduser() if folder else BESIDE_THE_REPOSITORY
    return existing(path)


@pytest.fixture(scope="session")
def real_ozone(real_data: Path) -> Path:
    """The real Ozone Level Detection file, 2534 rows x 74."""
    return existing(real_data / "ozone" / "eighthr.data")


def existing(path: Path) -> Path:
    """The path of a real file or folder; skips, or fails with FORECASTLAB_REQUIRE_DATA=1, where it is not."""
    if not path.exists():
        reason = f"needs real data: {path} does not exist (set FORECASTLAB_DATA to the folder that has it)"
        if os.environ.get("FORECASTLAB_REQUIRE_DATA") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return path
