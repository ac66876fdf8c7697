"""What the bus does when Redis, the network or what lies in Redis is bad."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
import uvloop

from server.bus import (
    SEQUENCE_BITS,
    BusEntry,
    BusUnavailable,
    PartlyAppended,
    Position,
    Reading,
    birth_of,
    follows,
    position_at,
    sequence_of,
)
from server.bus import redis_bell as bell
from server.bus.redis import RedisBus
from server.bus.redis_connection import Reply
from server.bus.redis_entries import VERSION, id_of, seal
from server.bus.redis_keys import RedisKeys
from server.bus.redis_servers import Lane, Request
from server.bus.redis_url import RedisUrl
from tests.support.bus_ear import Ear
from tests.support.polling import poll
from tests.support.redis_server import RedisCluster, RedisServer
from tests.support.tcp_proxy import TcpProxy

LIMIT_S = 20.0
TIMEOUT_S = 0.6
STREAM, BELL = RedisKeys(0).of("a").stream, RedisKeys(0).of("a").bell


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
async def bus(redis: RedisServer) -> AsyncIterator[RedisBus]:
    async with RedisBus.open(redis.url, node="one") as bus:
        yield bus


@pytest.fixture
async def proxy(redis: RedisServer) -> AsyncIterator[TcpProxy]:
    async with TcpProxy.open(redis.port) as proxy:
        yield proxy


async def append(bus: RedisBus, *updates: bytes, document: str = "a") -> Sequence[Position]:
    return await bus.append([(document, update) for update in updates])


async def append_until_done(bus: RedisBus, *updates: bytes, document: str = "a") -> Sequence[Position]:
    """Repeat the same call as a writer does."""
    positions: Sequence[Position] = []

    async def is_done() -> bool:
        nonlocal positions
        try:
            positions = await append(bus, *updates, document=document)
        except BusUnavailable:
            return False
        return True

    await poll(is_done, LIMIT_S, "the bus is back")
    return positions


async def everything(bus: RedisBus, document: str = "a") -> list[bytes]:
    return [entry.update for entry in (await bus.read(document, Position(0))).entries]


def without_doubles(updates: Sequence[bytes]) -> list[bytes]:
    return list(dict.fromkeys(updates))


async def test_a_killed_redis_is_unavailable_and_keeps_what_it_confirmed(
    redis: RedisServer, bus: RedisBus
) -> None:
    ear = Ear()
    await bus.listen("a", ear)
    before = await append(bus, b"one", b"two")
    redis.kill()
    started = time.monotonic()
    with pytest.raises(BusUnavailable):
        await append(bus, b"three")
    with pytest.raises(BusUnavailable):
        await bus.read("a", before[0])
    assert time.monotonic() - started < 1
    doubts = ear.doubts
    redis.restart()
    [after] = await append_until_done(bus, b"three")
    await ear.doubts_again(doubts)
    assert follows(after, before[1])
    assert await everything(bus) == [b"one", b"two", b"three"]
    await append(bus, b"four")
    await ear.hears(b"four")


async def test_positions_grow_when_redis_comes_back_empty(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis", appendonly=False) as redis:
        async with RedisBus.open(redis.url, node="one") as bus:
            ear = Ear()
            await bus.listen("a", ear)
            before = await append(bus, b"one", b"two")
            redis.kill()
            redis.restart()
            [after] = await append_until_done(bus, b"three")
            await ear.doubts_again(0)
            assert birth_of(after) > birth_of(before[1])
            reading = await bus.read("a", before[1])
            assert reading == Reading([BusEntry(after, b"three")], False, after)


def test_it_works_on_the_event_loop_of_the_server(redis: RedisServer) -> None:
    """The other tests run on asyncio's own loop, where a test that hangs can be ended."""

    async def use() -> None:
        async with TcpProxy.open(redis.port) as proxy, RedisBus.open(proxy.url, node="one") as bus:
            ear = Ear()
            await bus.listen("a", ear)
            await append(bus, b"one", random.Random(1).randbytes(3_000_000), b"three")
            await ear.hears(b"three")
            proxy.cut()
            await ear.doubts_again(0)
            await append_until_done(bus, b"four")
            await ear.hears(b"four")
            assert await everything(bus) == ear.updates
            redis.kill()
            with pytest.raises(BusUnavailable):
                await append(bus, b"five")

    async def use_in_time() -> None:
        async with asyncio.timeout(2 * LIMIT_S):
            await use()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(use_in_time())


