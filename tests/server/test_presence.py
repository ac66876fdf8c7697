"""Who is here, as clients see it: at once, truly, and without flashing."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable

import pytest

import crdt.awareness
from crdt.messages import AwarenessUpdate
from tests.server.servers import RunningServer
from tests.server.support import Peer, presence, until
from tests.support.polling import PATIENCE_S

Start = Callable[..., RunningServer]
Leave = Callable[[Peer], Awaitable[None]]

ANN = {"user": {"name": "Ann"}}
BEN = {"user": {"name": "Ben"}}


GRACE_S = 0.3
"""Shorter than the real one, so that the tests are, too."""
RETURNS_WITHIN_S = 1.5
"""The grace of who returns in time, however busy the machine is."""
NEVER_S = 3_600.0


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give who breaks off little time to return."""
    monkeypatch.setattr("crdt.awareness.GRACE_S", GRACE_S)


def test_A6_the_grace_is_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert crdt.awareness.GRACE_S == 2.0


async def test_A1_whoever_joins_sees_everybody_at_once(server: RunningServer) -> None:
    async with server.peer("d", hello=presence((1, 1, ANN))) as ann:
        async with server.peer("d", hello=presence((2, 1, BEN))) as ben:
            await until(lambda: ben.state_of(1) == ANN, "Ann, who was here before")
            await until(lambda: ann.state_of(2) == BEN, "Ben, who came")
        async with server.peer("other") as stranger:
            await stranger.append("x")
            await stranger.acknowledge()
            assert stranger.present == {}


