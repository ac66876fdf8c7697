"""When a peer is dead, stuck, flooded, or needs a sign of life: time is an argument."""

import asyncio

from crdt.errors import CloseCode
from crdt.messages import AwarenessUpdate, SyncStatus
from server.health import FLOOD_LIMIT_BYTES, LOOK_S, Health
from server.member import PauseReason
from tests.server.parts import running_parts, status, update_frame
from tests.server.support import until, update_of


def looks(health: Health, heard: set[float]) -> tuple[list[float], list[float]]:
    """Look for a minute, hearing at some looks; return when it pinged and when the peer was dead."""
    pings, deaths = [], []
    for number in range(24):
        now = number * LOOK_S
        if now in heard:
            health.hear(now)
        if health.is_dead(now):
            deaths.append(now)
        elif health.wants_ping(now):
            pings.append(now)
    return pings, deaths


def test_T5_a_silent_peer_is_pinged_and_dead_within_20_seconds() -> None:
    pings, deaths = looks(Health(0.0, 30.0), set())
    assert pings == [7.5, 15.0]
    assert deaths[0] + LOOK_S <= 20


def test_T5_nobody_is_dead_who_was_not_asked() -> None:
    """A server that was busy for long looks late: the silence was its own."""
    health = Health(0.0, 30.0)
    assert not health.is_dead(60.0)
    assert health.wants_ping(60.0)
    assert not health.is_dead(62.5)
    assert health.is_dead(65.0)


def test_T5_a_peer_that_answers_pings_lives() -> None:
    assert looks(Health(0.0, 30.0), {10, 20, 30, 40, 50}) == ([7.5, 17.5, 27.5, 37.5, 47.5, 57.5], [])


def test_T5_a_peer_that_talks_is_not_pinged() -> None:
    assert looks(Health(0.0, 30.0), set(range(0, 60, 5))) == ([], [])


def test_T6_a_message_comes_at_least_every_20_seconds() -> None:
    health = Health(0.0, 30.0)
    assert [now for now in range(60) if health.wants_keepalive(now, 0.0)] == [15, 30, 45]


def test_T6_who_gets_edits_needs_no_sign_of_life() -> None:
    health = Health(0.0, 30.0)
    assert not [now for now in range(60) if health.wants_keepalive(now, now - 5.0)]


def test_T6_who_is_behind_gets_signs_of_life_whatever_the_others_get() -> None:
    health = Health(0.0, 300.0)
    health.fall_behind(0.0)
    assert [now for now in range(60) if health.wants_keepalive(now, now)] == [15, 30, 45]


def test_R6_a_peer_that_takes_nothing_is_stuck() -> None:
    health = Health(0.0, 30.0)
    health.fall_behind(5.0)
    for now in range(6, 35):
        health.measure(now, 1_000_000)
        assert not health.is_stuck(now)
    assert health.is_stuck(36.0)
    health.drain()
    assert not health.is_stuck(36.0)


def test_R6_a_peer_that_takes_something_is_only_slow() -> None:
    health = Health(0.0, 30.0)
    health.fall_behind(0.0)
    for now in range(1, 200):
        health.measure(now, 1_000_000 - 1_000 * now)
        assert not health.is_stuck(now)


def test_R6_who_is_behind_and_asks_for_more_and_more_is_flooded() -> None:
    health = Health(0.0, 30.0)
    assert not health.is_flooded(10 * FLOOD_LIMIT_BYTES), "who reads may ask"
    health.fall_behind(0.0)
    assert not health.is_flooded(FLOOD_LIMIT_BYTES)
    assert health.is_flooded(1)
    health.drain()
    health.fall_behind(1.0)
    assert not health.is_flooded(FLOOD_LIMIT_BYTES)


async def test_T5_a_connection_acts_on_it() -> None:
    async with running_parts() as parts:
        member, wire = await parts.join("d")
        now = asyncio.get_running_loop().time()
        member.tick(now + 11)
        assert (wire.pings, wire.is_aborted) == (1, False)
        wire.has_activity = True
        member.tick(now + 12)
        member.tick(now + 20)
        member.tick(now + 28)
        assert not wire.is_aborted
        assert wire.of(AwarenessUpdate), "a sign of life"
        member.tick(now + 30)
        assert wire.is_aborted


async def test_T5_a_peer_that_we_do_not_read_is_never_judged() -> None:
    async with running_parts() as parts:
        member, wire = await parts.join("d")
        now = asyncio.get_running_loop().time()
        member.pause(PauseReason.LOG)
        for after in range(1, 200):
            member.tick(now + after)
        assert not wire.is_aborted
        member.resume(PauseReason.LOG)
        member.tick(now + 210)
        assert not wire.is_aborted
        member.tick(now + 230)
        assert wire.is_aborted


async def test_R6_a_stuck_connection_is_closed_and_an_acknowledgement_still_reaches_it_before() -> None:
    async with running_parts() as parts:
        member, wire = await parts.join("d", slow_s=5.0)
        wire.is_stuck = True
        member.message_received(update_frame(update_of("x" * 60_000)))
        member.message_received(update_frame(update_of("x" * 60_000)))
        await until(lambda: wire.unsent_bytes > 2**16, "behind")
        member.message_received(status(b"saved"))
        await until(lambda: wire.of(SyncStatus), "acknowledged")
        now = asyncio.get_running_loop().time()
        wire.has_activity = True
        member.tick(now + 4)
        assert wire.closing is None
        wire.has_activity = True
        member.tick(now + 6)
        wire.has_activity = True
        member.tick(now + 12)
        assert wire.closing == (CloseCode.OVERLOADED, CloseCode.OVERLOADED.phrase)
