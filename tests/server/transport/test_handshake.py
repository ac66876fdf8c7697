"""Reading the opening handshake at one go gives what the library gives, which judges all that is unusual."""

import re

import pytest
from websockets.http11 import Request
from websockets.protocol import State

from server.transport.handshake import Opening, Refusal, read_opening
from server.transport.parser import Parser

# RFC 6455, 1.3.
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

# To what is no request at all the library has nothing to say.
BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

LINES = {
    "Host": "127.0.0.1",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}


def request(target: str = "/ws/d?token=1", method: str = "GET", **changes: str | None) -> bytes:
    """Write a request with some headers changed, or left out where they are None."""
    named = {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{name}: {value}" for name, value in {**LINES, **named}.items() if value is not None]
    return "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "\r\n"]).encode("latin-1")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"Connection": "keep-alive, Upgrade"},
        {"Upgrade": "WebSocket"},
        {"Sec_WebSocket_Protocol": "a, b"},
        {"Sec_WebSocket_Extensions": "permessage-deflate; client_max_window_bits"},
        {"Origin": "http://127.0.0.1:8000", "Cookie": "a=b; c=d"},
        {"X": "caf\xe9"},
        {"X_Long": "x" * 8_000},
    ],
)
def test_a_valid_request_is_accepted_with_the_key_of_the_specification(changes: dict[str, str]) -> None:
    opening = read_opening(request(**changes))
    assert isinstance(opening, Opening)
    assert (opening.path, opening.query) == (b"/ws/d", b"token=1")
    names = {name.replace("_", "-"): value for name, value in changes.items()}
    assert dict(opening.headers) == {
        name.lower().encode(): value.encode("latin-1") for name, value in {**LINES, **names}.items()
    }
    answer = opening.accepted("a", [(b"server", b"x")])
    assert answer == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\nserver: x\r\nSec-WebSocket-Protocol: a\r\n\r\n"
    )


def test_what_the_client_offers_is_listed() -> None:
    opening = read_opening(request(Sec_WebSocket_Protocol="yauth-1, b"))
    assert isinstance(opening, Opening)
    assert opening.subprotocols == ["yauth-1", "b"]


@pytest.mark.parametrize(
    "bad",
    [
        request(method="POST"),
        request(Upgrade=None),
        request(Upgrade="h2c"),
        request(Connection=None),
        request(Connection="close"),
        request(Sec_WebSocket_Version="8"),
        request(Sec_WebSocket_Version=None),
        request(Sec_WebSocket_Key=None),
        request(Sec_WebSocket_Key="c2hvcnQ="),
        request(Sec_WebSocket_Key="!" * 24),
        request(Content_Length="5"),
        request(Transfer_Encoding="chunked"),
        request(target="/" + "x" * 9_000),
        request(X="x" * 9_000),
        request().replace(
            b"Sec-WebSocket-Key", b"Sec-WebSocket-Key: " + KEY.encode() + b"\r\nSec-WebSocket-Key"
        ),
        b"GET / HTTP/1.0\r\n\r\n",
        b"\r\n\r\n",
    ],
)
def test_what_the_library_refuses_is_refused_in_its_words(bad: bytes) -> None:
    refusal = read_opening(bad)
    assert isinstance(refusal, Refusal)
    assert refusal.response.startswith((b"HTTP/1.1 4", b"HTTP/1.1 505"))
    assert undated(refusal.response) == undated(answer_of_library(bad) or BAD_REQUEST)


def undated(response: bytes) -> bytes:
    return re.sub(rb"Date: [^\r]*", b"", response)


def answer_of_library(bad: bytes) -> bytes:
    parser = Parser(0, State.CONNECTING)
    parser.receive_data(bad)
    for event in parser.events_received():
        assert isinstance(event, Request)
        parser.send_response(parser.accept(event))
    return parser.take_output()
