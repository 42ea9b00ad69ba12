"""Calendar covariates, known in advance: cycles as a sine and a cosine."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

Cycle = Literal["hour", "day_of_week", "day_of_year"]

_CYCLES: dict[Cycle, float] = {"hour": 24, "day_of_week": 7, "day_of_year": 365.25}


def calendar_covariates(times: pd.DatetimeIndex, cycles: Sequence[Cycle]) -> pd.DataFrame:
    """The columns <cycle>_sin and <cycle>_cos for each cycle, (rows, 2 * cycles), in -1 .. 1.

    Args:
        times: when each row was observed, in the data's own time zone.
        cycles: "hour" (period 24), "day_of_week" (7), "day_of_year" (365.25).
    """
    columns = {}
    for cycle in cycles:
        angle = 2 * np.pi * np.asarray(getattr(times, cycle)) / _CYCLES[cycle]
        columns[f"{cycle}_sin"], columns[f"{cycle}_cos"] = np.sin(angle), np.cos(angle)
    return pd.DataFrame(columns, index=times)
