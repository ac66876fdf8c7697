"""What the page promises when the connection, the server or the access is gone."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from playwright.async_api import Browser, BrowserContext, WebSocketRoute, expect
from starlette.applications import Starlette

from server.page import page_routes
from tests.browser.conftest import OpenWindow
from tests.support.polling import PATIENCE_S, poll
from tests.support.server_process import ServerProcess

SYNC_STEP_2 = bytes((0, 1))
SAVED_QUESTION = bytes((102,))
SOONER_THAN_RENEWED_MS = 10_000.0
"""Presence is renewed every 15 s."""
NOT_SAVED = re.compile(r"^Not saved \(\d+\)$")


async def test_edits_of_both_sides_meet_after_being_offline(open_window: OpenWindow) -> None:
    """What was typed on both sides while one was switched off is on both sides afterwards."""
    window = await open_window()
    await window.left.type("base")
    await window.right.reads("base")
    await window.left.set_online(is_online=False)
    await window.left.shows("Offline")
    await expect(window.right.people).to_have_count(1)

    await window.left.type("\nfrom the left")
    await window.left.shows(NOT_SAVED)
    await window.right.press("Control+Home")
    await window.right.text.press_sequentially("from the right, ")
    await window.right.reads("from the right, base")
    await window.left.reads("base", "from the left")
    await expect(window.left.banner).to_have_text("Offline – edits are kept on this device and will sync")

    await window.left.set_online(is_online=True)
    await window.left.reads("from the right, base", "from the left")
    await window.right.reads("from the right, base", "from the left")
    await window.left.is_live_and_saved()
    await expect(window.left.banner).to_be_hidden()


async def test_a_returning_person_is_seen_at_once(open_window: OpenWindow) -> None:
    """Someone who only went and came back is shown again now, not when their presence is renewed."""
    window = await open_window()
    await expect(window.right.people).to_have_count(2)
    await window.left.set_online(is_online=False)
    await expect(window.right.people).to_have_count(1)
    await window.left.set_online(is_online=True)
    await expect(window.right.people).to_have_count(2, timeout=SOONER_THAN_RENEWED_MS)


async def test_saved_is_shown_only_when_the_server_has_answered(
    open_window: OpenWindow, server: ServerProcess
) -> None:
    """While the server does not answer, the page says that it is saving; then that it has saved."""
    window = await open_window()
    os.kill(server.pid, signal.SIGSTOP)
    try:
        await window.left.type("precious")
        await window.left.shows("Saving…")
    finally:
        os.kill(server.pid, signal.SIGCONT)
    await window.left.shows("Saved")
    await window.right.reads("precious")


async def test_the_question_whether_all_is_saved_comes_after_the_offline_edits(
    open_window: OpenWindow, context: BrowserContext
) -> None:
    """On a new connection no message 102 leaves before the sync step 2 that carries the offline edits."""
    connections: list[list[bytes]] = []

    def record(socket: WebSocketRoute) -> None:
        server, sent = socket.connect_to_server(), list[bytes]()
        connections.append(sent)

        def pass_on(message: str | bytes) -> None:
            assert isinstance(message, bytes)
            sent.append(message)
            server.send(message)

        socket.on_message(pass_on)

    await context.route_web_socket("**/ws/**", record)
    window = await open_window()
    await window.left.set_online(is_online=False)
    await window.left.type("offline")
    await window.left.set_online(is_online=True)
    await window.right.reads("offline")
    await window.left.is_live_and_saved()
    assert len(connections) == 3
    for sent in connections:
        kinds = [message[:2] if message[0] == 0 else message[:1] for message in sent]
        assert SYNC_STEP_2 in kinds[: kinds.index(SAVED_QUESTION)]
    assert any(b"offline" in message for message in connections[2] if message[:2] == SYNC_STEP_2)


async def test_typing_goes_on_over_a_killed_server(
    open_window: OpenWindow, server: ServerProcess, browser: Browser
) -> None:
    """Nothing typed before, during or after ``kill -9`` of the server is missing, for a newcomer neither."""
    window = await open_window()
    await window.left.type("before ")
    await asyncio.to_thread(server.kill)
    await window.left.type("during ")
    await window.left.shows("Reconnecting")
    await window.left.shows(NOT_SAVED)
    await window.right.shows("Reconnecting")
    await asyncio.to_thread(server.start)
    await window.left.type("after")
    await window.left.is_live_and_saved()
    await window.right.reads("before during after")

    newcomer = await open_window(context=await browser.new_context())
    await newcomer.left.reads("before during after")


async def test_a_reload_without_the_server_shows_what_is_kept(
    open_window: OpenWindow, server: ServerProcess
) -> None:
    """Edits made without a server survive a reload, and arrive when the server is back."""
    window = await open_window()
    await window.left.type("kept")
    await window.right.reads("kept")
    await window.left.is_live_and_saved()
    await asyncio.to_thread(server.kill)
    await window.left.type(" and more")
    await window.left.reads("kept and more")
    await window.left.shows(NOT_SAVED)
    await window.is_kept()
    async with _page_without_documents(server.port):
        await window.page.reload()
        await window.left.reads("kept and more")
        await window.left.shows("Kept on this device")
        await window.right.reads("kept")

    await asyncio.to_thread(server.start)
    await window.right.reads("kept and more")
    await window.left.is_live_and_saved()


async def test_where_nothing_can_be_kept_closing_asks_first(
    server: ServerProcess, context: BrowserContext, open_window: OpenWindow
) -> None:
    """Without storage the page does not claim to keep edits, and closing it with unsaved ones asks."""
    await context.add_init_script("Object.defineProperty(window, 'indexedDB', { value: undefined })")
    window = await open_window()
    await asyncio.to_thread(server.kill)
    await window.left.type("fragile")
    await window.left.shows(NOT_SAVED)
    await expect(window.left.banner).to_have_text("Offline – edits will sync if this page stays open")
    async with window.page.expect_event("dialog") as asking:
        await window.page.close(run_before_unload=True)
    dialog = await asking.value
    assert dialog.type == "beforeunload"
    await dialog.dismiss()


async def test_ended_access_leaves_the_text_to_be_copied(
    open_window: OpenWindow, context: BrowserContext
) -> None:
    """After a final close code the page says why, stops trying, and shows the text without taking edits."""
    sockets: list[WebSocketRoute] = []

    def pass_on(socket: WebSocketRoute) -> None:
        socket.connect_to_server()
        sockets.append(socket)

    await context.route_web_socket("**/ws/**", pass_on)
    window = await open_window()
    await window.left.type("still here")
    await window.right.reads("still here")
    for socket in sockets:
        await socket.close(code=4404, reason="document deleted")
    await window.left.shows("Access ended")
    await expect(window.left.banner).to_contain_text("Access ended: this document was deleted.")
    await window.left.text.focus()
    await window.page.keyboard.type("!")
    await window.left.press("Control+a")
    await window.left.reads("still here")
    assert await window.page.evaluate("String(getSelection())") == "still here"


@asynccontextmanager
async def _page_without_documents(port: int) -> AsyncIterator[None]:
    """Serve the page, as a cache would, where nobody answers its WebSockets."""
    config = uvicorn.Config(Starlette(routes=page_routes()), port=port, ws="none", log_config=None)
    server = uvicorn.Server(config)

    async def is_started() -> bool:
        return server.started

    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve())
        try:
            await poll(is_started, PATIENCE_S, "the page is served")
            yield
        finally:
            server.should_exit = True
