"""How large things may be, so that whatever the server gives out it takes back.

A client that has a whole document may send it back in one message, and its state vector in another: both are
bounded by what a message may be, and what would make them larger is not taken (references/protocol.md, L8).
"""

from dataclasses import dataclass
from typing import Self

__all__ = ["Limits"]

_CONTENT_BYTES = 2**24
_HEAD_BYTES = 1_024
"""More than what goes with an update in its message."""

_CLIENT_BYTES = 13
"""What a client takes in a state vector: 8 for its id, 5 for its clock."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one document may hold; sizes in bytes."""

    content_bytes: int
    """The largest content of one struct: what is beside it is taken, also where it is not."""
    document_bytes: int
    """The largest document."""
    clients: int
    """The most client ids that have written."""

    @classmethod
    def of(cls, message_bytes: int = 2**26) -> Self:
        """Return what goes with a largest message of so many bytes."""
        return cls(
            content_bytes=max(message_bytes // 4, min(message_bytes, _CONTENT_BYTES)),
            document_bytes=message_bytes - _HEAD_BYTES,
            clients=message_bytes // 2 // _CLIENT_BYTES,
        )
