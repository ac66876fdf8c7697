"""The latest position that this node knows of each document, so that no position is given out twice."""

from server.bus import Position, fits

__all__ = ["KnownPositions"]

KNOWN_LIMIT = 100_000


class KnownPositions:
    """Remembers the documents used lately.

    When it is full, the one that was appended to or read the longest ago is forgotten: then only the stream
    itself knows its positions, until the next ``read``.
    """

    def __init__(self, limit: int = KNOWN_LIMIT) -> None:
        self._limit = limit
        self._positions: dict[str, Position] = {}

    def of(self, document: str) -> Position:
        """Return the latest position; 0 where none is known."""
        return self._positions.get(document, Position(0))

    def learn(self, document: str, position: Position) -> None:
        """Take a position that was seen or given out; see ``Bus.learn``."""
        if not fits(position):
            return
        latest = max(position, self._positions.pop(document, Position(0)))
        self._positions[document] = latest
        if len(self._positions) > self._limit:
            del self._positions[next(iter(self._positions))]
