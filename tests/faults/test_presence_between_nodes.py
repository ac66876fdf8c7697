"""Who is there is the truth on every node, whatever happens to nodes, connections and Redis."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path

from tests.faults.people import enter, names_seen, wait_seen
from tests.support.clients import NodeClients, StockClient
from tests.support.nodes import run_nodes
from tests.support.polling import PATIENCE_S, poll
from tests.support.redis_server import RedisServer
from tests.support.server_process import ServerProcess

CROWD = 20
WITHIN_LEASE_S = 3.0
"""Sooner than a node is believed dead that has just died."""
LEASE_IS_OVER_S = 9.0
"""Longer than a node lives without a sign."""
WITHIN_GRACE_S = 1.5
"""Sooner than a node announces as gone who was cut off."""
GRACE_IS_OVER_S = 3.0
"""Longer than a node waits for a client that was cut off before it announces it as gone."""


async def enter_all(
    clients: NodeClients, node: ServerProcess, document: str, names: Iterable[str]
) -> list[StockClient]:
    """Open several clients at once."""
    return list(await asyncio.gather(*(enter(clients, node, document, name) for name in names)))


def listed(node: ServerProcess, document: str) -> set[str]:
    """Return the names that a node's list of presence shows."""
    status, body = node.get(f"/api/v1/documents/{document}/presence")
    assert status == 200, body
    return {client["state"]["user"] for client in json.loads(body)["clients"]}


async def ids_of(people: Iterable[StockClient]) -> set[int]:
    """Return the ids under which clients are present."""
    return {await person.client_id() for person in people}


async def missing_since(observer: StockClient, seen_before: int, ids: set[int]) -> list[object]:
    """Return each list of those present, after the first ``seen_before``, in which one of ``ids`` lacks."""
    seen = (await observer.history("present"))[seen_before:]
    return [present for present in seen if isinstance(present, list) and not ids <= set(present)]


async def test_joiner_on_any_node_sees_everybody_at_once(
    redis: RedisServer, clients: NodeClients, document: str, tmp_path: Path
) -> None:
    """The first that a newcomer hears of anybody is of all, through any node; every list shows all."""
    async with run_nodes(tmp_path, [redis.url] * 3) as nodes:
        people: list[StockClient] = []
        for place, node in enumerate(nodes[:2]):
            people += await enter_all(clients, node, document, [f"{place} {number}" for number in range(3)])
        names, ids = {person.name for person in people}, await ids_of(people)
        for person in people:
            await wait_seen(person, names)

        for place, node in enumerate(nodes):
            observer = await clients.open(f"observer {place}", node.ws_root, document, connect=False)
            await observer.set_awareness(None)
            await observer.connect()
            await wait_seen(observer, names)
            assert await observer.met_first() == ids
        for node in nodes:
            assert await asyncio.to_thread(listed, node, document) == names


async def test_people_of_a_killed_node_are_gone_everywhere_and_nobody_else(
    redis: RedisServer, clients: NodeClients, document: str, tmp_path: Path
) -> None:
    """When its lease has ended the 20 people of that node leave all lists; the others never do."""
    async with run_nodes(tmp_path, [redis.url] * 3) as nodes:
        others = [await enter(clients, node, document, f"other {i}") for i, node in enumerate(nodes[1:])]
        crowd = {f"crowd {number}" for number in range(CROWD)}
        people = await enter_all(clients, nodes[0], document, sorted(crowd))
        other_names = {other.name for other in others}
        for other in others:
            await wait_seen(other, crowd | other_names)
        seen_before = [len(await other.history("present")) for other in others]

        await asyncio.to_thread(nodes[0].kill)
        killed = time.monotonic()
        for person in people:
            await person.disconnect()
        for other in others:
            await wait_seen(other, other_names)

        print(f"gone everywhere within {time.monotonic() - killed:.2f} s")
        for other, count in zip(others, seen_before, strict=True):
            assert not await missing_since(other, count, await ids_of(others))
        for node in nodes[1:]:
            assert await asyncio.to_thread(listed, node, document) == other_names


async def move_away(
    mover: StockClient,
    observer: StockClient,
    homes: list[ServerProcess],
    lose: Callable[[ServerProcess], Awaitable[object]],
    within_s: float,
) -> int:
    """Have a client lose its connection to ``homes[0]`` and come back to ``homes[1]``, which swaps them.

    Returns how much the observer had seen before. Who was away for longer than the others wait has to be
    announced as gone, and says nothing: a machine may stall for so long. Then it moves once more.
    """
    seen_before = 0

    async def is_in_time() -> bool:
        nonlocal seen_before
        await wait_seen(observer, {observer.name, mover.name})
        seen_before, returns = len(await observer.history("present")), await mover.returns()
        await mover.move(homes[1].ws_root)
        await lose(homes[0])
        homes.reverse()
        await mover.wait_returned(returns + 1)
        return await mover.absence_s() < within_s

    await poll(is_in_time, PATIENCE_S, f"{mover.name} returns in time")
    return seen_before


async def check_never_left(people: Sequence[StockClient], observer: StockClient, seen_before: int) -> None:
    """Fail if one of the people was missing since then."""
    assert not await missing_since(observer, seen_before, await ids_of(people))
    assert await names_seen(observer) == {person.name for person in people}


