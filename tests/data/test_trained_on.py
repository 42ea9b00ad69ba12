import json

import numpy as np
import pandas as pd
import pytest

from forecastlab.data import trained_on
from forecastlab.data.trained_on import TrainedOn, records_of, require_same
from forecastlab.errors import ConfigError, DataError
from tests.series import Series, noise, panel

PANEL = {"recipe": {"series": "id"}, "horizon": 1}


def series(rows=120, seed=0, **settings):
    return Series(noise(rows, seed), **{"validation": "tail", "splits": 5, "fold": 5, **settings})


def report(trained, scored, stage="test"):
    return scored.seen([trained.trained_on], stage)


def several(count, rows, seed=0):
    """Series with columns x and y, of one calendar."""
    parts = [noise(rows, seed + number).assign(id=f"s{number}") for number in range(count)]
    return pd.concat(parts)


def counts(count, rows, seed):
    """Sparse series of small counts."""
    random = np.random.default_rng(seed)
    raw = several(count, rows)
    raw["y"] = random.integers(0, 4, len(raw)) * (random.random(len(raw)) < 0.3)
    return raw.assign(y=raw["y"].astype(float))


def test_the_record_says_which_times_fit_and_validate():
    record = series().trained_on
    day = pd.date_range("2020-01-01", periods=120).astype(str) + " 00:00:00"
    ranges = series().ranges
    assert (record.fit.first, record.fit.last) == (day[0], day[ranges.fit.stop - 1])
    assert (record.validation.first, record.validation.last) == (
        day[ranges.validation.start],
        day[ranges.train_stop - 1],
    )
    assert (record.data.last, record.rows, record.fold, record.protocol) == (day[119], 120, 5, "tail")


def test_the_record_is_plain_data_that_comes_back_as_it_was():
    record = series().trained_on
    plain = json.loads(json.dumps(record.as_dict()))
    assert TrainedOn.from_dict(plain) == record
    assert records_of({"trained_on": [plain]}) == (record,)
    assert records_of({}) == ()


@pytest.mark.parametrize(
    "damage",
    [
        {"keys": "no base64!"},
        {"keys": "AAAA"},
        {"fit": None},
        {"fit": ["yesterday", "today"]},
        {"rows": "many"},
        {"bound": "high"},
        {"by": "weekday"},
        {"choosing": "no base64!"},
        {"series": 3},
        {"data": ["2020-01-01"]},
    ],
    ids=str,
)
def test_a_damaged_record_is_an_error_of_the_data(damage):
    with pytest.raises(DataError, match="the record of what trained the weights is damaged"):
        TrainedOn.from_dict({**series().trained_on.as_dict(), **damage})


@pytest.mark.parametrize("held", [3, {"a": 1}, [3], [{}]])
def test_what_is_no_list_of_records_is_an_error_of_the_data(held):
    with pytest.raises(DataError, match="damaged"):
        records_of({"trained_on": held})


def test_the_test_rows_of_the_own_fold_are_unseen():
    found = report(series(), series())
    assert (found.rows, found.counted, found.metrics, found.notes, found.doubts) == (20, 0, {}, [], [])
    found.require_none()


@pytest.mark.parametrize(
    ("settings", "fitted", "stopped"),
    [
        ({"fold": 2}, 20, 0),
        ({"fold": 4}, 0, 20),  # the tail has the last 20 of the rows 2 .. 99
        ({"splits": 3, "fold": 3}, 0, 10),  # rows 90 .. 119
        ({"test_size": 50, "splits": 2, "fold": 2}, 10, 20),  # rows 70 .. 119
        ({"cutoffs": ["2020-04-05"], "fold": 1}, 0, 5),  # row 95 on
        ({"gap": 3, "fold": 3}, 20, 0),
    ],
    ids=str,
)
def test_every_way_to_move_the_test_range_onto_trained_rows_is_seen(settings, fitted, stopped):
    assert (series().ranges.validation.start, series().ranges.train_stop) == (80, 100)
    found = report(series(), series(**settings))
    assert (found.fitted, found.stopped) == (fitted, stopped)
    assert found.metrics == {"test/seen": (fitted + stopped) / found.rows}
    with pytest.raises(ConfigError, match=f"{fitted + stopped} .*test rows of fold .*trained on"):
        found.require_none()


