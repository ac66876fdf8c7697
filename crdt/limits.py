"""How large things may be, so that whatever the server gives out it takes back.

A client that has a whole document may send it back in one message, and its state vector in another: both are
bounded by what a message may be, and what would make them larger is not taken (references/protocol.md, L8).
"""

from dataclasses import dataclass

__all__ = ["Limits"]

_CLIENT_BYTES = 13
"""What a client takes in a state vector: 8 for its id, 5 for its clock."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one document may hold; sizes in bytes."""

    message_bytes: int = 2**26
    """The largest message that a client may send."""

    @property
    def content_bytes(self) -> int:
        """The largest content of one struct: what is beside it is taken, also where it is not."""
        return self.message_bytes // 4

    @property
    def document_bytes(self) -> int:
        """The largest document; keystrokes on their way may make it a little larger."""
        return self.message_bytes // 8 * 7

    @property
    def clients(self) -> int:
        """The most client ids that have written."""
        return self.message_bytes // 2 // _CLIENT_BYTES
