"""How much time has passed since the row before."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecastlab.data.table import elapsed


def since_row_before(times: pd.DatetimeIndex, frequency: str, by_rows: bool) -> NDArray[np.float64]:
    """The time since the row before, (rows,): in hours or in steps of the calendar; 0 in the first row.

    Args:
        times: (rows,), strictly increasing.
        frequency: the step of the calendar as a pandas offset.
        by_rows: whether steps are counted by rows, which lie on no calendar: then it is in hours.

    Raises:
        DataError: if the times are not on the calendar.
    """
    since = np.zeros(len(times))
    since[1:] = (times[1:] - times[:-1]) / pd.Timedelta(hours=1) if by_rows else np.diff(elapsed(times, frequency))
    return since