def test_the_refusal_says_which_rows_and_what_to_do():
    with pytest.raises(ConfigError) as caught:
        report(series(), series(fold=2)).require_none()
    said = str(caught.value)
    assert "all 20 test rows of fold 2 (2020-02-10 .. 2020-02-29)" in said
    assert "fold 5" in said
    assert "rows after 2020-04-09" in said
    assert "--allow_seen" in said
    assert "model.allow_seen = True" in said


def test_after_fold_all_nothing_is_advised_that_would_score_the_same_rows():
    with pytest.raises(ConfigError) as caught:
        report(series(fold="all"), series(fold=3)).require_none()
    assert "crossval" in str(caught.value)
    assert "after 2020-04-29" in str(caught.value)
    assert "another fold" not in str(caught.value)


def test_rows_are_known_by_their_values_whatever_the_series_is_called_and_wherever_it_begins():
    copy = Series(noise(120).iloc[30:], recipe={"name": "copy"}, validation="tail", cutoffs=["2020-02-20"])
    found = report(series(), copy)
    assert (found.fitted, found.stopped, found.rows) == (30, 20, 70)


def test_rows_behind_the_end_of_the_training_are_unseen_in_a_file_that_has_grown():
    found = report(series(100, fold="all"), series(140, cutoffs=["2020-04-10"], fold=1))
    assert (found.counted, found.rows) == (0, 40)


def test_other_data_of_the_same_times_and_name_are_scored_with_a_word():
    found = report(series(), series(seed=1, fold=2))
    assert found.counted == 0
    assert (
        "all 20 rows to score lie within the times that trained the weights, but their values differ" in found.doubts[0]
    )


def test_other_series_are_scored_without_a_word():
    other = Series(noise(120, 1), recipe={"name": "other"}, validation="tail", splits=5, fold=2)
    assert (report(series(), other).counted, report(series(), other).doubts) == (0, [])


def test_a_few_corrected_values_do_not_make_other_data():
    raw = noise(120)
    raw.iloc[45, 1] += 1
    other = Series(raw, validation="tail", splits=5, fold=2)
    assert report(series(), other).fitted == 20


def test_of_a_panel_only_the_series_that_were_trained_on_are_seen():
    whole = several(4, 60)
    ours = Series(whole[whole["id"] < "s2"], **PANEL, validation="tail")
    mixed = whole[whole["id"] >= "s1"].replace({"id": {"s1": "renamed"}})
    found = report(ours, Series(mixed, **PANEL, validation="tail"))
    assert found.rows == 3 * 15
    assert found.fitted + found.stopped == 0
    found = report(Series(whole[whole["id"] < "s2"], **PANEL, validation="tail", fold=3), Series(mixed, **PANEL))
    assert found.fitted == 15, "those of the renamed series"


def test_sparse_counts_of_other_series_are_not_taken_for_the_trained_ones():
    ours, theirs = (Series(counts(60, 200, seed), **PANEL, validation="tail", fold=3) for seed in (1, 2))
    renamed = counts(60, 200, 2)
    renamed["id"] = "other " + renamed["id"]
    found = report(ours, Series(renamed, **PANEL, validation="tail", fold=1))
    assert found.counted == 0
    assert found.rows == 60 * 50
    assert report(theirs, Series(renamed, **PANEL, validation="tail", fold=1)).fitted == 60 * 50


def test_of_more_rows_than_a_record_holds_a_part_is_enough(monkeypatch):
    monkeypatch.setattr(trained_on, "MAX_KEYS", 100)
    whole = Series(several(20, 200), **PANEL, validation="tail", fold=3)
    assert len(whole.trained_on.known()) == 100
    one = several(20, 200)
    one = one[one["id"] == "s7"].drop(columns="id")
    found = report(whole, Series(one, recipe={"name": "renamed"}, validation="tail", fold=1))
    assert found.fitted == found.rows == 50


