"""Who asks, and where, as far as the proxies in between can be believed (references/protocol.md, L2, L10).

What ``X-Forwarded-*`` say counts only when one of the trusted proxies hands it on. The header ``Forwarded``
is not read: a proxy that writes the others passes on what a client wrote into that one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from starlette.datastructures import Headers
from starlette.types import Scope

from server.origins import Origin

__all__ = ["BadNetwork", "Caller", "TrustedProxies", "parse_networks"]

NOBODY = "unknown"
"""The address where there is none, as on a Unix socket."""
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


class BadNetwork(ValueError):
    """No proxy can be there; the text is a sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Caller:
    """One request."""

    address: str
    """For whom refusals are counted: an IPv4 address, or the /64 of an IPv6 one, for that is one customer."""
    host: str
    """What the browser asks for, with a port where that is unusual."""
    scheme: str | None
    """With which the browser asks: http, https, or None where a proxy may have ended TLS and not said so."""

    def is_at(self, text: str) -> bool:
        """Whether ``text``, an origin as a browser sent it, is the server's own."""
        origin = Origin.read(text)
        possible = ("http", "https") if self.scheme is None else (self.scheme,)
        if origin is None or origin.scheme not in possible:
            return False
        return Origin.read(f"{origin.scheme}://{self.host}") == origin


class TrustedProxies:
    """Addresses and networks whose ``X-Forwarded-*`` are believed."""

    def __init__(self, items: Iterable[str]) -> None:
        """Raise ``BadNetwork`` for what is neither an address nor a network, or is everybody."""
        self._networks = [_read_network(item) for item in items]

    def caller_of(self, scope: Scope) -> Caller:
        """Tell who asks."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        scheme = "https" if scope["scheme"] == "wss" else None
        peer = _read_address(scope["client"][0]) if scope.get("client") else None
        if peer is None or not self._trusts(peer):
            return Caller(_place_of(peer), host, scheme)
        # From the left: what the first proxy saw. A page cannot set them, and programs need no origin at all.
        forwarded = _first(headers, "x-forwarded-proto").lower()
        return Caller(
            address=_place_of(self._client_behind(peer, headers.getlist("x-forwarded-for"))),
            host=_first(headers, "x-forwarded-host") or host,
            scheme=_SCHEMES.get(forwarded, scheme),
        )

    def _client_behind(self, peer: Address, lines: Iterable[str]) -> Address:
        """Return the address that the outermost trusted proxy saw: further to the left anybody may write."""
        for item in reversed([item for line in lines for item in line.split(",")]):
            address = _read_address(item.strip())
            if address is None:
                break
            peer = address
            if not self._trusts(peer):
                break
        return peer

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def parse_networks(text: str) -> tuple[str, ...]:
    """Read a list that commas divide, none for an empty text; raises ``BadNetwork``."""
    items = tuple(item.strip() for item in text.split(",")) if text.strip() else ()
    TrustedProxies(items)
    return items


def _read_network(item: str) -> Network:
    try:
        network = ip_network(item)
    except ValueError:
        try:
            whole = ip_network(item, strict=False)
        except ValueError:
            raise BadNetwork(f"{item!r} is no address and no network: write 10.0.0.7 or 10.0.0.0/8") from None
        raise BadNetwork(f"{item!r} is an address inside of a network: write {whole}") from None
    if network.prefixlen == 0:
        raise BadNetwork(f"{item!r} is everybody: write where your proxies are, as 10.0.0.0/8")
    return network


def _read_address(text: str) -> Address | None:
    """Read an address, with a port or without, as some proxies write it."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # What comes by IPv4 to a socket for both.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _place_of(address: Address | None) -> str:
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address), 64), strict=False))
    return NOBODY if address is None else str(address)


def _first(headers: Headers, name: str) -> str:
    return headers.get(name, "").partition(",")[0].strip()
