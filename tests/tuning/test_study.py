import math
import statistics

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from forecastlab.errors import ConfigError, DataError
from forecastlab.tuning.results import best_of, importance_of, trials_table
from forecastlab.tuning.space import Space
from forecastlab.tuning.study import EPOCHS, STARTUP, WARMUP, Address, FoldMedianPruner, Worker

CONFIG = {"data": {"class_path": "X", "init_args": {}}, "model": {"dropout": 0.1}}
SPACE = Space.of({"model.dropout": {"type": "float", "low": 0.0, "high": 0.5}}, CONFIG)


def worker(folder, trials=10, url=None, **settings):
    return Worker(*Address("study", folder, url).open(), folder, SPACE, trials, **settings)


def states(one):
    return [trial.state.name for trial in one.study.get_trials()]


def complete(value, reports):
    """A finished trial that reported losses at steps."""
    return optuna.create_trial(state=TrialState.COMPLETE, value=value, intermediate_values=reports)


def curve(losses, fold=0):
    return {fold * EPOCHS + epoch: loss for epoch, loss in enumerate(losses)}


def verdict(others, own):
    """Whether a trial that reported `own` ends after these others."""
    study = optuna.create_study()
    study.add_trials([complete(1.0, reports) for reports in others])
    running = optuna.create_trial(state=TrialState.RUNNING, intermediate_values=own)
    return FoldMedianPruner().prune(study, running)


LEVELS = [0.1, 0.2, 0.3, 0.4, 0.9]
assert len(LEVELS) == STARTUP


@pytest.mark.parametrize(("loss", "ends"), [(0.29, False), (0.31, True)])
def test_a_trial_ends_whose_best_loss_is_above_the_median_of_the_others(loss, ends):
    assert statistics.median(LEVELS) == 0.3
    assert verdict([curve([level] * 9) for level in LEVELS], curve([2.0] * WARMUP + [loss])) is ends


def test_the_best_epoch_of_the_fold_counts_not_the_last():
    assert not verdict([curve([level] * 9) for level in LEVELS], curve([2.0, 0.1, 2.0, 2.0]))


def test_nothing_is_pruned_at_first():
    others = [curve([level] * 9) for level in LEVELS]
    assert not verdict(others, curve([2.0] * WARMUP))
    assert not verdict(others[1:], curve([2.0] * 9))


def test_losses_of_different_folds_are_not_compared():
    others = [curve([0.1] * 9) | curve([level + 1] * 9, fold=1) for level in LEVELS]
    first = curve([0.1] * 9)
    assert verdict(others, first | curve([1.31] * (WARMUP + 1), fold=1))
    assert not verdict(others, first | curve([1.29] * (WARMUP + 1), fold=1))
    assert not verdict(others, first | curve([1.31] * WARMUP, fold=1))


def test_values_depend_on_the_seed_and_the_trials_number_alone(tmp_path):
    def values(folder, seed):
        folder.mkdir()
        one = worker(folder, sampler="random", seed=seed)
        return [one.ask().params["model.dropout"] for _ in range(4)]

    first = values(tmp_path / "a", 0)
    assert values(tmp_path / "b", 0) == first
    assert len({*first, *values(tmp_path / "c", 1)}) == 8


def test_no_more_trials_are_begun_than_are_wanted_whoever_begins_them(tmp_path):
    one, other = worker(tmp_path, 3), worker(tmp_path, 3)
    with one.at_work(), other.at_work():
        asked = [one.ask(), other.ask(), one.ask(), other.ask(), one.ask()]
        assert [trial is None for trial in asked] == [False, False, False, True, True]
        assert len({trial.number for trial in asked[:3]}) == 3


