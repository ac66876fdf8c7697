"""How large things may be, so that whatever the server gives out it takes back.

All of it follows from the largest message. A document that is too large for one could be written edit by
edit, and then no client that has it could bring it to an empty server; and whoever has a document comes back
with the state vector that the server gave out. So what would make a document larger than that is not taken
(references/protocol.md, L7, L8).
"""

from dataclasses import dataclass
from typing import Self

__all__ = ["MESSAGE_BYTES", "MESSAGE_MAX_BYTES", "MESSAGE_MIN_BYTES", "Limits"]

MESSAGE_BYTES = 2**26
"""The largest message, unless a setting says otherwise."""

MESSAGE_MIN_BYTES, MESSAGE_MAX_BYTES = 2**16, 2**28
"""What the setting may say. Redis takes 512 MB in one piece, a store 1 GB: both are beyond it."""

_HEAD_BYTES = 1_024
"""More than what goes with an update or a state vector in its message."""

_NODE_BYTES = 100 * 2**20
"""The largest message that stock clients take in Node, a default of *ws*; browsers take more."""

_CLIENTS = 2**18
"""A document of so many takes 240 MB of memory and 0.5 s to load; a joiner is sent 1.6 MB before all else."""

_CLIENT_BYTES = 13
"""What a client takes in a state vector at most: 8 for its id (E1), 5 for its clock (U5)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one document may hold; sizes in bytes."""

    content_bytes: int
    """The largest content of one struct: what is beside it is taken, also where it is not."""
    document_bytes: int
    """The largest document, as one update."""
    clients: int
    """The most client ids that have written."""

    @classmethod
    def of(cls, message_bytes: int = MESSAGE_BYTES) -> Self:
        """Return what goes with a largest message of so many bytes.

        A document has half of one. A client's own encoding of it may be larger: it holds what is not sent yet
        and what its undo manager keeps, it may have joined fewer structs than yrs, and deletions that split
        structs are always taken. An update that is too large for a document is refused in words; one that is
        no message any more would end the connection.
        """
        document_bytes = min(message_bytes // 2, _NODE_BYTES) - _HEAD_BYTES
        return cls(
            content_bytes=document_bytes,
            document_bytes=document_bytes,
            clients=min(_CLIENTS, (message_bytes - _HEAD_BYTES) // _CLIENT_BYTES),
        )
