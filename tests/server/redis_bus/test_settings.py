"""How Redis is set up, and how it is entered."""

import logging
from pathlib import Path

import pytest

from server.bus import BusUnavailable
from server.bus.redis import RedisBus
from server.bus.redis_url import RedisUrl
from tests.server.redis_bus.support import append
from tests.support.bus_ear import Ear
from tests.support.redis_server import RedisServer


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
