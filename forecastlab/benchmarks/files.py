"""The published files of the benchmark suites, each with its checksum."""

from dataclasses import dataclass
from pathlib import Path

from forecastlab.data.cache import checksum, locate
from forecastlab.data.published import PUBLISHED, published_path
from forecastlab.errors import ConfigError, DataError

_MONASH = (
    "https://raw.githubusercontent.com/naymatkhaana/llm4cast/1f9d640fb378337e5357bf0bbafcc376b94f7961/dataset/datam/"
)
_M4 = "https://raw.githubusercontent.com/Mcompetitions/M4-methods/"
_ETT = "https://raw.githubusercontent.com/zhouhaoyi/ETDataset/1d16c8f4f943005d613b5bc962e9eeb06058cf07/ETT-small/"
_LTSF = "https://raw.githubusercontent.com/xiuyu88/ASDGC-Dataset/"


@dataclass(frozen=True)
class File:
    """A published file.

    Attributes:
        place: its path below the folder of the benchmarks.
        url: its address.
        sha256: its checksum.
        size: its bytes.
    """

    place: str
    url: str
    sha256: str
    size: int


FILES = {
    "etth2": File(
        "ltsf/ETTh2.csv",
        _ETT + "ETTh2.csv",
        "a3dc2c597b9218c7ce1cd55eb77b283fd459a1d09d753063f944967dd6b9218b",
        2417960,
    ),
    "ettm1": File(
        "ltsf/ETTm1.zip",
        _LTSF + "6f33b2badea13d44a59ae8b99d95486cf58b6ee3/ETTm1.zip",
        "22ab3fd84b764811cae64535f3539dd01359a3eed210990da771fa1a9728a205",
        1230589,
    ),
    "ettm2": File(
        "ltsf/ETTm2.zip",
        _LTSF + "6f33b2badea13d44a59ae8b99d95486cf58b6ee3/ETTm2.zip",
        "6b38ab60ea1357bd87a3fc9f23347abb43a2d6159242583830dd8aab04c8b31f",
        1211672,
    ),
    "exchange_rate": File(
        "ltsf/exchange_rate.zip",
        _LTSF + "6f33b2badea13d44a59ae8b99d95486cf58b6ee3/exchange_rate.zip",
        "8b43a993985fefe3736043ec6bb99ea8e098680d9892f80961cd720b84014882",
        152886,
    ),
    "illness": File(
        "ltsf/illness.zip",
        _LTSF + "6f33b2badea13d44a59ae8b99d95486cf58b6ee3/illness.zip",
        "6ecc9caa429ab47facd7ffeb11575d5567d3a55bd4b0e2f84f5019c151dc5b9d",
        21409,
    ),
    "weather": File(
        "ltsf/weather.zip",
        _LTSF + "eb4b2590256f4961a4d777b85942e931db64284f/weather.zip",
        "f69d99ac5b7302a1476478e91c38f15473265b6784900c5aee07df153f72fdd0",
        1925828,
    ),
    "m4_hourly_test": File(
        "m4/Hourly-test.csv",
        _M4 + "fdeb3b173f0305901c073dcc9a36b0d9f9ab537c/Dataset/Test/Hourly-test.csv",
        "71a57fccb15e534d973626ada4fb87febf789e9317715b7cc6dd3b5f90db6f42",
        132820,
    ),
    "m4_hourly_train": File(
        "m4/Hourly-train.csv",
        _M4 + "d44ad827907d46b2050a47b529cb826be9561163/Dataset/Train/Hourly-train.csv",
        "ea59b7783573c49077a835ab6465c7d66f1474783360f310988a9a737fbca62f",
        2347115,
    ),
    "m4_weekly_test": File(
        "m4/Weekly-test.csv",
        _M4 + "fdeb3b173f0305901c073dcc9a36b0d9f9ab537c/Dataset/Test/Weekly-test.csv",
        "3b2bc4be8e636e802260dcd843ca3c5da40536a1fbe1ecb3229a97dae4f44688",
        44247,
    ),
    "m4_weekly_train": File(
        "m4/Weekly-train.csv",
        _M4 + "d44ad827907d46b2050a47b529cb826be9561163/Dataset/Train/Weekly-train.csv",
        "d478d3f6ed673e6ed3c2cb0fbed5425f72eedd51318ebebeb0b5ecfcefc37714",
        4015067,
    ),
    "fred_md": File(
        "monash/fred_md_dataset.tsf",
        _MONASH + "fred_md_dataset/fred_md_dataset.tsf",
        "b62383200451cd400e372583f76dfd4054d7045fe1a7ee994d97734c8cf62f3d",
        487237,
    ),
    "hospital": File(
        "monash/hospital_dataset.tsf",
        _MONASH + "hospital_dataset/hospital_dataset.tsf",
        "b84c2d28f5154958cb31229a8db1b79eaba9b2307b477c02475eee698ed176e1",
        233355,
    ),
    "m1_monthly": File(
        "monash/m1_monthly_dataset.tsf",
        _MONASH + "m1_monthly_dataset/m1_monthly_dataset.tsf",
        "0c9cb65c1ad1d7acf34ef659d7669fddfd5fb54ca484762c2706e02d2e89e66e",
        313600,
    ),
    "m1_quarterly": File(
        "monash/m1_quarterly_dataset.tsf",
        _MONASH + "m1_quarterly_dataset/m1_quarterly_dataset.tsf",
        "d8c1c3c3372fca578fef3f3e032c975199c7c8b3af93fd099c83187c778bb219",
        53754,
    ),
    "m1_yearly": File(
        "monash/m1_yearly_dataset.tsf",
        _MONASH + "m1_yearly_dataset/m1_yearly_dataset.tsf",
        "1855ef465246d2afaf1c91d7d2f03b7cb9678a65e84309c8350ef7223737e16c",
        30557,
    ),
    "m3_monthly": File(
        "monash/m3_monthly_dataset.tsf",
        _MONASH + "m3_monthly_dataset/m3_monthly_dataset.tsf",
        "962e5e217d3c98780ef240416daa4773a8e65961ea47e0a769178be58622d9c5",
        960208,
    ),
    "m3_quarterly": File(
        "monash/m3_quarterly_dataset.tsf",
        _MONASH + "m3_quarterly_dataset/m3_quarterly_dataset.tsf",
        "f2c52d0e4c8e948cd66dab139459609b71efbbf063f19927b8bd5d71d0512f16",
        253744,
    ),
    "m3_yearly": File(
        "monash/m3_yearly_dataset.tsf",
        _MONASH + "m3_yearly_dataset/m3_yearly_dataset.tsf",
        "ca9f01bf47f46f18d656ff8fe9c4e018162ae219071b8df5f41ee3cf7d53e2bf",
        125743,
    ),
    "m4_hourly": File(
        "monash/m4_hourly_dataset.tsf",
        _MONASH + "m4_hourly_dataset/m4_hourly_dataset.tsf",
        "f3c0112e09ce616777ead9e57c9d85499ebab329d41a851b4edcec2944c92eb8",
        1688095,
    ),
    "m4_weekly": File(
        "monash/m4_weekly_dataset.tsf",
        _MONASH + "m4_weekly_dataset/m4_weekly_dataset.tsf",
        "1b6b9cd34d5898e1def551a997b880f4add150736095e0f2f07084513131b006",
        2736081,
    ),
    "saugeenday": File(
        "monash/saugeenday_dataset.tsf",
        _MONASH + "saugeenday_dataset/saugeenday_dataset.tsf",
        "bfd2ad2d80d8f3b6cd55086716dc9047789ebd76e0c78c06bba7af5b812d95fc",
        107508,
    ),
    "tourism_monthly": File(
        "monash/tourism_monthly_dataset.tsf",
        _MONASH + "tourism_monthly_dataset/tourism_monthly_dataset.tsf",
        "fba16c20b9c431406e4377aa61347e7310d4cd155033e2f93af4cbd0e8139b6e",
        516457,
    ),
    "tourism_quarterly": File(
        "monash/tourism_quarterly_dataset.tsf",
        _MONASH + "tourism_quarterly_dataset/tourism_quarterly_dataset.tsf",
        "2180678fdd99afa4bd1e2920829adf81cad3e2811d529b6c6fba5fd914a24673",
        226526,
    ),
    "tourism_yearly": File(
        "monash/tourism_yearly_dataset.tsf",
        _MONASH + "tourism_yearly_dataset/tourism_yearly_dataset.tsf",
        "f149ec11275aeddabab16201836d6f5e366e152060adf6d1e8716895c89a71c7",
        88771,
    ),
    "us_births": File(
        "monash/us_births_dataset.tsf",
        _MONASH + "us_births_dataset/us_births_dataset.tsf",
        "7c5c0f85661592d30000aa8a9066d938629ee5f3f5a3f72c75517179a50b38bb",
        40088,
    ),
    "etth1": File(
        "ltsf/ETTh1.csv",
        _ETT + "ETTh1.csv",
        "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
        2589657,
    ),
}
"""The files by name. The Monash archive is CC BY 4.0, ETDataset CC BY-ND 4.0; see docs/benchmarks.md."""


def path_of(name: str, folder: Path | None = None) -> Path:
    """The path of a published file; its bytes are those that were published.

    It is looked for in `folder`, in `$FORECASTLAB_DATA/benchmarks` and in the cache, and downloaded otherwise; a series
    of `forecastlab.data.published` also where that is.

    Args:
        name: its key in `FILES`.
        folder: a folder that holds the files as `File.place` says; None for none.

    Raises:
        ConfigError: if there is no such folder.
        DataError: if the file cannot be had, or has other bytes: a figure would be about other data.
    """
    file = FILES[name]
    if folder is not None and not folder.is_dir():
        raise ConfigError(f"--data.path: there is no folder {folder}")
    given = None if folder is None else folder / file.place
    if given is None or not given.is_file():
        given = (
            published_path(name)
            if name in PUBLISHED
            else locate(f"benchmarks/{file.place}", file.url, file.sha256, file.size)
        )
    if checksum(given) != file.sha256:
        raise DataError(
            f"{given} is not the published file: expected the sha256 {file.sha256}.\n"
            f"Remove it, so that it is downloaded, or fetch it anew from {file.url}"
        )
    return given
