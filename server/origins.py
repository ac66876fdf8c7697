"""Origins of pages, as browsers send them, and those that an operator lets in (references/protocol.md, L2).

An origin is a scheme, a host and a port: two texts that differ in case, or in the port that the scheme has
anyway, are one origin. ``null``, which files and sandboxed frames share, is none.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address

__all__ = ["AllowedOrigins", "BadOrigin", "Origin", "parse_origins"]

ANY = "*"
_PORTS = {"http": 80, "https": 443}
_FORM = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?")
_WILD = "*."


class BadOrigin(ValueError):
    """No page has such an origin; the text is a sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a page comes from; equal to every other spelling of it."""

    scheme: str
    host: str
    port: int | None
    """None for a scheme that has no port of its own, where none is named."""

    @classmethod
    def read(cls, text: str) -> "Origin | None":
        """Read what a browser sends; None for what is no origin, as ``null``."""
        found = _FORM.fullmatch(text.lower()) if text.isascii() else None
        if found is None:
            return None
        scheme, host, port = found.groups()
        number = int(port) if port else _PORTS.get(scheme)
        try:
            named = f"[{IPv6Address(host[1:-1])}]" if host[0] == "[" else host
        except ValueError:
            return None
        return cls(scheme, named, number) if number is None or number < 65_536 else None

    def __str__(self) -> str:
        is_usual = self.port == _PORTS.get(self.scheme)
        return f"{self.scheme}://{self.host}" + ("" if is_usual else f":{self.port}")


class AllowedOrigins:
    """What ``--allow-origin`` names: origins, ``https://*.example.org`` for all below a name, or all."""

    def __init__(self, items: Iterable[str]) -> None:
        """Raise ``BadOrigin`` for an item that no page's origin can ever match."""
        self._lets_all_in = False
        self._exact: set[Origin] = set()
        self._below: list[Origin] = []
        """With the name below which all are let in, as their host."""
        for item in items:
            if item == ANY:
                self._lets_all_in = True
            elif _WILD in item:
                self._below.append(_read_item(item.replace(f"//{_WILD}", "//", 1), item))
            else:
                self._exact.add(_read_item(item, item))

    def lets_in(self, text: str) -> bool:
        """Whether pages of the origin ``text``, as a browser sent it, are named; ``null`` only by ``*``."""
        if self._lets_all_in:
            return True
        origin = Origin.read(text)
        return origin is not None and (
            origin in self._exact or any(_is_below(origin, at) for at in self._below)
        )


def parse_origins(text: str) -> tuple[str, ...]:
    """Read a list that commas divide, none for an empty text; raises ``BadOrigin``."""
    if not text.strip():
        return ()
    items = tuple(item.strip() for item in text.split(","))
    if ANY in items and len(items) > 1:
        raise BadOrigin("* lets everybody in: write it alone, or leave it out")
    AllowedOrigins(items)
    return tuple(item.lower().removesuffix("/") for item in items)


def _is_below(origin: Origin, named: Origin) -> bool:
    is_same_place = (origin.scheme, origin.port) == (named.scheme, named.port)
    return is_same_place and origin.host.endswith(f".{named.host}")


def _read_item(text: str, item: str) -> Origin:
    origin = Origin.read(text.removesuffix("/"))
    is_wild = text != item
    if origin is None or origin.scheme in ("ws", "wss", "file") or (is_wild and _is_address(origin.host)):
        raise BadOrigin(_advice(item))
    return origin


def _is_address(host: str) -> bool:
    return host[0] == "[" or host.rpartition(".")[2].isdigit()


def _advice(item: str) -> str:
    """Say what to write instead of ``item``."""
    scheme, divider, rest = item.partition("://")
    host = re.split(r"[/?#]", rest)[0]
    if not item:
        return "an item is empty: write origins with one comma between two"
    if item.lower() == "null" or scheme.lower() == "file":
        return "pages from files and sandboxed frames have no origin of their own: only * lets them in"
    if not divider:
        return f"{item!r} has no scheme: write http://{item} or https://{item}"
    if not item.isascii():
        return f"{item!r} is not as browsers send it: write the host in ASCII (xn--...)"
    if scheme.lower() in ("ws", "wss"):
        return (
            f"{item!r} is where a WebSocket goes: write where the page comes from, http{scheme[2:]}://{host}"
        )
    if "*" in item:
        return f"{item!r}: a * stands alone or for what is before a name: https://*.example.org"
    if Origin.read(f"{scheme}://{host}") is not None:
        return f"{item!r} is more than an origin: write {scheme}://{host}"
    return (
        f"{item!r} is no origin: write scheme, host and, where it is unusual, port: https://page.example:8443"
    )
