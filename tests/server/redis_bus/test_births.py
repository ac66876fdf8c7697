"""Positions only ever grow, whatever becomes of a stream."""

import time

import pytest

from server.bus import (
    SEQUENCE_BITS,
    BusEntry,
    Position,
    Reading,
    birth_of,
    fits,
    follows,
    position_at,
    sequence_of,
)
from server.bus.redis import RedisBus
from server.bus.redis_entries import id_of, seal
from tests.server.redis_bus.support import BELL, STREAM, append
from tests.support.redis_server import RedisServer


async def test_S18_an_id_that_no_position_stands_for_only_starts_a_new_birth(
    redis: RedisServer, bus: RedisBus
) -> None:
    [before] = await append(bus, b"one")
    redis.execute("XADD", STREAM, f"{birth_of(before) + 5}-{1 << 40}", "what", "is this")
    [after] = await append(bus, b"two")
    assert birth_of(after) > birth_of(before) + 5
    reading = await bus.read("a", before)
    foreign = position_at(birth_of(before) + 5, (1 << SEQUENCE_BITS) - 1)
    assert reading == Reading([BusEntry(after, b"two")], False, after, frozenset([foreign]))
    [last] = await append(bus, b"three")
    assert follows(last, after)


async def test_a_full_count_starts_a_new_birth(redis: RedisServer, bus: RedisBus) -> None:
    [first] = await append(bus, b"one")
    last_id = f"{birth_of(first)}-{(1 << SEQUENCE_BITS) - 2}"
    redis.execute("XADD", STREAM, last_id, "e", seal(b"by hand"))
    full, after = await append(bus, b"two", b"three")
    assert sequence_of(full) == (1 << SEQUENCE_BITS) - 1
    assert (birth_of(after) > birth_of(full), sequence_of(after)) == (True, 0)
    reading = await bus.read("a", Position(full - 1))
    assert [entry.update for entry in reading.entries] == [b"two", b"three"]


async def test_F15_a_birth_from_the_future_is_counted_on(redis: RedisServer, bus: RedisBus) -> None:
    future = position_at(int(time.time() * 1000) + 3_600_000, 3)
    redis.execute("XADD", STREAM, id_of(future), "e", seal(b"by hand"))
    [position] = await append(bus, b"one")
    assert follows(position, future)
    redis.execute("DEL", STREAM)
    [reborn] = await append(bus, b"two")
    assert birth_of(reborn) == birth_of(future) + 1


async def test_F16_a_stream_that_went_back_never_gives_a_position_twice(
    redis: RedisServer, bus: RedisBus
) -> None:
    """A failover or a lost end of the append-only file forgets entries that were confirmed."""
    positions = await append(bus, b"one", b"two", b"three")
    redis.execute("DEL", STREAM)
    redis.execute("XADD", STREAM, id_of(positions[0]), "e", seal(b"one"))
    assert not (await bus.read("a", positions[2])).is_gapless
    [after] = await append(bus, b"four")
    assert birth_of(after) > birth_of(positions[2])
    reading = await bus.read("a", positions[0])
    assert reading == Reading([BusEntry(after, b"four")], False, after)


async def test_F16_a_stream_reborn_in_the_past_never_gives_a_position_twice(
    redis: RedisServer, bus: RedisBus
) -> None:
    positions = await append(bus, b"one")
    redis.execute("DEL", STREAM)
    redis.execute("XADD", STREAM, "5-0", "e", seal(b"old"))
    [after] = await append(bus, b"two")
    assert birth_of(after) > birth_of(positions[0])
    assert not (await bus.read("a", positions[0])).is_gapless


FOREIGN = "99999999999999-0"


async def test_an_id_beyond_every_position_is_skipped_and_counted(redis: RedisServer, bus: RedisBus) -> None:
    """A store takes positions of 63 bits: it would refuse this one for ever."""
    [before] = await append(bus, b"one")
    redis.execute("XADD", STREAM, FOREIGN, "what", "is this")
    redis.execute("SPUBLISH", BELL, f"E{FOREIGN} damaged")
    for _ in range(2):
        assert await bus.read("a", Position(0)) == Reading([BusEntry(before, b"one")], True, before)
        assert await bus.read("a", before) == Reading([], True, before)
    assert bus.unreadable_count == 1


@pytest.mark.parametrize("knows", [True, False])
async def test_D13_behind_an_id_beyond_every_position_the_count_goes_on(
    redis: RedisServer, bus: RedisBus, *, knows: bool
) -> None:
    [before] = await append(bus, b"one")
    redis.execute("XADD", STREAM, FOREIGN, "what", "is this")
    async with RedisBus.open(redis.url, node="two") as other:
        positions = await append(bus if knows else other, b"two", b"three")
    assert list(positions) == [before + 1, before + 2]
    expected = [BusEntry(positions[0], b"two"), BusEntry(positions[1], b"three")]
    assert await bus.read("a", before) == Reading(expected, True, positions[1])
    assert redis.execute("KEYS", "*:kept") == []


async def test_D13_a_stream_of_nothing_but_such_ids_begins_anew(redis: RedisServer, bus: RedisBus) -> None:
    redis.execute("XADD", STREAM, FOREIGN, "what", "is this")
    assert await bus.read("a", Position(0)) == Reading([], True, Position(0))
    [first] = await append(bus, b"one")
    assert fits(first)
    assert await bus.read("a", Position(0)) == Reading([BusEntry(first, b"one")], True, first)
