"""What every bus promises (server/bus/__init__.py), for each bus in ``KINDS``."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest

from server.bus import (
    Bus,
    BusEntry,
    BusUnavailable,
    Position,
    Reading,
    birth_of,
    follows,
    is_gapless,
    position_at,
)
from server.bus.memory import MemoryBus, MemoryStreams
from server.bus.redis import RedisBus
from server.bus.redis_keys import RedisKeys
from tests.support.bus_ear import Ear
from tests.support.polling import poll
from tests.support.redis_server import RedisCluster, RedisServer

LEASE_S = 30.0
SHORT_LEASE_S = 0.4
LONGER_LEASE_S = 1.0
LIMIT_S = 10.0


class World(Protocol):
    """What the nodes of one test share, and how to harm it."""

    def open(self, node: str, lease_s: float = LEASE_S) -> AbstractAsyncContextManager[Bus]: ...
    def forget(self, document: str) -> None: ...
    def forget_everything(self) -> None: ...


class MemoryWorld:
    def __init__(self) -> None:
        self._streams = MemoryStreams()
        self.forget = self._streams.forget
        self.forget_everything = self._streams.forget_everything

    @asynccontextmanager
    async def open(self, node: str, lease_s: float = LEASE_S) -> AsyncIterator[Bus]:
        bus = MemoryBus(self._streams, node=node, lease_s=lease_s)
        yield bus
        await bus.close()


class RedisWorld:
    def __init__(self, servers: RedisServer | RedisCluster) -> None:
        self._servers = servers
        self.forget_everything = servers.flush
        self.forget_everything()

    def open(self, node: str, lease_s: float = LEASE_S) -> AbstractAsyncContextManager[Bus]:
        return RedisBus.open(self._servers.url, node=node, lease_s=lease_s)

    def forget(self, document: str) -> None:
        stream = RedisKeys(0).of(document).stream
        server = self._servers.server_of(stream) if isinstance(self._servers, RedisCluster) else self._servers
        assert server.execute("DEL", stream) == 1


KINDS = ["memory", "redis", "cluster"]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RedisServer | RedisCluster]]:
    """The servers that were asked for, started once for all tests of this file."""
    with ExitStack() as stack:
        running: dict[str, RedisServer | RedisCluster] = _Started(stack, tmp_path_factory.mktemp("bus"))
        yield running


class _Started(dict[str, RedisServer | RedisCluster]):
    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder

    def __missing__(self, kind: str) -> RedisServer | RedisCluster:
        if kind == "cluster":
            self[kind] = self._stack.enter_context(RedisCluster(self._folder / kind))
        else:
            self[kind] = self._stack.enter_context(RedisServer(self._folder / kind))
        return self[kind]


@pytest.fixture(params=KINDS)
def world(request: pytest.FixtureRequest, servers: dict[str, RedisServer | RedisCluster]) -> World:
    return MemoryWorld() if request.param == "memory" else RedisWorld(servers[request.param])


@pytest.fixture
async def node(world: World) -> AsyncIterator[Bus]:
    async with world.open("one") as bus:
        yield bus


@pytest.fixture
async def other(world: World) -> AsyncIterator[Bus]:
    async with world.open("two") as bus:
        yield bus


async def append(bus: Bus, document: str, *updates: bytes) -> Sequence[Position]:
    return await bus.append([(document, update) for update in updates])


async def everything(bus: Bus, document: str) -> Reading:
    return await bus.read(document, Position(0))


def updates_of(reading: Reading) -> list[bytes]:
    return [entry.update for entry in reading.entries]


async def test_an_entry_comes_back_with_the_position_it_was_given(node: Bus, other: Bus) -> None:
    positions = await append(node, "a", b"one", b"two")
    expected = [BusEntry(positions[0], b"one"), BusEntry(positions[1], b"two")]
    assert await everything(other, "a") == Reading(expected, True, positions[1])


async def test_bytes_come_back_as_they_were(node: Bus) -> None:
    ear = Ear()
    await node.listen("a", ear)
    updates = [
        b"",
        b"\x00",
        b"\r\n $1",
        b"\xff" * 3,
        bytes(range(256)),
        random.Random(1).randbytes(3_000_000),
    ]
    await append(node, "a", *updates, b"end")
    await ear.hears(b"end")
    assert ear.updates == [*updates, b"end"]
    assert updates_of(await everything(node, "a")) == [*updates, b"end"]


async def test_appending_nothing_changes_nothing(node: Bus) -> None:
    assert list(await node.append([])) == []
    assert await everything(node, "a") == Reading([], True, Position(0))


async def test_positions_of_a_document_have_no_holes_whoever_appends(node: Bus, other: Bus) -> None:
    positions: list[Position] = []
    for index in range(20):
        positions += await append((node, other)[index % 2], "a", b"x", b"y")
    assert all(follows(after, before) for before, after in zip(positions, positions[1:], strict=False))


async def test_all_nodes_see_one_order_that_keeps_the_order_of_each_writer(
    node: Bus, other: Bus, world: World
) -> None:
    ear = Ear()
    async with world.open("three") as third:
        await third.listen("a", ear)

        async def write(bus: Bus, name: str) -> None:
            for start in range(0, 100, 5):
                await append(bus, "a", *(f"{name}{index}".encode() for index in range(start, start + 5)))

        await asyncio.gather(write(node, "n"), write(other, "o"))
        await append(node, "a", b"end")
        await ear.hears(b"end")
        read = await everything(third, "a")
    assert ear.entries == list(read.entries)
    for name in ("n", "o"):
        expected = [f"{name}{index}".encode() for index in range(100)]
        assert [update for update in ear.updates if update.startswith(name.encode())] == expected


async def test_one_call_appends_to_many_documents_in_order(node: Bus, seed: int) -> None:
    chosen = random.Random(seed)
    documents = [f"document {index}" for index in range(50)]
    entries = [(chosen.choice(documents), str(index).encode()) for index in range(500)]
    positions = await node.append(entries)
    for document in documents:
        expected = [
            BusEntry(position, update)
            for (name, update), position in zip(entries, positions, strict=True)
            if name == document
        ]
        assert list((await everything(node, document)).entries) == expected


async def test_reading_goes_on_from_any_position(node: Bus, other: Bus) -> None:
    updates = [str(index).encode() for index in range(10)]
    positions = await append(node, "a", *updates)
    for index, position in enumerate(positions):
        reading = await other.read("a", position)
        assert updates_of(reading) == updates[index + 1 :]
        assert (reading.is_gapless, reading.last) == (True, positions[-1])


async def test_a_long_stream_is_read_whole(node: Bus) -> None:
    updates = [str(index).encode() for index in range(2_500)]
    await append(node, "a", *updates)
    reading = await everything(node, "a")
    assert updates_of(reading) == updates
    assert reading.is_gapless


@pytest.mark.parametrize("count", [1000, 2000])
async def test_a_stream_of_exactly_so_many_pages_is_read_whole(node: Bus, count: int) -> None:
    positions = await append(node, "a", *[b"x"] * count)
    reading = await everything(node, "a")
    assert [entry.position for entry in reading.entries] == list(positions)
    assert (reading.is_gapless, reading.last) == (True, positions[-1])


async def test_a_document_that_never_was_is_empty_and_whole(node: Bus) -> None:
    assert await everything(node, "nobody") == Reading([], True, Position(0))


async def test_a_reader_ahead_of_a_stream_is_told_of_a_gap(node: Bus) -> None:
    assert await node.read("nobody", position_at(7, 7)) == Reading([], False, Position(0))


async def test_trimming_forgets_exactly_up_to_a_position(node: Bus, other: Bus) -> None:
    updates = [str(index).encode() for index in range(300)]
    positions = await append(node, "a", *updates)
    await node.trim("a", positions[120])
    behind = await other.read("a", positions[119])
    assert (updates_of(behind), behind.is_gapless) == (updates[121:], False)
    level = await other.read("a", positions[120])
    assert (updates_of(level), level.is_gapless) == (updates[121:], True)
    assert not (await everything(other, "a")).is_gapless


async def test_a_stream_trimmed_to_nothing_keeps_its_last_position(node: Bus, other: Bus) -> None:
    positions = await append(node, "a", b"one", b"two")
    await node.trim("a", positions[1])
    assert await other.read("a", positions[1]) == Reading([], True, positions[1])
    assert await other.read("a", positions[0]) == Reading([], False, positions[1])
    assert await everything(other, "a") == Reading([], False, positions[1])
    [third] = await append(other, "a", b"three")
    assert follows(third, positions[1])


async def test_trimming_what_is_not_there_changes_nothing(node: Bus) -> None:
    await node.trim("nobody", position_at(5, 5))
    assert await everything(node, "nobody") == Reading([], True, Position(0))
    positions = await append(node, "a", b"one")
    await node.trim("a", Position(positions[0] - 1))
    assert updates_of(await everything(node, "a")) == [b"one"]


async def test_trimming_ahead_of_a_stream_forgets_it_all(node: Bus) -> None:
    [position] = await append(node, "a", b"one")
    await node.trim("a", Position(position + 10))
    assert await node.read("a", position) == Reading([], True, position)


async def test_who_listens_then_reads_misses_nothing(node: Bus, other: Bus) -> None:
    ear = Ear()
    is_listening = asyncio.Event()

    async def write() -> None:
        index = 0
        while not is_listening.is_set() or index < 50:
            await append(node, "a", str(index).encode())
            index += 1
        await append(node, "a", b"end")

    writing = asyncio.create_task(write())
    await other.listen("a", ear)
    reading = await everything(other, "a")
    is_listening.set()
    await writing
    await ear.hears(b"end")
    known = {entry.position: entry.update for entry in [*reading.entries, *ear.entries]}
    assert is_gapless(Position(0), sorted(known), max(known))
    assert [known[position] for position in sorted(known)] == updates_of(await everything(node, "a"))


async def test_listeners_hear_their_own_node_too(node: Bus) -> None:
    ear = Ear()
    await node.listen("a", ear)
    [position] = await append(node, "a", b"one")
    await ear.hears(b"one")
    assert ear.entries == [BusEntry(position, b"one")]


async def test_a_listener_hears_of_its_document_alone(node: Bus, other: Bus) -> None:
    ears = {"a": Ear(), "b": Ear()}
    for document, ear in ears.items():
        await other.listen(document, ear)
    for index in range(10):
        await node.append([("a", f"a{index}".encode()), ("b", f"b{index}".encode())])
    for document, ear in ears.items():
        await ear.hears(f"{document}9".encode())
        assert ear.updates == [f"{document}{index}".encode() for index in range(10)]


async def test_who_stopped_listening_hears_nothing_more(node: Bus, other: Bus) -> None:
    ear, witness = Ear(), Ear()
    await other.listen("a", ear)
    await node.listen("a", witness)
    await append(node, "a", b"one")
    await ear.hears(b"one")
    await other.unlisten("a", ear)
    await other.unlisten("a", ear)
    await append(node, "a", b"two")
    await witness.hears(b"two")
    again = Ear()
    await other.listen("a", again)
    await append(node, "a", b"three")
    await again.hears(b"three")
    assert (ear.updates, again.updates) == ([b"one"], [b"three"])


async def test_a_new_listener_takes_the_place_of_the_old_one(node: Bus) -> None:
    old, new = Ear(), Ear()
    await node.listen("a", old)
    await node.listen("a", new)
    await node.unlisten("a", old)
    await append(node, "a", b"one")
    await new.hears(b"one")
    assert (old.updates, new.updates) == ([], [b"one"])


async def test_who_listens_again_at_once_hears_everything(node: Bus) -> None:
    ears = [Ear() for _ in range(10)]
    await node.listen("a", ears[0])
    for old, new in zip(ears, ears[1:], strict=False):
        await asyncio.gather(node.unlisten("a", old), node.listen("a", new))
        await append(node, "a", b"news")
        await new.hears(b"news")


@pytest.mark.parametrize("loses_everything", [False, True])
async def test_a_lost_stream_is_born_again_later_and_seen_as_a_gap(
    node: Bus, other: Bus, world: World, *, loses_everything: bool
) -> None:
    ear = Ear()
    await other.listen("a", ear)
    before = await append(node, "a", b"one", b"two")
    world.forget_everything() if loses_everything else world.forget("a")
    assert await other.read("a", before[1]) == Reading([], False, Position(0))
    [after] = await append(node, "a", b"three")
    await ear.hears(b"three")
    assert birth_of(after) > birth_of(before[1])
    assert not follows(ear.entries[-1].position, ear.entries[-2].position)
    assert await other.read("a", before[1]) == Reading([BusEntry(after, b"three")], False, after)
    assert updates_of(await everything(other, "a")) == [b"three"]


async def test_a_node_that_did_not_see_the_rebirth_appends_to_the_new_stream(
    node: Bus, other: Bus, world: World
) -> None:
    await append(node, "a", b"one")
    await append(other, "a", b"two")
    world.forget("a")
    [first] = await append(node, "a", b"three")
    [second] = await append(other, "a", b"four")
    assert follows(second, first)
    assert updates_of(await everything(node, "a")) == [b"three", b"four"]


async def test_positions_grow_over_a_clock_that_was_set_back(node: Bus, other: Bus, world: World) -> None:
    future = position_at(int(time.time() * 1000) + 3_600_000, 7)
    await node.read("a", future)
    [first] = await append(node, "a", b"one")
    assert first > future
    [second] = await append(other, "a", b"two")
    assert follows(second, first)
    world.forget("a")
    [third] = await append(node, "a", b"three")
    assert birth_of(third) > birth_of(first)


async def test_presence_reaches_the_other_nodes_only(node: Bus, other: Bus, world: World) -> None:
    async with world.open("three") as third:
        ears = [Ear(), Ear(), Ear()]
        for bus, ear in zip((node, other, third), ears, strict=True):
            await bus.listen("a", ear)
        await node.publish_presence("a", b"here", b"everybody")
        for ear in ears[1:]:
            await ear.hears(b"here")
            assert ear.presence == [("one", b"here")]
        await other.publish_presence("a", b"there", b"all")
        await ears[0].hears(b"there")
        assert ears[0].presence == [("two", b"there")]
        assert [ear.entries for ear in ears] == [[], [], []]


async def test_presence_of_one_node_comes_in_order(node: Bus, other: Bus) -> None:
    ear = Ear()
    await other.listen("a", ear)
    await asyncio.gather(
        *(node.publish_presence("a", str(index).encode(), b"everybody") for index in range(50))
    )
    await ear.hears(b"49")
    assert ear.presence == [("one", str(index).encode()) for index in range(50)]


async def test_joiners_are_given_what_the_other_nodes_keep(node: Bus, other: Bus, world: World) -> None:
    await node.publish_presence("a", b"x", b"first")
    await node.publish_presence("a", b"x", b"of one")
    await node.publish_presence("b", b"x", b"elsewhere")
    await other.publish_presence("a", b"x", b"of two")
    async with world.open("three") as third:
        assert await third.presence("a") == {"one": b"of one", "two": b"of two"}
    assert await node.presence("a") == {"two": b"of two"}
    await other.publish_presence("a", b"gone", b"")
    assert await node.presence("a") == {}
    assert await other.presence("b") == {"one": b"elsewhere"}


async def test_every_node_lives_until_it_closes(node: Bus, world: World) -> None:
    async with world.open("two") as other:
        await other.publish_presence("a", b"x", b"of two")
        assert await node.living_nodes() == {"one", "two"}
    assert await node.living_nodes() == {"one"}
    assert await node.presence("a") == {}


async def test_a_node_whose_lease_ended_is_dead_with_its_presence(node: Bus, world: World) -> None:
    async with world.open("two", SHORT_LEASE_S) as other:
        await other.publish_presence("a", b"x", b"of two")
        assert await node.presence("a") == {"two": b"of two"}

        async def is_dead() -> bool:
            return await node.living_nodes() == {"one"}

        await poll(is_dead, LIMIT_S, "the lease ends")
        assert await node.presence("a") == {}


async def test_a_node_that_renews_its_lease_lives_on(node: Bus, world: World) -> None:
    async with world.open("two", LONGER_LEASE_S) as other:
        end = time.monotonic() + 1.2 * LONGER_LEASE_S
        while time.monotonic() < end:
            await other.renew_lease()
            assert await node.living_nodes() == {"one", "two"}


@pytest.mark.parametrize("how", ["late", "forgotten"])
async def test_a_node_that_comes_back_to_life_says_everything_again(
    node: Bus, world: World, how: str
) -> None:
    ear = Ear()
    await node.listen("a", ear)
    async with world.open("two", SHORT_LEASE_S) as other:
        await other.publish_presence("a", b"news", b"of two")
        if how == "forgotten":
            world.forget_everything()

        async def is_dead() -> bool:
            return await node.presence("a") == {}

        await poll(is_dead, LIMIT_S, "the presence is gone")
        await other.renew_lease()
        assert await node.presence("a") == {"two": b"of two"}
        await ear.hears(b"of two")


async def test_a_task_is_held_by_one_node_until_it_gives_it_up(node: Bus, other: Bus) -> None:
    assert await node.claim("fold:a", LEASE_S)
    assert await node.claim("fold:a", LEASE_S)
    assert not await other.claim("fold:a", LEASE_S)
    assert await other.claim("fold:b", LEASE_S)
    await other.release("fold:a")
    assert not await other.claim("fold:a", LEASE_S)
    await node.release("fold:a")
    await node.release("fold:a")
    assert await other.claim("fold:a", LEASE_S)


async def test_a_task_that_is_not_claimed_again_is_free_in_time(node: Bus, other: Bus) -> None:
    assert await node.claim("fold:a", SHORT_LEASE_S)

    async def is_free() -> bool:
        return await other.claim("fold:a", LEASE_S)

    await poll(is_free, LIMIT_S, "the claim ends")
    assert not await node.claim("fold:a", LEASE_S)


NAMES = [
    "a",
    "A",
    " a",
    "a ",
    "{a}",
    "{a",
    "a}",
    "{}",
    "a*{}!'()",
    "a/b",
    "a%2Fb",
    "a%2fb",
    "a:b",
    "a:stream",
    "a}:stream",
    "é",
    "e\u0301",
    "文書",
    "\U0001f600",
    "\x00",
    "\n",
    "%",
    "~-._",
    "x" * 255,
    "x" * 254,
    "é" * 127,
    "",
]


async def test_names_never_collide(node: Bus, other: Bus) -> None:
    ears = {name: Ear() for name in NAMES}
    for name, ear in ears.items():
        await other.listen(name, ear)
    await node.append([(name, name.encode()) for name in NAMES])
    for name in NAMES:
        await node.publish_presence(name, b"here", name.encode() + b"!")
    for name, ear in ears.items():
        await ear.hears(b"here")
        assert ear.updates == [name.encode()]
        assert updates_of(await everything(other, name)) == [name.encode()]
        assert await other.presence(name) == {"one": name.encode() + b"!"}


async def test_a_closed_bus_is_unavailable(world: World) -> None:
    async with world.open("two") as bus:
        await bus.close()
        await bus.close()
        with pytest.raises(BusUnavailable):
            await bus.claim("fold:a", LEASE_S)
        with pytest.raises(BusUnavailable):
            await append(bus, "a", b"one")
        with pytest.raises(BusUnavailable):
            await everything(bus, "a")
