"""The built book, a server for it and a real browser."""

import os
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import build
import pytest
from selenium import webdriver

ROOT = build.ROOT


@pytest.fixture(scope="session")
def html() -> Path:
    """The folder of the built book, as `make book` builds it."""
    if build.main([]) != 0:
        pytest.fail("the book does not build: see the captured output", pytrace=False)
    return ROOT / "_build" / "html"


class Quiet(SimpleHTTPRequestHandler):
    """Python's own static server, as the README has readers start it, without the log."""

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture(scope="session")
def origins(html):
    """Where the book's pages are: on a plain static server, and as files."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=html)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {"server": f"http://127.0.0.1:{server.server_port}", "file": html.as_uri()}
        server.shutdown()


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """Headless Chromium that can reach nothing but this machine."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not (browser and driver):
        missing = "no Chromium with its chromedriver on this machine"
        if os.environ.get("MIMO_REQUIRE_BROWSER") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in (
        "--headless=new",
        "--no-sandbox",  # which root, as in most containers, cannot have
        "--disable-gpu",
        "--hide-scrollbars",
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
        f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    service = webdriver.ChromeService(driver)
    with webdriver.Chrome(options=options, service=service) as chrome:
        chrome.set_script_timeout(60)
        yield chrome
