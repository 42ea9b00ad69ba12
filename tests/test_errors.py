import shlex

import pytest

from forecastlab.errors import as_typed, did_you_mean, similar_file


def test_a_similar_name_is_suggested_whatever_its_case():
    assert did_you_mean("Temprature", ["day", "temperature"]) == "; did you mean temperature?"
    assert did_you_mean("Y", ["ds", "y"]) == "; did you mean y?"
    assert did_you_mean("price", ["ds", "y"]) == ""


def test_a_file_of_a_similar_name_in_the_same_folder_is_suggested(tmp_path):
    for name in ("sales.csv", "weather.csv"):
        (tmp_path / name).touch()
    assert similar_file(tmp_path / "slaes.csv") == f"; did you mean {tmp_path / 'sales.csv'}?"
    assert similar_file(tmp_path / "energy.parquet") == ""


def test_a_folder_that_is_not_there_or_a_name_that_cannot_be_suggests_nothing(tmp_path):
    assert similar_file(tmp_path / "nowhere" / "sales.csv") == ""
    assert similar_file("a\0b/c.csv") == ""


@pytest.mark.parametrize(
    ("word", "typed"),
    [
        ("sales/version_0/best.ckpt", "sales/version_0/best.ckpt"),
        ("a\\b", "'a\\b'"),
        ("größe=3", "größe=3"),
        ("Umsatz 2023.yaml", '"Umsatz 2023.yaml"'),
        ("it's", '"it\'s"'),
        ("a;b", '"a;b"'),
        ("", '""'),
        ("$HOME x", "'$HOME x'"),
    ],
)
def test_a_word_of_a_command_is_quoted_where_a_shell_would_part_it(word, typed):
    assert as_typed(word) == typed
    assert shlex.split(typed) == [word]