async def test_a_flushed_script_is_loaded_again(redis: RedisServer, bus: RedisBus) -> None:
    await append(bus, b"one")
    redis.execute("SCRIPT", "FLUSH")
    await append(bus, b"two", b"three")
    assert await everything(bus) == [b"one", b"two", b"three"]


async def test_a_lost_reply_never_changes_the_order(redis: RedisServer, proxy: TcpProxy) -> None:
    async with RedisBus.open(proxy.url, node="one", timeout_s=TIMEOUT_S) as bus:
        await append(bus, b"one")
        proxy.drops_replies = True
        started = time.monotonic()
        with pytest.raises(BusUnavailable):
            await append(bus, b"two", b"three")
        assert time.monotonic() - started < 2 * TIMEOUT_S
        assert proxy.swallowed_bytes > 0
        proxy.drops_replies = False
        proxy.cut()
        await append_until_done(bus, b"two", b"three")
        await append(bus, b"four")
        assert await everything(bus) == [b"one", b"two", b"three", b"two", b"three", b"four"]


async def test_a_connection_cut_at_random_keeps_order_and_loses_nothing(
    redis: RedisServer, proxy: TcpProxy, seed: int
) -> None:
    chosen = random.Random(seed)
    is_writing = True

    async def harm() -> None:
        while is_writing:
            await asyncio.sleep(chosen.uniform(0, 0.02))
            proxy.cut()

    async with RedisBus.open(proxy.url, node="one", timeout_s=TIMEOUT_S) as bus:
        harming = asyncio.create_task(harm())
        updates = [str(index).encode() for index in range(400)]
        for start in range(0, len(updates), 4):
            await append_until_done(bus, *updates[start : start + 4])
        is_writing = False
        await harming
        async with RedisBus.open(redis.url, node="two") as reader:
            assert without_doubles(await everything(reader)) == updates


async def test_a_subscription_heals_after_every_cut(proxy: TcpProxy, bus: RedisBus) -> None:
    ears = {f"document {index}": Ear() for index in range(30)}
    async with RedisBus.open(proxy.url, node="two") as listening:
        for document, ear in ears.items():
            await listening.listen(document, ear)
        for round_number in range(3):
            before = {document: ear.doubts for document, ear in ears.items()}
            proxy.cut()
            for document, ear in ears.items():
                await ear.doubts_again(before[document])
            update = str(round_number).encode()
            await bus.append([(document, update) for document in ears])
            for ear in ears.values():
                await ear.hears(update)


async def test_every_subscription_survives_cuts_at_random(proxy: TcpProxy, bus: RedisBus, seed: int) -> None:
    chosen = random.Random(seed)
    ears = {f"document {index}": Ear() for index in range(200)}
    async with RedisBus.open(proxy.url, node="two") as listening:
        for document, ear in ears.items():
            await listening.listen(document, ear)
        for _ in range(60):
            await asyncio.sleep(chosen.uniform(0, 0.03))
            proxy.cut()
        attempt = 0

        async def is_whole() -> bool:
            nonlocal attempt
            attempt += 1
            await bus.append([(document, str(attempt).encode()) for document in ears])
            return all(ear.entries and int(ear.updates[-1]) >= attempt - 3 for ear in ears.values())

        await poll(is_whole, LIMIT_S, "every document is heard again")


