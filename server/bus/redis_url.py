"""Where Redis is and how to enter: everything that ``--redis`` says."""

from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote, urlsplit

__all__ = ["Address", "RedisUrl"]

SCHEMES = {"redis": False, "redis+cluster": False, "rediss": True, "rediss+cluster": True}
"""Each scheme, and whether it means TLS. A Cluster is recognised by its answers under any of them."""


@dataclass(frozen=True, slots=True)
class Address:
    """One server."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """``redis[s][+cluster]://[user:password@]host[:port][/database]``."""

    address: Address
    is_tls: bool
    database: int
    user: str
    password: str = field(repr=False)
    """Empty: no authentication."""

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read a URL; raises ValueError, which does not show the password."""
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES:
            raise ValueError(f"not the URL of a Redis server: its scheme is none of {', '.join(SCHEMES)}")
        database = parts.path.strip("/")
        if database and not database.isdecimal():
            raise ValueError("not the URL of a Redis server: the path is not the number of a database")
        return cls(
            Address(parts.hostname or "127.0.0.1", parts.port or 6379),
            SCHEMES[parts.scheme],
            int(database or 0),
            unquote(parts.username or "") or "default",
            unquote(parts.password or ""),
        )
