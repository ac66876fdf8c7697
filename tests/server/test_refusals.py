"""Who is refused: what it hears, how long it is held, and what that costs the server."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin

from crdt.errors import CloseCode
from crdt.messages import SyncUpdate
from crdt.update import Update
from server.admission import FOREIGN, FULL, NO_NAME
from server.endpoint import UNREADABLE
from server.patience import Holding
from server.refusals import HELD_MESSAGE_BYTES, HELD_READ_BYTES, Refusals
from tests.server.faults import FaultyStore
from tests.server.servers import RunningServer
from tests.server.support import Peer, until, update_of
from tests.support.polling import poll

Start = Callable[..., RunningServer]

LONG_S = 3_600.0
FOREIGN_PAGE = {"origin": Origin("https://page.example")}


def holding(**values: float | int) -> Refusals:
    """Hold for so long that no test sees the end, unless told otherwise."""
    chosen = {"first_s": LONG_S, "longest_s": LONG_S, "longest_retry_s": LONG_S, **values}
    return Refusals(Holding(**chosen))  # type: ignore[arg-type]


def foreign(server: RunningServer, document: str = "d") -> Peer:
    """Return a page of a foreign origin."""
    return server.peer(document, options=FOREIGN_PAGE)


async def held(server: RunningServer, count: int) -> None:
    """Wait until so many are held."""

    async def are_held() -> bool:
        return await server.call(lambda: server.node.refusals.held) == count

    await poll(are_held, 10, f"{count} are held")


async def hold(server: RunningServer, count: int) -> list[Peer]:
    """Return refused peers that are all held."""
    peers = [foreign(server) for _ in range(count)]
    await asyncio.gather(*(peer.connect() for peer in peers))
    await held(server, count)
    return peers


def words_of(peer: Peer) -> list[str]:
    """Return what the server told a peer in words; fail when it told anything else."""
    assert {frame[:2] for frame in peer.frames} <= {b"\x02\x00"}
    return [frame[3:].decode() for frame in peer.frames]


async def test_L3_a_refused_page_is_told_why_and_held_and_then_closed(start: Start) -> None:
    refusals = holding(first_s=0.05)
    server = start(refusals=refusals)
    peer = foreign(server)
    await peer.connect()
    assert await peer.closing() == (CloseCode.FORBIDDEN, CloseCode.FORBIDDEN.phrase)
    assert words_of(peer) == [FOREIGN]
    await held(server, 0)


async def test_L9_what_a_held_peer_sends_is_neither_answered_nor_taken(start: Start) -> None:
    server = start(refusals=holding())
    (peer,) = await hold(server, 1)
    await peer.send(SyncUpdate(Update(update_of("lost"))))
    await peer.ask()
    await peer.ws.send("text")
    await peer.ws.send(b"\xff garbage")
    # The pong comes from the same stack that has read all that by then.
    await (await peer.ws.ping())
    assert words_of(peer) == [FOREIGN]
    assert not peer.closed
    assert not await server.documents()


async def test_L9_who_disappears_frees_its_place_at_once(start: Start) -> None:
    server = start(refusals=holding())
    peers = await hold(server, 4)
    await peers[0].abort()
    await held(server, 3)
    await peers[1].close()
    await held(server, 2)


async def test_L9_a_stopping_server_closes_who_is_held_at_once(start: Start) -> None:
    server = start(refusals=holding())
    peers = await hold(server, 3)
    await server.call(server.node.begin_to_stop)
    for peer in peers:
        assert (await peer.closing())[0] == CloseCode.FORBIDDEN
    late = foreign(server)
    await late.connect()
    assert (await late.closing())[0] == CloseCode.FORBIDDEN
    await held(server, 0)


async def test_L9_beyond_the_places_who_is_refused_is_closed_at_once(start: Start) -> None:
    server = start(refusals=holding(places=2))
    peers = await hold(server, 2)
    late = foreign(server)
    await late.connect()
    assert await late.closing() == (CloseCode.FORBIDDEN, CloseCode.FORBIDDEN.phrase)
    assert words_of(late) == [FOREIGN]
    await peers[0].abort()
    await held(server, 1)
    await foreign(server).connect()
    await held(server, 2)


async def test_L9_one_address_does_not_take_all_places(start: Start) -> None:
    server = start(refusals=holding(places_of_address=2), trusted_proxies=("127.0.0.1",))
    await hold(server, 2)
    late = foreign(server)
    await late.connect()
    await late.closing()
    elsewhere = foreign(server)
    elsewhere.options = {**FOREIGN_PAGE, "additional_headers": {"X-Forwarded-For": "192.0.2.7"}}
    await elsewhere.connect()
    await held(server, 3)
    assert not elsewhere.closed


async def test_L9_those_who_are_held_take_no_room_from_others(start: Start) -> None:
    server = start(refusals=holding(), max_connections=1)
    await hold(server, 3)
    async with server.peer("d") as welcome:
        await welcome.append("x")
        await welcome.acknowledge()


async def test_L9_a_held_peer_that_floods_is_closed_with_its_code(start: Start) -> None:
    server = start(refusals=holding())
    (peer,) = await hold(server, 1)
    with suppress(ConnectionClosed):
        for _ in range(HELD_READ_BYTES // HELD_MESSAGE_BYTES + 1):
            await peer.ws.send(bytes(HELD_MESSAGE_BYTES))
    assert await peer.closing() == (CloseCode.FORBIDDEN, CloseCode.FORBIDDEN.phrase)
    assert words_of(peer) == [FOREIGN]
    await held(server, 0)


async def test_L9_what_a_person_types_meanwhile_is_no_flood(start: Start) -> None:
    server = start(refusals=holding())
    (peer,) = await hold(server, 1)
    for _ in range(400):
        await peer.ws.send(bytes(40))
    await (await peer.ws.ping())
    assert not peer.closed


async def test_L9_a_large_message_of_a_held_peer_is_refused_by_its_header(start: Start) -> None:
    server = start(refusals=holding())
    (peer,) = await hold(server, 1)
    await peer.ws.send(bytes(HELD_MESSAGE_BYTES + 1))
    if server.kind == "uvicorn":
        assert (await peer.closing())[0] == CloseCode.TOO_LARGE
        await held(server, 0)
    else:
        # Only our own server lets us bound the messages of one connection: there it is thrown away.
        await (await peer.ws.ping())
        assert not peer.closed


async def test_L9_every_refusal_that_is_no_restart_is_held_and_told(start: Start) -> None:
    store = FaultyStore()
    store.fail_loads()
    server = start(store, refusals=holding())
    bad = Peer(f"ws://127.0.0.1:{server.port}/ws/a%00b")
    server.peers.append(bad)
    unreadable = server.peer("d")
    for peer in (bad, unreadable):
        await peer.connect()
    await held(server, 2)
    await until(lambda: bad.frames and unreadable.frames, "both are told")
    assert (words_of(bad), words_of(unreadable)) == ([NO_NAME], [UNREADABLE])


async def test_L9_who_finds_no_room_is_held_and_told(start: Start) -> None:
    server = start(refusals=holding(), max_connections=1)
    async with server.peer("d"):
        late = server.peer("d")
        await late.connect()
        await held(server, 1)
        await until(lambda: late.frames, "told")
        assert words_of(late) == [FULL]


async def test_L9_who_is_to_come_back_at_once_is_neither_held_nor_denied_anything(start: Start) -> None:
    server = start(refusals=holding())
    await server.call(lambda: setattr(server.node, "is_draining", True))
    peer = server.peer("d")
    await peer.connect()
    assert await peer.closing() == (CloseCode.RESTART, CloseCode.RESTART.phrase)
    assert not peer.frames
