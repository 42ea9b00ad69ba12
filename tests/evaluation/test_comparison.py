import pandas as pd
import pytest

from forecastlab.errors import ConfigError, DataError
from forecastlab.evaluation.comparison import Comparison
from forecastlab.evaluation.pictures import best_network
from forecastlab.evaluation.results import CrossvalRun
from forecastlab.evaluation.series_tables import series_table
from forecastlab.evaluation.significance import paired_difference
from forecastlab.evaluation.tables import fold_table
from tests.evaluation.folders import LSTM, PERSISTENCE, edit, rows, write_run

GRU = {0: {1: [0, 0, 0, 4], 2: [2, -2, 2, -2]}}  # squared 4 and 4, absolute 1 and 2
RIDGE = {1: [1, 1, 1, 1], 2: [2, 2, 2, 2]}


def compare(*folders):
    return Comparison.of([CrossvalRun.load(folder) for folder in folders])


def names(comparison):
    return [model.name for model in comparison.models]


def drop_first_days(folder, count):
    """Takes the first days of each fold from the predictions of a run, and corrects the errors it states."""
    kept = [f"2020-01-0{day}" for day in range(1 + count, 5)] + [f"2020-01-0{day}" for day in range(5 + count, 9)]
    edit(folder / "predictions.csv", lambda table: table[table["ds"].isin(kept)])
    table = pd.read_csv(folder / "predictions.csv")
    error = (table["forecast"] - table["y"]).groupby([table["model"], table["fold"], table["seed"].fillna(-1)])
    results = pd.read_csv(folder / "results.csv")
    at = pd.MultiIndex.from_arrays([results["model"], results["fold"], results["seed"].fillna(-1)])
    mse = error.agg(lambda part: (part**2).mean()).reindex(at).to_numpy()
    variance = results["test/rmse"] ** 2 / results["test/mse_scaled"]
    results["test/mae"] = error.agg(lambda part: part.abs().mean()).reindex(at).to_numpy()
    results["test/mase"] = results["test/mae"] / 2
    results["test/rmse"] = mse**0.5
    results["test/mse_scaled"] = mse / variance
    results.astype({"seed": "Int64"}).to_csv(folder / "results.csv", index=False)


def test_a_baseline_of_several_runs_appears_once(tmp_path):
    comparison = compare(write_run(tmp_path), write_run(tmp_path, "gru", networks=GRU))
    assert names(comparison) == ["lstm", "gru", "persistence"]
    assert comparison.notes == ()
    assert comparison.folds == (1, 2)


def test_folds_hold_the_mean_over_the_seeds(tmp_path):
    comparison = compare(write_run(tmp_path), write_run(tmp_path, "gru", networks=GRU))
    assert comparison.by_fold("mse_scaled").loc["lstm"].tolist() == [0.75, 0.75]  # (0.25 + 1.25) / 2, (0.5 + 1) / 2
    assert comparison.by_fold("mse_scaled").loc["gru"].tolist() == [1, 0.5]
    assert comparison.by_fold("mae").loc["lstm"].tolist() == [1.5, 2]
    assert comparison.by_fold("best_epoch").loc["lstm"].tolist() == [3, 4]
    assert comparison.by_fold("seconds").loc["persistence"].isna().all()


def test_the_ranking_begins_with_the_lowest_mean(tmp_path):
    comparison = compare(
        write_run(tmp_path, baselines={"persistence": PERSISTENCE, "ridge": RIDGE}),
        write_run(tmp_path, "gru", networks=GRU),
    )
    # means 0.375; 0.75 of both networks, in the order given; 1.5. And absolute: 1.5, 1.5, 1.75, 3
    assert comparison.ranking("mse_scaled") == ["ridge", "lstm", "gru", "persistence"]
    assert comparison.ranking("mae") == ["gru", "ridge", "lstm", "persistence"]


