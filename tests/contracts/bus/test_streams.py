"""Streams: appended, read and trimmed, each document by itself."""

import asyncio
import random

import pytest

from crdt.limits import Limits
from server.bus import RUNG_LIMIT_BYTES, Bus, BusEntry, Position, Reading, follows, position_at
from tests.contracts.bus.support import World, append, everything, updates_of
from tests.support.bus_ear import Ear


async def test_an_entry_comes_back_with_the_position_it_was_given(node: Bus, other: Bus) -> None:
    positions = await append(node, "a", b"one", b"two")
    expected = [BusEntry(positions[0], b"one"), BusEntry(positions[1], b"two")]
    assert await everything(other, "a") == Reading(expected, True, positions[1])


async def test_bytes_come_back_as_they_were(node: Bus) -> None:
    ear = Ear()
    await node.listen("a", ear)
    updates = [b"", b"\x00", b"\r\n $1", b"\xff" * 3, bytes(range(256))]
    await append(node, "a", *updates, b"end")
    await ear.hears(b"end")
    assert ear.updates == [*updates, b"end"]
    assert updates_of(await everything(node, "a")) == [*updates, b"end"]


async def test_of_a_large_entry_listeners_doubt_and_read_it(node: Bus, other: Bus) -> None:
    ears = [Ear(), Ear()]
    for bus, ear in zip((node, other), ears, strict=True):
        await bus.listen("a", ear)
    limit, large = (random.Random(1).randbytes(RUNG_LIMIT_BYTES + more) for more in (0, 1))
    largest = random.Random(1).randbytes(3_000_000)
    await append(node, "a", limit, large, largest, b"end")
    for bus, ear in zip((node, other), ears, strict=True):
        await ear.hears(b"end")
        assert (ear.updates, ear.doubts) == ([limit, b"end"], 2)
        assert updates_of(await everything(bus, "a")) == [limit, large, largest, b"end"]


async def test_L7_the_largest_document_is_an_entry(node: Bus, other: Bus) -> None:
    """A node publishes all that it has where the stream was lost (B6)."""
    largest = random.Random(1).randbytes(Limits.of().document_bytes)
    await append(node, "a", b"before", largest, b"behind")
    assert updates_of(await everything(other, "a")) == [b"before", largest, b"behind"]


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


async def test_B7_a_poisoned_entry_is_skipped_and_counted(node: Bus, other: Bus, world: World) -> None:
    ear = Ear()
    await other.listen("a", ear)
    [before] = await append(node, "a", b"one")
    world.poison("a")
    [after] = await append(node, "a", b"two")
    await ear.hears(b"two")
    expected = [BusEntry(before, b"one"), BusEntry(after, b"two")]
    for _ in range(2):
        poisoned = frozenset([Position(before + 1)])
        assert await everything(other, "a") == Reading(expected, True, after, poisoned)
    assert await other.read("a", Position(before + 1)) == Reading(expected[1:], True, after)
    assert (ear.entries, after) == (expected, before + 2)
    assert (node.unreadable_count, other.unreadable_count) == (0, 1)


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


async def test_backlog_counts_the_entries_of_every_stream_that_has_any(node: Bus, other: Bus) -> None:
    for number in range(30):
        await append(node, f"doc {number}", *[b"x"] * (number % 3 + 1))
    await append(node, "é/%2F ", b"x")
    [last] = await append(node, "trimmed", b"x")
    await node.trim("trimmed", last)
    assert await other.backlog() == {"é/%2F ": 1} | {f"doc {number}": number % 3 + 1 for number in range(30)}
