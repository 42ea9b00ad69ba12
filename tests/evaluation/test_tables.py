import csv
import io

import pytest

from forecastlab.evaluation.comparison import Comparison
from forecastlab.evaluation.results import CrossvalRun
from forecastlab.evaluation.tables import Column, Table, fold_table, headline_table, metric_table
from tests.evaluation.folders import LSTM, PERSISTENCE, edit, write_run

SMALL = Table(
    "A table",
    (
        Column("name", ("a", "b_1")),
        Column("error", (0.12344, 0.5), best="lowest"),
        Column("skill", (-0.5, None), digits=1, best="highest"),
        Column("count", (1200, 3), only_csv=True),
    ),
    ("One note.",),
)


def compare(*folders):
    return Comparison.of([CrossvalRun.load(folder) for folder in folders])


def column(table, header):
    return next(column.values for column in table.columns if column.header == header)


def test_plain_text_is_aligned_and_marks_the_best():
    assert SMALL.to_text() == (
        "A table\n"
        "\n"
        "name   error   skill\n"
        "----  -------  -----\n"
        "a     0.1234*   -0.5\n"
        "b_1   0.5000\n"
        "\n"
        "* best of the column\n"
        "One note.\n"
    )


def test_csv_holds_everything_in_full_and_unmarked():
    assert SMALL.to_csv() == "name,error,skill,count\na,0.12344,-0.5,1200\nb_1,0.5,,3\n"


def test_markdown_is_a_table_with_the_best_in_bold():
    assert SMALL.to_markdown() == (
        "**A table**\n"
        "\n"
        "| name | error | skill |\n"
        "| :--- | ---: | ---: |\n"
        "| a | **0.1234** | -0.5 |\n"
        "| b\\_1 | 0.5000 |  |\n"
        "\n"
        "- One note.\n"
    )


def test_latex_is_a_table_with_the_best_in_bold():
    assert SMALL.to_latex() == (
        "\\begin{table}\n"
        "  \\centering\n"
        "  \\caption{A table}\n"
        "  \\begin{tabular}{lrr}\n"
        "    \\toprule\n"
        "    name & error & skill \\\\\n"
        "    \\midrule\n"
        "    a & \\textbf{0.1234} & $-$0.5 \\\\\n"
        "    b\\_1 & 0.5000 &  \\\\\n"
        "    \\bottomrule\n"
        "  \\end{tabular}\n"
        "  \\par\\footnotesize One note.\n"
        "\\end{table}\n"
    )


def test_names_are_escaped_in_each_format():
    table = Table(r"T_{x} & 5 % of \a", (Column("m", ("a|b<i>*c*", "ESC\x1b[31m\nline")),))
    assert "a\\|b\\<i\\>\\*c\\*" in table.to_markdown()
    assert r"\caption{T\_\{x\} \& 5 \% of \textbackslash{}a}" in table.to_latex()
    assert r"a|b\textless{}i\textgreater{}*c*" in table.to_latex()
    assert "ESC?[31m?line" in table.to_text()
    assert len(table.to_markdown().splitlines()) == 6


def test_values_that_look_equal_are_both_the_best():
    assert Column("error", (0.12341, 0.12344, 0.2), best="lowest").marked == [True, True, False]


def test_a_lone_value_is_not_the_best():
    assert Column("error", (0.1, None), best="lowest").marked == [False, False]


def test_not_a_number_is_an_empty_cell():
    assert Column("error", (float("nan"), 0.1)).cells == ["", "0.1000"]


def test_a_flag_is_shown_but_not_in_csv():
    table = Table("T", (Column("m", ("a", "b"), flags=("†", "")),))
    assert "a †" in table.to_text()
    assert "†" not in table.to_csv()


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="equally long"):
        Table("T", (Column("a", (1, 2)), Column("b", (1,))))


def test_a_long_note_is_wrapped_for_a_terminal():
    lines = Table("T", (Column("a", (1,)),), ("word " * 60,)).to_text().splitlines()
    assert max(map(len, lines)) <= 100


def test_the_fold_table_is_worked_out_by_hand(tmp_path):
    table = fold_table(compare(write_run(tmp_path)))
    assert column(table, "model") == ("lstm", "persistence")
    assert column(table, "fold 1") == (0.75, 1.0)  # seeds 0.25 and 1.25
    assert column(table, "fold 2") == (0.75, 2.0)  # seeds 0.5 and 1
    assert column(table, "mean") == (0.75, 1.5)
    # means of the seeds over the folds: 0.375 and 1.125, apart by 0.75
    assert column(table, "sd seeds") == (pytest.approx(0.75 / 2**0.5), None)
    assert column(table, "sd folds") == (0.0, pytest.approx(1 / 2**0.5))
    # skills 0.75, -0.25 (fold 1) and 0.75, 0.5 (fold 2)
    assert column(table, "skill") == (pytest.approx((0.25 + 0.625) / 2), 0.0)
    assert table.notes == ()


