"""What the page says when something is refused: by the server, or by itself before it comes to that."""

import contextlib
import re

import pytest
from playwright.async_api import BrowserContext, Locator, WebSocketRoute, expect
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin

from crdt.dialects.y_websocket import YWebsocket
from crdt.errors import CloseCode
from crdt.messages import PermissionDenied
from tests.browser.conftest import OpenWindow
from tests.support.server_process import ServerProcess

TAKEN_OUT = "4413: something was too large and was taken out"
FULL = "4413: the document is full, edits are not saved"
FOREIGN = Origin("http://elsewhere.example")

PASTE = """(element, bytes) => {
    const data = new DataTransfer();
    data.setData("text/plain", "x".repeat(bytes));
    const options = { clipboardData: data, bubbles: true, cancelable: true };
    element.dispatchEvent(new ClipboardEvent("paste", options));
}"""
DROP = """(element, bytes) => {
    const data = new DataTransfer();
    data.items.add(new File(["x".repeat(bytes)], "large.txt", { type: "text/plain" }));
    element.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
}"""
READ_COPIES = """async () => {
    const done = (request) => new Promise((then) => { request.onsuccess = () => then(request.result); });
    for (const { name } of await indexedDB.databases()) {
        const database = await done(indexedDB.open(name));
        if (database.objectStoreNames.contains("updates"))
            await done(database.transaction("updates").objectStore("updates").count());
        database.close();
    }
}"""
"""A reading comes after all that was written before it: then a reload loses nothing."""


@pytest.fixture
async def sockets(context: BrowserContext) -> list[WebSocketRoute]:
    """Collect the connections to the server, in the order of the panes: a test may speak for the server."""
    sockets: list[WebSocketRoute] = []

    def pass_on(socket: WebSocketRoute) -> None:
        socket.connect_to_server()
        sockets.append(socket)

    await context.route_web_socket("**/ws/**", pass_on)
    return sockets


def refusal(reason: str) -> bytes:
    """Encode what the server sends when it refuses something (M6)."""
    return YWebsocket().encode(PermissionDenied(reason))


def dismiss(notice: Locator) -> Locator:
    """Return the button that takes a notice away."""
    return notice.get_by_role("button", name="Dismiss this notice")


async def test_M6_a_refusal_is_told_until_it_was_read(
    open_window: OpenWindow, sockets: list[WebSocketRoute]
) -> None:
    """It ends nothing: people go on editing, and what they write is saved."""
    window = await open_window()
    notices = window.left.notices
    await expect(notices).to_have_count(0)
    for _ in range(2):
        for socket in sockets:
            socket.send(refusal(TAKEN_OUT))
        await expect(notices).to_have_count(1)
        await expect(notices).to_contain_text("was too large for the server and was taken out again")
        await expect(window.right.notices).to_have_count(1)
        await dismiss(notices).click()
        await expect(notices).to_have_count(0)
    await window.left.type("on and on")
    await window.right.reads("on and on")
    await window.left.is_live_and_saved()


async def test_M6_what_still_holds_is_not_repeated_to_who_has_read_it(
    open_window: OpenWindow, sockets: list[WebSocketRoute]
) -> None:
    """A full document is refused with every key: it is told once for each connection."""
    window = await open_window()
    left = window.left
    for socket in sockets:
        socket.send(refusal(FULL))
    await expect(left.notices).to_contain_text("This document is full.")
    await dismiss(left.notices).focus()
    await window.page.keyboard.press("Enter")
    await expect(left.notices).to_have_count(0)
    await expect(left.text).to_be_focused()

    for socket in sockets:
        socket.send(refusal(FULL))
        socket.send(refusal("4999: the moon is full"))
    await expect(left.notices).to_have_count(1)
    await expect(left.notices).to_contain_text("The server refused something: the moon is full.")

    await left.set_online(is_online=False)
    await left.set_online(is_online=True)
    await left.is_live_and_saved()
    sockets[-1].send(refusal(FULL))
    await expect(left.notices).to_contain_text("This document is full.")


