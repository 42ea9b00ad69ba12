"""Scores of draws and reconciled forecasts beside the figures of other packages (`other_packages.py`)."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import forecastlab
from forecastlab.metrics import CRPS, EnergyScore
from tests.evaluation.other_packages import NODES, TREE, base, draws

FIGURES = json.loads(Path(__file__).with_name("other_packages.json").read_text())


def scored(metric, *given):
    metric.update(*given)
    return metric.compute().item()


@pytest.mark.parametrize("package", ["scoringrules", "properscoring"])
def test_the_crps_of_each_value_is_that_of_other_packages(package):
    paths, truth = map(torch.as_tensor, draws())
    expected = np.array(FIGURES[package]["crps"])
    found = [
        [scored(CRPS(), paths[case, :, step], truth[case, step]) for step in range(3)] for case in range(len(paths))
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert scored(CRPS(), paths.mT, truth) == pytest.approx(expected.mean(), rel=1e-12)


def test_the_energy_score_of_each_path_is_that_of_another_package():
    paths, truth = map(torch.as_tensor, draws())
    expected = FIGURES["scoringrules"]["energy_score"]
    found = [scored(EnergyScore(), *case) for case in zip(paths, truth, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert scored(EnergyScore(), paths, truth) == pytest.approx(np.mean(expected), rel=1e-12)


def table(values, days, **columns):
    """Values of all nodes, (nodes, days), as a table."""
    parts = [
        pd.DataFrame({"unique_id": name, "target": "y", "ds": days, **columns, "value": own})
        for name, own in zip(NODES, values, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("method", ["bottom_up", "ols", "mint"])
def test_reconciled_forecasts_are_those_of_another_package(method):
    values, errors = base()
    days = pd.date_range("2024-02-01", periods=4)
    forecasts = table(values, days, cutoff=pd.Timestamp("2024-01-31")).rename(columns={"value": "forecast"})
    earlier = pd.date_range("2024-01-01", periods=30)
    known = table(errors, earlier).rename(columns={"value": "y"}).assign(forecast=0.0, cutoff=lambda t: t["ds"])
    tree = pd.DataFrame({"unique_id": list(TREE), "total": "all", "region": list(TREE.values())})
    found = forecastlab.reconcile(forecasts, tree, method, known if method == "mint" else None)
    wide = found.pivot(index="unique_id", columns="ds", values="forecast").loc[NODES].to_numpy()
    np.testing.assert_allclose(wide, FIGURES["hierarchicalforecast"][method], rtol=1e-8)
