"""Our own errors: what the command line prints without a traceback before it ends in status 2."""


class ForecastlabError(Exception):
    """An error that whoever runs the tool can put right: in a configuration, a file, or the data in it.

    The message says what was expected, what came instead, and what to do, in at most ten lines. A bug of ours is
    never one of these: it keeps its traceback.
    """


class DataError(ForecastlabError):
    """A file or a table cannot be used: missing, unreadable, malformed, or without the values that are needed."""


class Note(UserWarning):
    """What somebody should know about their data or about a fit, in one line; the command line prints it as a note."""


class FittingNote(Note):
    """What was done in the place of fits that failed."""


class ReadingNote(Note):
    """What was decided about data, or done to their rows, while they were read: sorted, merged, filled, left out."""


class NewSeriesNote(Note):
    """Which series a network was not trained on, and what that means for their forecasts."""


class NotFiniteError(ForecastlabError):
    """A loss or a weight became infinite or not a number; nothing that comes after it can be used."""


class ConfigError(ForecastlabError):
    """A setting cannot be used: unknown, of the wrong type or range, or at odds with another one or with the data."""
