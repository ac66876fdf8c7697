"""Where Redis is: what a URL says, and what an error never says of it."""

import traceback

import pytest

from server.bus.redis_url import Address, RedisUrl

NOT_UNDERSTOOD = [
    "redis://:secret/1@host",
    "redis://:secret@host:port",
    "redis://user:secret:@host:99999999",
    "redis://secret:6379#1@host",
    "redis://secret:6379?1@host",
    "redis://user:[secret]@host",
    "redis://[secret]",
    "redis://user:secret\u2100@host",
    "rediss://user:secret@host/secret",
    "http://user:secret@host",
]


@pytest.mark.parametrize("url", NOT_UNDERSTOOD)
def test_a_url_that_is_not_understood_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError, match="not the URL of a Redis server") as caught:
        RedisUrl.parse(url)
    assert "secret" not in "".join(traceback.format_exception(caught.value))


def test_a_password_is_decoded_and_not_shown() -> None:
    url = RedisUrl.parse("rediss+cluster://writer:p%40ss%2Fword@host:7000/3")
    assert url == RedisUrl(Address("host", 7000), True, 3, "writer", "p@ss/word")
    assert "word" not in repr(url)


@pytest.mark.parametrize("url", ["redis://", "redis://127.0.0.1", "redis://127.0.0.1:6379/0"])
def test_what_a_url_does_not_say_is_as_usual(url: str) -> None:
    assert RedisUrl.parse(url) == RedisUrl(Address("127.0.0.1", 6379), False, 0, "default", "")
