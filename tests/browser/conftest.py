"""A real browser on a real server: found, or the tests are skipped with a sentence."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Playwright, async_playwright, expect

from server.page import PAGE
from tests.browser.driver import LIMIT_MS, Window
from tests.support.require import require
from tests.support.server_process import ServerProcess

INSTALLED = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

expect.set_options(timeout=LIMIT_MS)

OpenWindow = Callable[..., Awaitable[Window]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server of its own for one test, with the built page."""
    require((PAGE / "index.html").exists(), "The page is not built: run `make page`.")
    with ServerProcess(tmp_path / "data") as server:
        yield server


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A headless Chromium."""
    async with async_playwright() as playwright:
        path = await asyncio.to_thread(_find_browser, playwright)
        require(path, "No Chromium was found: install one, or run `playwright install chromium`.")
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
async def context(browser: Browser) -> BrowserContext:
    """One person's browser: its windows share what it keeps on the device."""
    return await browser.new_context()


@pytest.fixture
async def open_window(server: ServerProcess, context: BrowserContext) -> AsyncIterator[OpenWindow]:
    """Open windows of the page; the test fails when the console of one of them complained."""
    windows: list[Window] = []

    async def open_window(document: str = "welcome", context: BrowserContext = context) -> Window:
        windows.append(Window(await context.new_page()))
        return await windows[-1].open(f"{server.http_url}/?document={document}")

    yield open_window
    assert [window.complaints for window in windows] == [[] for _ in windows]


def _find_browser(playwright: Playwright) -> str | None:
    own = playwright.chromium.executable_path
    found = [path for name in INSTALLED if (path := shutil.which(name))]
    return own if Path(own).exists() else next(iter(found), None)
