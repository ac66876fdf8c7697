"""When the log of a room is folded: at rest or far too long while people are there, else at once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from server.connection import Connection
from server.fold_requests import OVERDUE, QUIET_S
from server.loading import Tail
from server.room import Room
from server.storage.memory import MemoryStore
from tests.server.faults import FaultyStore
from tests.server.parts import Parts, running_parts, update_frame
from tests.server.servers import RunningServer
from tests.server.support import until, update_of
from tests.support.polling import PATIENCE_S, poll

Start = Callable[..., RunningServer]

LONG_ROWS, LONG_BYTES = 1_000, 2**20
STAYS_S = 60.0
"""A grace that no test sees the end of."""


def now() -> float:
    """Return the time of the loop."""
    return asyncio.get_running_loop().time()


def requested(parts: Parts) -> list[str]:
    """Name the documents that wait for the compactor, which does not run here."""
    return list(parts.compactor._due)


async def write_long(writer: Connection) -> None:
    """Make the log long; it may not be stored yet."""
    room = writer.room
    goal_bytes = room.tail.size_bytes + LONG_BYTES
    for _ in range(20):
        writer.message_received(update_frame(update_of("x" * 60_000)))
    await until(lambda: room.tail.size_bytes >= goal_bytes, "taken")


async def turns() -> None:
    """Let everything happen that would."""
    for _ in range(20):
        await asyncio.sleep(0)


async def live(parts: Parts) -> Room:
    """Return a room with somebody in it."""
    await parts.join("d")
    return parts.members[0][1]


@asynccontextmanager
async def left_unstored() -> AsyncIterator[tuple[Parts, FaultyStore]]:
    """Give a document with a long log that everybody has left, and the store that has nothing of it yet."""
    store = FaultyStore()
    async with running_parts(store, grace_s=STAYS_S) as parts:
        writer, _ = await parts.join("d")
        reader, _ = await parts.join("d")
        store.may_append.clear()
        await write_long(writer)
        parts.leave(reader)
        parts.leave(writer)
        yield parts, store


async def test_a_long_log_is_folded_once_when_it_has_not_grown_for_a_while() -> None:
    async with running_parts() as parts:
        room = await live(parts)
        room.tail = Tail(LONG_ROWS, LONG_BYTES, grown_at=now())
        parts.rooms.look_after(room)
        assert requested(parts) == []
        room.tail.grown_at -= QUIET_S
        parts.rooms.look_after(room)
        assert requested(parts) == ["d"]
        assert room.tail == Tail(), "what comes now is counted anew"


@pytest.mark.parametrize(("rows", "size_bytes"), [(LONG_ROWS, 0), (0, LONG_BYTES)])
async def test_a_log_that_grows_without_a_pause_is_folded_when_it_is_far_too_long(
    rows: int, size_bytes: int
) -> None:
    async with running_parts() as parts:
        room = await live(parts)
        for times in range(1, OVERDUE + 1):
            assert requested(parts) == []
            room.tail = Tail(times * rows, times * size_bytes, grown_at=now())
            parts.rooms.look_after(room)
        assert requested(parts) == ["d"]


async def test_a_short_log_is_left_alone_however_long_it_rests() -> None:
    async with running_parts() as parts:
        room = await live(parts)
        room.tail = Tail(LONG_ROWS - 1, LONG_BYTES - 1, grown_at=now() - 100 * QUIET_S)
        parts.rooms.look_after(room)
        assert requested(parts) == []


async def test_an_import_is_not_folded_while_it_comes() -> None:
    async with running_parts() as parts:
        writer, _ = await parts.join("d")
        room = parts.members[0][1]
        for _ in range(5):
            await write_long(writer)
            await room.settle()
            parts.rooms.look_after(room)
        assert room.tail.size_bytes > LONG_BYTES
        assert requested(parts) == []


async def test_a_log_that_was_long_when_it_was_loaded_rests_first_too() -> None:
    """Everybody returns to a server that was killed: a fold would be in their way."""
    async with running_parts(grace_s=0.0) as parts:
        writer, _ = await parts.join("d")
        await write_long(writer)
        parts.leave(writer)
        await until(lambda: not parts.live(), "unloaded")
        parts.compactor._due.clear()
        await parts.join("d")
        [(_, room)] = parts.members
        assert room.tail.grown_at > 0.0
        room.tail.grown_at = now()
        parts.rooms.look_after(room)
        assert requested(parts) == []
        room.tail.grown_at -= QUIET_S
        parts.rooms.look_after(room)
        assert requested(parts) == ["d"]


async def test_what_the_last_person_leaves_is_folded_as_soon_as_it_is_stored() -> None:
    async with left_unstored() as (parts, store):
        await turns()
        assert requested(parts) == []
        store.may_append.set()
        await until(lambda: requested(parts) == ["d"], "requested")
        assert parts.live() == ["d"], "before the grace is over"


async def test_what_somebody_leaves_is_not_folded_while_others_are_there() -> None:
    async with running_parts(grace_s=STAYS_S) as parts:
        writer, _ = await parts.join("d")
        await parts.join("d")
        room = parts.members[0][1]
        await write_long(writer)
        await room.settle()
        parts.leave(writer)
        await turns()
        assert requested(parts) == []


async def test_a_log_that_is_not_stored_is_not_folded() -> None:
    """What would be folded is not there yet: the request would be lost, and the count of what came."""
    store = FaultyStore()
    async with running_parts(store) as parts:
        writer, _ = await parts.join("d")
        store.fail()
        await write_long(writer)
        room = writer.room
        await until(lambda: parts.journal.trouble is not None, "in trouble")
        room.tail.grown_at -= QUIET_S
        parts.rooms.look_after(room)
        assert requested(parts) == []
        store.error = None
        await until(lambda: parts.journal.trouble is None, "stored")
        parts.rooms.look_after(room)
        assert requested(parts) == ["d"]


async def test_who_comes_and_goes_has_one_fold_wait() -> None:
    async with left_unstored() as (parts, store):
        before = len(asyncio.all_tasks())
        for _ in range(5):
            visitor, _ = await parts.join("d")
            parts.leave(visitor)
        await turns()
        assert len(asyncio.all_tasks()) == before
        store.may_append.set()
        await until(lambda: requested(parts) == ["d"], "requested")


async def test_who_comes_back_before_it_is_stored_has_the_fold_wait() -> None:
    async with left_unstored() as (parts, store):
        room = await live(parts)
        store.may_append.set()
        await room.settle()
        await until(lambda: not parts.journal.waiting_bytes, "stored")
        assert requested(parts) == []
        assert room.tail.size_bytes > LONG_BYTES, "it is folded when it rests"


@pytest.mark.parametrize("kind", ["uvicorn"])
async def test_a_server_that_stops_before_a_fold_leaves_the_whole_log(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others than ``cowrite serve`` tell the node when the clients have left: it may have begun to fold."""
    monkeypatch.setattr("server.compaction.LONG_ROWS", 5)
    monkeypatch.setattr("server.fold_requests.QUIET_S", 3_600.0)
    monkeypatch.setattr("server.fold_requests.QUIET_S", 3_600.0)
    store = MemoryStore()
    server = start(store)
    async with server.peer("d") as peer:
        for number in range(20):
            await peer.append(f"{number} ")
            await peer.acknowledge()
        assert (await store.load("d")).snapshot is None
        await asyncio.to_thread(server.stop)
        text = peer.shown
    assert (await store.load("d")).snapshot is None, "who leaves because the server stops asks for no fold"
    monkeypatch.setattr("server.fold_requests.QUIET_S", 0.0)
    monkeypatch.setattr("server.node.TICK_S", 0.001)
    after = start(store)
    async with after.peer("d") as peer:
        assert peer.shown == text

        async def is_folded() -> bool:
            return (await store.load("d")).snapshot is not None

        await poll(is_folded, PATIENCE_S, "folded")
        assert peer.shown == text
