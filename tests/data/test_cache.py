import hashlib
import http.server
import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from forecastlab.data import cache, ozone
from forecastlab.data.cache import cache_folder, checksum, locate
from forecastlab.data.ozone import ozone_path
from forecastlab.errors import DataError

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
RELATIVE = "sets/one.data"
NO_NETWORK = "https://localhost:1/one.data"


class Server:
    """A real HTTPS server on this machine; `answers` maps paths to functions of the request's handler."""

    def __init__(self, certificate, key):
        self.answers = {}
        self.requests = []
        self.released = threading.Event()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.requests.append((self.path, self.headers["User-Agent"]))
                server.answers[self.path](self)

            def log_message(self, *arguments):
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            def handle_error(self, request, client_address):  # a client that hangs up is part of the tests
                pass

        self._server = Quiet(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.address = f"https://localhost:{self._server.server_port}"

    def sends(self, body, length=None, path="/one.data"):
        def answer(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(body) if length is None else length))
            handler.end_headers()
            handler.wfile.write(body)

        self.answers[path] = answer
        return self.address + path

    def stalls(self, path="/one.data"):
        """Sends half of the content, then nothing until `released`."""

        def answer(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(CONTENT)))
            handler.end_headers()
            handler.wfile.write(CONTENT[: len(CONTENT) // 2])
            handler.wfile.flush()
            self.released.wait(20)

        self.answers[path] = answer
        return self.address + path

    def redirects(self, target, path="/moved"):
        def answer(handler):
            handler.send_response(302)
            handler.send_header("Location", target)
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        self.answers[path] = answer
        return self.address + path

    def fails(self, status, path="/one.data"):
        def answer(handler):
            handler.send_error(status)

        self.answers[path] = answer
        return self.address + path

    def stop(self):
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make a certificate")
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "certificate.pem"),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder / "certificate.pem", folder / "key.pem"


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """A machine of our own: nothing in the cache, no data folder, no proxy."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("FORECASTLAB_DATA", raising=False)
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def server(certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    server = Server(*certificate)
    yield server
    server.stop()


@pytest.fixture
def cached(folders):
    return folders / "cache" / "forecastlab" / "sets" / "one.data"


def find(url=NO_NETWORK, **changes):
    arguments = {"relative": RELATIVE, "url": url, "sha256": SHA256, "size": len(CONTENT), **changes}
    return locate(**arguments)


def refused(url=NO_NETWORK, **changes):
    with pytest.raises(DataError) as caught:
        find(url, **changes)
    assert len(str(caught.value).splitlines()) <= 10
    return str(caught.value)


def left_behind(cached):
    """Files in the cache besides the lock."""
    return [path.name for path in cached.parent.iterdir() if not path.name.endswith(".lock")]


def put(path, content=CONTENT):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# Where a file is found


def test_a_given_path_comes_first(folders, monkeypatch, cached):
    put(cached)
    put(folders / "own" / RELATIVE)
    monkeypatch.setenv("FORECASTLAB_DATA", str(folders / "own"))
    assert find(path=folders / "mine.data") == folders / "mine.data"
    assert find(path="~/mine.data") == Path.home() / "mine.data"


def test_the_data_folder_comes_before_the_cache(folders, monkeypatch, cached):
    put(cached)
    own = put(folders / "own" / RELATIVE)
    monkeypatch.setenv("FORECASTLAB_DATA", str(folders / "own"))
    assert find() == own


def test_the_users_own_files_may_differ_from_the_published_one(folders, monkeypatch):
    own = put(folders / "own" / RELATIVE, b"corrected")
    monkeypatch.setenv("FORECASTLAB_DATA", str(folders / "own"))
    assert find() == own
    assert checksum(own) != SHA256


@pytest.mark.parametrize("folder", ["", "nowhere"])
def test_a_data_folder_without_the_file_is_passed_over(folder, monkeypatch, cached):
    put(cached)
    monkeypatch.setenv("FORECASTLAB_DATA", folder)
    assert find() == cached


def test_a_good_file_in_the_cache_is_used_without_a_network(cached):
    put(cached)
    assert find() == cached


def test_a_cache_that_cannot_be_written_is_still_used(cached):
    put(cached)
    cached.parent.chmod(0o500)
    try:
        assert find() == cached
        assert left_behind(cached) == ["one.data"]
    finally:
        cached.parent.chmod(0o700)


def test_the_cache_is_in_the_home_folder_by_default(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    for value in ("", "relative/folder"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert cache_folder() == Path("/home/someone/.cache/forecastlab")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path("/home/someone/.cache/forecastlab")


def test_only_https_addresses_are_accepted():
    with pytest.raises(ValueError, match="https://"):
        find("http://localhost/one.data")


# Downloads


def test_a_missing_file_is_downloaded_once_and_kept(server, cached):
    url = server.sends(CONTENT)
    assert find(url) == cached
    assert cached.read_bytes() == CONTENT
    assert left_behind(cached) == ["one.data"]
    assert cached.stat().st_mode & 0o777 == 0o644
    assert find(url) == cached
    assert len(server.requests) == 1
    assert server.requests[0][1].startswith("forecastlab/")


@pytest.mark.parametrize("damage", [b"", CONTENT[:-1], CONTENT + b"x", b"x" + CONTENT[1:]])
def test_a_damaged_file_in_the_cache_is_downloaded_again(server, cached, damage):
    put(cached, damage)
    assert find(server.sends(CONTENT)) == cached
    assert cached.read_bytes() == CONTENT


def test_other_bytes_than_published_are_not_kept(server, cached):
    other = b"x" + CONTENT[1:]
    message = refused(server.sends(other))
    assert f"it is not the published file: its sha256 is {hashlib.sha256(other).hexdigest()}" in message
    assert left_behind(cached) == []


def test_a_failed_repair_leaves_the_damaged_file_and_says_so(server, cached):
    put(cached, b"damaged")
    message = refused(server.fails(503))
    assert message.startswith(
        f"{cached} is damaged and cannot be downloaded from {server.address}/one.data: the server"
    )
    assert left_behind(cached) == ["one.data"]


@pytest.mark.parametrize("length", [None, len(CONTENT)])
def test_a_download_that_breaks_off_is_not_kept(server, cached, length):
    message = refused(server.sends(CONTENT[:100_000], length))
    assert "broke" in message
    assert left_behind(cached) == []


def test_a_download_that_does_not_end_is_cut_off(server, cached):
    def pours(handler):
        handler.send_response(200)
        handler.end_headers()
        while not server.released.is_set():
            handler.wfile.write(CONTENT)

    server.answers["/one.data"] = pours
    assert f"longer than the {len(CONTENT):,} bytes" in refused(server.address + "/one.data")
    assert left_behind(cached) == []


def test_a_server_that_falls_silent_is_given_up(server, cached, monkeypatch):
    monkeypatch.setattr(cache, "ANSWER_TIMEOUT", 0.3)
    assert "the connection broke: " in refused(server.stalls())
    assert left_behind(cached) == []


def test_a_server_that_drips_is_given_up(server, cached, monkeypatch):
    def drips(handler):
        handler.send_response(200)
        handler.end_headers()
        while not server.released.wait(0.05):
            handler.wfile.write(b"x")
            handler.wfile.flush()

    server.answers["/one.data"] = drips
    monkeypatch.setattr(cache, "DOWNLOAD_TIMEOUT", 0.4)
    assert "it took more than 0.4 seconds" in refused(server.address + "/one.data")
    assert left_behind(cached) == []


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_refusing_server_is_quoted(server, status):
    assert f"the server answers {status} " in refused(server.fails(status))


def test_a_redirect_to_https_is_followed(server, cached):
    assert find(server.redirects(server.sends(CONTENT))) == cached
    assert [path for path, _ in server.requests] == ["/moved", "/one.data"]


@pytest.mark.parametrize("target", ["http://localhost:1/one.data", "ftp://localhost/one.data"])
def test_a_redirect_to_anything_else_is_refused(server, cached, target):
    assert f"redirects to {target}, which is not HTTPS" in refused(server.redirects(target))
    assert left_behind(cached) == []


def test_a_redirect_to_a_local_file_is_refused(server, cached):
    assert "file:///etc/hostname" in refused(server.redirects("file:///etc/hostname"))
    assert left_behind(cached) == []


def test_a_certificate_that_nobody_signed_is_refused(server, monkeypatch, cached):
    monkeypatch.delenv("SSL_CERT_FILE")
    assert "certificate" in refused(server.sends(CONTENT)).lower()
    assert not server.requests


def test_an_interruption_in_the_middle_leaves_nothing(cached, monkeypatch):
    def interrupted(url):
        yield CONTENT[:1000]
        assert len(left_behind(cached)) == 1, "the download is on its way, under another name"
        assert not cached.exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(cache, "_download", interrupted)
    with pytest.raises(KeyboardInterrupt):
        find()
    assert left_behind(cached) == []


def test_a_full_disk_leaves_nothing(server, cached, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    message = refused(server.sends(CONTENT))
    assert f"cannot keep a downloaded file as {cached}: [Errno 28] No space left on device" in message
    assert "XDG_CACHE_HOME" in message
    assert left_behind(cached) == []


def test_a_cache_folder_that_cannot_be_made_is_named(folders):
    put(folders / "cache", b"a file where the folder should be")
    assert "cannot keep a downloaded file as" in refused()


# No network: what the error says


def test_without_a_network_the_error_says_which_file_to_put_where(cached):
    message = refused(hint="Or train on the sample.")
    assert f"{RELATIVE} is not on this machine and cannot be downloaded from {NO_NETWORK}: no connection" in message
    assert f"256,000 bytes, sha256 {SHA256}" in message
    assert f"$FORECASTLAB_DATA/{RELATIVE} (FORECASTLAB_DATA is not set now)" in message
    assert f"  {cached}\n" in message
    assert message.endswith("\nOr train on the sample.")
    assert left_behind(cached) == []


def test_a_data_folder_without_the_file_is_mentioned(monkeypatch):
    monkeypatch.setenv("FORECASTLAB_DATA", "/somewhere")
    assert "(FORECASTLAB_DATA is now /somewhere, which has no such file)" in refused()


def test_the_ozone_error_offers_the_sample(monkeypatch):
    monkeypatch.setattr(ozone, "URL", NO_NETWORK)
    with pytest.raises(DataError) as caught:
        ozone_path()
    assert "ozone/eighthr.data" in str(caught.value)
    assert "818,329 bytes" in str(caught.value)
    assert "or anywhere, and name it: --data.path FILE" in str(caught.value)
    assert "--data.source sample" in str(caught.value)


@pytest.mark.real
def test_the_real_file_passes_the_check_of_the_cache(real_ozone, folders):
    put(folders / "cache" / "forecastlab" / "ozone" / "eighthr.data", real_ozone.read_bytes())
    assert ozone_path().read_bytes() == real_ozone.read_bytes()


# Several processes

PROGRAM = """
import signal, sys
from forecastlab.data.cache import locate
signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background of a shell ignore it
print(locate(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])), flush=True)
"""


def start(url):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, RELATIVE, url, SHA256, str(len(CONTENT))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(cache.__file__).parents[2],
    )


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_processes_at_once_download_once(server, cached):
    url = server.sends(CONTENT)
    quick = server.answers["/one.data"]

    def slowly(handler):
        time.sleep(1)
        quick(handler)

    server.answers["/one.data"] = slowly
    processes = [start(url) for _ in range(3)]
    for process in processes:
        out, error = process.communicate(timeout=60)
        assert process.returncode == 0, error
        assert out.strip() == str(cached)
        assert error == "", "no progress bar without a terminal"
    assert len(server.requests) == 1
    assert cached.read_bytes() == CONTENT
    assert left_behind(cached) == ["one.data"]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_a_process_that_ends_in_the_middle_leaves_no_file_and_no_lock(server, cached, sent):
    url = server.stalls()
    process = start(url)
    wait_for(lambda: cached.parent.exists() and any(path.suffix == ".part" for path in cached.parent.iterdir()))
    process.send_signal(sent)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert not cached.exists()
    if sent == signal.SIGINT:
        assert left_behind(cached) == []
    server.sends(CONTENT)
    assert find(url) == cached
    assert cached.read_bytes() == CONTENT


def test_a_terminal_shows_the_progress(server, cached):
    pty = pytest.importorskip("pty")
    url = server.sends(CONTENT)
    main, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, RELATIVE, url, SHA256, str(len(CONTENT))],
        stdout=subprocess.PIPE,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm"},
        cwd=Path(cache.__file__).parents[2],
    )
    os.close(terminal)
    shown = b""
    try:
        while piece := os.read(main, 4096):
            shown += piece
    except OSError:  # the terminal has gone with the process
        pass
    os.close(main)
    out, _ = process.communicate(timeout=60)
    assert b"Downloading one.data" in shown
    assert out.decode().strip() == str(cached)
