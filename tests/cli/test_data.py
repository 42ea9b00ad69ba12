import numpy as np
import pytest
from sklearn.model_selection import TimeSeriesSplit

from forecastlab.data.sample import sample_ozone
from tests.cli.commands import CONFIG

SAMPLE = "--data.source=sample"


@pytest.mark.real
def test_the_real_file_is_described_as_it_is(cli, real_ozone):
    answer = cli("data", f"--data.path={real_ozone}", "--data.lookback=full", "--data.validation=test")
    assert (answer.status, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[1].startswith("rows        1500 (1998-01-01 .. 2002-02-21")
    assert "columns     72: 72 features, target T_PK" in lines
    assert "gaps        4, 13 missing steps" in lines
    assert any(line.startswith("missing     2537 values in 296 rows") for line in lines)
    assert any(line.endswith("T_PK: none") for line in lines)
    assert "  1           1..250, 250..500, 250..500" in answer.out
    assert "  5           1..1250, 1250..1500, 1250..1500" in answer.out


@pytest.mark.real
def test_all_rows_of_the_real_file_are_described_when_asked_for(cli, real_ozone):
    answer = cli("data", f"--data.path={real_ozone}", "--data.rows=null")
    assert "rows        2534 (1998-01-01 .. 2004-12-31" in answer.out


def test_the_sample_is_described_as_it_is(cli):
    answer = cli("data", SAMPLE, "--data.lookback=full")
    assert (answer.status, answer.err) == (0, "")
    raw = sample_ozone(1500).drop(columns="class")
    missing = raw.isna()
    assert f"missing     {missing.to_numpy().sum()} values in {missing.any(axis=1).sum()} rows" in answer.out
    days = np.diff(raw.index) // np.timedelta64(1, "D")
    assert f"gaps        {(days > 1).sum()}, {(days - 1).sum()} missing steps" in answer.out
    for at in np.flatnonzero(days > 1):
        assert f"{raw.index[at]:%Y-%m-%d} .. {raw.index[at + 1]:%Y-%m-%d}" in answer.out
    for number, (train, test) in enumerate(TimeSeriesSplit(5).split(raw), start=1):
        line = next(line for line in answer.out.splitlines() if line.startswith(f"  {number} "))
        assert f"..{len(train)}, {test[0]}..{test[-1] + 1}  (test from {raw.index[test[0]]:%Y-%m-%d})" in line


def test_missing_days_become_rows_when_asked_for(cli):
    answer = cli("data", SAMPLE, "--data.reindex=true")
    assert "rows        1513 " in answer.out
    assert "gaps        0, 0 missing steps" in answer.out
    assert "T_PK: 13" in answer.out


def test_the_data_part_of_a_config_is_read_and_options_win(cli, tmp_path):
    (tmp_path / "tiny.yaml").write_text(CONFIG.replace("lookback: 4", "rows: 60, lookback: 4"))
    assert "rows        60 " in cli("data", "--config", tmp_path / "tiny.yaml").out
    assert "rows        70 " in cli("data", "-c", tmp_path / "tiny.yaml", "--data.rows=70").out


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--data.source=sampel"], "data.source: expected 'uci', 'sample', got sampel"),
        ([SAMPLE, "--data.fold_size=3"], "OzoneDataModule has no argument 'fold_size'"),
        ([SAMPLE, "--data.splits=1"], "splits must be"),
        ([SAMPLE, "--data.rows=3"], "rows"),
        (["--data=Ozone"], "unknown ForecastDataModule 'Ozone'; did you mean OzoneDataModule?"),
        (["--date.rows=3"], "unknown option --date.rows"),
        (["--config=/nowhere.yaml"], "cannot read the config /nowhere.yaml: No such file or directory"),
        (["--data.path=/nowhere/eighthr.data"], "/nowhere/eighthr.data: there is no such file"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_wrong_options_are_refused(cli, options, expected):
    answer = cli("data", *options)
    assert (answer.status, answer.out) == (2, "")
    assert expected in answer.err
    assert len(answer.err.splitlines()) <= 10
