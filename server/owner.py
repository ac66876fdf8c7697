"""Who keeps the rooms and the connections of a node, as far as they know it."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from server.connection import Connection
    from server.room import Room

__all__ = ["Host", "Owner"]


class Owner(Protocol):
    """Who keeps the rooms of this node."""

    def broken(self, room: "Room") -> None:
        """Learn that yrs failed and the document has to be loaded anew."""

    def incomplete(self, room: "Room") -> None:
        """Learn that something that was read had to be dropped, and could enter the document by now."""

    def failed(self, room: "Room") -> None:
        """Learn that the room cannot go on: something accepted will neither be logged nor fanned out."""

    def presence_changed(self, room: "Room") -> None:
        """Learn that ``room.presence`` has something for the other nodes."""


class Host(Protocol):
    """Who keeps the connections of this node."""

    def forget(self, connection: "Connection") -> None:
        """Learn that a connection has left its room."""

    def refused(self, connection: "Connection", code: int, reason: str) -> None:
        """Learn that a connection is closed for what its peer did or did not do, with why, for the log."""

    def noted(self, connection: "Connection", kind: str, text: str) -> None:
        """Learn what else a peer has brought about, for the log; ``kind`` is the same for what is alike."""
