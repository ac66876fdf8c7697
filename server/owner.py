"""Who keeps the rooms of a node, as far as a room knows it."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from server.room import Room

__all__ = ["Owner"]


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
