"""What can be wrong with a peer, and the one table of close codes.

    CowriteError
    └── ProtocolError        the peer's fault; knows its close code and a fixed phrase
        ├── Malformed        4400: bytes that are not the protocol, or hostile
        └── TooLarge         4413: within the grammar, above a limit
            └── NotTaken     the document has no place for an edit; its author stays

The fixed phrase goes to the peer; the exception's text goes to the log only.
"""

from enum import IntEnum

__all__ = ["CloseCode", "CowriteError", "Malformed", "NotTaken", "ProtocolError", "TooLarge"]


class CloseCode(IntEnum):
    """Every WebSocket close code that the server sends (references/protocol.md, C1).

    4400–4499 are final for clients that know the convention (y-websocket >= 3.1.0); the others ask
    the client to try again.
    """

    FAILURE = 1011
    RESTART = 1012
    OVERLOADED = 1013
    MALFORMED = 4400
    UNAUTHENTICATED = 4401
    FORBIDDEN = 4403
    DELETED = 4404
    TEXT_FRAME = 4406
    OTHER_LINEAGE = 4409
    TOO_LARGE = 4413
    UNREADABLE = 4500

    @property
    def phrase(self) -> str:
        """The fixed reason that goes with the code; never anything else leaves the process."""
        return _PHRASES[self]


_PHRASES = {
    CloseCode.FAILURE: "internal error",
    CloseCode.RESTART: "server restarts",
    CloseCode.OVERLOADED: "overloaded or too slow",
    CloseCode.MALFORMED: "malformed message",
    CloseCode.UNAUTHENTICATED: "not authenticated",
    CloseCode.FORBIDDEN: "not allowed",
    CloseCode.DELETED: "document deleted",
    CloseCode.TEXT_FRAME: "text frames are not spoken here",
    CloseCode.OTHER_LINEAGE: "document has another history",
    CloseCode.TOO_LARGE: "message too large",
    CloseCode.UNREADABLE: "document cannot be loaded now",
}


class CowriteError(Exception):
    """Base of every error that this project raises on purpose."""


class ProtocolError(CowriteError):
    """The peer broke a rule; its connection is closed with ``code``."""

    code = CloseCode.MALFORMED


class Malformed(ProtocolError):
    """Bytes that no well-behaved client sends."""


class TooLarge(ProtocolError):
    """A message, a count or a nesting above its limit."""

    code = CloseCode.TOO_LARGE


class NotTaken(TooLarge):
    """An edit for which the document has no place; nothing of it is taken, and its author may stay (S10)."""
