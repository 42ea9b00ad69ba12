import os
import shutil
import threading

import pytest

from forecastlab.errors import ConfigError, DataError
from forecastlab.experiment.config_files import experiment_name
from forecastlab.experiment.config_reading import read_config
from forecastlab.experiment.options import take, values_of
from forecastlab.runs.run import Run, find_runs, load_checkpoint, open_checkpoint
from tests.cli.commands import folder


def begin(root, experiment, time=None):
    """A run whose config is written, at a time if it matters."""
    run = Run.new(root, experiment)
    (run.folder / "config.yaml").write_text("")
    if time is not None:
        os.utime(run.folder / "config.yaml", (time, time))
    return run


# Numbers


def test_runs_are_numbered_from_zero_and_past_the_highest(tmp_path):
    assert [Run.new(tmp_path, "a").version for _ in range(2)] == ["version_0", "version_1"]
    (tmp_path / "a" / "version_7").mkdir()
    (tmp_path / "a" / "version_x").mkdir()
    (tmp_path / "a" / "version_9").write_text("a file")
    assert Run.new(tmp_path, "a").version == "version_8"
    assert Run.new(tmp_path, "b").version == "version_0"


def test_runs_that_begin_at_once_get_numbers_of_their_own(tmp_path):
    found = []
    threads = [threading.Thread(target=lambda: found.append(Run.new(tmp_path, "a").number)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(16))


def test_runs_of_an_experiment_are_in_the_order_of_their_numbers(tmp_path):
    for _ in range(12):
        begin(tmp_path, "a")
    assert [run.number for run in find_runs(tmp_path, "a")] == list(range(12))


def test_runs_of_all_experiments_are_in_the_order_in_which_they_were_begun(tmp_path):
    begin(tmp_path, "a", 300)
    begin(tmp_path, "b", 100)
    begin(tmp_path, "a", 200)
    Run.new(tmp_path, "c")  # it has not begun
    found = [(run.experiment, run.number) for run in find_runs(tmp_path)]
    assert found == [("c", 0), ("b", 0), ("a", 1), ("a", 0)]


def test_the_name_of_an_experiment_is_no_pattern(tmp_path):
    begin(tmp_path, "a")
    begin(tmp_path, "[a]*")
    assert [run.experiment for run in find_runs(tmp_path, "[a]*")] == ["[a]*"]
    assert find_runs(tmp_path, "*") == []


def test_there_are_no_runs_in_a_folder_that_does_not_exist(tmp_path):
    assert find_runs(tmp_path / "none") == []


# Runs that failed at the start


def test_a_run_that_did_not_begin_leaves_no_folder(tmp_path):
    run = Run.new(tmp_path / "lightning_logs", "a")
    (run.folder / "config.yaml").write_text("")
    run.discard_if_not_begun()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("made", ["checkpoints", "metrics.csv"])
def test_a_run_that_began_keeps_its_folder(tmp_path, made):
    run = Run.new(tmp_path, "a")
    (run.folder / made).mkdir()
    run.discard_if_not_begun()
    assert run.folder.is_dir()


def test_other_runs_stay_when_one_is_discarded(tmp_path):
    other = begin(tmp_path, "a")
    Run.new(tmp_path, "a").discard_if_not_begun()
    assert find_runs(tmp_path, "a") == [other]


# Checkpoints


def test_a_checkpoint_belongs_to_the_run_that_it_lies_in(trained, tmp_path):
    path = folder(trained) / "checkpoints" / "best.ckpt"
    assert Run.of_checkpoint(path) == Run(trained / "lightning_logs", "tiny", "version_0")
    (tmp_path / "link.ckpt").symlink_to(path)
    assert Run.of_checkpoint(tmp_path / "link.ckpt").folder == folder(trained)


def test_a_checkpoint_elsewhere_belongs_to_no_run(tmp_path):
    assert Run.of_checkpoint(tmp_path / "model.ckpt") is None
    assert Run.of_checkpoint(tmp_path / "checkpoints" / "model.ckpt") is None


@pytest.mark.parametrize("named", ["best", "last"])
def test_the_newest_checkpoint_of_its_kind_is_opened(trained, named):
    root = trained / "lightning_logs"
    for experiment in ("tiny", None):
        path, content = open_checkpoint(named, root, experiment)
        assert path == folder(trained) / "checkpoints" / f"{named}.ckpt"
        assert content["global_step"] > 0


def test_a_kind_of_checkpoint_that_no_run_has_is_an_error(tmp_path):
    begin(tmp_path, "a")
    with pytest.raises(ConfigError, match=r"no run of experiment 'a' in .* has a best.ckpt; train one first"):
        open_checkpoint("best", tmp_path, "a")
    with pytest.raises(ConfigError, match=r"--ckpt_path last: no run in .* has a last.ckpt"):
        open_checkpoint("last", tmp_path / "none", None)


def with_trainings(trained, root, *places):
    """A run, newer than the one that it lies beside, with the checkpoints of some trainings in its folder."""
    run = begin(root, "tiny")
    for place in places:
        shutil.copytree(folder(trained) / "checkpoints", run.folder / place / "checkpoints")
    return run.folder


def test_the_checkpoint_of_the_newest_run_is_that_of_its_only_fold(trained, tmp_path):
    made = with_trainings(trained, tmp_path, "fold_3/seed_0")
    path, _ = open_checkpoint("best", tmp_path, "tiny")
    assert path == made / "fold_3" / "seed_0" / "checkpoints" / "best.ckpt"


@pytest.mark.parametrize(
    ("places", "named"),
    [
        (["fold_10/seed_0", "fold_2/seed_0"], "fold_2/seed_0, fold_10/seed_0"),  # of crossval
        (["LSTM/fold_1/seed_0", "ALSTM/fold_1/seed_0"], "ALSTM/fold_1/seed_0, LSTM/fold_1/seed_0"),  # of reproduce
        (["trials/0/fold_5", "trials/1/fold_5"], "trials/0/fold_5, trials/1/fold_5"),  # of tune --keep_weights
    ],
)
@pytest.mark.parametrize("kind", ["best", "last"])
def test_the_trainings_of_the_newest_run_are_named_where_there_are_several(trained, tmp_path, places, named, kind):
    with_trainings(trained, tmp_path, *places)
    with pytest.raises(ConfigError, match=f"has 2 trainings: {named}; name one .*/checkpoints/{kind}.ckpt$"):
        open_checkpoint(kind, tmp_path, "tiny")


def test_of_many_trainings_some_are_named_and_the_others_counted(trained, tmp_path):
    with_trainings(trained, tmp_path, *(f"fold_{fold}/seed_0" for fold in range(1, 21)))
    with pytest.raises(ConfigError, match=r"fold_12/seed_0 and 8 more; name one of them, .*/fold_20/seed_0/"):
        open_checkpoint("best", tmp_path, "tiny")


def test_a_path_that_is_no_checkpoint_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no checkpoint .*; give the path of one, or last, or best"):
        open_checkpoint(str(tmp_path / "best"), tmp_path, None)
    (tmp_path / "text").write_text("hello")
    with pytest.raises(DataError, match="text"):
        load_checkpoint(tmp_path / "text")


def test_a_home_folder_is_found(trained, monkeypatch):
    monkeypatch.setenv("HOME", str(folder(trained)))
    path, _ = open_checkpoint("~/checkpoints/best.ckpt", trained, None)
    assert path == folder(trained) / "checkpoints" / "best.ckpt"


# Names


@pytest.mark.parametrize(
    ("args", "name"),
    [
        ([], None),
        (["--experiment", "x"], "x"),
        (["--experiment=x"], "x"),
        (["--experiment", "x", "--experiment=y"], "y"),
        (["--config", "one.yaml"], "one"),
        (["-c", "one.yaml"], "one"),
        (["--config=one.yaml", "--config", "two.yaml"], "one"),
        (["--config=one.yaml", "--config", "named.yaml"], "from-key"),
        (["--config=named.yaml", "--experiment", "x"], "x"),
        (["--config=none.yaml"], None),
        (["--config={data: OzoneDataModule}"], None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_experiment_is_called_as_given_else_by_a_config_else_as_the_first_file(tmp_path, monkeypatch, args, name):
    monkeypatch.chdir(tmp_path)
    for stem, text in (("one", "threads: 1"), ("two", "threads: 2"), ("named", "experiment: from-key")):
        (tmp_path / f"{stem}.yaml").write_text(text)
    assert experiment_name(args) == name


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "a/", "../a", "a\0b"])
def test_a_name_that_is_no_folders_is_refused(name):
    with pytest.raises(ConfigError, match="expected a name for a folder"):
        experiment_name(["--experiment", name])


def test_a_config_that_cannot_be_read_says_so(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the config .*none.yaml: No such file"):
        read_config(str(tmp_path / "none.yaml"))


# Options


@pytest.mark.parametrize(
    ("args", "values", "rest"),
    [
        ([], [], []),
        (["--a", "1", "x", "--a=2", "--ab", "3"], ["1", "2"], ["x", "--ab", "3"]),
        (["-a", "1", "--b", "--a"], ["1"], ["--b"]),
        (["--a=", "--a", "--a"], ["", "--a"], []),
        (["--a=b=c"], ["b=c"], []),
    ],
)
def test_an_option_is_taken_out_of_a_command_line(args, values, rest):
    assert take(args, "--a", "-a") == (values, rest)
    assert values_of(args, "--a", "-a") == values