def test_errors_are_per_row_and_averaged_over_the_seeds(tmp_path):
    comparison = compare(write_run(tmp_path))
    squared = comparison.errors("mse_scaled")
    assert squared.columns.tolist() == ["lstm", "persistence"]
    # fold 1, variance 4: errors 1, 1, -1, -1 and 1, -3, 1, -3
    assert squared["lstm"].tolist()[:4] == pytest.approx([0.25, 1.25, 0.25, 1.25])
    assert squared["persistence"].tolist() == pytest.approx([1] * 4 + [2] * 4)
    absolute = comparison.errors("mae")
    assert absolute["lstm"].tolist()[4:] == pytest.approx([1, 1, 3, 3])


def test_the_rows_mean_error_is_the_tables(tmp_path):
    comparison = compare(write_run(tmp_path), write_run(tmp_path, "gru", networks=GRU))
    for metric in ("mse_scaled", "mae"):
        by_row = comparison.errors(metric).groupby(level="fold").mean().T
        pd.testing.assert_frame_equal(
            by_row, comparison.by_fold(metric), check_names=False, check_column_type=False, check_index_type=False
        )


def test_equal_experiments_get_distinct_names(tmp_path):
    comparison = compare(write_run(tmp_path, version=0), write_run(tmp_path, version=3, networks={0: LSTM[1]}))
    assert names(comparison) == ["lstm/version_0", "lstm/version_3", "persistence"]
    assert comparison.by_fold("mae").loc["lstm/version_3"].tolist() == [2, 2]


def test_equal_experiments_and_versions_get_distinct_names(tmp_path):
    one, other = write_run(tmp_path / "one"), write_run(tmp_path / "other")
    assert names(compare(one, other)) == [f"lstm ({one})", f"lstm ({other})", "persistence"]


def test_a_network_called_like_a_baseline_gets_another_name(tmp_path):
    comparison = compare(write_run(tmp_path), write_run(tmp_path, "persistence", baselines={"ridge": RIDGE}))
    assert names(comparison) == ["lstm", "persistence/version_0", "persistence", "ridge"]


def test_a_run_given_twice_appears_once(tmp_path):
    folder = write_run(tmp_path)
    assert names(compare(folder, folder)) == ["lstm", "persistence"]


def test_baselines_of_one_name_that_differ_both_appear(tmp_path):
    one = write_run(tmp_path, baselines={"ridge": RIDGE})
    other = write_run(tmp_path, "gru", networks=GRU, baselines={"ridge": PERSISTENCE})
    assert names(compare(one, other)) == ["lstm", "gru", "ridge", "ridge (gru/version_0)"]


def test_rows_that_differ_are_scored_anew_on_the_common_ones(tmp_path):
    one = write_run(tmp_path)
    other = write_run(tmp_path, "gru", networks=GRU)
    drop_first_days(other, 1)
    comparison = compare(one, other)
    assert names(comparison) == ["lstm", "gru", "persistence"]
    assert comparison.notes == tuple(
        f"the test rows of fold {fold} differ between the models: all are scored on the 3 rows they have in common "
        "(of up to 4)"
        for fold in (1, 2)
    )
    scores = comparison.scores.set_index(["model", "fold", "seed"])
    seed0 = scores.loc[("lstm", 1, 0)]
    assert seed0["mse_scaled"] == pytest.approx(1 / 4)  # errors 1, -1, -1
    seed1 = scores.loc[("lstm", 1, 1)]  # errors -3, 1, -3
    assert seed1["mse_scaled"] == pytest.approx(19 / 3 / 4)
    assert seed1["mae"] == pytest.approx(7 / 3)
    assert seed1["rmse"] == pytest.approx((19 / 3) ** 0.5)
    assert seed1["mase"] == pytest.approx(7 / 3 / 2)
    assert seed1["skill"] == pytest.approx(1 - 19 / 3 / 4)  # persistence: -2, 2, -2
    assert comparison.by_fold("mse_scaled").loc["gru", 1] == pytest.approx(16 / 3 / 4)
    assert comparison.by_fold("mse_scaled").loc["persistence"].tolist() == pytest.approx([1, 2])


