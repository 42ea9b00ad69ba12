"""Metrics of forecasts that are given as draws."""

from torch import Tensor

from forecastlab.losses.samples import crps_of_samples, energy_score
from forecastlab.metrics.mean import MeanMetric


class CRPS(MeanMetric):
    """Mean continuous ranked probability score of draws, in the target's unit (`crps_of_samples`).

    It is that of the empirical distribution of the draws. A single draw is a point forecast, whose score is the
    absolute error. The mean of the score over draws of n from a distribution exceeds the score of the distribution
    itself by 1 / n of half the mean difference of two draws. Sources: Matheson and Winkler 1976; Gneiting and Raftery
    2007.
    """

    higher_is_better = False

    def update(self, samples: Tensor, target: Tensor) -> None:
        """Adds draws, (..., samples), and truth, (...)."""
        self._add(crps_of_samples(samples.double(), target.double()))


class EnergyScore(MeanMetric):
    """Mean energy score of draws of a vector, such as paths over a horizon, in the target's unit (`energy_score`).

    It also judges how the parts of the vector hang together, which the CRPS of each part cannot see. Source: Gneiting
    and Raftery 2007.
    """

    higher_is_better = False

    def update(self, samples: Tensor, target: Tensor) -> None:
        """Adds draws, (..., samples, width), and truth, (..., width)."""
        self._add(energy_score(samples.double(), target.double()))