async def test_a_connection_lost_right_after_it_was_confirmed_is_not_trusted(
    proxy: TcpProxy, bus: RedisBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    ear = Ear()
    async with RedisBus.open(proxy.url, node="two") as listening:
        await listening.listen("a", ear)
        ask_all, cuts = listening._servers.ask_all, [None]

        async def ask_and_lose(lane: Lane, requests: Sequence[Request]) -> list[Reply]:
            replies = await ask_all(lane, requests)
            before = listening._bell._losses

            async def is_lost() -> bool:
                return listening._bell._losses > before

            if cuts and not isinstance(replies[0], BusUnavailable):
                cuts.pop()
                proxy.cut()
                await poll(is_lost, LIMIT_S, "the connection is lost")
            return replies

        monkeypatch.setattr(listening._servers, "ask_all", ask_and_lose)
        proxy.cut()
        await ear.doubts_again(0)
        await append(bus, b"one")
        await ear.hears(b"one")


async def test_a_subscription_waits_for_a_redis_that_refuses(proxy: TcpProxy, bus: RedisBus) -> None:
    ear = Ear()
    async with RedisBus.open(proxy.url, node="two") as listening:
        await listening.listen("a", ear)
        proxy.refuses = True
        proxy.cut()
        with pytest.raises(BusUnavailable):
            await listening.listen("b", Ear())
        assert ear.doubts == 0
        proxy.refuses = False
        await ear.doubts_again(0)
        await append(bus, b"one")
        await ear.hears(b"one")
        await listening.listen("b", Ear())


async def test_a_subscription_that_died_without_a_word_is_noticed(
    proxy: TcpProxy, bus: RedisBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell, "PING_S", 0.1)
    ear = Ear()
    async with RedisBus.open(proxy.url, node="two", timeout_s=TIMEOUT_S) as listening:
        await listening.listen("a", ear)
        proxy.drops_replies = True
        await append(bus, b"unheard")
        before = proxy.accepted

        async def connects_again() -> bool:
            return proxy.accepted > before

        # Nobody cuts the connection: only the unanswered ping tells.
        await poll(connects_again, LIMIT_S, "the silence is noticed")
        assert (ear.updates, ear.doubts) == ([], 0)
        proxy.drops_replies = False
        await ear.doubts_again(0)
        assert await everything(listening) == [b"unheard"]


async def test_a_slow_redis_is_unavailable_in_time(proxy: TcpProxy) -> None:
    async with RedisBus.open(proxy.url, node="one", timeout_s=TIMEOUT_S) as bus:
        proxy.delay_s = 3 * TIMEOUT_S
        started = time.monotonic()
        for call in (bus.read("a", Position(0)), bus.renew_lease(), bus.presence("a")):
            with pytest.raises(BusUnavailable):
                await call
        assert time.monotonic() - started < 3 * TIMEOUT_S + 1
        proxy.delay_s = 0.0
        await append_until_done(bus, b"one")


async def test_a_caller_that_gives_up_disturbs_no_other(bus: RedisBus) -> None:
    await append(bus, b"one")
    for index in range(20):
        given_up = asyncio.create_task(append(bus, str(index).encode()))
        for _ in range(index % 6):
            await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait([given_up])
        [position] = await append(bus, b"kept", document="b")
        assert (await bus.read("b", Position(position - 1))).entries == [BusEntry(position, b"kept")]
    updates = await everything(bus)
    assert updates == [b"one", *sorted(updates[1:], key=int)]


async def test_F46_a_full_redis_is_unavailable_and_recovers(redis: RedisServer, bus: RedisBus) -> None:
    await append(bus, b"one")
    redis.execute("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(BusUnavailable, match=r"^OOM "):
        await append(bus, b"two", b"three")
    assert await everything(bus) == [b"one"]
    redis.execute("CONFIG", "SET", "maxmemory", "0")
    await append(bus, b"two", b"three")
    assert await everything(bus) == [b"one", b"two", b"three"]


async def test_a_replica_is_unavailable(redis: RedisServer, bus: RedisBus, tmp_path: Path) -> None:
    await append(bus, b"one")
    with RedisServer(tmp_path / "other") as master:
        redis.execute("REPLICAOF", "127.0.0.1", master.port)
        with pytest.raises(BusUnavailable, match=r"^(READONLY|MASTERDOWN|LOADING) "):
            await append(bus, b"two")
        redis.execute("REPLICAOF", "NO", "ONE")
        await append_until_done(bus, b"two")


async def test_F16_a_new_master_behind_the_same_name_is_found(
    redis: RedisServer, proxy: TcpProxy, tmp_path: Path
) -> None:
    with RedisServer(tmp_path / "other") as master:
        async with RedisBus.open(proxy.url, node="one") as bus:
            [before] = await append(bus, b"one")
            redis.execute("REPLICAOF", "127.0.0.1", master.port)
            proxy.target = master.port
            [after] = await append_until_done(bus, b"two")
            assert birth_of(after) > birth_of(before)
            assert master.execute("XLEN", STREAM) == 1


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
    garbage += [b"P", b"P\xff", b"P\x01n", b"?", b"\xff"]
    for message in garbage:
        redis.execute("SPUBLISH", BELL, message)
    await append(bus, b"one")
    await ear.hears(b"one")
    assert (ear.updates, ear.presence) == ([b"one"], [])
    assert bus.unreadable_count == len(garbage)


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


async def test_F19_a_listener_that_fails_harms_no_other(
    bus: RedisBus, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Ear):
        def entry_arrived(self, entry: BusEntry) -> None:
            raise RuntimeError("broken room")

    ear = Ear()
    await bus.listen("a", Broken())
    await bus.listen("b", ear)
    for index in range(3):
        await bus.append([("a", b"x"), ("b", str(index).encode())])
    await ear.hears(b"2")
    assert (ear.updates, ear.doubts) == ([b"0", b"1", b"2"], 0)
    assert "a listener failed" in caplog.text


async def test_an_idle_trimmed_stream_is_small(redis: RedisServer, bus: RedisBus) -> None:
    positions = await append(bus, *[random.Random(1).randbytes(1000)] * 200)
    await bus.trim("a", positions[-1])
    assert redis.execute("MEMORY", "USAGE", STREAM) < 600


async def test_presence_left_alone_does_not_stay_for_ever(redis: RedisServer, bus: RedisBus) -> None:
    await bus.publish_presence("a", b"x", b"everybody")
    left_ms = redis.execute("PTTL", RedisKeys(0).of("a").presence)
    assert 0 < left_ms <= 3_600_000


async def test_what_a_dead_node_left_is_removed(redis: RedisServer, bus: RedisBus) -> None:
    async with RedisBus.open(redis.url, node="two") as other:
        await other.publish_presence("a", b"x", b"everybody")
    assert redis.execute("HKEYS", RedisKeys(0).of("a").presence) == [b"two"]
    assert await bus.presence("a") == {}
    assert redis.execute("HKEYS", RedisKeys(0).of("a").presence) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["--appendonly", "yes", "--maxmemory-policy", "noeviction"], []),
        (["--appendonly", "no"], ["append-only"]),
        (["--appendonly", "yes", "--maxmemory-policy", "allkeys-lru"], ["allkeys-lru"]),
        (["--appendonly", "no", "--maxmemory-policy", "volatile-ttl"], ["volatile-ttl", "append-only"]),
    ],
)
async def test_F46_a_redis_that_may_lose_edits_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, settings: list[str], words: list[str]
) -> None:
    with RedisServer(tmp_path / "redis", settings=settings) as redis:
        async with RedisBus.open(redis.url, node="one"):
            pass
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == len(words)
    assert all(word in warning for word, warning in zip(words, warnings, strict=True))


