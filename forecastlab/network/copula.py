"""A Gaussian copula: it joins the distributions of the steps of a horizon to paths."""

import torch
from torch import Tensor

LEAST = 10
"""The smallest number of known errors from which a dependence is estimated."""


class Copula:
    """How the ranks of the errors of the steps depend on each other, as that of normal variables with a correlation.

    The ranks of the known errors of each step become normal scores. Their correlation matrix is shrunk towards
    independence (Schäfer and Strimmer 2005), so that few errors do not pretend to a strong dependence. A path takes its
    values from draws of each step's own distribution: their order is that of normal variables with this correlation
    (Schefzik, Thorarinsdottir and Gneiting 2013). So each step keeps its distribution.

    Args:
        known: of each target, (errors, horizon): values that rank the truth within its forecasts, in any unit.

    Raises:
        ValueError: if a target has fewer than `LEAST`.
    """

    def __init__(self, known: list[Tensor]) -> None:
        if (least := min(map(len, known))) < LEAST:
            raise ValueError(f"a dependence needs {LEAST} or more forecasts whose truth is known, got {least}")
        self.factors = torch.stack([torch.linalg.cholesky(shrunk_correlation(_normal_scores(each))) for each in known])

    def order(self, samples: Tensor) -> Tensor:
        """Paths from independent draws of each step, both (..., horizon, targets, draws); from torch's generator.

        Args:
            samples: draws of each step's distribution.
        """
        normal = torch.randn(samples.shape, dtype=torch.float64, device=samples.device)
        factors = self.factors.to(samples.device)
        together = torch.einsum("thk,...ktn->...htn", factors, normal)
        ranks = together.argsort(-1).argsort(-1)
        return samples.sort(-1).values.gather(-1, ranks)


def shrunk_correlation(values: Tensor) -> Tensor:
    """The correlation matrix (columns, columns) of rows of values, shrunk towards the identity.

    r* = (1 - λ) r off the diagonal, with λ = Σ Var(r_ij) / Σ r_ij², at most 1. Source: Schäfer and Strimmer 2005.

    Args:
        values: (rows, columns); a constant column is correlated with nothing.
    """
    rows = len(values)
    centred = values.double() - values.double().mean(0)
    scale = centred.square().mean(0).sqrt()
    standard = centred / torch.where(scale > 0, scale, 1.0)
    correlation = standard.T @ standard / rows
    # the variance of the products of two columns, without a tensor of rows x columns x columns
    spread = (standard.square().T @ standard.square() / rows - correlation.square()) / max(rows - 1, 1)
    off = ~torch.eye(len(correlation), dtype=torch.bool, device=values.device)
    total = correlation[off].square().sum()
    shrinkage = (spread[off].sum() / total).clamp(0, 1) if total > 0 else torch.ones_like(total)
    # a trace of independence keeps a matrix of perfectly dependent columns regular
    return torch.where(off, (1 - shrinkage.clamp(min=1e-9)) * correlation, 1.0)


def _normal_scores(values: Tensor) -> Tensor:
    """(errors, horizon): the ranks in each column as quantiles of a normal distribution."""
    ranks = values.argsort(0).argsort(0).double()
    scores: Tensor = torch.special.ndtri((ranks + 0.5) / len(values))
    return scores
