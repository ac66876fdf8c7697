"""Stock y-websocket clients see who is there, and nobody flickers (silence and losses included)."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import pytest

from tests.interop.peers import PYCRDT, Room
from tests.support.clients import VERSIONS, StockClient
from tests.support.polling import PATIENCE_S, poll
from tests.support.pycrdt_client import PycrdtClient

Leave = Callable[[StockClient], Awaitable[None]]

each_version = pytest.mark.parametrize("version", VERSIONS)
OBSERVER = VERSIONS[0]
SILENCE_S = 40.0
IN_TIME_S = 1.5
"""Sooner than a server announces as gone who was cut off: it waits for two seconds."""
GRACE_IS_OVER_S = 3.0
"""Longer than a server waits for a client that was cut off before it announces it as gone."""


async def wait_present(observer: StockClient, client_id: int, name: str) -> None:
    """Wait until ``observer`` sees the client under ``name``."""

    async def is_present() -> bool:
        return (await observer.awareness()).get(client_id) == {"user": name}

    await poll(is_present, PATIENCE_S, f"{name} is present")


async def wait_gone(observer: StockClient, client_id: int) -> None:
    """Wait until ``observer`` does not see the client."""

    async def is_gone() -> bool:
        return client_id not in await observer.awareness()

    await poll(is_gone, PATIENCE_S, f"client {client_id} is gone")


@each_version
async def test_presence_is_seen_both_ways(room: Room, version: str) -> None:
    """Each sees the other's state, and its changes, though neither ever asks."""
    client = await room.enter_stock(version, "client")
    observer = await room.enter_stock(OBSERVER, "observer")
    client_id, observer_id = await client.client_id(), await observer.client_id()

    await client.set_awareness({"user": "client"})
    await observer.set_awareness({"user": "observer"})
    await wait_present(observer, client_id, "client")
    await wait_present(client, observer_id, "observer")
    await client.set_awareness({"user": "client renamed"})

    await wait_present(observer, client_id, "client renamed")


@each_version
async def test_newcomer_sees_who_is_there(room: Room, version: str) -> None:
    """The first that a newcomer hears is of everybody: stock clients never ask, and renew every 15 s."""
    present = [await room.enter_stock(version, f"present {number}") for number in range(2)]
    ids = [await client.client_id() for client in present]
    for client in present:
        await client.set_awareness({"user": client.name})
        await client.acknowledge()

    newcomer = await room.open_stock(version, "newcomer")
    await newcomer.set_awareness(None)
    await newcomer.connect()

    for client, client_id in zip(present, ids, strict=True):
        await wait_present(newcomer, client_id, client.name)
    assert await newcomer.met_first() == set(ids)


@each_version
@pytest.mark.parametrize("leave", [StockClient.disconnect, StockClient.destroy])
async def test_clean_leave_is_seen_at_once(room: Room, version: str, leave: Leave) -> None:
    """Who closes with a close frame leaves the others' lists at once.

    At once is before somebody who was cut off a moment earlier, and for whom the server waits two seconds.
    A machine that stalls for so long in between says nothing: another two leave then.
    """
    observer = await room.enter_stock(OBSERVER, "observer")
    rounds = itertools.count()

    async def is_seen_first() -> bool:
        number = next(rounds)
        people = [
            await room.enter_stock(each, f"{what} {number}")
            for each, what in ((version, "leaves"), (OBSERVER, "is cut off"))
        ]
        for client in people:
            await client.set_awareness({"user": client.name})
            await wait_present(observer, await client.client_id(), client.name)
        client, cut = people
        client_id, cut_id = await client.client_id(), await cut.client_id()
        seen_before = len(await observer.history("present"))

        await cut.abandon()
        await leave(client)
        await wait_gone(observer, client_id)

        seen_since = [_as_ids(seen) for seen in (await observer.history("present"))[seen_before:]]
        return cut_id in next(seen for seen in seen_since if client_id not in seen)

    await poll(is_seen_first, PATIENCE_S, "who leaves is gone before who was cut off")


@each_version
async def test_who_left_comes_back(room: Room, version: str) -> None:
    """A client that has left with a close frame is seen again when it connects again."""
    client = await room.enter_stock(version, "client")
    observer = await room.enter_stock(OBSERVER, "observer")
    client_id = await client.client_id()
    await client.set_awareness({"user": "client"})
    await wait_present(observer, client_id, "client")
    await client.disconnect()
    await wait_gone(observer, client_id)

    await client.connect()

    await wait_present(observer, client_id, "client")


async def test_client_that_is_cut_off_and_returns_never_leaves_the_list(room: Room) -> None:
    """A connection lost without a close frame, and back at once, is no reason to flicker, in any version.

    Who was away for longer than the server waits says nothing: all are cut off once more then.
    """
    observer = await room.enter_stock(OBSERVER, "observer")
    cut = [await room.enter_stock(version, f"cut {version}") for version in VERSIONS]
    ids = [await client.client_id() for client in cut]
    seen_before = 0
    for client in cut:
        await client.set_awareness({"user": client.name})

    async def all_return_in_time() -> bool:
        nonlocal seen_before
        for client, client_id in zip(cut, ids, strict=True):
            await wait_present(observer, client_id, client.name)
        seen_before = len(await observer.history("present"))
        returns = [await client.returns() for client in cut]
        for client in cut:
            await client.cut()
        for client, count in zip(cut, returns, strict=True):
            await client.wait_returned(count + 1)
        return max([await client.absence_s() for client in cut]) < IN_TIME_S

    await poll(all_return_in_time, PATIENCE_S, "all return within the grace")
    # Nothing tells that an announcement will not come: the time in which it could has to pass.
    await asyncio.sleep(GRACE_IS_OVER_S)
    await cut[0].insert(0, "back")
    await observer.wait_text("back")

    seen_since = (await observer.history("present"))[seen_before:]
    assert all(set(ids) <= _as_ids(seen) for seen in seen_since), (
        f"somebody of {ids} was away in {seen_since}"
    )
    assert set(ids) <= set(await observer.awareness())


async def test_silence_drops_nobody(room: Room) -> None:
    """Longer than the clients' 30 s watchdog nobody says anything: none reconnects, none is dropped."""
    silent = [await room.enter_stock(version, f"silent {version}") for version in VERSIONS]
    program = await room.enter(PYCRDT, "program")
    assert isinstance(program, PycrdtClient)
    for client in silent:
        # Renewals of presence are traffic too; without a state there is none.
        await client.set_awareness(None)

    await asyncio.sleep(SILENCE_S)

    for client in silent:
        assert await client.history("status") == ["connecting", "connected"], client.name
    assert program.is_connected
    await program.insert(0, "still here")
    for client in silent:
        await client.wait_text("still here")


def _as_ids(seen: object) -> set[object]:
    assert isinstance(seen, list)
    return set(seen)
