"""What goes over a socket to one document, in either dialect."""

from dataclasses import dataclass

from crdt.encoding import encode_var_bytes, encode_var_string
from tests.bench.systems.contract import Dialect

__all__ = [
    "AWARENESS",
    "EMPTY_STATE_VECTOR",
    "EMPTY_UPDATE",
    "STEP_1",
    "STEP_2",
    "SYNC_KINDS",
    "TEXT_NAME",
    "UPDATE",
    "Wire",
    "awareness_message",
    "step_1",
    "step_2",
    "update_message",
    "wire_to",
]

SYNC, AWARENESS, AUTH, SYNC_REPLY = 0, 1, 2, 4
SYNC_KINDS = (SYNC, SYNC_REPLY)
"""Messages that hold a sync step; Hocuspocus has the second for its answers."""
STEP_1, STEP_2, UPDATE = 0, 1, 2
TOKEN = 0

EMPTY_STATE_VECTOR = b"\x00"
EMPTY_UPDATE = b"\x00\x00"

TEXT_NAME = "text"
"""The shared text that everybody types into."""

PROVIDER_VERSION = "4.7.0"
"""What a Hocuspocus client of the measured release calls itself."""


def step_1(state_vector: bytes) -> bytes:
    """Ask for what ``state_vector`` lacks."""
    return bytes((SYNC, STEP_1)) + encode_var_bytes(state_vector)


def step_2(update: bytes) -> bytes:
    """Answer a sync step 1."""
    return bytes((SYNC, STEP_2)) + encode_var_bytes(update)


def update_message(update: bytes) -> bytes:
    """Send an edit."""
    return bytes((SYNC, UPDATE)) + encode_var_bytes(update)


def awareness_message(entries: bytes) -> bytes:
    """Send an awareness update."""
    return bytes((AWARENESS,)) + encode_var_bytes(entries)


@dataclass(frozen=True, slots=True)
class Wire:
    """How messages about one document are framed."""

    prefix: bytes
    """What stands before each message: the document's name, for Hocuspocus."""
    opening: bytes
    """The frame that is sent before all others; empty: there is none."""

    def frame(self, message: bytes) -> bytes:
        """Return the content of the WebSocket frame that carries ``message``."""
        return self.prefix + message


def wire_to(dialect: Dialect, document: str) -> Wire:
    """Return how ``document`` is spoken about in ``dialect``."""
    if dialect is Dialect.Y_WEBSOCKET:
        return Wire(b"", b"")
    name = encode_var_string(document)
    token = bytes((AUTH, TOKEN)) + encode_var_string("") + encode_var_string(PROVIDER_VERSION)
    return Wire(name, name + token)
