"""Scores of draws and reconciled forecasts by other packages, in an environment that has them.

    pip install scoringrules properscoring hierarchicalforecast
    python tests/evaluation/other_packages.py > tests/evaluation/other_packages.json

It imports nothing of ours. `test_other_packages.py` compares our figures with those in the file.
"""

import json
import sys

import numpy as np

TREE = {"a1": "A", "a2": "A", "b1": "B", "b2": "B", "b3": "B"}
"""The region of each series; all of them make the total."""
NODES = ["all", "A", "B", *TREE]
SUMS = np.array([[1.0] * 5, [1, 1, 0, 0, 0], [0, 0, 1, 1, 1], *np.eye(5)])


def draws():
    """Draws (cases, samples, steps) and truths (cases, steps): paths of three steps that hang together, with ties."""
    random = np.random.default_rng(7)
    paths = np.cumsum(random.normal(1, 2, (6, 25, 3)), -1)
    paths[:2] = np.round(paths[:2])
    return paths, np.cumsum(random.normal(1, 2, (6, 3)), -1)


def base():
    """Forecasts of the nodes, (nodes, steps), that do not add up, and errors of earlier ones, (nodes, times)."""
    random = np.random.default_rng(8)
    # not by multivariate_normal: its draws depend on the processor where eigenvalues are equal
    together = random.normal(size=(5, 30)) + np.sqrt(0.5) * random.normal(size=30)
    errors = SUMS @ together + random.normal(size=(8, 30))
    return SUMS @ random.uniform(5, 15, (5, 4)) + random.normal(size=(8, 4)), errors


def figures():
    import hierarchicalforecast
    import properscoring
    import scoringrules
    from hierarchicalforecast.methods import BottomUp, MinTrace

    paths, truth = draws()
    forecasts, errors = base()
    found = {
        "scoringrules": {
            "version": scoringrules.__version__,
            "crps": scoringrules.crps_ensemble(truth, paths, m_axis=1, estimator="nrg").tolist(),
            "energy_score": scoringrules.es_ensemble(truth, paths, m_axis=1, v_axis=-1, estimator="nrg").tolist(),
        },
        "properscoring": {
            "version": properscoring.__version__,
            "crps": properscoring.crps_ensemble(truth, paths, axis=1).tolist(),
        },
    }
    given = {"S": SUMS, "y_hat": forecasts}
    shrunk = {"y_insample": errors, "y_hat_insample": np.zeros_like(errors)}
    mint = MinTrace(method="mint_shrink", mint_shr_ridge=0.0)
    found["hierarchicalforecast"] = {
        "version": hierarchicalforecast.__version__,
        "bottom_up": BottomUp().fit_predict(S=SUMS, y_hat=forecasts)["mean"].tolist(),
        "ols": MinTrace(method="ols").fit_predict(**given)["mean"].tolist(),
        "mint": mint.fit_predict(**given, **shrunk)["mean"].tolist(),
    }
    return found


if __name__ == "__main__":
    json.dump(figures(), sys.stdout, indent=1)