def test_different_training_rows_are_put_into_one_unit(tmp_path):
    comparison = compare(write_run(tmp_path), write_run(tmp_path, "gru", networks=GRU, variance={1: 2.0, 2: 8.0}))
    assert comparison.by_fold("mse_scaled").loc["gru"].tolist() == pytest.approx([1, 0.5])
    assert comparison.notes == (
        "the runs trained fold 1 on different rows: their scaled errors have different units, and are all put into "
        "that of lstm/version_0",
    )


def test_only_the_folds_that_all_have_are_compared(tmp_path):
    short = {0: {1: GRU[0][1]}}
    comparison = compare(write_run(tmp_path), write_run(tmp_path, "gru", networks=short))
    assert comparison.folds == (1,)
    assert "fold 2 is left out of the comparison: gru did not finish it" in comparison.notes
    assert set(comparison.rows["fold"]) == {1}


def test_runs_without_a_common_fold_are_refused(tmp_path):
    first = write_run(tmp_path, networks={0: {1: [1] * 4}}, baselines={})
    second = write_run(tmp_path, "gru", networks={0: {2: [1] * 4}}, baselines={})
    with pytest.raises(DataError, match="have no fold in common"):
        compare(first, second)


def test_runs_without_a_common_row_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"no test row of fold 1 in common.*2020-01-01 .. 2020-01-04.*2021-01-01"):
        compare(write_run(tmp_path), write_run(tmp_path, "gru", networks=GRU, first_day="2021-01-01"))


def test_runs_with_different_truths_are_refused(tmp_path):
    other = write_run(tmp_path, "gru", networks=GRU)

    def shift(table):
        return table.assign(**{name: table[name].astype(float) + 1 for name in ("y", "forecast")})

    edit(other / "predictions.csv", shift)
    with pytest.raises(DataError, match=r"disagree about the truth \(T_PK on 2020-01-01.* is 10 in one, 11 in another"):
        compare(write_run(tmp_path), other)


def test_a_network_with_fewer_seeds_in_a_fold_is_named(tmp_path):
    comparison = compare(write_run(tmp_path, networks={0: LSTM[0], 1: {1: LSTM[1][1]}}))
    assert "lstm does not have the same seeds in every fold (fold 1: 2, fold 2: 1)" in comparison.notes


def test_a_step_is_counted_in_rows_not_in_days(tmp_path):
    folder = write_run(tmp_path, networks={0: {1: [1] * 4}}, baselines={})
    # two origins, 1 and 2 January; the rows after them are 2 and 10 January, and 10 January alone
    table = rows("lstm", 1, 0, [1] * 3, "2020-01-01").assign(
        cutoff=["2020-01-01", "2020-01-01", "2020-01-02"], ds=["2020-01-02", "2020-01-10", "2020-01-10"]
    )
    table["y"] = [1.0, 2.0, 2.0]
    table["forecast"] = table["y"] + 1
    table.to_csv(folder / "predictions.csv", index=False)
    comparison = compare(folder)
    assert comparison.rows["step"].tolist() == [1, 2, 1]


def test_several_targets_keep_the_runs_own_scores(tmp_path):
    folder = write_run(tmp_path)

    def two_targets(table):
        return pd.concat([table, table.assign(target="WSR_PK")])

    edit(folder / "predictions.csv", two_targets)
    comparison = compare(folder)
    assert comparison.by_fold("mse_scaled").loc["lstm"].tolist() == [0.75, 0.75]
    assert comparison.unit == ""
    assert any("there are several targets" in note for note in comparison.notes)
    # the truth of a fold is 4 consecutive numbers, whose variance is 1.25
    assert comparison.errors("mse_scaled")["persistence"].iloc[0] == pytest.approx(4 / 1.25)


def with_two_series(folder):
    """Adds a series b, of ten times the truth and the errors, whose training rows had 100 times the variance."""

    def doubled(table):
        value = {name: (10 * table[name].astype(float)).astype(str) for name in ("y", "forecast")}
        return pd.concat([table.assign(unique_id="a"), table.assign(unique_id="b", **value)])

    def scored(table):
        factor = {"test/mae": 5.5, "test/rmse": 50.5**0.5}  # what is scaled stays what it was
        return table.assign(**{name: (table[name].astype(float) * by).astype(str) for name, by in factor.items()})

    edit(folder / "predictions.csv", doubled)
    edit(folder / "results.csv", scored)
    return folder


