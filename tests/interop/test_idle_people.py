"""People who do not move see each other again as soon as a server that ended is back, in any version."""

from itertools import pairwise

import pytest

from tests.interop.peers import Room
from tests.support.clients import OLD_VERSION, VERSIONS, StockClient
from tests.support.polling import poll
from tests.support.server_process import ServerProcess

SEEN_LIMIT_S = 15.0


async def wait_all_see(people: list[StockClient], ids: list[int]) -> None:
    """Wait until each sees everybody."""

    async def all_see() -> bool:
        return all([set(await person.awareness()) == set(ids) for person in people])

    await poll(all_see, SEEN_LIMIT_S, "everybody sees everybody")


@pytest.mark.parametrize("ends", ["killed", "stopped"])
async def test_A7_after_a_restart_people_who_do_not_move_see_each_other(
    server: ServerProcess, room: Room, ends: str
) -> None:
    """Nothing but the server makes them say anything: the timers by which they renew are stopped."""
    people = [await room.enter_stock(version, version) for version in (*VERSIONS, OLD_VERSION)]
    ids = [await person.client_id() for person in people]
    for person in people:
        await person.set_awareness({"user": person.name})
        await person.stop_renewing()
    await wait_all_see(people, ids)
    clocks = [await person.awareness_clock(own) for person, own in zip(people, ids, strict=True)]
    seen_before = [len(await person.history("present")) for person in people]

    if ends == "stopped":
        assert server.stop() == 0
    server.restart()
    for person in people:
        await person.wait_returned(1)
    await wait_all_see(people, ids)

    for person, own, clock, count in zip(people, ids, clocks, seen_before, strict=True):
        assert await person.awareness_clock(own) == clock + 1, "raised once"
        returned = [set(seen) for seen in (await person.history("present"))[count:] if isinstance(seen, list)]
        # It forgot them at once when its connection broke; from then on nobody was seen to leave.
        since = returned[returned.index({own}) :]
        assert all(before <= after for before, after in pairwise(since))
        assert {own: {"user": person.name}}.items() <= (await person.awareness()).items()


async def test_A7_a_first_visitor_is_seen_at_once_and_by_its_latest_state(room: Room) -> None:
    """It is asked too, for nothing tells it from somebody who returns; its clock is one higher, no more."""
    visitor = await room.open_stock(VERSIONS[0], "visitor")
    await visitor.set_awareness({"user": "visitor"})
    await visitor.stop_renewing()
    own = await visitor.client_id()
    clock = await visitor.awareness_clock(own)
    await visitor.connect()
    await visitor.wait_synced()
    observer = await room.enter_stock(VERSIONS[0], "observer")

    async def has_heard() -> bool:
        return await observer.awareness_clock(own) == clock + 1

    await poll(has_heard, SEEN_LIMIT_S, "the observer sees the visitor")
    assert (await observer.awareness())[own] == {"user": "visitor"}
    assert (await visitor.awareness())[own] == {"user": "visitor"}
    assert await visitor.awareness_clock(own) == clock + 1
