import multiprocessing
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecastlab.errors import DataError
from forecastlab.runs.metrics_file import MetricsFile, metrics_table, read_metrics

WHOLE = "step,epoch,train/loss,val/loss\n9,0.0,0.25,\n19,1.0,0.125,3e-05\n"
ROWS = {9: {"epoch": "0.0", "train/loss": "0.25"}, 19: {"epoch": "1.0", "train/loss": "0.125", "val/loss": "3e-05"}}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.csv"


@pytest.mark.parametrize(
    "content",
    [
        WHOLE.encode(),
        b"\xef\xbb\xbf" + WHOLE.encode(),
        WHOLE.replace(",", ";").encode(),
        WHOLE.replace(",", ";").replace(".", ",").encode(),
        WHOLE.replace(",", "\t").replace(".", ",").replace("\n", "\r\n").encode("utf-16"),
        WHOLE.replace("\n", "\r\n").encode(),
        WHOLE.replace("step,epoch", '"step","epoch"').replace("9,0.0", "9.0, 0.0").encode(),
        (WHOLE + ",,,\n").encode(),
        b"epoch,step,val/loss,train/loss\n0.0,9,,0.25\n1.0,19,3e-05,0.125\n",
    ],
    ids=["as written", "mark", "semicolons", "decimal commas", "utf-16", "crlf", "quotes", "empty row", "order"],
)
def test_what_a_spreadsheet_makes_of_it_is_read_and_gone_on_with(path, capsys, content):
    path.write_bytes(content)
    rows = read_metrics(path)
    assert {step: {name: float(cell) for name, cell in row.items()} for step, row in rows.items()} == {
        step: {name: float(cell) for name, cell in row.items()} for step, row in ROWS.items()
    }
    MetricsFile(path).write({29: {"train/loss": 0.5}})
    assert metrics_table(path)["train/loss"].tolist() == [0.25, 0.125, 0.5]
    assert path.read_text().startswith("step,epoch,train/loss,val/loss\n9,")
    assert capsys.readouterr().err == ""
    assert [found.name for found in path.parent.iterdir()] == ["metrics.csv"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe\x00", "is damaged"),
        (b"\0\0\n", "its first line names no column step"),
        (b"a;b\n1;2\n", "its first line names no column step"),
        (b"step,a,a\n1,2,3\n", "that of another one"),
        (WHOLE.replace("0.25", "Jan 25").encode(), "line 2: expected 4 numbers"),
        (WHOLE.replace("0.25", "0.25,7").encode(), "line 2: expected 4 numbers"),
        (WHOLE.replace("19", "1.5").encode(), "line 3: step is not a whole number"),
        (WHOLE.replace("19,1", ",1").encode(), "line 3: step is not a whole number"),
        (b"step;a;b\n1;1.234;5,5\n", "numbers with commas and numbers with points"),
    ],
)
def test_a_damaged_file_is_put_aside_by_name_and_the_run_goes_on(path, capsys, content, said):
    for name in ("metrics.csv.damaged", "metrics.csv.damaged-1"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=said):
            metrics_table(path)
        MetricsFile(path).write({7: {"val/loss": 0.5}})
        assert (path.parent / name).read_bytes() == content
        assert path.read_text() == "step,epoch,val/loss\n7,,0.5\n"
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{path}" in line
        assert said in line
        assert name in line


@given(content=st.binary(max_size=60) | st.text('step,;\n\t 0123456789.-einaf_"\r', max_size=60).map(str.encode))
@settings(max_examples=200)
def test_any_bytes_are_read_or_put_aside(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "metrics.csv"
    path.write_bytes(content)
    MetricsFile(path).write({7: {"val/loss": 0.5}})
    table = metrics_table(path)
    assert table.loc[table["step"] == 7, "val/loss"].tolist() == [0.5]


@given(
    order=st.permutations(["a", "b", "c"]),
    cuts=st.sets(st.integers(1, 5)),
    resumed=st.integers(0, 5),
)
@settings(max_examples=60)
def test_the_file_does_not_depend_on_when_it_was_written(tmp_path_factory, order, cuts, resumed):
    """Each step logs another set of names; the writes are cut anywhere, and one session is killed and resumed."""
    steps = {step: {"epoch": step, **dict.fromkeys(order[: 1 + step % 3], step / 3)} for step in range(6)}
    folder = tmp_path_factory.mktemp("order")
    whole = MetricsFile(folder / "whole.csv")
    whole.write(steps)
    parts = MetricsFile(folder / "parts.csv")
    for first, stop in zip([0, *sorted(cuts)], [*sorted(cuts), 6], strict=True):
        parts.write({step: steps[step] for step in range(first, stop)})
    again = MetricsFile(folder / "parts.csv", resumed)
    for step in range(resumed, 6):
        again.write({step: dict(reversed(steps[step].items()))})
    text = (folder / "whole.csv").read_text()
    assert (folder / "parts.csv").read_text() == text
    assert text.splitlines()[0] == "step,epoch,a,b,c"


def test_a_column_that_another_process_adds_does_not_end_the_writer(path):
    writer = MetricsFile(path)
    writer.write({0: {"epoch": 0, "train/loss": 3.0}})
    MetricsFile(path).write({0: {"test/mae": 1.5}})
    writer.write({1: {"epoch": 1, "train/loss": 2.0}})
    writer.write({2: {"epoch": 2, "train/loss": 1.0, "val/loss": 0.5}})
    assert path.read_text() == ("step,epoch,test/mae,train/loss,val/loss\n0,0,1.5,3.0,\n1,1,,2.0,\n2,2,,1.0,0.5\n")


def test_a_file_that_is_saved_by_a_spreadsheet_while_it_is_written_is_gone_on_with(path):
    writer = MetricsFile(path)
    writer.write({0: {"epoch": 0, "train/loss": 3.5}})
    path.write_text(path.read_text().replace(",", ";").replace(".", ","))
    writer.write({1: {"epoch": 1, "train/loss": 2.5}})
    assert path.read_text() == "step,epoch,train/loss\n0,0,3.5\n1,1,2.5\n"


def _test_often(path):
    for number in random.Random(0).sample(range(100), 40):
        MetricsFile(path).write({number: {"test/mae": float(number)}})


def test_nothing_is_lost_between_a_training_and_its_tests(path):
    writer = MetricsFile(path)
    writer.write({0: {"train/loss": 0.0}})
    testing = multiprocessing.get_context("fork").Process(target=_test_often, args=(path,))
    testing.start()
    for step in range(1, 100):
        writer.write({step: {"train/loss": float(step)}})
    testing.join()
    table = metrics_table(path)
    assert table["step"].tolist() == list(range(100))
    assert table["train/loss"].tolist() == table["step"].tolist()
    tested = table["test/mae"].notna()
    assert tested.sum() == 40
    np.testing.assert_array_equal(table.loc[tested, "test/mae"], table.loc[tested, "step"])


def test_what_a_full_disk_cut_off_is_written_once_when_there_is_room(path, monkeypatch):
    writer = MetricsFile(path)
    writer.write({0: {"train/loss": 0.0}})
    rows = {step: {"train/loss": float(step)} for step in (1, 2, 3)}

    def half(self, rows):
        with self.path.open("a") as file:
            file.write("1,,1.0\n2,,")
        self._left = None
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(MetricsFile, "_append", half)
        with pytest.raises(OSError, match="No space"):
            writer.write(rows)
    writer.write(rows)
    assert path.read_text() == "step,epoch,train/loss\n0,,0.0\n1,,1.0\n2,,2.0\n3,,3.0\n"
