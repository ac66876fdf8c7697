"""How large things may be, all of it derived from one number: the largest message.

Whatever the server gives out it takes back, and what it would not take back it does not let in. A document
that is too large for one message could be written edit by edit, and then no client that has it could bring
it to an empty server; so the largest document follows from the largest message.
"""

from dataclasses import dataclass

__all__ = ["MESSAGE_BYTES", "MESSAGE_MAX_BYTES", "MESSAGE_MIN_BYTES", "Limits"]

MESSAGE_BYTES = 2**26
"""The largest message, unless a setting says otherwise."""

MESSAGE_MIN_BYTES, MESSAGE_MAX_BYTES = 2**16, 2**28
"""What the setting may say. Redis takes 512 MB in one piece, a store 1 GB: both are beyond it."""

_HEAD_BYTES = 16
"""What a message adds to its body, at most: two bytes of type and a length."""

_CLIENT_BYTES = 100 * 2**20
"""The largest message that stock clients take in Node, where it is a default of *ws*; browsers take more."""

_ENTRY_BYTES = 13
"""A client in a state vector, at most: 8 bytes of client id (E1) and 5 of clock (U5)."""

_CLIENT_IDS = 2**18
"""A document of so many takes 240 MB of memory and 0.5 s to load; a joiner is sent 1.6 MB before all else."""

_CONTENT_BYTES = 2**24


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest of everything, in bytes or in numbers; made by ``of``."""

    message_bytes: int
    """A message from a client, and what is in one frame. Nothing that the server sends is larger."""
    document_bytes: int
    """A document, as one update.

    Half a message, for a client's own encoding may be larger: it holds what is not sent yet and what its
    undo manager keeps, and it may have joined fewer structs than yrs. An update that is too large for a
    document is refused in words; one that is no message any more would end the connection."""
    content_bytes: int
    """The content of one struct, as a text or an image that is pasted."""
    client_ids: int
    """The clients that have ever written a document."""
    state_vector_bytes: int
    """The state vector of a document of so many, at most. One that a client sends is only bounded by
    ``message_bytes``, for it may know clients that the server has never heard of."""

    @classmethod
    def of(cls, message_bytes: int = MESSAGE_BYTES) -> "Limits":
        """Derive all limits from the largest message.

        A full step 2 of the largest document is a message, and one that clients take; so is a step 1 of a
        document of the most clients.
        """
        document_bytes = min(message_bytes // 2, _CLIENT_BYTES - _HEAD_BYTES)
        client_ids = min(_CLIENT_IDS, (message_bytes - 2 * _HEAD_BYTES) // _ENTRY_BYTES)
        return cls(
            message_bytes=message_bytes,
            document_bytes=document_bytes,
            content_bytes=min(_CONTENT_BYTES, document_bytes),
            client_ids=client_ids,
            state_vector_bytes=_HEAD_BYTES + client_ids * _ENTRY_BYTES,
        )
