"""python -m forecastlab."""

import os
import sys
from pathlib import Path

import forecastlab
from forecastlab.cli import main


def _leave_folder() -> None:
    """Takes the working folder out of where packages are looked for, as for the command `forecastlab`.

    `python -m` puts it first there, and a file that happens to lie in it, such as yaml.py, would be run. If this
    package itself is imported from there, without having been installed, the folder stays, behind all others.
    """
    if not sys.flags.safe_path and sys.path and sys.path[0] in ("", os.getcwd()):
        folder = Path(sys.path.pop(0)).resolve()
        if folder == Path(forecastlab.__file__).resolve().parents[1]:
            sys.path.append(str(folder))


if __name__ == "__main__":
    _leave_folder()
    sys.exit(main())