@pytest.mark.parametrize("kind", ["uvicorn"])
async def test_A6_who_closes_is_gone_at_once(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some servers do not tell a close frame from a lost connection: those are given the grace."""
    monkeypatch.setattr("crdt.awareness.GRACE_S", NEVER_S)
    server = start()
    ann = server.peer("d", hello=presence((1, 3, ANN)))
    async with server.peer("d") as ben:
        await ann.connect()
        await until(lambda: ben.state_of(1) == ANN, "Ann")
        await ann.close()
        await until(lambda: ben.present[1] == (3, None), "gone, at the same clock")


@pytest.mark.parametrize("leave", [Peer.close, Peer.abort])
async def test_A6_who_leaves_in_any_way_is_gone_in_the_end(server: RunningServer, leave: Leave) -> None:
    ann = server.peer("d", hello=presence((1, 3, ANN)))
    async with server.peer("d") as ben:
        await ann.connect()
        await until(lambda: ben.state_of(1) == ANN, "Ann")
        await leave(ann)
        await until(lambda: ben.present[1] == (3, None), "gone, at the same clock")


async def test_A6_who_breaks_off_is_gone_after_the_grace(server: RunningServer) -> None:
    ann = server.peer("d", hello=presence((1, 3, ANN)))
    async with server.peer("d") as ben:
        await ann.connect()
        await until(lambda: ben.state_of(1) == ANN, "Ann")
        started = time.monotonic()
        await ann.abort()
        await until(lambda: ben.present[1] == (3, None), "gone, at the same clock")
        assert time.monotonic() - started > GRACE_S - 0.1


async def test_A6_who_returns_in_time_never_flashes(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crdt.awareness.GRACE_S", RETURNS_WITHIN_S)
    server = start()
    ann = server.peer("d", hello=presence((1, 3, ANN)))
    async with server.peer("d") as ben:
        await ann.connect()
        await until(lambda: ben.state_of(1) == ANN, "Ann")
        await ann.abort()
        ann.hello = presence((1, 4, ANN))
        await ann.connect()
        await until(lambda: ben.present[1][0] == 4, "Ann, with her new clock")
        await asyncio.sleep(RETURNS_WITHIN_S + 0.3)  # the grace of the first connection is over
        assert all(state is not None for _, _, state in ben.presence_log)


async def test_A6_who_returns_with_the_clock_it_had_stays_too(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """y-websocket does so: it announces again what it announced before."""
    monkeypatch.setattr("crdt.awareness.GRACE_S", RETURNS_WITHIN_S)
    server = start()
    ann = server.peer("d", hello=presence((1, 3, ANN)))
    async with server.peer("d") as ben:
        await ann.connect()
        await until(lambda: ben.state_of(1) == ANN, "Ann")
        await ann.abort()
        await ann.connect()
        await ann.synced()
        await asyncio.sleep(RETURNS_WITHIN_S + 0.3)  # the grace of the first connection is over
        assert ben.present[1] == (3, ANN)
        assert all(state is not None for _, _, state in ben.presence_log)


async def test_A7_who_returns_too_late_with_its_old_clock_is_told_so(server: RunningServer) -> None:
    ann = server.peer("d", hello=presence((1, 3, ANN)))
    async with server.peer("d") as ben:
        await ann.connect()
        await until(lambda: ben.state_of(1) == ANN, "Ann")
        await ann.abort()
        await until(lambda: ben.present[1] == (3, None), "gone")
        known = len(ben.presence_log)
        await ann.connect()
        await until(lambda: (1, 3, None) in ann.presence_log, "told")
        await ann.send(AwarenessUpdate(presence((1, 4, ANN))))
        await until(lambda: ben.present[1] == (4, ANN), "back")
        assert ben.presence_log[known:] == [(1, 4, ANN)]


async def test_A5_a_new_connection_takes_over_from_a_half_open_one(server: RunningServer) -> None:
    """Its end is noticed later, and then says nothing about the one who is here."""
    old = server.peer("d", hello=presence((1, 3, ANN)))
    async with server.peer("d") as ben:
        await old.connect()
        await until(lambda: ben.state_of(1) == ANN, "Ann")
        async with server.peer("d", hello=presence((1, 4, ANN))) as new:
            await until(lambda: ben.present[1][0] == 4, "taken over")
            await old.close()
            await new.send(AwarenessUpdate(presence((1, 5, BEN))))
            await until(lambda: ben.present[1] == (5, BEN), "the new one speaks")
            await asyncio.sleep(GRACE_S + 0.3)  # a wrong removal would have come by now
            assert ben.present[1] == (5, BEN)
            assert all(state is not None for _, _, state in ben.presence_log)


async def test_S8_nobody_speaks_for_somebody_else(server: RunningServer) -> None:
    async with (
        server.peer("d", hello=presence((1, 3, ANN))) as ann,
        server.peer("d", hello=presence((2, 1, BEN))) as mallory,
    ):
        await until(lambda: mallory.state_of(1) == ANN, "Ann")
        await mallory.send(AwarenessUpdate(presence((1, 9, None))))
        await mallory.send(AwarenessUpdate(presence((1, 9, {"user": {"name": "not Ann"}}))))
        await mallory.send(AwarenessUpdate(presence((2, 2, BEN))))
        await until(lambda: (2, 2, BEN) in ann.presence_log, "what came after")
        assert 1 not in {client for client, clock, _ in ann.presence_log if clock == 9}


async def test_A2_an_echo_is_not_sent_on(server: RunningServer) -> None:
    """Every y-websocket client sends back what it hears: N clients would make N² of it."""
    async with (
        server.peer("d", hello=presence((1, 3, ANN))) as ann,
        server.peer("d", hello=presence((2, 1, BEN))) as ben,
    ):
        await until(
            lambda: all(peer.state_of(1) == ANN and peer.state_of(2) == BEN for peer in (ann, ben)), "both"
        )
        known = len(ann.presence_log), len(ben.presence_log)
        for _ in range(5):
            await ben.send(AwarenessUpdate(presence((1, 3, ANN))))
            await ann.send(AwarenessUpdate(presence((2, 1, BEN))))
        for peer in (ann, ben):
            await peer.append("x")
            await peer.acknowledge()
        assert (len(ann.presence_log), len(ben.presence_log)) == known


async def test_A3_of_many_states_in_one_turn_the_latest_goes_out(server: RunningServer) -> None:
    async with server.peer("d", hello=presence((1, 1, ANN))) as ann, server.peer("d") as ben:
        await until(lambda: ben.state_of(1) == ANN, "Ann")
        known = len(ben.presence_log)
        has_sent = threading.Event()
        turn = asyncio.create_task(server.call(lambda: has_sent.wait(PATIENCE_S)))
        for clock in range(2, 202):
            await ann.send(AwarenessUpdate(presence((1, clock, {"at": clock}))))
        has_sent.set()
        assert await turn
        await until(lambda: ben.present[1] == (201, {"at": 201}), "the latest")
        assert len(ben.presence_log) - known < 150


async def test_the_query_is_answered_with_everybody(server: RunningServer) -> None:
    async with server.peer("d", hello=presence((1, 3, ANN))), server.peer("d") as ben:
        await until(lambda: ben.state_of(1) == ANN, "Ann")
        ben.present.clear()
        await ben.ws.send(b"\x03")
        await until(lambda: ben.present == {1: (3, ANN)}, "asked again")


async def test_T6_a_quiet_client_gets_a_sign_of_life(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stock clients break off when no message came for 30 s; the empty awareness update is harmless."""
    monkeypatch.setattr("server.health.KEEPALIVE_AFTER_S", 0.3)
    monkeypatch.setattr("server.node.TICK_S", 0.05)
    server = start()
    async with server.peer("d") as peer:
        await until(lambda: peer.frames.count(b"\x01\x01\x00") >= 2, "two signs of life")


@pytest.mark.parametrize("kind", ["uvicorn"])
async def test_T5_a_dead_peer_is_noticed_and_its_presence_ends(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A closed laptop: the connection stands, and nothing answers. Other servers ping by themselves."""
    monkeypatch.setattr("server.health.PING_AFTER_S", 0.5)
    monkeypatch.setattr("server.health.DEAD_AFTER_S", 3.0)
    monkeypatch.setattr("server.health.ANSWER_S", 2.0)
    monkeypatch.setattr("server.node.TICK_S", 0.005)
    server = start()
    dead = server.peer("d", hello=presence((1, 3, ANN)))
    async with server.peer("d") as ben:
        await dead.connect()
        await until(lambda: ben.state_of(1) == ANN, "Ann")
        dead.ws.transport.pause_reading()
        await until(lambda: ben.present[1] == (3, None), "gone")
        assert not ben.closed, "who answers pings is alive"
        assert await server.call(lambda: len(server.node.connections)) == 1
        dead.ws.transport.resume_reading()


async def test_A1_a_client_leaves_while_nobody_else_is_there(server: RunningServer) -> None:
    """Its presence is not found by the next one who comes."""
    ann = Peer(server.url("d"), hello=presence((1, 3, ANN)))
    async with ann:
        await ann.append("x")
        await ann.acknowledge()
    await server.unloaded()
    async with server.peer("d") as ben:
        await ben.append("y")
        await ben.acknowledge()
        assert ben.present == {}
