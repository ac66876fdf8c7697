"""Who listens hears its document, and misses nothing that it does not read."""

import asyncio

from server.bus import Bus, BusEntry, Position, is_gapless
from tests.contracts.bus.support import append, everything, updates_of
from tests.support.bus_ear import Ear


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
