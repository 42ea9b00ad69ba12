"""Sample paths: their distributions, their dependence, their table and their file."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from forecastlab.backbones.gru import GRU
from forecastlab.cli import main
from forecastlab.decoders import DeepAR
from forecastlab.errors import ConfigError, DataError
from forecastlab.losses import GaussianNLL, NegativeBinomial, Quantile
from forecastlab.network.copula import Copula, shrunk_correlation
from forecastlab.network.paths import Paths
from forecastlab.network.quantile_function import QuantileFunction
from forecastlab.training.forecaster import Forecaster
from tests.frames import module
from tests.series import trainer

COLUMNS = ["unique_id", "target", "ds", "cutoff", "sample", "value"]
SMALL = partial(GRU, hidden_size=4)


def walk(rows=400, series=2, seed=0):
    """Series whose changes are small, so that the errors of the steps of a forecast hang together."""
    random = np.random.default_rng(seed)
    days = pd.date_range("2024-01-01", periods=rows)
    parts = [
        pd.DataFrame({"unique_id": name, "ds": days, "y": 50 + np.cumsum(random.normal(size=rows))})
        for name in "abcdef"[:series]
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Networks of some kinds that were trained for a moment, and the rows."""
    frame, folder = walk(), tmp_path_factory.mktemp("paths")
    made = {}
    for name, settings in {
        "likelihood": {"loss": GaussianNLL, "anchor": "last"},
        "quantiles": {"loss": partial(Quantile, quantiles=[0.1, 0.5, 0.9]), "anchor": "last"},
        "intervals": {"intervals": [0.8], "anchor": "last"},
        "point": {"anchor": "last"},
        "DeepAR": {"loss": GaussianNLL, "decoder": partial(DeepAR, samples=20), "anchor": "last"},
    }.items():
        torch.manual_seed(0)
        data = module(folder, frame, series_column="unique_id", time_column="ds", horizon=4, fold=3)
        made[name] = Forecaster(SMALL, schema=data.schema, **settings)
        trainer(max_epochs=2).fit(made[name], data)
    return made, frame


@pytest.mark.parametrize("name", ["likelihood", "quantiles", "intervals", "DeepAR"])
def test_the_paths_of_a_network_have_the_quantiles_of_its_forecast_at_every_step(trained, name):
    networks, frame = trained
    paths, forecast = networks[name].forecast(frame, paths=4000), networks[name].forecast(frame)
    assert list(paths.columns) == COLUMNS
    assert len(paths) == 2 * 4 * 4000
    bounds = [column for column in forecast if column.startswith(("forecast-lo", "forecast-hi"))]
    levels = [0.05, 0.95] if name in ("likelihood", "DeepAR") else [0.1, 0.9]
    found = paths.groupby(["unique_id", "ds"])["value"].quantile(levels).unstack().reset_index(drop=True)
    wanted = forecast.sort_values(["unique_id", "ds"])[bounds].reset_index(drop=True)
    width = (wanted[bounds[1]] - wanted[bounds[0]]).mean()
    slack = 0.5 if name == "DeepAR" else 0.06  # its forecast has 20 draws
    np.testing.assert_allclose(found, wanted, atol=slack * width)


