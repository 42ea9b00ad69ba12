"""A Gaussian copula: it joins the distributions of the steps of a horizon to paths."""

import math

import torch
from torch import Tensor

LEAST = 10
"""The smallest number of known errors from which a dependence is estimated."""
TRACE = 1e-9
"""What is left of independence between steps that depend on each other perfectly."""


class Copula:
    """How the ranks of the errors of the steps depend on each other, as that of normal variables with a correlation.

    The ranks of the known errors of each step become normal scores. Two steps are correlated as far as their errors are
    known together: where rows have gaps, hardly any forecast may have all its truth. The correlation matrix is shrunk
    towards independence (Schäfer and Strimmer 2005), so that few errors do not pretend to a strong dependence. Steps
    with fewer than `LEAST` errors in common are independent. A path takes its values from draws of each step's own
    distribution: their order is that of normal variables with this correlation (Schefzik, Thorarinsdottir and Gneiting
    2013). So each step keeps its distribution.

    Args:
        known: of each target, (errors, horizon): values that rank the truth within its forecasts, in any unit; NaN
            where it is not known.

    Attributes:
        pairs: number of pairs of steps, of all targets.
        apart: how many of them have fewer than `LEAST` errors in common.

    Raises:
        ValueError: if a step of a target has fewer than `LEAST`.
    """

    def __init__(self, known: list[Tensor]) -> None:
        if (least := min(int((~each.isnan()).sum(0).min()) for each in known)) < LEAST:
            raise ValueError(
                f"a dependence needs {LEAST} or more forecasts whose truth is known at each step, got {least}"
            )
        self.factors = torch.stack(
            [torch.linalg.cholesky(shrunk_correlation(_normal_scores(each), LEAST)) for each in known]
        )
        together = torch.stack([rows_in_common(each) for each in known])
        self.pairs = len(known) * math.comb(known[0].shape[1], 2)
        self.apart = int((together < LEAST).sum()) // 2

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


def rows_in_common(values: Tensor) -> Tensor:
    """In how many rows two columns both have a value, (columns, columns), in double precision.

    Args:
        values: (rows, columns); NaN for none.
    """
    there = (~values.isnan()).double()
    return there.T @ there


def shrunk_correlation(values: Tensor, least: int = 1) -> Tensor:
    """The correlation matrix (columns, columns) of rows of values, shrunk towards the identity.

    r* = (1 - λ) r off the diagonal, with λ = Σ Var(r_ij) / Σ r_ij², at most 1. Source: Schäfer and Strimmer 2005.
    Each r_ij is the mean over the rows that have both values. If no variables have such a matrix of correlations, which
    means over different rows may make, it is shrunk further until some have.

    Args:
        values: (rows, columns); NaN for none. A constant column is correlated with nothing.
        least: rows that two columns must have in common to be correlated.
    """
    there = ~values.isnan()
    count = there.sum(0).clamp(min=1)
    filled = values.double().where(there, 0)
    centred = (filled - filled.sum(0) / count).where(there, 0)
    scale = (centred.square().sum(0) / count).sqrt()
    standard = centred / torch.where(scale > 0, scale, 1.0)
    rows = rows_in_common(values)
    correlation = (standard.T @ standard / rows.clamp(min=1)).clamp(-1, 1)
    # the variance of the products of two columns, without a tensor of rows x columns x columns
    products = standard.square().T @ standard.square() / rows.clamp(min=1)
    spread = (products - correlation.square()) / (rows - 1).clamp(min=1)
    diagonal = torch.eye(len(correlation), dtype=torch.bool, device=values.device)
    off = ~diagonal & (rows >= least)
    total = correlation[off].square().sum()
    shrinkage = (spread[off].sum() / total).clamp(0, 1) if total > 0 else torch.ones_like(total)
    # a trace of independence keeps a matrix of perfectly dependent columns regular
    shrunk = torch.where(off, (1 - shrinkage.clamp(min=TRACE)) * correlation, diagonal.double())
    if there.all():
        return shrunk
    lacking = (TRACE - torch.linalg.eigvalsh(shrunk)[0]).clamp(min=0)
    regular: Tensor = (shrunk + lacking * diagonal) / (1 + lacking)
    return regular


def _normal_scores(values: Tensor) -> Tensor:
    """(errors, horizon): the ranks in each column as quantiles of a normal distribution; NaN where there is none."""
    ranks = values.argsort(0).argsort(0).double()  # NaN comes last
    scores: Tensor = torch.special.ndtri((ranks + 0.5) / (~values.isnan()).sum(0))
    return scores.where(~values.isnan(), torch.nan)
