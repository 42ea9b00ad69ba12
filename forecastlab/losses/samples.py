"""Scores of forecasts that are given as draws."""

import torch
from torch import Tensor


def crps_of_samples(samples: Tensor, target: Tensor) -> Tensor:
    """The continuous ranked probability score of the empirical distribution of draws, of the target's shape.

        mean |x_i - y| - mean |x_i - x_j| / 2        the second mean over all pairs, also of a draw with itself

    Source: Gneiting and Raftery 2007, eq. 21.

    Args:
        samples: (..., samples)
        target: (...): the truth.
    """
    number = samples.shape[-1]
    ascending = samples.sort(-1).values
    rank = torch.arange(1, number + 1, device=samples.device, dtype=samples.dtype)
    spread = (ascending * (2 * rank - number - 1)).sum(-1) / number**2
    return (samples - target.unsqueeze(-1)).abs().mean(-1) - spread


def energy_score(samples: Tensor, target: Tensor) -> Tensor:
    """The energy score of draws of a vector, (...): the CRPS is that of vectors of one number.

        mean ‖x_i - y‖ - mean ‖x_i - x_j‖ / 2        the second mean over all pairs, also of a draw with itself

    Source: Gneiting and Raftery 2007, eq. 22.

    Args:
        samples: (..., samples, width): draws of a vector, such as the path over a horizon.
        target: (..., width): the truth.
    """
    distance: Tensor = torch.linalg.vector_norm(samples - target.unsqueeze(-2), dim=-1).mean(-1)
    between = (torch.linalg.vector_norm(samples - one.unsqueeze(-2), dim=-1).mean(-1) for one in samples.unbind(-2))
    spread: Tensor = torch.stack(list(between), -1).mean(-1) / 2
    return distance - spread