def test_a_series_that_never_changes_is_known_by_its_name():
    raw = several(2, 60)
    raw.loc[raw["id"] == "s1", "y"] = 1.0
    ours = Series(raw, **PANEL, validation="tail", fold=3)
    assert report(ours, Series(raw, **PANEL, validation="tail", fold=1)).fitted == 2 * 15


def test_a_series_that_begins_later_has_no_share_in_what_was_seen():
    raw = panel(a=(0, 60), b=(40, 60))
    ours = Series(raw, **PANEL, validation="tail", fold=2)
    found = report(ours, Series(raw, **PANEL, validation="tail", fold=3))
    assert (found.counted, found.rows) == (0, 30)


def test_missing_targets_are_no_rows_to_score():
    raw = noise(120)
    raw.iloc[45:50, 1] = np.nan
    ours = Series(raw, validation="tail", splits=5, fold=5)
    found = report(ours, Series(raw, validation="tail", splits=5, fold=2))
    assert (found.fitted, found.rows) == (15, 15)


def test_the_own_validation_range_may_be_validated_and_rows_that_fitted_may_not():
    assert report(series(), series(), "validation").counted == 0
    found = report(series(), series(fold=3), "validation")
    assert found.counted == found.rows
    with pytest.raises(ConfigError, match="validation rows of fold 3"):
        found.require_none()


def test_an_epoch_chosen_on_the_test_rows_makes_their_score_optimistic_and_no_other():
    trained = series(validation="test")
    for scored in (series(validation="test"), series(validation="tail")):
        found = report(trained, scored)
        assert (found.counted, found.metrics) == (0, {"test/optimistic": 1.0})
        assert "best test epoch, optimistic" in found.notes[0]
    assert report(trained, series(fold=4)).counted == 20


def test_every_training_behind_the_weights_counts():
    records = [series(fold=2).trained_on, series(fold=1).trained_on]
    assert series(fold=1).seen(records, "test").counted == 20
    assert series(fold=2).seen(records, "test").counted == 0


def test_weights_without_a_record_cannot_be_checked_and_that_is_said():
    found = series().seen([], "test")
    assert (found.counted, found.notes) == (0, [])
    assert "carry no record" in found.doubts[0]


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
@pytest.mark.parametrize("unit", ["s", "ns"])
def test_times_of_any_zone_and_unit_are_compared(zone, unit):
    raw = noise(120)
    raw.index = raw.index.tz_localize(zone).as_unit(unit)
    ours, theirs = (Series(raw, validation="tail", splits=5, fold=fold) for fold in (5, 2))
    assert report(ours, theirs).fitted == 20


def test_a_training_goes_on_with_the_rows_it_began_with():
    require_same([series().trained_on], series().trained_on)
    require_same([], series().trained_on)
    require_same([series(fold=1).trained_on, series().trained_on], series(batch_size=9).trained_on)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (series(fold=4), "rows that fit: 2020-01-01 .. 2020-03-20 then, 2020-01-01 .. 2020-03-04 now"),
        (series(130), "data: 120 rows, 2020-01-01 .. 2020-04-29 then, 130 rows"),
        (series(seed=1), "data: 120 rows, 2020-01-01 .. 2020-04-29, whose values or columns were others"),
        (series(validation="test"), "validation: tail then, test now"),
        (series(train_size=50), "rows that fit: 2020-01-01"),
    ],
    ids=["fold", "grown", "values", "protocol", "train_size"],
)
def test_a_training_does_not_go_on_with_other_rows(other, said):
    with pytest.raises(ConfigError) as caught:
        require_same([series().trained_on], other.trained_on)
    assert said in str(caught.value)
    assert "--model.weights_from" in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 10


@pytest.mark.parametrize("different", [3, 40, 10_000])
@pytest.mark.parametrize("count", [10, 100])
def test_the_lowest_keys_are_found_without_sorting_all(different, count):
    random = np.random.default_rng(different)
    keys = random.integers(0, 2**64, different, np.uint64)[random.integers(0, different, 5000)]
    np.testing.assert_array_equal(trained_on._lowest(keys, count), np.unique(keys)[:count])