def test_scaled_errors_of_several_series_are_the_runs_own(tmp_path):
    comparison = compare(
        with_two_series(write_run(tmp_path)), with_two_series(write_run(tmp_path, "gru", networks=GRU))
    )
    assert comparison.by_fold("mse_scaled").loc["lstm"].tolist() == [0.75, 0.75]
    assert comparison.by_fold("mse_scaled").loc["gru"].tolist() == [1, 0.5]
    assert comparison.by_fold("mae").loc["gru"].tolist() == [5.5, 11]
    assert [note for note in comparison.notes if "there are several series" in note]
    # the truth of a fold is 4 consecutive numbers, whose variance is 1.25, and 125 times ten of them
    errors = comparison.errors("mse_scaled")["persistence"]
    for series in ("a", "b"):
        of_series = errors[errors.index.get_level_values("unique_id") == series]
        assert of_series.iloc[0] == pytest.approx(4 / 1.25)


def with_units(folder, variance):
    """States the units of series a and b; their seasonal errors are the deviations."""
    parts = [
        {"fold": fold, "unique_id": name, "target": "T_PK", "variance": value, "seasonal_error": value**0.5}
        for fold in (1, 2)
        for name, value in variance.items()
    ]
    table = pd.DataFrame(parts).assign(seasonal_squared_error=1.0)
    table.to_csv(folder / "units.csv", index=False)
    return folder


def test_the_difference_of_two_models_of_a_panel_is_in_the_unit_of_the_table(tmp_path):
    folder = with_units(with_two_series(write_run(tmp_path, baselines={"persistence": PERSISTENCE})), {"a": 4, "b": 80})

    def halved(table):  # of series b half of the rows: the series count the same
        return table[~((table["unique_id"] == "b") & table["ds"].str[-1].isin(["1", "2", "5", "6"]))]

    edit(folder / "predictions.csv", halved)
    predictions = pd.read_csv(folder / "predictions.csv")
    error = predictions["forecast"] - predictions["y"]
    keys = [predictions[key] for key in ("model", "fold", "unique_id")]
    keys.insert(2, predictions["seed"].fillna(-1))
    squared, absolute = (each.groupby(keys).mean().unstack() for each in (error**2, error.abs()))
    results = pd.read_csv(folder / "results.csv")
    at = pd.MultiIndex.from_frame(results[["model", "fold", "seed"]].fillna({"seed": -1}))
    results["test/mse_scaled"] = ((squared["a"] / 4 + squared["b"] / 80) / 2).reindex(at).to_numpy()
    results["test/mae"] = absolute.mean(axis=1).reindex(at).to_numpy()
    results["test/rmse"] = (squared**0.5).mean(axis=1).reindex(at).to_numpy()
    results.astype({"seed": "Int64"}).to_csv(folder / "results.csv", index=False)
    comparison = compare(folder)
    for metric in ("mse_scaled", "mae"):
        by_row = comparison.errors(metric).groupby(level="fold").mean().T
        table = comparison.by_fold(metric)
        assert by_row.to_numpy() == pytest.approx(table.to_numpy(), rel=1e-9)
        found = paired_difference(comparison, "lstm", "persistence", metric, resamples=50)
        wanted = (table.loc["lstm"] - table.loc["persistence"]).mean()
        assert found.mean == pytest.approx(wanted)
        assert found.low <= wanted <= found.high
    assert any(note.startswith("there are several series: every figure") for note in comparison.notes)


