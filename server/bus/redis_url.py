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
        """Read a URL; raises ValueError, which shows no part of it: any may belong to the password."""
        try:
            parts = urlsplit(url)
            address = Address(parts.hostname or "127.0.0.1", parts.port or 6379)
        except ValueError:
            raise ValueError("not the URL of a Redis server: its host or port makes no sense") from None
        if parts.scheme not in SCHEMES:
            raise ValueError(f"not the URL of a Redis server: its scheme is none of {', '.join(SCHEMES)}")
        database = parts.path.strip("/")
        if parts.query or parts.fragment or (database and not database.isdecimal()):
            raise ValueError(
                "not the URL of a Redis server: after the host comes nothing but the number of a database"
                " (in a password write / as %2F, ? as %3F and # as %23)"
            )
        return cls(
            address,
            SCHEMES[parts.scheme],
            int(database or 0),
            unquote(parts.username or "") or "default",
            unquote(parts.password or ""),
        )