async def kill_and_start(node: ServerProcess) -> None:
    """Kill a node; another takes its place."""
    await asyncio.to_thread(node.restart)


async def stop_and_start(node: ServerProcess) -> None:
    """Stop a node in order; another takes its place."""
    assert await asyncio.to_thread(node.stop) == 0
    await asyncio.to_thread(node.start)


async def test_client_that_moves_to_another_node_never_leaves_the_list(
    redis: RedisServer, clients: NodeClients, document: str, tmp_path: Path
) -> None:
    """Its connection breaks, the node that it left is killed, then its own; each time it is elsewhere."""
    async with run_nodes(tmp_path, [redis.url] * 3) as nodes:
        observer = await enter(clients, nodes[2], document, "observer")
        mover = await enter(clients, nodes[0], document, "mover")
        people, homes = [observer, mover], nodes[:2]

        async def break_off(_: ServerProcess) -> None:
            await mover.cut()

        seen_before = await move_away(mover, observer, homes, break_off, WITHIN_GRACE_S)
        # Nothing tells that a node will not announce it as gone: the time in which it could has to pass.
        await asyncio.sleep(GRACE_IS_OVER_S)
        await kill_and_start(homes[1])
        await asyncio.sleep(LEASE_IS_OVER_S)
        await check_never_left(people, observer, seen_before)

        seen_before = await move_away(mover, observer, homes, kill_and_start, WITHIN_LEASE_S)
        await asyncio.sleep(LEASE_IS_OVER_S)
        await check_never_left(people, observer, seen_before)
        assert await asyncio.to_thread(listed, nodes[2], document) == {"observer", "mover"}


async def test_A7_idle_people_of_a_killed_node_see_each_other_on_the_one_they_come_to(
    redis: RedisServer, clients: NodeClients, document: str, tmp_path: Path
) -> None:
    """Nothing but that node makes them say anything: the timers by which they renew are stopped."""
    async with run_nodes(tmp_path, [redis.url] * 2) as nodes:
        observer = await enter(clients, nodes[1], document, "observer")
        idle = await enter_all(clients, nodes[0], document, ["idle 1", "idle 2", "idle 3"])
        names = {person.name for person in idle}
        for person in (observer, *idle):
            await wait_seen(person, names | {"observer"})
            await person.stop_renewing()
        seen_before = len(await observer.history("present"))

        for person in idle:
            await person.move(nodes[1].ws_root)
        await asyncio.to_thread(nodes[0].kill)

        async def see_each_other() -> bool:
            return all([names <= await names_seen(person) for person in idle])

        await poll(see_each_other, PATIENCE_S, "the idle see each other")
        assert not await missing_since(observer, seen_before, await ids_of(idle))


async def test_stopping_a_node_makes_nobody_flicker(
    redis: RedisServer, clients: NodeClients, document: str, tmp_path: Path
) -> None:
    """A client that a stopping node sends away and that comes back elsewhere never leaves the list."""
    async with run_nodes(tmp_path, [redis.url] * 3) as nodes:
        observer = await enter(clients, nodes[2], document, "observer")
        mover = await enter(clients, nodes[0], document, "mover")

        seen_before = await move_away(mover, observer, nodes[:2], stop_and_start, WITHIN_GRACE_S)
        await asyncio.sleep(GRACE_IS_OVER_S)

        await check_never_left([observer, mover], observer, seen_before)


async def test_presence_survives_the_absence_of_redis(
    redis: RedisServer, clients: NodeClients, document: str, tmp_path: Path
) -> None:
    """Redis is away for longer than a lease: nobody who stays leaves a list, who left meanwhile is gone."""
    async with run_nodes(tmp_path, [redis.url] * 2) as nodes:
        people = [await enter(clients, node, document, f"on {i}") for i, node in enumerate(nodes)]
        leaver = await enter(clients, nodes[0], document, "leaver")
        names = {person.name for person in people}
        for person in people:
            await wait_seen(person, names | {"leaver"})
        seen_before = [len(await person.history("present")) for person in people]

        await asyncio.to_thread(redis.kill)
        await leaver.destroy()
        await asyncio.sleep(LEASE_IS_OVER_S)
        await asyncio.to_thread(redis.start)

        for person in people:
            await wait_seen(person, names)
        await asyncio.sleep(GRACE_IS_OVER_S)
        for person, count in zip(people, seen_before, strict=True):
            await check_never_left(people, person, count)
        for node in nodes:
            assert await asyncio.to_thread(listed, node, document) == names


async def test_thawed_node_brings_its_people_back(
    redis: RedisServer, clients: NodeClients, document: str, tmp_path: Path
) -> None:
    """A node frozen beyond its lease is believed dead; when it goes on, its people are there again."""
    async with run_nodes(tmp_path, [redis.url] * 2) as nodes:
        frozen = await enter(clients, nodes[0], document, "frozen")
        observer = await enter(clients, nodes[1], document, "observer")
        await wait_seen(observer, {"frozen", "observer"})

        nodes[0].freeze()
        await wait_seen(observer, {"observer"})
        nodes[0].thaw()

        await wait_seen(observer, {"frozen", "observer"})
        await wait_seen(frozen, {"frozen", "observer"})
        assert await asyncio.to_thread(listed, nodes[1], document) == {"frozen", "observer"}
