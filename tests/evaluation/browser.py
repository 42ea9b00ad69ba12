"""A real browser, without a window."""

import json
import os
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--allow-file-access-from-files",  # lets the page below look into its frame
)
FRAME = """<!DOCTYPE html>
<iframe id="frame" width="{width}" height="800" style="border: 0"></iframe><pre id="found"></pre>
<script>
frame.onload = () => {{
  const page = frame.contentDocument;
  found.textContent = JSON.stringify({{
    width: page.documentElement.clientWidth,
    scroll: page.documentElement.scrollWidth,
    sticking_out: [...page.body.querySelectorAll("*")]
      .filter(element => !element.closest(".scroll, pre") && element.getBoundingClientRect().right > {width} + 0.5)
      .map(element => element.outerHTML.slice(0, 200)),
    boxes: [...page.querySelectorAll(".scroll")].map(box => [box.clientWidth, box.scrollWidth]),
    images: [...page.images].map(image => image.complete ? image.naturalWidth : 0),
    title: page.title,
    text: page.body.innerText,
    ran: frame.contentWindow.ran === true,
    answer: (() => {{ {script} }})() ?? null,
  }});
}};
frame.src = "{address}";
</script>
"""


def browser():
    """Path of a browser; skips without one. With FORECASTLAB_REQUIRE_BROWSER=1 that is a failure."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        reason = f"needs a browser: none of {', '.join(NAMES)} is installed"
        if os.environ.get("FORECASTLAB_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def look_at(page, width, folder, script=""):
    """Opens a page in a frame of a width in pixels: what the script above found, and the addresses it asked for.

    A further script may do something with the `page`, a document; what it returns is the `answer`.
    """
    folder = Path(folder)
    (folder / "frame.html").write_text(FRAME.format(width=width, script=script, address=Path(page).resolve().as_uri()))
    command = [
        browser(),
        *OPTIONS,
        f"--user-data-dir={folder / 'profile'}",
        f"--log-net-log={folder / 'net.json'}",
        "--dump-dom",
        (folder / "frame.html").as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    dumped = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert done.returncode == 0, done.stderr[-2000:]
    assert dumped, done.stdout[-2000:]
    return json.loads(unescape(dumped[1])), requests(folder / "net.json")


def requests(log):
    """Addresses that pages asked the network for; what the browser does for itself has no page as its initiator."""
    content = json.loads(log.read_text())
    parameters = (event.get("params", {}) for event in content["events"])
    return [
        one["url"]
        for one in parameters
        if str(one.get("url")).startswith(("http", "ws", "ftp")) and one.get("initiator") not in (None, "not an origin")
    ]
