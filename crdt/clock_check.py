"""Compares what yrs says that it knows with the clock table that the walker keeps.

Where the two part, yrs has read an update otherwise than Yjs does, and nobody knows what is in the Doc any
more (references/protocol.md, G7). What yrs says of 5,000 clients takes 2 ms to read and 0.07 ms to compare
with what it said before, so the clients that have moved since are noted.
"""

from collections.abc import Mapping

from crdt.encoding import Decoder, encode_var_uint
from crdt.state_vector import decode_state_vector

__all__ = ["ClockCheck"]

_MOVED_LIMIT = 64
"""With more of them it is cheaper to read everything."""


class ClockCheck:
    """The state vector of yrs when it was last found right."""

    __slots__ = ("_agreed", "moved")

    def __init__(self) -> None:
        self._agreed = b""
        """Without the number of clients, with which it begins."""
        self.moved: dict[int, int] = {}
        """The clocks that the clients had then which have moved since; whoever moves one notes it."""

    def agrees(self, state: bytes, clocks: Mapping[int, int]) -> bool:
        """Whether ``state``, the state vector of yrs, says what ``clocks`` say."""
        decoder = Decoder(state)
        count = decoder.read_var_uint()
        entries = state[decoder.position :]
        if count != len(clocks):
            return False
        if self._former(entries, clocks) != self._agreed and decode_state_vector(state) != clocks:
            return False
        self._agreed = entries
        self.moved.clear()
        return True

    def _former(self, entries: bytes, clocks: Mapping[int, int]) -> bytes | None:
        """Take back what has moved: yrs keeps its order, as long as it has space for newcomers.

        None where that cannot be told.
        """
        if len(self.moved) > _MOVED_LIMIT:
            return None
        for client, clock in self.moved.items():
            encoded = encode_var_uint(client)
            entry = encoded + encode_var_uint(clocks[client])
            if entries.count(entry) != 1:
                return None
            entries = entries.replace(entry, encoded + encode_var_uint(clock) if clock else b"")
        return entries
