"""What a room gets when an entry of its stream cannot be read: the store keeps the same entry."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pycrdt import Doc, Text

from server.bus import Position
from server.bus.redis import RedisBus
from server.bus.redis_entries import id_of
from server.bus.redis_keys import RedisKeys
from server.bus.redis_scripts import ENTRY_FIELD
from server.follower import Follower
from server.room import Room
from server.storage import Entry
from tests.server.faults import FaultyStore
from tests.server.parts import Wire, running_parts
from tests.support.polling import PATIENCE_S, poll
from tests.support.redis_server import RedisServer

RETRY_S, GIVE_UP_S = 0.02, 0.2
STREAM = RedisKeys(0).of("a").stream


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def store() -> FaultyStore:
    return FaultyStore()


class Typist:
    """Somebody on another node: every word depends on the one before."""

    def __init__(self, bus: RedisBus) -> None:
        self.bus = bus
        self._doc: Doc[Text] = Doc()
        self._text = self._doc.get("t", type=Text)
        self.position = Position(0)

    def write(self, word: str) -> bytes:
        """Return the update that appends a word."""
        before = self._doc.get_state()
        self._text += word
        return self._doc.get_update(before)

    async def append(self, word: str) -> None:
        """Append a word to the stream."""
        [self.position] = await self.bus.append([("a", self.write(word))])

    def append_damaged(self, redis: RedisServer, word: str) -> Entry:
        """Put bytes that nobody can read in the place of a word, and return what should be there."""
        self.position = Position(self.position + 1)
        redis.execute("XADD", STREAM, id_of(self.position), ENTRY_FIELD, "damaged")
        return Entry("a", self.position, self.write(word))


@asynccontextmanager
async def following(redis: RedisServer, store: FaultyStore) -> AsyncIterator[tuple[Typist, Follower, Wire]]:
    """Open a document on this node, and have somebody write its first word on another one."""
    async with (
        RedisBus.open(redis.url, node="here") as here,
        RedisBus.open(redis.url, node="there") as there,
        running_parts(store) as parts,
        asyncio.TaskGroup() as tasks,
    ):
        room: Room = await parts.rooms.acquire("a")
        _, wire = parts.enter(room)
        follower = Follower(room, store, here, Position(0), tasks, asyncio.Lock(), known=Position(0))
        await here.listen("a", follower)
        follower.begin()
        typist = Typist(there)
        await typist.append("one ")
        await until(lambda: wire.shown == "one ")
        yield typist, follower, wire
        follower.close()


async def until(condition: Callable[[], bool]) -> None:
    async def holds() -> bool:
        return condition()

    await poll(holds, PATIENCE_S, "the node has followed")


async def test_B7_an_entry_that_cannot_be_read_is_taken_from_the_store(
    redis: RedisServer, store: FaultyStore
) -> None:
    async with following(redis, store) as (typist, _, wire):
        await store.append([typist.append_damaged(redis, "two ")])
        await typist.append("three ")
        await until(lambda: wire.shown == "one two three ")


async def test_B7_an_entry_that_cannot_be_read_is_taken_when_its_row_comes_later(
    redis: RedisServer, store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.missing.MISSING_RETRY_S", RETRY_S)
    async with following(redis, store) as (typist, _, wire):
        missing = typist.append_damaged(redis, "two ")
        await typist.append("three ")
        await until(lambda: len(store.loads) > 2)
        assert wire.shown == "one "
        await store.append([missing])
        await until(lambda: wire.shown == "one two three ")


async def test_B7_a_store_that_is_away_is_asked_until_it_is_back_and_holds_up_nothing(
    redis: RedisServer, store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.missing.MISSING_RETRY_S", RETRY_S)
    monkeypatch.setattr("server.missing.MISSING_LIMIT_S", 0.0)
    async with following(redis, store) as (typist, follower, wire):
        stranger = Typist(typist.bus)
        await store.append([typist.append_damaged(redis, "two ")])
        store.fail_loads()
        await stranger.append("! ")
        await until(lambda: "! " in wire.shown and len(store.loads) > 5)
        assert follower.position == stranger.position
        store.recover()
        await until(lambda: "two " in wire.shown)


async def test_B7_the_store_is_not_asked_for_ever_for_what_it_never_gets(
    redis: RedisServer,
    store: FaultyStore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("server.missing.MISSING_RETRY_S", RETRY_S)
    monkeypatch.setattr("server.missing.MISSING_LIMIT_S", GIVE_UP_S)
    caplog.set_level(logging.ERROR, "cowrite.bus")
    async with following(redis, store) as (typist, follower, _):
        redis.execute("XADD", STREAM, id_of(Position(typist.position + 1)), "what", "garbage")
        await typist.append("two ")
        await until(lambda: "gave up" in caplog.text)
        loads = len(store.loads)
        follower.doubt()
        for number in range(10):
            await typist.append(f"{number} ")
            await until(lambda: follower.position == typist.position)
        assert len(store.loads) == loads