def test_a_series_without_a_unit_is_left_out_of_scaled_errors_and_named(tmp_path):
    folder = with_units(with_two_series(write_run(tmp_path)), {"a": 4, "b": 0, "gone": 3})
    edit(folder / "results.csv", lambda table: table.assign(**{"test/mse_scaled": "1"}))
    comparison = compare(folder)
    errors = comparison.errors("mse_scaled")
    assert set(errors.index.get_level_values("unique_id")) == {"a"}
    assert errors["persistence"].tolist() == pytest.approx([1] * 4 + [4] * 4)
    assert comparison.by_fold("mse_scaled").loc["persistence"].tolist() == pytest.approx([1, 4])
    assert any(note.startswith("folds 1, 2: b: left out of mse_scaled") for note in comparison.notes)
    assert any(note.startswith("folds 1, 2: gone: not scored") for note in comparison.notes)


def test_a_table_shows_how_errors_are_spread_over_the_series(tmp_path):
    folder = with_units(with_two_series(write_run(tmp_path, networks={0: LSTM[0]})), {"a": 4, "b": 800})
    edit(folder / "results.csv", lambda table: table.assign(**{"test/mse_scaled": "1"}))
    table = series_table(compare(folder))
    columns = {
        column.header: dict(zip(table.columns[0].values, column.values, strict=True)) for column in table.columns
    }
    # squared errors of 1 and 4 in the folds, of b a hundred times as much, divided by 4 and 800
    assert columns["highest"]["lstm"] == pytest.approx(2.5 / 4)
    assert columns["lowest"]["lstm"] == pytest.approx(250 / 800)
    assert columns["median"]["lstm"] == pytest.approx((2.5 / 4 + 250 / 800) / 2)
    assert columns["better than persistence, %"] == {"lstm": 100, "persistence": 0}
    assert series_table(compare(write_run(tmp_path, "gru", networks=GRU))) is None


def test_the_ranking_is_by_the_mean_over_the_folds_and_not_by_one(tmp_path):
    networks = {0: {1: [0.5] * 4, 2: [8] * 4}}  # the best of fold 1, and the worst over both
    comparison = compare(write_run(tmp_path, networks=networks, baselines={"persistence": PERSISTENCE, "ridge": RIDGE}))
    assert comparison.by_fold("mse_scaled")[1].idxmin() == "lstm"
    for metric in ("mse_scaled", "mae"):
        assert comparison.ranking(metric) == ["ridge", "persistence", "lstm"]
    assert fold_table(comparison).columns[0].values == ("ridge", "persistence", "lstm")
    assert best_network(comparison, "mse_scaled") == "lstm"


def test_absolute_errors_of_several_targets_are_not_ranked(tmp_path):
    folder = write_run(tmp_path)
    edit(folder / "predictions.csv", lambda table: pd.concat([table, table.assign(target="WSR_PK")]))
    with pytest.raises(ConfigError, match="mean absolute errors of T_PK, WSR_PK are in the unit of each"):
        compare(folder).ranking("mae")


def test_a_series_that_is_constant_where_it_is_tested_keeps_its_unit(tmp_path):
    folder = with_two_series(write_run(tmp_path, networks={0: LSTM[0]}))

    def constant(table):
        b = table["unique_id"] == "b"
        error = table["forecast"].astype(float) - table["y"].astype(float)
        table.loc[b, "y"], table.loc[b, "forecast"] = "7.0", (7 + error[b]).astype(str)
        return table

    edit(folder / "predictions.csv", constant)
    errors = compare(folder).errors("mse_scaled")["persistence"]
    assert errors[errors.index.get_level_values("unique_id") == "b"].iloc[0] == pytest.approx(20**2)


def test_infinite_scaled_errors_are_shown_and_not_made_up(tmp_path):
    folder = write_run(tmp_path)
    edit(folder / "results.csv", lambda table: table.assign(**{"test/mse_scaled": "inf"}))
    comparison = compare(folder)
    assert comparison.by_fold("mse_scaled").loc["lstm"].tolist() == [float("inf")] * 2
    assert comparison.by_fold("mae").loc["lstm"].tolist() == [1.5, 2]
    assert comparison.errors("mse_scaled")["persistence"].iloc[0] == 4


def test_nothing_to_compare_is_an_error():
    with pytest.raises(DataError, match="at least one"):
        Comparison.of([])
