"""What every room's tests share: real parts of the machine, and the rule about their absence.

A test that needs a program this machine lacks is skipped, and says which program. Where
DATAFLOW_REQUIRE_REAL=1 (as in .ci/run) such a skip is a failure, so that no test is lost unseen.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import hypothesis
import pytest

# How long one example takes says nothing: the first may import a library, and the machine may be busy.
hypothesis.settings.register_profile("dataflow", deadline=None)
hypothesis.settings.load_profile("dataflow")

REQUIRE_REAL = os.environ.get("DATAFLOW_REQUIRE_REAL") == "1"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# What a skip's reason must not speak of where real parts are required.
REAL_PARTS = re.compile(
    r"redis|valkey|chrom|browser|playwright|moto|duckdb|s3fs|aiohttp|could not import", re.I
)


@pytest.fixture(scope="session")
def redis_server_program() -> str:
    """Path of the machine's own Redis server."""
    return program("redis-server")


@pytest.fixture(scope="session")
def chromium_program() -> str:
    """Path of a Chromium browser."""
    return program(*BROWSERS)


def program(*names: str) -> str:
    """Return the path of the first program there is, or skip the test."""
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"needs {names[0]}: install it to run this test")
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """Judge the skips of tests."""
    report = yield
    return required(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Iterator[None]:
    """Judge the skips of whole modules."""
    report = yield
    return required(report)


def required(report):
    """Turn a skip for want of a real part into a failure, where real parts are required."""
    if REQUIRE_REAL and report.skipped and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        if REAL_PARTS.search(reason):
            report.outcome = "failed"
            report.longrepr = f"{reason} (skipping this is an error, since DATAFLOW_REQUIRE_REAL=1)"
    return report


@pytest.fixture(scope="session")
def words():
    """A small workload whose documents may ask for a misfortune: see tests/support/words.py."""
    from dataflow.workload import load_workload

    return load_workload(str(Path(__file__).parent / "support" / "words.py"))


@pytest.fixture
def write_corpus(tmp_path):
    """Write documents, given as texts, into a folder; returns the folder's path."""

    def write(*texts: str, name: str = "corpus") -> str:
        folder = tmp_path / name
        folder.mkdir()
        for number, text in enumerate(texts):
            (folder / f"{number:04d}.txt").write_text(text)
        return str(folder)

    return write


@pytest.fixture
def bucket(monkeypatch):
    """A bucket of an S3 that this machine's processes can reach."""
    pytest.importorskip("s3fs")
    moto = pytest.importorskip("moto.server")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    name = f"bucket-{os.urandom(4).hex()}"
    fsspec.filesystem("s3").mkdir(name)
    yield f"s3://{name}"
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    server.stop()


@pytest.fixture(scope="session")
def browser(chromium_program):
    """A headless Chromium that makes no request of its own."""
    sync_api = pytest.importorskip("playwright.sync_api")
    quiet = ("background-networking", "component-update", "sync", "gpu")
    arguments = ["--no-sandbox", "--no-first-run", *(f"--disable-{what}" for what in quiet)]
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium_program, args=arguments)
        yield opened
        opened.close()


@pytest.fixture
def visit(browser):
    """Open a page; returns it with what went wrong: errors of its console, requests to other hosts."""
    pages = []

    def open_page(url, **options):
        page = browser.new_page(**options)
        pages.append(page)
        page.errors, page.foreign = [], []
        page.on("console", lambda m: page.errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: page.errors.append(str(e)))
        page.on("request", lambda r: page.foreign.append(r.url) if not is_local(r.url) else None)
        page.goto(url)
        page.locator("canvas").first.wait_for(state="attached")
        return page

    yield open_page
    for page in pages:
        page.close()


def is_local(url: str) -> bool:
    """A file, or a server on this machine's loopback."""
    return url.startswith(("file:", "data:", "blob:", "http://127.0.0.1:", "ws://127.0.0.1:"))


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    """What one test's run saw documents cost decides nothing in another test."""
    yield
    module: Any = sys.modules.get("dataflow.engine.remembered")
    if module is not None:
        module.forget()
