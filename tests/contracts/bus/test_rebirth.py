"""Streams that are lost are born again, later."""

import time

import pytest

from server.bus import Bus, BusEntry, Position, Reading, birth_of, fits, follows, position_at
from tests.contracts.bus.support import World, append, everything, updates_of
from tests.support.bus_ear import Ear


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


async def test_D13_a_stream_that_ends_before_what_is_known_is_born_again(node: Bus, other: Bus) -> None:
    """Its end was lost in a power cut, and the store has what stood there."""
    [first] = await append(node, "a", b"one")
    known = Position(first + 2)
    other.learn("a", known)
    other.learn("a", first)
    [second, third] = await append(other, "a", b"two", b"three")
    assert birth_of(second) > birth_of(known)
    assert follows(third, second)
    assert updates_of(await everything(node, "a")) == [b"one", b"two", b"three"]


async def test_positions_grow_over_a_clock_that_was_set_back(node: Bus, other: Bus, world: World) -> None:
    future = position_at(int(time.time() * 1000) + 3_600_000, 7)
    node.learn("a", future)
    [first] = await append(node, "a", b"one")
    assert first > future
    [second] = await append(other, "a", b"two")
    assert follows(second, first)
    world.forget("a")
    [third] = await append(node, "a", b"three")
    assert birth_of(third) > birth_of(first)


async def test_D13_positions_fit_whatever_is_learned(node: Bus) -> None:
    """What somebody else wrote into a stream, or into the store, may be beyond what a store can take."""
    node.learn("a", Position(1 << 63))
    [position] = await append(node, "a", b"one")
    assert fits(position)
    assert not fits(Position(1 << 63))
