import io

import pytest

from forecastlab.runs.live_line import LiveLine, duration, fitting


class Clock:
    """A clock that a test sets."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_pipe_gets_a_line_every_half_minute_however_short_the_steps_are():
    clock, stream = Clock(), io.StringIO()
    line = LiveLine(stream, clock)
    for second in range(100):
        clock.now = float(second)
        if line.due:
            line.show([f"second {second}"])
    line.end()
    assert stream.getvalue() == "second 30\nsecond 60\nsecond 90\n"


def test_a_terminal_is_shown_a_line_at_once_that_changes_in_place_and_is_wiped():
    clock, stream = Clock(), Terminal()
    line = LiveLine(stream, clock)
    assert line.due
    line.show(["a long line"])
    assert not line.due
    clock.now = 0.3
    assert line.due
    line.show(["short"])
    line.end()
    line.end()  # nothing is left to end
    assert stream.getvalue() == "\ra long line\rshort      \n"


def test_a_line_that_is_too_long_for_the_terminal_leaves_out_the_least_important(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    stream = Terminal()
    LiveLine(stream, Clock()).show(["epoch 3", "40 s left", "lr 0.001"])
    assert stream.getvalue() == "\repoch 3  40 s left"


def test_a_pipe_is_given_the_whole_line_without_empty_parts(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    stream = io.StringIO()
    LiveLine(stream, Clock()).show(["epoch 3", "", "40 s left", "lr 0.001"])
    assert stream.getvalue() == "epoch 3  40 s left  lr 0.001\n"


@pytest.mark.parametrize(
    ("parts", "columns", "line"),
    [
        (["ab", "cd"], 7, "ab  cd"),
        (["ab", "cd"], 6, "ab"),  # a full line would be broken
        (["abcdef"], 4, "abc"),
        ([], 10, ""),
    ],
)
def test_as_many_parts_are_shown_as_fit(parts, columns, line):
    assert fitting(parts, columns) == line


def test_durations_are_in_a_unit_that_suits_them():
    spans = [0.2, 40, 89, 90, 3600, 5400, 86400, 4 * 86400, -3]
    assert list(map(duration, spans)) == [
        *("0 s", "40 s", "89 s", "2 min", "60 min", "1.5 h", "24.0 h", "4 days", "0 s")
    ]  # fmt: skip
