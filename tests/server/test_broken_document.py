"""yrs fails in the middle of an update: the document is loaded anew in place, and nothing else is lost."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from crdt.errors import CloseCode
from crdt.messages import SyncStatus, SyncUpdate
from crdt.update import Update
from tests.crdt.build import BAIT, POISON, section, text, update
from tests.server.faults import FaultyStore
from tests.server.parts import running_parts, status, step_1, update_frame
from tests.server.servers import RunningServer
from tests.server.support import until, update_of, warnings_of

Start = Callable[..., RunningServer]

pytestmark = pytest.mark.usefixtures("unguarded")


async def test_only_the_offender_is_closed_and_its_half_taken_update_is_gone(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    server = start()
    async with server.peer("d") as friend, server.peer("other") as stranger:
        attacker = server.peer("d")
        await attacker.connect()
        await attacker.synced()
        await attacker.send(SyncUpdate(BAIT))
        await friend.shows("bait ")
        await friend.append("mine ")
        await friend.acknowledge()
        await attacker.send(SyncUpdate(POISON))
        await friend.append("too ")
        assert await attacker.closing() == (CloseCode.MALFORMED, CloseCode.MALFORMED.phrase)
        await friend.append("later")
        await friend.acknowledge()
        await stranger.append("elsewhere")
        await stranger.acknowledge()
        assert friend.shown == "bait mine too later"
        async with server.peer("d") as third:
            assert third.shown == "bait mine too later"
    lines = [(line.levelno, vars(line)["document"]) for line in warnings_of(caplog)]
    assert lines == [(logging.WARNING, "d"), (logging.WARNING, "d")]


async def test_edits_joins_and_acknowledgements_wait_while_the_document_is_loaded_anew(start: Start) -> None:
    store = FaultyStore()
    server = start(store)
    async with server.peer("d") as friend:
        await friend.append("old ")
        attacker = server.peer("d")
        await attacker.connect()
        await attacker.synced()
        store.may_load.clear()
        await attacker.send(SyncUpdate(BAIT))
        await attacker.send(SyncUpdate(POISON))
        await attacker.closing()
        await friend.insert(0, "meanwhile ")
        asked = await friend.ask()
        joiner = server.peer("d")
        await joiner.connect()
        await until(lambda: len(store.loads) == 2, "loading anew")
        assert (joiner.is_synced, asked in friend.acknowledged) == (False, False)
        store.may_load.set()
        await joiner.synced()
        await until(lambda: asked in friend.acknowledged, "acknowledged")
        await until(lambda: "bait" in friend.shown, "the bait")
        await joiner.shows(friend.shown)
        assert sorted(joiner.shown.split()) == ["bait", "meanwhile", "old"]
        await joiner.close()


async def test_a_client_that_was_behind_gets_nothing_of_the_broken_document() -> None:
    """It drains while the document is loaded anew: what it missed comes from the new document."""
    store = FaultyStore()
    async with running_parts(store) as parts:
        attacker, _ = await parts.join("d")
        slow, wire = await parts.join("d")
        slow.message_received(step_1())
        wire.is_stuck = True
        attacker.message_received(update_frame(update_of("long " * 20_000)))
        await until(lambda: wire.unsent_bytes, "behind")
        attacker.message_received(update_frame(BAIT))
        store.may_load.clear()
        attacker.message_received(update_frame(POISON))
        wire.drain()
        await until(lambda: len(store.loads) == 2, "loading anew")
        assert "half" not in wire.shown
        store.may_load.set()
        await until(lambda: "bait" in wire.shown, "all that was missed")
        assert "half" not in wire.shown


async def test_an_update_held_back_is_not_taken_into_the_broken_document() -> None:
    """It would be logged and fanned out, and be missing in the document that replaces this one."""
    store = FaultyStore()
    async with running_parts(store) as parts:
        attacker, _ = await parts.join("d")
        friend, wire = await parts.join("d")
        # Waits for clock 0 of client 5, which comes in the turn of the loop that breaks the document.
        friend.message_received(update_frame(update(section(5, 1, text("b", left=(5, 0))))))
        attacker.message_received(update_frame(BAIT))
        store.may_load.clear()
        attacker.message_received(update_frame(update(section(5, 0, text("a")))))
        attacker.message_received(update_frame(POISON))
        await until(lambda: len(store.loads) == 2, "loading anew")
        friend.tick(asyncio.get_running_loop().time())
        friend.message_received(status(b"saved"))
        store.may_load.set()
        await until(lambda: wire.of(SyncStatus), "acknowledged")
        room = parts.members[0][1]
        assert room.document.clocks == {1: 5, 5: 2}
        again, joined = await parts.join("d")
        again.message_received(step_1())
        assert sorted(joined.shown) == sorted("bait ab")


async def test_a_document_that_cannot_be_loaded_anew_is_given_up(start: Start) -> None:
    """Who waited for the room does not get the old one: then two would give out the same positions."""
    store = FaultyStore()
    server = start(store)
    async with server.peer("d") as friend:
        attacker = server.peer("d")
        await attacker.connect()
        await attacker.synced()
        await attacker.send(SyncUpdate(BAIT))
        await friend.shows("bait ")
        await friend.acknowledge()
        store.may_load.clear()
        await attacker.send(SyncUpdate(POISON))
        await attacker.closing()
        await until(lambda: len(store.loads) == 2, "loading anew")
        waiting = server.peer("d")
        await waiting.connect()
        store.fail_loads()
        store.may_load.set()
        assert await friend.closing() == (CloseCode.UNREADABLE, CloseCode.UNREADABLE.phrase)
        store.recover()
        if not waiting.is_synced:
            await waiting.closing()
            waiting = server.peer("d")
            await waiting.connect()
            await waiting.synced()
        async with server.peer("d") as other:
            await other.append("more")
            await other.acknowledge()
            await waiting.shows("bait more")
        await waiting.close()
    await server.unloaded()
    async with server.peer("d") as last:
        assert last.shown == "bait more"


async def test_a_room_that_is_given_up_logs_nothing_more() -> None:
    store = FaultyStore()
    async with running_parts(store) as parts:
        attacker, _ = await parts.join("d")
        friend, wire = await parts.join("d")
        attacker.message_received(update_frame(BAIT))
        await until(lambda: not parts.journal.waiting_bytes, "stored")
        friend.message_received(update_frame(update(section(5, 1, text("b", left=(5, 0))))))
        store.fail_loads()
        attacker.message_received(update_frame(POISON))
        await until(lambda: wire.closing is not None, "given up")
        store.recover()
        fresh, saved = await parts.join("d")
        fresh.message_received(update_frame(update(section(5, 0, text("a")))))
        friend.tick(asyncio.get_running_loop().time())
        parts.leave(friend)
        parts.leave(attacker)
        fresh.message_received(status(b"saved"))
        await until(lambda: saved.of(SyncStatus), "acknowledged")
        assert [entry.position for entry in (await store.load("d")).entries] == [1, 2]


async def test_leaving_a_room_that_was_given_up_while_it_is_opened_again() -> None:
    store = FaultyStore()
    async with running_parts(store) as parts:
        attacker, _ = await parts.join("d")
        friend, wire = await parts.join("d")
        attacker.message_received(update_frame(BAIT))
        store.fail_loads()
        attacker.message_received(update_frame(POISON))
        await until(lambda: wire.closing is not None, "given up")
        store.recover()
        store.may_load.clear()
        opening = asyncio.create_task(parts.join("d"))
        await until(lambda: len(store.loads) == 3, "opened again")
        parts.leave(friend)
        parts.leave(attacker)
        store.may_load.set()
        await opening


async def test_everybody_leaves_while_the_document_is_loaded_anew() -> None:
    """The grace ends before the load, which then fails: the registry stays right."""
    store = FaultyStore()
    async with running_parts(store, grace_s=0) as parts:
        attacker, _ = await parts.join("d")
        attacker.message_received(update_frame(BAIT))
        store.may_load.clear()
        attacker.message_received(update_frame(POISON))
        await until(lambda: len(store.loads) == 2, "loading anew")
        parts.leave(attacker)
        for _ in range(20):
            await asyncio.sleep(0)
        store.fail_loads()
        store.may_load.set()
        await until(lambda: not parts.live(), "gone")
        store.recover()
        fresh, wire = await parts.join("d")
        fresh.message_received(step_1())
        assert wire.shown == "bait "


async def test_a_large_update_that_breaks_the_document_leaves_nothing_of_its_last_piece(
    server: RunningServer,
) -> None:
    """Pieces that were taken before the failure were logged; the failing one is gone as a whole."""
    large = update(section(3, 0, *[text("y" * 50_000) for _ in range(4)], text("x", parent=(1, 0))))
    async with server.peer("d") as friend:
        attacker = server.peer("d")
        await attacker.connect()
        await attacker.synced()
        await attacker.send(SyncUpdate(BAIT))
        await attacker.send(SyncUpdate(Update(large)))
        await attacker.closing()
        # It comes after everything that was sent before: the text ends where the pieces end.
        await friend.acknowledge()
        await friend.append("later")
        await friend.acknowledge()
        async with server.peer("d") as third:
            assert third.shown == friend.shown
            assert third.shown.endswith("later")
