"""Finds a published data file: named by the user, in the user's data folder, in the cache, or downloaded into it."""

import contextlib
import hashlib
import http.client
import os
import ssl
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import IO, TypeAlias

from filelock import FileLock, Timeout

import forecastlab
from forecastlab.errors import DataError

ANSWER_TIMEOUT = 30
"""Seconds without an answer after which a download is given up."""
DOWNLOAD_TIMEOUT = 600
"""Seconds that a download may take altogether; waiting for another process's download takes a little longer."""
_CHUNK = 1 << 16

Pieces: TypeAlias = Generator[bytes, None, None]


def locate(
    relative: str, url: str, sha256: str, size: int, path: str | os.PathLike[str] | None = None, hint: str = ""
) -> Path:
    """Finds a file in the first of four places that has it.

    1. `path`, if given;
    2. `relative` in the folder $FORECASTLAB_DATA;
    3. `relative` in the user's cache folder ($XDG_CACHE_HOME or ~/.cache, then forecastlab);
    4. a download from `url` to that place in the cache folder.

    Files of 1 and 2 are the user's own: they may have been extended or corrected, so they are returned as they are
    (`checksum` tells whether one is the published file). A cached file is ours: it is checked on every call, which
    takes a millisecond per megabyte, and downloaded again if its size or checksum is wrong. Any number of processes may
    call this at once: those that share a file system download once.

    Args:
        relative: path of the file below the data folder and the cache folder, with forward slashes.
        url: address of the published file; HTTPS.
        sha256: checksum of the published file, in hexadecimal digits.
        size: size of the published file in bytes.
        path: the user's own file; reading it says what is wrong with it.
        hint: last lines for the error when the file can be neither found nor downloaded.

    Raises:
        DataError: if the file must be downloaded and cannot be: no network, a refusing server, other bytes than
            expected, no space or permission to keep them.
        ValueError: if `url` is not HTTPS.
    """
    _require_https(url)
    if path is not None:
        return Path(os.path.expanduser(path))
    folder = os.environ.get("FORECASTLAB_DATA")
    if folder:
        own = Path(os.path.expanduser(folder)) / relative
        if os.path.exists(own):
            return own
    cached = cache_folder() / relative
    if _is_intact(cached, sha256, size):
        return cached
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(cached.parent / f".{cached.name}.lock", timeout=DOWNLOAD_TIMEOUT + 2 * ANSWER_TIMEOUT):
            if not _is_intact(cached, sha256, size):  # another process may have been first
                _keep(_progress(_download(url), cached.name, size), cached, sha256, size)
    except _NoDownloadError as error:
        raise DataError(_where_to_put(relative, url, sha256, size, cached, str(error), hint)) from None
    except Timeout:
        raise DataError(
            f"another process has been downloading {cached} for more than {DOWNLOAD_TIMEOUT} seconds.\n"
            "Stop it, or wait for it, and try again."
        ) from None
    except OSError as error:
        raise DataError(
            f"cannot keep a downloaded file as {cached}: {error}.\n"
            "Make room or allow writing there, or set XDG_CACHE_HOME to a folder for the cache."
        ) from None
    return cached


def cache_folder() -> Path:
    """The user's cache folder for data: $XDG_CACHE_HOME or ~/.cache, then forecastlab. It may not exist yet.

    Raises:
        DataError: if there is no home folder to put it in.
    """
    folder = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(folder):  # the XDG specification: a relative one is ignored
        folder = os.path.expanduser("~/.cache")
    if not os.path.isabs(folder):
        raise DataError("this user has no home folder for a cache: set XDG_CACHE_HOME to a folder that may be written")
    return Path(folder) / "forecastlab"


def checksum(path: str | os.PathLike[str]) -> str:
    """The sha256 of a file, in hexadecimal digits.

    Raises:
        OSError: if it cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _NoDownloadError(Exception):
    """Why the bytes did not come, or were not the right ones."""


class _OnlyHTTPS(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if not newurl.lower().startswith("https://"):
            fp.close()
            raise _NoDownloadError(f"the server redirects to {newurl}, which is not HTTPS")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_https(url: str) -> None:
    if not url.lower().startswith("https://"):
        raise ValueError(f"expected an address that begins with https://, got {url!r}")


def _is_intact(path: Path, sha256: str, size: int) -> bool:
    try:
        return path.stat().st_size == size and checksum(path) == sha256
    except OSError:
        return False


def _download(url: str) -> Pieces:
    """The bytes at an address, piece by piece.

    Raises:
        _NoDownloadError: if they do not come.
    """
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=ssl.create_default_context()), _OnlyHTTPS()
    )
    request = urllib.request.Request(url, headers={"User-Agent": f"forecastlab/{forecastlab.__version__}"})
    deadline = time.monotonic() + DOWNLOAD_TIMEOUT
    try:
        with opener.open(request, timeout=ANSWER_TIMEOUT) as response:
            while piece := response.read1(_CHUNK):
                yield piece
                if time.monotonic() > deadline:
                    raise _NoDownloadError(f"it took more than {DOWNLOAD_TIMEOUT} seconds")
    except urllib.error.HTTPError as error:
        with error:
            raise _NoDownloadError(f"the server answers {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise _NoDownloadError(f"no connection: {error.reason}") from None
    except (OSError, http.client.HTTPException) as error:
        raise _NoDownloadError(f"the connection broke: {error or type(error).__name__}") from None


def _progress(pieces: Pieces, name: str, size: int) -> Pieces:
    """Passes the pieces on, and shows how many there were so far if standard error is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (TextColumn("Downloading {task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with (
        contextlib.closing(pieces),
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        task = progress.add_task(name, total=size)
        for piece in pieces:
            progress.advance(task, len(piece))
            yield piece


def _keep(pieces: Pieces, target: Path, sha256: str, size: int) -> None:
    """Writes the pieces under the name `target`, all of them or none.

    Raises:
        _NoDownloadError: if they have the wrong size or checksum; any error of the pieces too.
        OSError: if they cannot be written.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    try:
        digest, received = hashlib.sha256(), 0
        with contextlib.closing(pieces), os.fdopen(descriptor, "wb") as file:
            for piece in pieces:
                received += len(piece)
                if received > size:
                    raise _NoDownloadError(f"it is longer than the {size:,} bytes that were expected")
                digest.update(piece)
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        if received < size:
            raise _NoDownloadError(f"it broke off after {received:,} of {size:,} bytes")
        if digest.hexdigest() != sha256:
            raise _NoDownloadError(f"it is not the published file: its sha256 is {digest.hexdigest()}")
        os.chmod(temporary, 0o644)  # a temporary file is its owner's alone; a cache may be shared
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _where_to_put(relative: str, url: str, sha256: str, size: int, cached: Path, reason: str, hint: str) -> str:
    folder = os.environ.get("FORECASTLAB_DATA")
    state = f"now {folder}, which has no such file" if folder else "not set now"
    problem = f"{cached} is damaged" if os.path.exists(cached) else f"{relative} is not on this machine"
    lines = [
        f"{problem} and cannot be downloaded from {url}: {' '.join(reason.split())}.",
        f"Fetch it elsewhere ({size:,} bytes, sha256 {sha256}) and put it in one of these places:",
        f"  $FORECASTLAB_DATA/{relative} (FORECASTLAB_DATA is {state})",
        f"  {cached}",
    ]
    return "\n".join([*lines, hint] if hint else lines)