async def test_notices_are_read_aloud_politely(
    open_window: OpenWindow, sockets: list[WebSocketRoute]
) -> None:
    """The live region is there before its first notice, and what is read says whose side it is."""
    window = await open_window()
    region = window.left.root.get_by_role("list", name="Notices")
    await expect(region).to_have_attribute("aria-live", "polite")
    for socket in sockets:
        socket.send(refusal(FULL))
    await expect(region.get_by_role("paragraph")).to_have_text(
        re.compile(r"^Left side: This document is full\.")
    )


@pytest.mark.parametrize("action", [PASTE, DROP], ids=["pasted", "dropped"])
async def test_a_text_that_the_server_would_refuse_is_not_inserted(
    open_window: OpenWindow, action: str
) -> None:
    """It would end the access, and every later edit with it."""
    window = await open_window()
    await window.left.type("before")
    await window.left.text.evaluate(action, 16_000_001)
    await expect(window.left.notices).to_contain_text("This text has 16.1 MB, and at most 16 MB")
    await window.left.type(" and after")
    await window.right.reads("before and after")
    await window.left.is_live_and_saved()


async def test_L2_who_may_not_connect_is_told_why_in_every_tab(
    open_window: OpenWindow, context: BrowserContext, server: ServerProcess
) -> None:
    """The server refuses another origin. What was written offline stays on the device, and arrives later."""
    is_foreign = False

    async def route(socket: WebSocketRoute) -> None:
        if is_foreign:
            await _connect_from_elsewhere(socket, server)
        else:
            socket.connect_to_server()

    await context.route_web_socket("**/ws/**", route)
    tabs = [await open_window(), await open_window()]
    first = tabs[0]
    await first.left.type("kept")
    for tab in tabs:
        await tab.right.reads("kept")
    await first.left.set_online(is_online=False)
    await first.left.type(" and more")
    await first.left.reads("kept and more")
    await first.page.evaluate(READ_COPIES)

    is_foreign = True
    for tab in tabs:
        await tab.page.reload()
        for pane in (tab.left, tab.right):
            await pane.shows("Access ended")
            await expect(pane.banner).to_contain_text("this page's address is not allowed to connect")
            await expect(pane.banner).to_contain_text("From now on nothing is saved")
            await expect(pane.notices).to_have_count(0)
    await first.left.reads("kept and more")
    await first.right.reads("kept")

    is_foreign = False
    await first.page.reload()
    await first.right.reads("kept and more")
    await first.left.is_live_and_saved()


async def test_a_tab_whose_access_ended_hears_nothing_from_the_others(
    open_window: OpenWindow, sockets: list[WebSocketRoute]
) -> None:
    """Tabs meet at the server only: one that looked alive would show edits, and take some that are lost."""
    ended, other = await open_window(), await open_window()
    await ended.left.type("still here")
    for pane in (ended.right, other.left, other.right):
        await pane.reads("still here")
    for socket in sockets[:2]:
        await socket.close(code=CloseCode.UNAUTHENTICATED, reason=CloseCode.UNAUTHENTICATED.phrase)
    await expect(ended.right.banner).to_contain_text("the server does not know who you are")
    await other.left.type(" and there")
    await other.right.reads("still here and there")
    await ended.left.text.focus()
    await ended.page.keyboard.type("!")
    await ended.left.reads("still here")
    await ended.right.reads("still here")


async def _connect_from_elsewhere(page: WebSocketRoute, server: ServerProcess) -> None:
    """Let the page have what the server sends to a page of another origin."""
    async with connect(server.ws_url("welcome"), origin=FOREIGN) as socket:
        with contextlib.suppress(ConnectionClosed):
            async for message in socket:
                page.send(message)
    assert socket.close_code == CloseCode.FORBIDDEN
    await page.close(code=socket.close_code, reason=socket.close_reason)
