"""Settings that make no sense, alone or together, each in a sentence that says what to do.

Of the machine it asks only whether the data folder is one.
"""

from collections.abc import Iterator
from os.path import exists, isdir
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from server.bus.redis_url import RedisUrl
from server.callers import TrustedProxies
from server.origins import AllowedOrigins

if TYPE_CHECKING:
    from server.settings import Settings

__all__ = ["doubts", "objections"]


def objections(settings: "Settings") -> Iterator[str]:
    """Say why a server cannot run with these settings."""
    yield from _about_places(settings)
    yield from _about_nodes(settings)
    if settings.receive_budget_bytes < settings.max_message_bytes:
        yield (
            "--receive-budget-bytes: at least --max-message-bytes, which is "
            f"{settings.max_message_bytes}, for a message has to fit in; or 0"
        )
    try:
        AllowedOrigins(settings.allow_origin)
    except ValueError as error:
        yield f"--allow-origin: {error}"
    try:
        TrustedProxies(settings.trusted_proxies)
    except ValueError as error:
        yield f"--trusted-proxies: {error}"


def doubts(settings: "Settings") -> Iterator[str]:
    """Say what works, and is hardly meant."""
    if not settings.worker and settings.redis is None:
        yield "--worker no: nobody folds logs here, so documents take ever longer to load"


def _about_places(settings: "Settings") -> Iterator[str]:
    if not _is_host(settings.host):
        yield (
            "--host: must be an address or a name of this machine, without scheme, port and brackets, "
            "as 127.0.0.1 or ::1; 0.0.0.0 is every address"
        )
    if settings.store not in ("sqlite", "memory", "redis") and not settings.is_on_postgres:
        yield "--store: must be sqlite, memory, redis or postgresql://..."
    if settings.is_on_postgres and not _is_readable(settings.store):
        # Without the URL, for it may hold a password.
        yield "--store: no such URL; write postgresql://user@host:port/database, the port a number"
    if settings.store == "sqlite":
        # Unlike those of Path they take what may not be looked at for missing: opening it says more.
        there = (path for path in (settings.data, *settings.data.parents) if exists(path))
        path = next(there, None)
        if path is not None and not isdir(path):
            yield f"--data: {path} is no folder; name one, or one that can be made"
    elif settings.synchronous != "FULL":
        yield "--synchronous: is for --store sqlite; other stores are as durable as they are set up to be"
    if settings.redis is not None:
        try:
            RedisUrl.parse(settings.redis)
        except ValueError as error:
            yield f"--redis: {error}"


def _about_nodes(settings: "Settings") -> Iterator[str]:
    if settings.redis is None and settings.workers > 1:
        yield (
            "--workers: several processes need --redis, for an edit that reaches one process must reach "
            "the clients of the others"
        )
    if settings.redis is None and (settings.store == "redis" or settings.acknowledge == "streamed"):
        yield "--store redis and --acknowledge streamed need --redis"
    if settings.redis is not None and settings.store in ("sqlite", "memory"):
        yield f"--store {settings.store}: belongs to one node; with --redis use postgresql:// or redis"


def _is_host(host: str) -> bool:
    is_address = host.count(":") > 1
    return bool(host) and not set(host) & set("/[]@, \t") and (is_address or ":" not in host)


def _is_readable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        # With several hosts it has several ports.
        return "," in parts.netloc or parts.port != 0
    except ValueError:
        return False
