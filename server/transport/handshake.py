"""The opening handshake of a WebSocket, from bytes to bytes (RFC 6455, 4.2).

What browsers and WebSocket libraries send is read at one go: 15 µs, where the library takes 100. It accepts
only; whatever it does not recognise, malformed requests among them, is for websockets to judge.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from websockets.http11 import Request
from websockets.protocol import State
from websockets.utils import accept_key

from server.transport.parser import Parser

__all__ = ["Header", "Opening", "Refusal", "closing_response", "read_opening"]

Header: TypeAlias = tuple[bytes, bytes]

_SHORT_BYTES = 8_190
"""The longest line that websockets reads; a longer request is its business."""

_BODY = {b"content-length", b"transfer-encoding"}
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")

_SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


@dataclass(frozen=True, slots=True)
class Opening:
    """A request that may be accepted."""

    path: bytes
    query: bytes
    """Both as they were sent."""
    headers: list[Header]
    """Their names in lower case."""
    key: bytes

    @property
    def subprotocols(self) -> list[str]:
        """What the client offers."""
        offers = [
            value.decode("latin-1") for name, value in self.headers if name == b"sec-websocket-protocol"
        ]
        return [offered.strip() for offer in offers for offered in offer.split(",")]

    def accepted(self, subprotocol: str | None, headers: Iterable[Header]) -> bytes:
        """Return the response that accepts it."""
        lines = [(b"Sec-WebSocket-Accept", accept_key(self.key.decode()).encode()), *headers]
        if subprotocol:
            lines.append((b"Sec-WebSocket-Protocol", subprotocol.encode("latin-1")))
        return _SWITCHING + b"".join(b"%b: %b\r\n" % line for line in lines) + b"\r\n"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that may not be accepted."""

    response: bytes


def closing_response(status: bytes) -> bytes:
    """Return a response with which a connection ends: its status, and nothing else."""
    return b"HTTP/1.1 %b\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" % status


def read_opening(request: bytes) -> Opening | Refusal:
    """Read a request that is whole, its last line empty."""
    return _read_usual(request) or _read_with_library(request)


def _read_usual(request: bytes) -> Opening | None:
    first, *lines = request.removesuffix(b"\r\n\r\n").split(b"\r\n")
    method, _, rest = first.partition(b" ")
    target, _, version = rest.rpartition(b" ")
    headers = [
        (name.lower(), value.strip(b" \t")) for name, _, value in (line.partition(b":") for line in lines)
    ]
    values = dict(headers)
    key = values.get(b"sec-websocket-key", b"")
    is_usual = (
        len(request) <= _SHORT_BYTES
        and request.isascii()
        and (method, version) == (b"GET", b"HTTP/1.1")
        and len(values) == len(headers)
        and values.keys().isdisjoint(_BODY)
        and values.get(b"sec-websocket-version") == b"13"
        and values.get(b"upgrade", b"").lower() == b"websocket"
        and b"upgrade" in values.get(b"connection", b"").lower().replace(b" ", b"").split(b",")
        and _KEY.fullmatch(key)
    )
    return Opening(*_split(target), headers, key) if is_usual else None


def _split(target: bytes) -> tuple[bytes, bytes]:
    path, _, query = target.partition(b"?")
    return path, query


def _read_with_library(request: bytes) -> Opening | Refusal:
    parser = Parser(0, State.CONNECTING)
    parser.receive_data(request)
    for event in parser.events_received():
        assert isinstance(event, Request)
        response = parser.accept(event)
        if response.status_code != 101:
            parser.send_response(response)
            return Refusal(parser.take_output())
        headers = [
            (name.lower().encode(), value.encode("latin-1")) for name, value in event.headers.raw_items()
        ]
        return Opening(*_split(event.path.encode()), headers, event.headers["Sec-WebSocket-Key"].encode())
    # To what is no request at all it has nothing to say, and the client would wait for ever.
    return Refusal(parser.take_output() or closing_response(b"400 Bad Request"))
