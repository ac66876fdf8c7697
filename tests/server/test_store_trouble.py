"""The store fails, or what it holds cannot be read: nothing is lost, nothing is made up, and it passes."""

import asyncio
import json
import logging
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest

from crdt.errors import CloseCode
from tests.crdt.build import section, text, update
from tests.server.faults import FaultyStore
from tests.server.servers import RunningServer
from tests.server.support import until, warnings_of
from tests.support.polling import PATIENCE_S, poll

Start = Callable[..., RunningServer]

BUDGET_BYTES = 2**16


async def readiness(server: RunningServer) -> tuple[int, dict[str, object]]:
    """Ask ``/readyz`` for its status and what it says."""

    def ask() -> tuple[int, dict[str, object]]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/readyz", timeout=5) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    return await asyncio.to_thread(ask)


async def turns(server: RunningServer) -> None:
    """Let the server's loop turn a few times."""
    for _ in range(5):
        await server.call(lambda: None)


async def test_D2_while_the_store_fails_editing_goes_on_and_nothing_is_lost(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    store = FaultyStore()
    server = start(store)
    async with server.peer("d") as writer, server.peer("d") as reader:
        assert await readiness(server) == (200, {"status": "ready", "reasons": []})
        store.fail()
        await writer.append("while it fails")
        asked = await writer.ask()
        await reader.shows("while it fails")

        async def is_degraded() -> bool:
            return (await readiness(server))[0] == 503

        await poll(is_degraded, PATIENCE_S, "degraded")
        _, body = await readiness(server)
        assert body == {"status": "degraded", "reasons": ["cannot store: database or disk is full"]}
        async with server.peer("d") as joiner:
            assert joiner.shown == "while it fails"
        assert asked not in writer.acknowledged
        store.recover()
        await until(lambda: asked in writer.acknowledged, "acknowledged")
        assert (await readiness(server))[0] == 200
    await server.unloaded()
    async with server.peer("d") as later:
        assert later.shown == "while it fails"
    assert [line.levelno for line in warnings_of(caplog)] == [logging.ERROR, logging.WARNING]


EDITS, EDIT_BYTES = 7, 4_000
"""So many of each writer: together four times the budget."""


async def test_D5_beyond_the_log_budget_writers_wait_and_readers_go_on(start: Start) -> None:
    store = FaultyStore()
    server = start(store, log_budget_bytes=BUDGET_BYTES)
    async with AsyncExitStack() as stack:
        writer, *others = [await stack.enter_async_context(server.peer(f"d{number}")) for number in range(10)]
        reader, quiet = [
            await stack.enter_async_context(server.peer(document)) for document in ("d0", "quiet")
        ]
        store.may_append.clear()
        for _ in range(EDITS):
            for peer in (writer, *others):
                await peer.append("x" * EDIT_BYTES)
        await until(lambda: reader.shown, "the first edits")

        async def reasons() -> bool:
            return (await readiness(server))[1]["reasons"] == ["too much waits to be stored"]

        await poll(reasons, 10, "degraded")
        waiting = await server.call(lambda: server.node.journal.waiting_bytes)
        assert waiting <= BUDGET_BYTES + 10 * (EDIT_BYTES + 100), "one edit of each writer beyond it"
        # Whoever only reads, or asks, is served.
        async with server.peer("d0") as joiner:
            await reader.shows(joiner.shown)
        await quiet.acknowledge()
        assert not any(peer.closed for peer in (writer, *others))
        store.may_append.set()
        for peer in (writer, *others):
            await peer.acknowledge()
        await reader.shows("x" * EDIT_BYTES * EDITS)
        assert (await readiness(server))[0] == 200


async def test_D4_a_document_that_cannot_be_loaded_is_never_an_empty_one(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    store = FaultyStore()
    server = start(store)
    async with server.peer("d") as writer:
        await writer.append("content")
        await writer.acknowledge()
    await server.unloaded()
    store.fail_loads()
    peers = [server.peer("d") for _ in range(5)]
    for peer in peers:
        await peer.connect()
    for peer in peers:
        assert await peer.closing() == (CloseCode.UNREADABLE, CloseCode.UNREADABLE.phrase)
        assert [frame[:2] for frame in peer.frames] == [b"\x02\x00"], "no step of a sync"
    store.load_error = None
    async with server.peer("other") as other, server.peer("d") as again:
        assert again.shown == "content"
        await other.append("fine")
        await other.acknowledge()
    assert {vars(line).get("document", "d") for line in warnings_of(caplog)} == {"d"}


async def test_D4_a_snapshot_that_is_no_update_closes_with_4500(start: Start) -> None:
    store = FaultyStore()
    await store.plant_snapshot("d", b"\xff\xff\xff no update")
    server = start(store)
    peer = server.peer("d")
    await peer.connect()
    assert await peer.closing() == (CloseCode.UNREADABLE, CloseCode.UNREADABLE.phrase)
    await store.plant_snapshot("d", update(section(1, 0, text("repaired"))))
    async with server.peer("d") as again:
        assert again.shown == "repaired"


async def test_a_store_with_a_bug_of_its_own_loses_nothing_either(start: Start) -> None:
    store = FaultyStore()
    server = start(store)
    async with server.peer("d") as peer:
        store.error = ZeroDivisionError("a bug")
        await peer.append("kept")
        asked = await peer.ask()
        await until(lambda: store.appends > 1, "tried again")
        store.recover()
        await until(lambda: asked in peer.acknowledged, "acknowledged")
