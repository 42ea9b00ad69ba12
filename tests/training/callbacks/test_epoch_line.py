import io
import sys

import forecastlab
from tests.models.series import FEW, days


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, stream, **settings):
    """What a training of two epochs writes to a stream."""
    monkeypatch.setattr(sys, "stdout", stream)
    forecastlab.fit(days(120), "y", 3, settings={**FEW, **settings})
    return stream.getvalue()


def test_a_terminal_shows_the_last_epoch_with_its_losses_and_the_best(monkeypatch):
    written = shown(monkeypatch, Terminal())
    last = written.split("\r")[-1]
    assert last.startswith("epoch 1 of at most 2  train/loss ")
    assert "  val/loss " in last
    assert "best " in last
    assert last.endswith("\n")
    assert written.count("\n") == 1  # the line changes in place


def test_a_pipe_is_not_written_to(monkeypatch):
    assert shown(monkeypatch, io.StringIO()) == ""


def test_a_notebook_is_shown_the_line(monkeypatch):
    notebook = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})
    assert "epoch 1 of at most 2" in shown(monkeypatch, notebook())


def test_it_can_be_switched_off(monkeypatch):
    assert shown(monkeypatch, Terminal(), **{"trainer.enable_progress_bar": False}) == ""
