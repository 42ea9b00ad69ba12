"""Locks of open files, by what the system has: `flock` of Unix, or a locked byte of Windows.

Either lock ends with the process that holds it, however that ends.
"""

import contextlib
import errno
import os
import sys
import time
from pathlib import Path

WINDOWS = sys.platform == "win32"
"""Windows neither opens folders, nor replaces or deletes a file that somebody has open."""
TAKEN = (errno.EWOULDBLOCK, errno.EACCES)
"""What the system says when somebody else holds a lock; other errors mean a file system without locks."""
PATIENCE = 2.0
"""Seconds to wait on Windows for somebody who reads a file that is to be replaced, such as a virus scanner."""

if sys.platform == "win32":
    import msvcrt

    _PLACE = 1 << 30
    """The byte that is locked: nobody may read it meanwhile, so it lies behind all that the file holds."""

    def lock(file: int, shared: bool = False, wait: bool = False) -> None:
        """Locks an open file, as on other systems; no lock is shared."""
        os.lseek(file, _PLACE, os.SEEK_SET)
        while True:
            try:
                msvcrt.locking(file, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
            except OSError as error:
                if not wait or error.errno != errno.EDEADLK:  # it says so after it has waited ten seconds
                    raise
            else:
                return

    def is_still(file: int, path: Path) -> bool:
        """Whether an open file is the one of this name, as it always is here."""
        return True

else:
    import fcntl

    def lock(file: int, shared: bool = False, wait: bool = False) -> None:
        """Locks an open file; to close the file frees it.

        Args:
            file: the descriptor. NFS wants it open for writing, unless the lock is shared.
            shared: whether others may share the lock.
            wait: whether to wait for whoever holds the lock.

        Raises:
            OSError: with a number of `TAKEN` if somebody else holds the lock; with another one if the file system
                cannot lock.
        """
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))

    def is_still(file: int, path: Path) -> bool:
        """Whether an open file is the one of this name."""
        try:
            return os.path.samestat(os.fstat(file), path.stat())
        except FileNotFoundError:
            return False


def replace(new: Path, path: Path) -> None:
    """Gives a file the name of another one, which goes.

    Raises:
        OSError: if that cannot be done.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            new.replace(path)
        except PermissionError:
            if not WINDOWS or path.is_dir() or time.monotonic() > deadline:
                raise
        else:
            return
        time.sleep(0.05)


def close_and_delete(file: int, path: Path) -> None:
    """Frees the lock of an open file that was made for the lock alone, and deletes the file.

    Whoever waits for the lock of the file finds that it is gone. On Windows such a one keeps it.
    """
    if not WINDOWS:
        path.unlink(missing_ok=True)
    os.close(file)
    if WINDOWS:
        with contextlib.suppress(OSError):
            path.unlink()
