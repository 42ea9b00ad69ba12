import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import mean_absolute_error, mean_squared_error

from tests.cli.commands import fit

KEYS = ["unique_id", "target", "ds", "cutoff"]


def best(root, version, experiment="tiny"):
    return root / "lightning_logs" / experiment / f"version_{version}" / "checkpoints" / "best.ckpt"


@pytest.fixture
def two(cli, config, root):
    """The root of two runs that differ in their seeds."""
    assert cli(*fit(config, root, "--seed_everything=7")).status == 0
    return root


def predictions(root, experiment, version=0):
    return pd.read_csv(root / "lightning_logs" / experiment / f"version_{version}" / "predictions.csv")


def test_the_forecast_of_several_checkpoints_is_their_mean_beside_its_spread(cli, two):
    place = f"--trainer.default_root_dir={two}"
    alone = []
    for version in (0, 1):
        assert cli("test", "--ckpt_path", best(two, version), place).status == 0
        alone.append(predictions(two, "tiny", version))
    answer = cli("test", "--ckpt_path", best(two, 0), "--ckpt_path", best(two, 1), place)
    assert (answer.status, answer.err) == (0, "")
    together = predictions(two, "tiny-ensemble")
    pd.testing.assert_frame_equal(together[KEYS], alone[0][KEYS])
    forecasts = np.stack([table["forecast"] for table in alone])
    np.testing.assert_allclose(together["forecast"], forecasts.mean(0), rtol=1e-5)
    np.testing.assert_allclose(together["forecast-std"], forecasts.std(0, ddof=1), rtol=1e-2, atol=1e-5)
    scores = pd.read_csv(two / "lightning_logs/tiny-ensemble/version_0/members.csv", index_col="checkpoint")
    assert scores.index[-1] == "mean forecast"
    y = together["y"]
    for name, value in (
        ("test/mae", mean_absolute_error(y, together["forecast"])),
        ("test/rmse", mean_squared_error(y, together["forecast"]) ** 0.5),
    ):
        assert scores[name].iloc[-1] == pytest.approx(value, rel=1e-4)
        assert f"{scores[name].iloc[-1]:.4f}" in answer.out
    for number, table in enumerate(alone):
        assert scores["test/mae"].iloc[number] == pytest.approx(mean_absolute_error(y, table["forecast"]), rel=1e-4)


def test_a_pattern_names_several_checkpoints(cli, two):
    pattern = two / "lightning_logs" / "tiny" / "version_*" / "checkpoints" / "best.ckpt"
    answer = cli("predict", "--ckpt_path", pattern, "--experiment=both", f"--trainer.default_root_dir={two}")
    assert answer.status == 0
    table = predictions(two, "both")
    assert len(table) == 1
    assert table["y"].isna().all()
    assert table["forecast-std"].iloc[0] > 0


@pytest.fixture
def drawing(cli, config, root):
    """Two checkpoints whose forecasts are distributions, and the root."""
    for seed in (0, 7):
        assert cli(*fit(config, root, "--model.loss=GaussianNLL", f"--seed_everything={seed}")).status == 0
    return [best(root, version) for version in (1, 2)], root


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_several_checkpoints_draw_paths_in_equal_shares(cli, drawing, kind):
    checkpoints, root = drawing
    place = root / "lightning_logs"
    alone = []
    for version, number, seed in ((1, 3, 5), (2, 2, 6)):
        options = [f"--paths={number}", f"--paths_seed={seed}", f"--trainer.default_root_dir={root}"]
        assert cli("predict", "--ckpt_path", checkpoints[version - 1], *options).status == 0
        alone.append(pd.read_csv(place / f"tiny/version_{version}/paths.csv"))
    named = [word for path in checkpoints for word in ("--ckpt_path", path)]
    options = ["--paths=5", "--paths_seed", "5", f"--paths_format={kind}", f"--trainer.default_root_dir={root}"]
    answer = cli("predict", *named, *options)
    assert (answer.status, answer.err) == (0, "")
    assert f"paths.{kind}: 2 checkpoints draw in equal shares; each step is drawn" in answer.out
    file = place / f"tiny-ensemble/version_0/paths.{kind}"
    found = pd.read_csv(file) if kind == "csv" else pd.read_parquet(file)
    expected = pd.concat([alone[0], alone[1].assign(sample=alone[1]["sample"] + 3)])
    assert found["sample"].tolist() == expected["sample"].tolist()
    np.testing.assert_allclose(found["value"], expected["value"])
    assert alone[0]["value"].iloc[0] != alone[1]["value"].iloc[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--paths=1"], "each of 2 checkpoints draws one or more: expected --paths 2 or more, got 1"),
        (["--paths=many"], "--paths: expected a whole number, got 'many'"),
        (["--paths=4", "--paths_format=xlsx"], "--paths_format: expected csv or parquet, got 'xlsx'"),
    ],
)
def test_paths_that_several_checkpoints_cannot_draw_are_refused(cli, drawing, options, said):
    checkpoints, root = drawing
    named = [word for path in checkpoints for word in ("--ckpt_path", path)]
    answer = cli("predict", *named, *options, f"--trainer.default_root_dir={root}")
    assert answer.status == 2
    assert said in answer.err


def test_checkpoints_of_different_folds_are_not_tested_together(cli, config, root):
    assert cli(*fit(config, root, "--data.fold=4")).status == 0
    answer = cli("test", "--ckpt_path", best(root, 0), "--ckpt_path", best(root, 1))
    assert answer.status == 2
    assert "data.fold is 4" in answer.err
    assert "may have been trained on what is scored" in answer.err


def test_networks_of_different_data_do_not_forecast_together(cli, config, root):
    assert cli(*fit(config, root, "--data.horizon=2")).status == 0
    answer = cli("predict", "--ckpt_path", best(root, 0), "--ckpt_path", best(root, 1))
    assert answer.status == 2
    assert "horizon" in answer.err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--ckpt_path", "nowhere-*.ckpt"], "there is no checkpoint nowhere-*.ckpt"),
        (["--ckpt_path", "a", "--ckpt_path", "b", "--model.dropout=0.1"], "--model.dropout=0.1"),
    ],
)
def test_what_cannot_be_done_together_is_said(cli, args, said):
    answer = cli("predict", *args)
    assert answer.status == 2
    assert said in answer.err