def test_a_trial_without_a_result_has_failed_and_is_replaced(tmp_path):
    one = worker(tmp_path, 1)
    with one.at_work():
        assert one.ended(one.ask().number, "no memory").state == TrialState.FAIL
        trial = one.ask()
        one.study.tell(trial, 0.5)
        assert one.ended(trial.number).state == TrialState.COMPLETE
        assert one.ask() is None
    table = trials_table(one.study, SPACE)
    assert table["state"].tolist() == ["fail", "complete"]
    assert table["error"].tolist()[0] == "no memory"
    assert table["val/loss"].tolist()[1] == 0.5


def test_what_a_worker_leaves_running_is_lost(tmp_path):
    one = worker(tmp_path)
    with one.at_work():
        one.ask()
    assert states(one) == ["FAIL"]


def test_trials_of_a_dead_worker_are_given_up_and_those_of_a_living_one_are_not(tmp_path):
    living, dead = worker(tmp_path), worker(tmp_path)
    with living.at_work():
        living.ask()
        with dead.at_work():
            dead.ask()
            dead.running.clear()  # killed, it could not say so
        other = worker(tmp_path)
        with other.at_work():
            other.ask()
            assert states(other) == ["RUNNING", "FAIL", "RUNNING"]


def test_in_a_database_silence_tells_that_a_worker_is_gone(tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    one, other = worker(here, url=url), worker(elsewhere, url=url)
    with one.at_work(), other.at_work():
        trial = one.ask()
        other.ask()
        assert states(other) == ["RUNNING", "RUNNING"]
        with one.storage.engine.begin() as connection:
            text = "UPDATE trial_heartbeats SET heartbeat = '2020-01-01 00:00:00' WHERE trial_id = {}"
            connection.exec_driver_sql(text.format(trial._trial_id))
        other.give_up_lost()
        assert states(other) == ["FAIL", "RUNNING"]


def test_a_line_that_a_killed_process_left_unfinished_does_not_spoil_the_journal(tmp_path):
    one = worker(tmp_path)
    one.ask()
    with (tmp_path / "study.journal").open("a") as file:
        file.write('{"op_code": 4, "study')
    again = worker(tmp_path)
    again.ask()
    assert len(again.study.get_trials()) == 2
    assert len(worker(tmp_path).study.get_trials()) == 2


def test_a_damaged_journal_is_named(tmp_path):
    worker(tmp_path).ask()
    path = tmp_path / "study.journal"
    path.write_text(path.read_text().replace("{", "<", 1))
    with pytest.raises(DataError, match=r"study\.journal is damaged"):
        worker(tmp_path)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("study.db", "expected the address of a database"),
        ("nodb://host/x", "the database cannot be used"),
        ("sqlite:////no/such/folder/study.db", "the database cannot be used: .*unable to open"),
    ],
)
def test_a_database_that_cannot_be_used_is_named(tmp_path, url, said):
    with pytest.raises(ConfigError, match=said):
        worker(tmp_path, url=url)


def test_the_best_trial_is_the_finished_one_of_the_least_loss(tmp_path):
    one = worker(tmp_path)
    assert best_of(one.study) is None
    pruned = optuna.create_trial(state=TrialState.PRUNED, value=0.1)
    one.study.add_trials([complete(0.5, {}), pruned, complete(0.3, {}), complete(0.3, {})])
    assert best_of(one.study).number == 2


def test_the_value_that_decides_the_loss_is_the_most_important():
    study = optuna.create_study()
    either = {"a": FloatDistribution(0.0, 1.0), "b": FloatDistribution(0.0, 1.0)}
    for number in range(40):
        params = {"a": number / 39, "b": math.modf(number * 0.618)[0]}
        study.add_trial(optuna.create_trial(params=params, distributions=either, value=params["a"] ** 2))
    shares = importance_of(study)
    assert list(shares.index) == ["a", "b"]
    assert shares["a"] > 0.8
    assert shares.sum() == pytest.approx(1)


def test_few_trials_tell_nothing_of_importance():
    study = optuna.create_study()
    study.add_trials([complete(value, {}) for value in (0.1, 0.2, 0.3)])
    assert importance_of(study).empty
