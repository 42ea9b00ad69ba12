import pandas as pd
import pytest
import yaml


@pytest.mark.real
def test_models_and_splits_come_out_as_tables_figures_and_a_report(real_ozone, tmp_path, cli):
    given = [
        "--trainer.default_root_dir",
        tmp_path,
        "--data.path",
        real_ozone,
        "--epochs=4",
        "--check_every=2",
        "--models=lstm,combination2",
        "--splits=1,3",
        "--jobs=2",
    ]
    answer = cli("reproduce", "van-diepen", *given, "--honest", "--hidden_size=8", "--layers=all", "--feed=prediction")
    assert answer.status == 0
    assert "optimistic" in answer.out
    run = tmp_path / "lightning_logs" / "van-diepen" / "version_0"
    for number in range(1, 6):
        assert {path.suffix for path in (run / "tables").glob(f"table_{number}.*")} == {".txt", ".csv", ".md", ".tex"}
    losses = pd.read_csv(run / "tables" / "table_4.csv", index_col=0)
    assert losses.loc["LSTM, published"].tolist()[:5] == [0.333, 0.211, 0.165, 0.337, 0.238]
    result = pd.read_csv(run / "lstm" / "results.csv")
    ours = result[(result["model"] == "lstm") & (result["fold"] == 3)]["test/mse_scaled"].item()
    assert losses.loc["LSTM, here", "split_3"] == pytest.approx(ours)
    assert len(list((run / "figures").glob("*.png"))) >= 4
    report = (run / "report.html").read_text()
    for said in ("optimistic", "hidden size: 8", "feed: prediction", "combination2"):
        assert said in report
    config = yaml.safe_load((run / "combination2" / "fold_3" / "seed_0" / "config.yaml").read_text())
    assert config["model"]["optimizer"]["init_args"]["lr"] == 5e-5  # the paper's Table 1
    lstm, alstm = (branch["init_args"] for branch in config["model"]["backbone"]["init_args"]["branches"])
    assert (lstm["num_layers"], lstm["hidden_size"]) == (alstm["num_layers"], alstm["hidden_size"]) == (1, 8)
    assert config["data"]["init_args"]["validation"] == "test"
    assert (config["trainer"]["max_epochs"], config["data"]["init_args"]["passes"]) == (2, 2)  # 4 epochs of the paper's
    epochs = pd.read_csv(run / "tables" / "table_3.csv", index_col=0)
    assert set(epochs.loc["LSTM, here"].dropna()) <= {2, 4}
    honest = yaml.safe_load((run / "lstm-honest" / "fold_1" / "seed_0" / "config.yaml").read_text())
    assert honest["data"]["init_args"]["validation"] == "tail"
    again = cli("reproduce", "van-diepen", *given, "--hidden_size=8", "--layers=all", "--feed=prediction")
    assert again.status == 0
    assert ": done" not in again.out


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["--models=lstn"], "unknown model 'lstn'"),
        (["--splits=6"], "the paper has splits 1 to 5, got 6"),
        (["--epochs=0"], "--epochs must be positive"),
        (["--check_every=30", "--epochs=20"], "--epochs must be a multiple of --check_every, got 20 and 30"),
        (["--check_every=10", "--epochs=25"], "--epochs must be a multiple of --check_every, got 25 and 10"),
    ],
)
def test_wrong_options_are_named(tmp_path, cli, given, named):
    answer = cli("reproduce", "van-diepen", "--trainer.default_root_dir", tmp_path, *given)
    assert answer.status == 2
    assert named in answer.err
    assert not (tmp_path / "lightning_logs").exists()