@pytest.mark.parametrize("name", ["likelihood", "intervals", "DeepAR"])
def test_a_seed_gives_the_same_paths_and_another_seed_others(trained, name):
    networks, frame = trained
    before = torch.get_rng_state()
    first, again, other = (networks[name].forecast(frame, paths=5, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert not np.allclose(first["value"], other["value"])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["likelihood", "quantiles", "intervals"])
def test_the_steps_of_a_path_hang_together_as_the_errors_do(trained, name):
    networks, frame = trained
    paths = networks[name].forecast(frame, paths=4000)
    assert "Gaussian copula of the last" in paths.attrs["method"]
    wide = paths[paths["unique_id"] == "a"].pivot(index="sample", columns="ds", values="value")
    # the errors of a random walk that is forecast by its last value: the correlation of steps s < t is √(s / t)
    step = np.arange(1, 5)
    wanted = np.sqrt(np.minimum(step[:, None], step) / np.maximum(step[:, None], step))
    np.testing.assert_allclose(stats.spearmanr(wide).statistic, wanted, atol=0.15)


def test_the_total_of_a_horizon_is_as_uncertain_as_that_of_a_random_walk(trained):
    networks, frame = trained
    paths = networks["intervals"].forecast(frame, paths=4000)
    totals = paths.groupby(["unique_id", "sample"])["value"].sum()
    assert totals.groupby("unique_id").std().mean() == pytest.approx(np.sqrt(4**2 + 3**2 + 2**2 + 1), rel=0.3)
    above = (totals["a"] > totals["a"].median()).mean()
    assert above == pytest.approx(0.5, abs=0.01)


def test_rows_with_a_gap_in_every_window_have_paths_whose_steps_hang_together(trained, monkeypatch):
    networks, frame = trained
    closed = frame.assign(y=frame["y"].mask(frame.groupby("unique_id").cumcount() % 4 == 3))
    monkeypatch.setitem(networks["likelihood"].schema.recipe, "missing", "ffill")
    paths = networks["likelihood"].forecast(closed, paths=4000)
    assert "independently" not in paths.attrs["method"]
    wide = paths[paths["unique_id"] == "a"].pivot(index="sample", columns="ds", values="value")
    assert stats.spearmanr(wide).statistic.min() > 0.3  # √(1 / 4) of a random walk without gaps


def test_steps_that_are_never_known_together_are_drawn_independently_with_a_word(trained, monkeypatch):
    networks, frame = trained
    every_second = frame.assign(y=frame["y"].mask(frame.groupby("unique_id").cumcount() % 2 == 1))
    monkeypatch.setitem(networks["likelihood"].schema.recipe, "missing", "ffill")
    paths = networks["likelihood"].forecast(every_second, paths=4000)
    assert "; 4 of 6 pairs of steps are drawn independently, since the rows have gaps" in paths.attrs["method"]
    wide = paths[paths["unique_id"] == "a"].pivot(index="sample", columns="ds", values="value")
    assert abs(stats.spearmanr(wide).statistic[0, 1]) < 0.06


def test_rows_are_ordered_by_series_sample_and_step(trained):
    networks, frame = trained
    paths = networks["DeepAR"].forecast(frame, paths=3)
    assert "given the steps before it" in paths.attrs["method"]
    assert paths["unique_id"].tolist() == ["a"] * 12 + ["b"] * 12
    assert paths["sample"].tolist() == 2 * [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]
    assert paths["ds"][:4].tolist() == list(pd.date_range("2025-02-04", periods=4))
    assert set(paths["cutoff"]) == {pd.Timestamp("2025-02-03")}


def test_memory_is_bounded_and_the_paths_are_the_same_series_by_series(trained, monkeypatch):
    networks, frame = trained
    monkeypatch.setattr("forecastlab.network.paths.VALUES_AT_ONCE", 1)
    from forecastlab.data.panel import Panel
    from forecastlab.data.recipe import Recipe
    from forecastlab.data.tables import read_tables

    network = networks["likelihood"]
    panel = Panel.of(read_tables(frame, Recipe.from_dict(network.schema.recipe)), network.schema)
    sizes = [len(table) for table in Paths(network, panel, number=7).tables()]
    assert sizes == [28, 28]


def test_a_network_without_a_distribution_has_no_paths(trained):
    networks, frame = trained
    with pytest.raises(ConfigError, match="paths are drawn from a distribution, and the network forecasts none"):
        networks["point"].forecast(frame, paths=3)
    with pytest.raises(ConfigError, match="paths must be 1 to 100000 for each series, got 0"):
        networks["DeepAR"].forecast(frame, paths=0)
    with pytest.raises(
        DataError, match="a dependence needs 10 or more forecasts whose truth is known at each step, got 2"
    ):
        networks["intervals"].forecast(frame.groupby("unique_id").head(8), paths=3)


def test_counts_are_whole_numbers(tmp_path):
    frame = walk().assign(y=np.random.default_rng(0).poisson(3, 800))
    data = module(tmp_path, frame, series_column="unique_id", time_column="ds", horizon=2, fold=3)
    model = Forecaster(SMALL, loss=NegativeBinomial, window_norm="level", schema=data.schema)
    trainer(max_epochs=1).fit(model, data)
    values = model.forecast(frame, paths=300)["value"]
    assert (values == values.round()).all()
    assert values.min() >= 0


# the parts


def test_a_copula_keeps_each_step_and_gives_its_rank_correlation():
    random = np.random.default_rng(0)
    wanted = np.array([[1, 0.8, 0.3], [0.8, 1, 0.5], [0.3, 0.5, 1]])
    known = torch.as_tensor(np.exp(random.multivariate_normal(np.zeros(3), wanted, 3000)))
    samples = torch.as_tensor(random.gamma(1.0, size=(2, 3, 1, 4000)))
    torch.manual_seed(0)
    ordered = Copula([known]).order(samples)
    assert torch.equal(ordered.sort(-1).values, samples.sort(-1).values)
    spearman = 6 / np.pi * np.arcsin(wanted / 2)  # of a Gaussian copula
    np.testing.assert_allclose(stats.spearmanr(ordered[0, :, 0].T).statistic, spearman, atol=0.04)


def test_the_correlation_of_few_rows_is_shrunk_as_schaefer_and_strimmer_have_it():
    x = np.random.default_rng(0).normal(size=(12, 5)) @ np.random.default_rng(1).normal(size=(5, 5))
    n = len(x)
    z = (x - x.mean(0)) / x.std(0, ddof=1)
    products = z[:, :, None] * z[:, None, :]
    variance = n / (n - 1) ** 3 * ((products - products.mean(0)) ** 2).sum(0)
    off = ~np.eye(5, dtype=bool)
    correlation = np.corrcoef(x.T)
    shrinkage = min(1, variance[off].sum() / (correlation[off] ** 2).sum())
    wanted = np.where(off, (1 - shrinkage) * correlation, 1)
    np.testing.assert_allclose(shrunk_correlation(torch.as_tensor(x)), wanted, rtol=1e-9)


def test_the_correlation_of_columns_with_gaps_is_that_of_the_rows_that_have_both():
    wanted = np.array([[1, 0.8, 0.3], [0.8, 1, 0.5], [0.3, 0.5, 1]])
    x = np.random.default_rng(0).multivariate_normal(np.zeros(3), wanted, 4000)
    x[np.arange(4000)[:, None] % 3 == np.arange(3)] = np.nan  # no row is whole
    found = shrunk_correlation(torch.as_tensor(x)).numpy()
    np.testing.assert_allclose(found, wanted, atol=0.04)
    assert shrunk_correlation(torch.as_tensor(x[:6]), least=3).equal(torch.eye(3).double())  # two rows have both


def test_correlations_of_different_rows_that_contradict_each_other_still_have_a_copula():
    a, b, c = np.full((3, 60), np.nan)
    a[:40] = np.sin(np.arange(40))
    b[:20], c[20:40] = a[:20], a[20:40]  # both go with a, and against each other
    b[40:] = np.cos(np.arange(20))
    c[40:] = -b[40:]
    found = shrunk_correlation(torch.as_tensor(np.stack([a, b, c], 1)))
    assert torch.linalg.eigvalsh(found)[0] > 0
    assert found.diagonal().tolist() == pytest.approx([1, 1, 1])


def test_steps_that_are_the_same_or_constant_still_have_a_copula():
    column = torch.randn(50, 1).double()
    same = Copula([column.expand(-1, 4)])
    assert same.factors.isfinite().all()
    correlation = shrunk_correlation(torch.cat([column, torch.ones_like(column)], 1))
    assert correlation.isfinite().all()


def test_a_quantile_function_passes_through_its_quantiles_and_two_levels_are_a_normal_distribution():
    function = QuantileFunction([0.1, 0.9])
    quantiles = torch.tensor(stats.norm(3, 2).ppf([0.1, 0.9]))
    scores = torch.linspace(-3, 3, 13).double()
    torch.testing.assert_close(function.at(quantiles, scores), 3 + 2 * scores)
    torch.testing.assert_close(function.score(quantiles.expand(13, 2), 3 + 2 * scores), scores)
    skew = QuantileFunction([0.05, 0.5, 0.8, 0.95])
    knots = torch.tensor([0.0, 1.0, 4.0, 4.0]).double()
    torch.testing.assert_close(skew.at(knots, torch.special.ndtri(torch.tensor([0.05, 0.5, 0.8]).double())), knots[:3])
    values = torch.tensor([-1.0, 0.5, 2.0, 9.0]).double()
    assert (skew.score(knots.expand(4, 4), values).diff() > 0).all()


# the command line

CONFIG = """
data:
  class_path: TableDataModule
  init_args: {{path: {path}, series_column: unique_id, time_column: ds, lookback: 4, horizon: 3, splits: 3, fold: 3}}
model:
  backbone: {{class_path: GRU, init_args: {{hidden_size: 4}}}}
  anchor: last
  intervals: [0.8]
"""


def test_predict_writes_paths_and_says_how_they_were_drawn(tmp_path, capsys, monkeypatch):
    for variable in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        monkeypatch.setenv(variable, "0")
    walk(120).to_csv(tmp_path / "data.csv", index=False)
    config = tmp_path / "own.yaml"
    config.write_text(CONFIG.format(path=tmp_path / "data.csv"))
    root = f"--trainer.default_root_dir={tmp_path}"
    assert main(["fit", "--config", str(config), root, "--trainer.max_epochs=1"]) == 0
    folder = tmp_path / "lightning_logs" / "own" / "version_0"
    checkpoint = str(folder / "checkpoints" / "best.ckpt")
    capsys.readouterr()
    assert main(["predict", "--ckpt_path", checkpoint, "--paths", "50", "--paths_seed", "3"]) == 0
    assert (
        "paths.csv: each step is drawn from its own distribution, one through the quantiles" in capsys.readouterr().out
    )
    written = pd.read_csv(folder / "paths.csv", parse_dates=["ds", "cutoff"])
    python = Forecaster.load(checkpoint).forecast(walk(120), paths=50, seed=3)
    pd.testing.assert_frame_equal(written, python, check_dtype=False, check_freq=False)
    assert main(["predict", "--ckpt_path", checkpoint, "--paths", "50", "--paths_format", "parquet"]) == 0
    assert list(pd.read_parquet(folder / "paths.parquet").columns) == COLUMNS
    assert main(["predict", "--ckpt_path", checkpoint, "--paths", "0"]) == 2
    assert "paths must be 1 to 100000 for each series, got 0" in capsys.readouterr().err
