"""Published series that a data module fetches by name."""

from dataclasses import dataclass
from pathlib import Path

from forecastlab.data import ozone
from forecastlab.data.cache import locate
from forecastlab.errors import ConfigError


@dataclass(frozen=True)
class Published:
    """A published file.

    Attributes:
        relative: its place below the data folder and the cache folder.
        url: its address; "" for a file of this package.
        sha256: its checksum.
        size: its bytes.
        time: its column of times.
        target: the column that is predicted unless another one is named.
    """

    relative: str
    url: str
    sha256: str
    size: int
    time: str
    target: str


PUBLISHED = {
    "airline": Published("airline.csv", "", "", 0, "month", "passengers"),
    "electricity": Published(
        "electricity/opsd_germany_daily.csv",
        "https://raw.githubusercontent.com/jenfly/opsd/master/opsd_germany_daily.csv",
        "729b025d984497827cb6b89048d7c2c6a551e7aa727bc47ea0b74a2d1e84675d",
        217983,
        "Date",
        "Consumption",
    ),
    "etth1": Published(
        "ett/ETTh1.csv",
        "https://raw.githubusercontent.com/zhouhaoyi/ETDataset/main/ETT-small/ETTh1.csv",
        "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
        2589657,
        "date",
        "OT",
    ),
    "ozone": Published(ozone.RELATIVE, ozone.URL, ozone.SHA256, ozone.SIZE, "0", str(ozone.COLUMNS.index("T_PK"))),
}


def published_path(name: str) -> Path:
    """The path of a published file, downloaded if it is nowhere to be found.

    Raises:
        ConfigError: for an unknown name.
        DataError: if it cannot be had.
    """
    if name not in PUBLISHED:
        raise ConfigError(f"dataset must be one of {', '.join(PUBLISHED)}, got {name!r}")
    file = PUBLISHED[name]
    if not file.url:
        return Path(__file__).with_name(file.relative)
    return locate(file.relative, file.url, file.sha256, file.size)
