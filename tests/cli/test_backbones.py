import re

import pytest

from forecastlab.backbones.lstm import LSTM
from forecastlab.registry import registered_backbones


def table(text):
    """The lines of the table, by the name of the backbone: causal, parameters, what it is."""
    lines = [re.fullmatch(r"(\w+) +(yes|no) +([\d,]+)  (.+)", line) for line in text.splitlines()]
    return {match[1]: (match[2], int(match[3].replace(",", "")), match[4]) for match in lines if match}


def test_every_registered_backbone_is_listed_in_order(cli):
    answer = cli("backbones")
    assert (answer.status, answer.err) == (0, "")
    assert list(table(answer.out)) == list(registered_backbones())


def test_an_lstm_is_described(cli):
    causal, parameters, text = table(cli("backbones").out)["LSTM"]
    assert (causal, parameters) == ("yes", 4 * 64 * (72 + 64 + 2))
    assert text == f"Long short-term memory: a cell state that gates write to, erase and read. [{LSTM.source}]"


def test_what_sees_the_future_is_not_called_causal(cli):
    assert {name for name, (causal, _, _) in table(cli("backbones").out).items() if causal == "no"} == {"Bidirectional"}


def test_parameters_are_counted_at_the_given_width(cli):
    assert table(cli("backbones", "--input-size", 5).out)["GRU"][1] == 3 * 64 * (5 + 64 + 2)


@pytest.mark.parametrize("size", ["0", "-2", "x"])
def test_a_width_that_is_none_is_refused(cli, size):
    answer = cli("backbones", "--input-size", size)
    assert answer.status == 2
    assert "--input-size" in answer.err
    assert len(answer.err.splitlines()) <= 2


def test_an_unknown_option_is_refused(cli):
    answer = cli("backbones", "--inputsize", 3)
    assert answer.status == 2
    assert "unrecognized arguments: --inputsize" in answer.err
