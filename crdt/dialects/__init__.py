"""How messages look on the wire, one module for each kind of client."""

from collections.abc import Sequence
from typing import Protocol

from crdt.messages import Message, Outgoing

__all__ = ["Dialect"]


class Dialect(Protocol):
    """Turns frames into messages and messages into frames; holds no state."""

    def decode(self, frame: bytes) -> Sequence[Message]:
        """Read every message in one frame, in order; raises ``Malformed``."""

    def encode(self, message: Outgoing) -> bytes:
        """Write one message as one frame."""
