"""How a command ends: the exit status, and what standard error is told."""

import os
import sys
from collections.abc import Callable

from forecastlab.errors import our_error


def status_of(call: Callable[[], int | None]) -> int:
    """Calls a command and returns its exit status.

    It is 2 for an error of ours, which is printed without a traceback, and what a SystemExit says. Other errors are
    raised as they are.
    """
    try:
        status = call() or 0
        sys.stdout.flush()  # here and not at the end of Python, which would print what it cannot raise
        return status
    except SystemExit as exit_:  # --help and --print_config
        return int(exit_.code or 0)
    except BrokenPipeError:  # whoever read the output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as of SIGPIPE, which Windows does not have
    except Exception as error:
        ours = our_error(error)
        if ours is None:
            raise
        print(f"forecastlab: error: {ours}", file=sys.stderr)
        return 2
