"""What nodes are to each other: presence, leases, tasks, and the end."""

import asyncio
import time

import pytest

from server.bus import Bus, BusUnavailable
from tests.contracts.bus.support import LEASE_S, World, append, everything
from tests.support.bus_ear import Ear
from tests.support.polling import PATIENCE_S, poll

SHORT_LEASE_S = 0.4
LONGER_LEASE_S = 5.0
"""Longer than a busy machine stalls."""


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
    await other.publish_presence("a", b"moved", None)
    assert await node.presence("a") == {"two": b"of two"}
    await other.publish_presence("a", b"gone", b"")
    assert await node.presence("a") == {}
    assert await other.presence("b") == {"one": b"elsewhere"}


async def lives(bus: Bus, *, seen_by: Bus) -> None:
    """Renew a lease, again where the machine stalled for so long that it has ended, until it is seen."""

    async def is_seen() -> bool:
        await bus.renew_lease()
        return await seen_by.presence("a") == {"two": b"of two"}

    await poll(is_seen, PATIENCE_S, "the node lives, and its presence is there")


async def test_every_node_lives_until_it_closes(node: Bus, world: World) -> None:
    async with world.open("two") as other:
        await other.publish_presence("a", b"x", b"of two")
        assert await node.living_nodes() == {"one", "two"}
    assert await node.living_nodes() == {"one"}
    assert await node.presence("a") == {}


async def test_a_node_whose_lease_ended_is_dead_with_its_presence(node: Bus, world: World) -> None:
    async with world.open("two", SHORT_LEASE_S) as other:
        await other.publish_presence("a", b"x", b"of two")
        await lives(other, seen_by=node)

        async def is_dead() -> bool:
            return await node.living_nodes() == {"one"}

        await poll(is_dead, PATIENCE_S, "the lease ends")
        assert await node.presence("a") == {}


async def test_a_node_that_renews_its_lease_lives_on(node: Bus, world: World) -> None:
    async with world.open("two", LONGER_LEASE_S) as other:
        end = time.monotonic() + 1.2 * LONGER_LEASE_S
        while time.monotonic() < end:
            await other.renew_lease()
            assert await node.living_nodes() == {"one", "two"}
            await asyncio.sleep(LONGER_LEASE_S / 50)


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

        await poll(is_dead, PATIENCE_S, "the presence is gone")
        await lives(other, seen_by=node)
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


async def test_tasks_never_collide(node: Bus, other: Bus) -> None:
    tasks = ["fold:a", "fold:", "fold:a:b", "fold:b:a", "fold:fold:a", "fold:{a}", "trim:a", "fold:a%3Ab"]
    for task in tasks:
        assert await node.claim(task, LEASE_S)
        assert not await other.claim(task, LEASE_S)


async def test_a_task_that_is_not_claimed_again_is_free_in_time(node: Bus, other: Bus) -> None:
    assert await node.claim("fold:a", SHORT_LEASE_S)

    async def is_free() -> bool:
        return await other.claim("fold:a", LEASE_S)

    await poll(is_free, PATIENCE_S, "the claim ends")
    assert not await node.claim("fold:a", LEASE_S)


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
