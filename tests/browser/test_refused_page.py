"""A page from elsewhere in a real browser: it is told that it may not connect, and why."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext

from server.admission import FOREIGN
from tests.browser.driver import LIMIT_MS
from tests.support.server_process import ServerProcess, free_port

PAGE = b"""<!doctype html><title>elsewhere</title><script>
  window.told = []
  window.listen = url => new Promise(resolve => {
    const socket = new WebSocket(url)
    socket.binaryType = 'arraybuffer'
    socket.onopen = () => socket.send(new Uint8Array([0, 0, 1, 0]))
    socket.onmessage = event => {
      const bytes = new Uint8Array(event.data)
      window.told.push([bytes[0], bytes[1], new TextDecoder().decode(bytes.slice(3))])
      if (bytes[0] === 0 && bytes[1] === 1) resolve('synced')
    }
    socket.onclose = event => resolve(event.code)
  })
</script>"""


@pytest.fixture
async def page_url() -> AsyncIterator[str]:
    """Serve a page of another origin, and return that."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        # Without a length the page ends with the connection.
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n" + PAGE)
        await writer.drain()
        writer.close()

    port = free_port()
    async with await asyncio.start_server(answer, "127.0.0.1", port):
        yield f"http://127.0.0.1:{port}"


async def listen(context: BrowserContext, page_url: str, ws_url: str) -> tuple[object, list[list[object]]]:
    """Open the page, connect from it, and return how that ended and what it was told."""
    page = await context.new_page()
    page.set_default_timeout(LIMIT_MS)
    await page.goto(page_url)
    end = await page.evaluate("url => window.listen(url)", ws_url)
    return end, await page.evaluate("window.told")


async def test_L3_a_page_from_elsewhere_is_told_why_before_it_is_closed(
    server: ServerProcess, context: BrowserContext, page_url: str
) -> None:
    end, told = await listen(context, page_url, server.ws_url("d"))
    assert (end, told) == (4403, [[2, 0, FOREIGN]])
    assert f"--allow-origin {page_url}" in server.log.read_text()


@pytest.fixture
def welcoming(tmp_path: Path, page_url: str) -> Iterator[ServerProcess]:
    """A server that does what the log of the other one says."""
    with ServerProcess(tmp_path / "data", arguments=("--allow-origin", page_url)) as server:
        yield server


async def test_L2_a_page_that_the_operator_names_is_let_in(
    welcoming: ServerProcess, context: BrowserContext, page_url: str
) -> None:
    end, _ = await listen(context, page_url, welcoming.ws_url("d"))
    assert end == "synced"