def test_the_printed_fold_table_is_the_expected_text(tmp_path):
    assert fold_table(compare(write_run(tmp_path))).to_text() == (
        "Test MSE divided by the training variance\n"
        "\n"
        "model        fold 1   fold 2     mean   sd seeds  sd folds  skill\n"
        "-----------  -------  -------  -------  --------  --------  ------\n"
        "lstm         0.7500*  0.7500*  0.7500*    0.5303    0.0000  0.438*\n"
        "persistence  1.0000   2.0000   1.5000               0.7071  0.000\n"
        "\n"
        "* best of the column\n"
    )


def test_the_fold_table_of_absolute_errors_has_their_unit(tmp_path):
    table = fold_table(compare(write_run(tmp_path)), "mae")
    assert table.title == "Test mean absolute error (°C)"
    assert column(table, "fold 1") == (1.5, 2.0)
    assert column(table, "mean") == (1.75, 3.0)


def test_one_seed_and_one_fold_have_no_spread(tmp_path):
    run = write_run(tmp_path, networks={0: {1: LSTM[0][1]}}, baselines={"persistence": {1: PERSISTENCE[1]}})
    headers = [column.header for column in fold_table(compare(run)).columns]
    assert "sd seeds" not in headers
    assert "sd folds" not in headers


def test_the_protocol_is_said_wherever_the_test_rows_chose_the_epoch(tmp_path):
    peeked = write_run(tmp_path, "peeked", validation="test", networks={0: LSTM[0]})
    table = fold_table(compare(write_run(tmp_path), peeked))
    for text in (table.to_text(), table.to_markdown()):
        assert "peeked †" in text
        assert "lstm †" not in text
        assert (
            "† best test epoch, optimistic: peeked kept the epoch with the lowest error on the test rows"
            in " ".join(text.split())
        )
    assert r"peeked \dag{}" in table.to_latex()
    assert r"\dag{} best test epoch, optimistic" in table.to_latex()
    rows = {row["model"]: row for row in csv.DictReader(io.StringIO(table.to_csv()))}
    assert rows["peeked"]["protocol"] == "best test epoch, optimistic"
    assert rows["peeked"]["epoch_chosen_on"] == "test"
    assert (rows["lstm"]["protocol"], rows["lstm"]["epoch_chosen_on"]) == ("", "validation tail")
    assert (rows["persistence"]["protocol"], rows["persistence"]["seeds"]) == ("", "")
    assert rows["lstm"]["seeds"] == "2"


def test_what_is_missing_is_said_below_the_table(tmp_path):
    folder = write_run(tmp_path)
    (folder / "fold_2" / "seed_9").mkdir()
    assert "unfinished, and left out: fold 2 seed 9" in fold_table(compare(folder)).to_text()


def test_the_metric_table_holds_means_over_seeds_and_folds(tmp_path):
    table = metric_table(compare(write_run(tmp_path)))
    assert column(table, "mse_scaled") == (0.75, 1.5)
    assert column(table, "mae") == (1.75, 3.0)
    assert column(table, "rmse") == (pytest.approx((1 + 5**0.5 + 2 + 8**0.5) / 4), 3.0)
    assert column(table, "mase") == (0.875, 1.5)
    assert column(table, "best epoch") == (3.5, None)
    assert column(table, "epochs") == (6.0, None)
    assert column(table, "seconds") == (1.5, None)


def test_intervals_are_in_the_metric_table_where_a_model_has_them(tmp_path):
    plain = write_run(tmp_path, "gru")
    assert {"coverage", "winkler"}.isdisjoint(part.header for part in metric_table(compare(plain)).columns)
    folder = write_run(tmp_path)
    added = {"test/coverage": ["0.8", "0.9", "1", "1", "", ""], "test/winkler": ["8", "9", "10", "13", "", ""]}
    edit(folder / "results.csv", lambda table: table.assign(**added))
    table = metric_table(compare(folder, plain))
    rows = dict(zip(column(table, "model"), column(table, "coverage"), strict=True))
    assert rows == {"lstm": pytest.approx((0.9 + 0.95) / 2), "gru": None, "persistence": None}
    assert column(table, "winkler")[column(table, "model").index("lstm")] == 10
    assert "0.9250" in table.to_text()


def test_the_headline_is_narrow(tmp_path):
    table = headline_table(compare(write_run(tmp_path)))
    assert [column.header for column in table.shown] == ["model", "mean", "sd seeds", "skill"]
