"""What is no entry of ours stops nobody."""

import pytest

from server.bus import BusEntry, PartlyAppended, Position, Reading, birth_of
from server.bus.redis import RedisBus
from server.bus.redis_entries import VERSION, id_of, seal
from tests.server.redis_bus.support import BELL, STREAM, append, everything
from tests.support.bus_ear import Ear
from tests.support.redis_server import RedisServer


async def test_F19_one_documents_bad_key_harms_no_other_document(redis: RedisServer, bus: RedisBus) -> None:
    redis.execute("SET", STREAM, "no stream")
    with pytest.raises(PartlyAppended) as caught:
        await bus.append([("b", b"one"), ("a", b"lost"), ("b", b"two"), ("c", b"three")])
    assert [position is None for position in caught.value.positions] == [False, True, False, False]
    assert await everything(bus, "b") == [b"one", b"two"]
    assert await everything(bus, "c") == [b"three"]


POISON = {
    "foreign": ["what", "is this"],
    "two fields": ["e", seal(b"x"), "f", seal(b"y")],
    "empty": ["e", b""],
    "short": ["e", seal(b"x")[:5]],
    "other version": ["e", bytes([VERSION + 1]) + seal(b"x")[1:]],
    "damaged": ["e", seal(b"xyz")[:-1] + b"?"],
    "longer": ["e", seal(b"x") + b"x"],
}


@pytest.mark.parametrize("fields", POISON.values(), ids=POISON)
async def test_S18_a_poisoned_entry_is_skipped_counted_and_logged_once(
    redis: RedisServer, bus: RedisBus, caplog: pytest.LogCaptureFixture, fields: list[str | bytes]
) -> None:
    ear = Ear()
    await bus.listen("a", ear)
    [before] = await append(bus, b"one")
    redis.execute("XADD", STREAM, f"{birth_of(before)}-*", *fields)
    redis.execute("SPUBLISH", BELL, f"E{id_of(Position(before + 1))} damaged")
    [after] = await append(bus, b"two")
    await ear.hears(b"two")
    for _ in range(3):
        reading = await bus.read("a", Position(0))
        good = [BusEntry(before, b"one"), BusEntry(after, b"two")]
        assert reading == Reading(good, True, after, frozenset([Position(before + 1)]))
    assert after == before + 2
    assert ear.updates == [b"one", b"two"]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert caplog.records[0].__dict__["document"] == "a"


async def test_S18_a_poisoned_message_stops_no_listener(redis: RedisServer, bus: RedisBus) -> None:
    ear = Ear()
    await bus.listen("a", ear)
    garbage = [b"E", b"E1-1", b"Ex-y " + seal(b"x"), b"E1-2 garbage"]
    garbage += [b"L", b"Lx-y", b"P", b"P\xff", b"P\x01n", b"?", b"\xff"]
    for message in garbage:
        redis.execute("SPUBLISH", BELL, message)
    await append(bus, b"one")
    await ear.hears(b"one")
    assert (ear.updates, ear.presence) == ([b"one"], [])
    assert bus.unreadable_count == len(garbage)
