import pandas as pd
import pytest
import yaml

from forecastlab.data.folds import Fold
from forecastlab.errors import DataError
from forecastlab.evaluation.results import CrossvalRun
from tests.evaluation.folders import LSTM, PERSISTENCE, edit, write_run


def refused(folder):
    with pytest.raises(DataError) as caught:
        CrossvalRun.load(folder)
    return str(caught.value)


def test_a_run_is_read_with_its_models_and_config(tmp_path):
    run = CrossvalRun.load(write_run(tmp_path))
    assert run.label == "lstm/version_0"
    assert run.networks == ["lstm"]
    assert run.baselines == ["persistence"]
    assert run.targets == ["T_PK"]
    assert run.unit == "°C"
    assert not run.optimistic
    assert run.notes == ()
    assert run.results["test/mse_scaled"].tolist() == [0.25, 0.5, 1.25, 1, 1, 2]
    assert run.results["seed"].tolist()[:4] == [0, 0, 1, 1]
    assert run.results["seed"].isna().tolist() == [False] * 4 + [True] * 2
    assert len(run.predictions) == 4 * 6
    assert run.predictions["ds"].iloc[0] == pd.Timestamp("2020-01-01")
    assert yaml.safe_load(run.config_text) == run.config


def test_a_run_outside_the_run_folders_is_called_by_its_experiment(tmp_path):
    folder = write_run(tmp_path)
    assert CrossvalRun.load(folder.rename(tmp_path / "elsewhere")).label == "lstm"


def test_an_epoch_chosen_on_the_test_rows_is_optimistic(tmp_path):
    assert CrossvalRun.load(write_run(tmp_path, validation="test")).optimistic


def test_curves_are_read_by_fold_and_seed(tmp_path):
    curves = CrossvalRun.load(write_run(tmp_path)).curves()
    assert sorted(curves) == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert curves[1, 0]["train/loss"].iloc[1] == 0.5
    assert curves[1, 0]["val/loss"].dropna().tolist() == pytest.approx([0.5, 0.3, 0.5])


def test_the_config_gives_the_folds(tmp_path):
    split = CrossvalRun.load(write_run(tmp_path)).split()
    # 12 rows in two splits: n = 4 and 8; a quarter of the 3 (7) training targets validates
    assert split == [
        Fold(range(1, 3), range(3, 4), range(4, 8), 4),
        Fold(range(1, 6), range(6, 8), range(8, 12), 8),
    ]


@pytest.mark.parametrize("args", [{"rows": None}, {"rows": 12, "reindex": True}, {"rows": 12, "splits": "many"}])
def test_folds_that_the_config_does_not_settle_are_none(tmp_path, args):
    changes = {"data": {"class_path": "OzoneDataModule", "init_args": args}}
    assert CrossvalRun.load(write_run(tmp_path, changes=changes)).split() is None


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    assert "no such folder" in refused(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["results.csv", "predictions.csv", "config.yaml"])
def test_a_folder_without_one_of_the_files_is_refused(tmp_path, name):
    folder = write_run(tmp_path)
    (folder / name).unlink()
    assert f"is not a finished crossval run: it has no {name}" in refused(folder)


@pytest.mark.parametrize(("name", "column"), [("results.csv", "test/mae"), ("predictions.csv", "cutoff")])
def test_a_missing_column_is_named(tmp_path, name, column):
    folder = write_run(tmp_path)
    edit(folder / name, lambda table: table.drop(columns=column))
    assert f"has no column {column}" in refused(folder)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00broken", b'model,fold\n"a,1\n', b"\n\n"])