async def test_a_user_limited_to_the_prefix_is_enough(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    rights = ["~cowrite:*", "&cowrite:*", "+@all", "-@dangerous", "-@admin", "+cluster|slots"]
    redis.execute("ACL", "SETUSER", "writer", "on", ">p@ss/word", *rights)
    url = f"redis://writer:p%40ss%2Fword@127.0.0.1:{redis.port}"
    async with RedisBus.open(url, node="one") as bus:
        ear = Ear()
        await bus.listen("a", ear)
        [position] = await append(bus, b"one")
        await ear.hears(b"one")
        await bus.publish_presence("a", b"x", b"everybody")
        await bus.trim("a", position)
        assert await bus.presence("a") == {}
        await bus.unlisten("a", ear)
    assert ["does not show its settings" in record.getMessage() for record in caplog.records] == [True]


async def test_a_wrong_password_is_unavailable_and_never_shown(redis: RedisServer) -> None:
    redis.execute("CONFIG", "SET", "requirepass", "right")
    url = f"redis://:wrong@127.0.0.1:{redis.port}"
    with pytest.raises(BusUnavailable, match=r"^WRONGPASS ") as caught:
        async with RedisBus.open(url, node="one"):
            pass
    assert "wrong@" not in str(caught.value)
    assert "wrong" not in repr(RedisUrl.parse(url))
    async with RedisBus.open(url.replace("wrong", "right"), node="one") as bus:
        await append(bus, b"one")
    redis.execute("AUTH", "right")


@pytest.mark.parametrize("url", ["", "http://127.0.0.1", "127.0.0.1:6379", "redis://h/x", "redis://h:x"])
async def test_a_bad_url_is_a_value_error(url: str) -> None:
    with pytest.raises(ValueError):
        async with RedisBus.open(url, node="one"):
            pass


async def test_databases_of_one_redis_hear_nothing_of_each_other(redis: RedisServer, bus: RedisBus) -> None:
    ears = [Ear(), Ear()]
    async with RedisBus.open(f"{redis.url}/3", node="one") as other:
        for listening, ear in zip((bus, other), ears, strict=True):
            await listening.listen("a", ear)
        await append(bus, b"zero")
        await append(other, b"three")
        await ears[0].hears(b"zero")
        await ears[1].hears(b"three")
        assert [ear.updates for ear in ears] == [[b"zero"], [b"three"]]
        assert await everything(other) == [b"three"]


async def test_redis_that_is_not_there_is_unavailable_at_the_start(redis: RedisServer) -> None:
    redis.stop()
    with pytest.raises(BusUnavailable):
        async with RedisBus.open(redis.url, node="one"):
            pass


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    with RedisCluster(tmp_path / "cluster") as cluster:
        yield cluster


def one_document_each(cluster: RedisCluster) -> list[str]:
    """Return a document for each master."""
    found: dict[int, str] = {}
    for index in range(1000):
        document = f"document {index}"
        found.setdefault(cluster.server_of(RedisKeys(0).of(document).stream).port, document)
    return [found[server.port] for server in cluster.servers]


async def test_cluster_a_dead_master_is_unavailable_until_it_is_back(cluster: RedisCluster) -> None:
    documents = one_document_each(cluster)
    ears = {document: Ear() for document in documents}
    async with RedisBus.open(cluster.url, node="one") as bus:
        for document, ear in ears.items():
            await bus.listen(document, ear)
        await bus.append([(document, b"one") for document in documents])
        cluster.servers[0].kill()
        with pytest.raises(BusUnavailable):
            await bus.append([(document, b"two") for document in documents])
        cluster.servers[0].restart()
        for document, ear in ears.items():
            await append_until_done(bus, b"two", document=document)
            assert without_doubles(await everything(bus, document)) == [b"one", b"two"]
            await ear.doubts_again(0)
            await append_until_done(bus, b"three", document=document)
            await ear.hears(b"three")


async def test_cluster_a_document_follows_its_slot_to_another_master(cluster: RedisCluster) -> None:
    document = one_document_each(cluster)[0]
    keys = RedisKeys(0).of(document)
    source, target = cluster.servers[:2]
    source_id, target_id = (server.execute("CLUSTER", "MYID") for server in (source, target))
    ear = Ear()
    async with RedisBus.open(cluster.url, node="one") as bus:
        await bus.listen(document, ear)
        first = await append(bus, b"one", document=document)
        target.execute("CLUSTER", "SETSLOT", keys.slot, "IMPORTING", source_id)
        source.execute("CLUSTER", "SETSLOT", keys.slot, "MIGRATING", target_id)
        second = await append(bus, b"two", document=document)
        source.execute("MIGRATE", "127.0.0.1", target.port, keys.stream, 0, 5000)
        third = await append_until_done(bus, b"three", document=document)
        for server in (target, source, cluster.servers[2]):
            server.execute("CLUSTER", "SETSLOT", keys.slot, "NODE", target_id)
        fourth = await append_until_done(bus, b"four", document=document)
        await ear.doubts_again(0)
        reading = await bus.read(document, Position(0))
        assert [entry.position for entry in reading.entries] == [*first, *second, *third, *fourth]
        assert reading.is_gapless
        await append(bus, b"five", document=document)
        await ear.hears(b"five")
