"""What the command line says of data."""

import warnings

import pytest

from forecastlab.errors import ReadingNote
from forecastlab.experiment.environment import notes_once, prepare


@pytest.fixture
def say():
    """Warns of a text as reading does, when filters of warnings have changed, which makes Python forget."""

    def warn(text):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
        warnings.warn(text, ReadingNote, stacklevel=2)

    with warnings.catch_warnings():
        prepare()
        yield warn


def test_a_command_says_each_note_once(say, capsys):
    with notes_once():
        for text in ("sorted", "filled", "sorted", "sorted"):
            say(text)
    assert capsys.readouterr().err.splitlines() == ["forecastlab: note: sorted", "forecastlab: note: filled"]


def test_the_next_command_says_them_again(say, capsys):
    for _ in range(2):
        with notes_once():
            say("sorted")
    assert capsys.readouterr().err.count("note: sorted") == 2


def test_a_program_in_python_is_told_of_each_reading(say, capsys):
    say("sorted")
    say("sorted")
    assert capsys.readouterr().err.count("note: sorted") == 2