def test_a_damaged_table_is_refused(tmp_path, content):
    folder = write_run(tmp_path)
    (folder / "results.csv").write_bytes(content)
    assert "results.csv" in refused(folder)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a: [1", b"- a list", b""])
def test_a_damaged_config_is_refused(tmp_path, content):
    folder = write_run(tmp_path)
    (folder / "config.yaml").write_bytes(content)
    assert "config.yaml" in refused(folder)


def test_a_table_without_rows_is_refused(tmp_path):
    folder = write_run(tmp_path)
    edit(folder / "results.csv", lambda table: table.iloc[:0])
    assert "no fold has finished" in refused(folder)


def test_what_is_no_number_is_refused_with_its_line(tmp_path):
    folder = write_run(tmp_path)
    edit(folder / "results.csv", lambda table: table.assign(**{"test/mae": ["1", "x", *table["test/mae"][2:]]}))
    assert "line 3: test/mae is 'x', not a number" in refused(folder)


@pytest.mark.parametrize(("column", "value"), [("fold", "1.5"), ("fold", ""), ("seed", "0.5"), ("model", "")])
def test_a_fold_or_seed_that_is_not_whole_is_refused(tmp_path, column, value):
    folder = write_run(tmp_path)
    edit(folder / "results.csv", lambda table: table.assign(**{column: [value, *table[column][1:]]}))
    assert "line 2: expected a model, the whole number of a fold" in refused(folder)


def test_what_is_no_time_is_refused(tmp_path):
    folder = write_run(tmp_path)
    edit(folder / "predictions.csv", lambda table: table.assign(ds="soon"))
    assert "ds holds what is not a time" in refused(folder)


def test_a_result_that_is_there_twice_is_refused(tmp_path):
    folder = write_run(tmp_path)
    edit(folder / "results.csv", lambda table: pd.concat([table, table.iloc[:1]]))
    assert "has lstm, fold 1, seed 0 twice" in refused(folder)


def test_a_prediction_that_is_there_twice_is_refused(tmp_path):
    folder = write_run(tmp_path)
    edit(folder / "predictions.csv", lambda table: pd.concat([table, table.iloc[:1]]))
    assert "has lstm, fold 1, 2020-01-01" in refused(folder)


def test_a_result_without_predictions_is_refused(tmp_path):
    folder = write_run(tmp_path)
    edit(folder / "predictions.csv", lambda table: table[(table["fold"] != "2") | (table["seed"] != "1")])
    assert "has no predictions of lstm, fold 2, seed 1" in refused(folder)


def test_tables_of_different_runs_are_refused(tmp_path):
    folder = write_run(tmp_path)
    other = write_run(tmp_path / "other", networks={seed: {1: [9] * 4, 2: [9] * 4} for seed in LSTM})
    (folder / "predictions.csv").write_bytes((other / "predictions.csv").read_bytes())
    assert "gives lstm, fold 1 a mean absolute error of 1, but its rows in predictions.csv have 9" in refused(folder)


def test_a_forecast_that_is_not_finite_is_refused_where_the_error_is(tmp_path):
    folder = write_run(tmp_path)
    edit(folder / "predictions.csv", lambda table: table.assign(forecast=["", *table["forecast"][1:]]))
    assert "is not finite" in refused(folder)


def test_predictions_without_a_known_truth_are_left_out(tmp_path):
    folder = write_run(tmp_path)

    def without_truth(table):
        beyond = table.iloc[:1].assign(ds="2021-01-01", y="", forecast="99")
        return pd.concat([table, beyond])

    edit(folder / "predictions.csv", without_truth)
    assert len(CrossvalRun.load(folder).predictions) == 4 * 6


def test_an_unfinished_fold_is_left_out_and_named(tmp_path):
    networks = {0: LSTM[0], 1: {1: LSTM[1][1]}}
    run = CrossvalRun.load(write_run(tmp_path, networks=networks))
    assert run.notes == ("lstm/version_0: unfinished, and left out: fold 2 seed 1",)


def test_a_fold_that_was_begun_is_known_by_its_folder(tmp_path):
    folder = write_run(tmp_path)
    (folder / "fold_2" / "seed_7").mkdir()
    assert CrossvalRun.load(folder).notes == ("lstm/version_0: unfinished, and left out: fold 2 seed 7",)


def test_folds_that_were_not_run_are_named(tmp_path):
    networks = {0: {1: LSTM[0][1]}}
    run = CrossvalRun.load(write_run(tmp_path, networks=networks, baselines={"persistence": {1: PERSISTENCE[1]}}))
    assert run.notes == ("lstm/version_0: fold 2 of 2 not run",)


def test_a_fold_that_diverged_is_left_out_and_named(tmp_path):
    folder = write_run(tmp_path)
    edit(
        folder / "results.csv",
        lambda table: table.assign(
            **{name: ["inf", *table[name][1:]] for name in ("test/mse_scaled", "test/rmse", "test/mae")}
        ),
    )
    run = CrossvalRun.load(folder)
    assert run.notes == ("lstm/version_0: without a finite error, and left out: lstm in fold 1, seed 0",)
    assert len(run.results) == 5


def test_errors_in_units_of_training_rows_that_are_constant_are_infinite_and_no_divergence(tmp_path):
    folder = write_run(tmp_path)
    edit(folder / "results.csv", lambda table: table.assign(**{"test/mse_scaled": "inf", "test/mase": "inf"}))
    run = CrossvalRun.load(folder)
    assert run.notes == ()
    assert len(run.results) == 6


def test_folds_by_cutoffs_are_counted_by_them(tmp_path):
    cutoffs = {"cutoffs": ["2020-01-01", "2020-01-05"], "splits": 5}
    folder = write_run(tmp_path, changes={"data": {"class_path": "TableDataModule", "init_args": cutoffs}})
    assert CrossvalRun.load(folder).notes == ()


def test_columns_that_only_some_models_have_do_not_disturb(tmp_path):
    folder = write_run(tmp_path)
    edit(folder / "results.csv", lambda table: table.assign(**{"test/coverage": ["0.9"] * 4 + [""] * 2}))
    edit(folder / "predictions.csv", lambda table: table.assign(**{"forecast-lo-90": "1", "forecast-hi-90": ""}))
    run = CrossvalRun.load(folder)
    assert run.notes == ()
    assert len(run.predictions) == 4 * 6
