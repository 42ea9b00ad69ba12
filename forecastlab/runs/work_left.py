"""How long jobs that run side by side still take."""

from collections.abc import Sequence
from statistics import mean

from forecastlab.runs.live_line import duration


def work_left(ended: Sequence[float], running: Sequence[tuple[float, float]], waiting: int, processes: int) -> str:
    """What is said about the end of all jobs; empty before there is a measure of it.

    Jobs that have ended tell how long one takes, with all that makes trainings stop early. Before the first has ended,
    the share of its epochs that a running job is through with gives a bound, for it may stop early.

    Args:
        ended: seconds that each job took that has ended well.
        running: of each running job the seconds since it began, and the share of it that is done, 0 .. 1.
        waiting: number of jobs that are not begun.
        processes: the most that run at once.
    """
    bounds = [age / share for age, share in running if share > 0]
    if not (running or waiting) or not (ended or bounds):
        return ""
    whole = mean(ended or bounds)
    rests = [_rest(age, share, whole if ended or not share else age / share) for age, share in running]
    seconds = max([*rests, (sum(rests) + max(waiting, 0) * whole) / processes])
    return f"about {duration(seconds)} left" if ended else f"at most {duration(seconds)} left"


def _rest(age: float, share: float, whole: float) -> float:
    """Seconds that a job still takes; one that is older than others became is judged by its share."""
    if age < whole or not share:
        return max(whole - age, 0.0)
    return age / share - age
