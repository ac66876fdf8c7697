"""Compares what yrs says that it knows with the clock table that the walker keeps.

Where the two part, yrs has read an update otherwise than Yjs does, and nobody knows what is in the Doc any
more (references/protocol.md, G7). What yrs says of 5,000 clients takes 2 ms to read and 0.07 ms to compare
with what it said before, so the clients that have moved since are noted.
"""

from collections.abc import Mapping

from crdt.encoding import encode_var_uint
from crdt.state_vector import decode_state_vector

__all__ = ["ClockCheck"]

_MOVED_LIMIT = 64
"""With more of them it is cheaper to read everything."""


class ClockCheck:
    """The state vector of yrs when it was last found right."""

    __slots__ = ("_agreed", "_moved")

    def __init__(self) -> None:
        self._agreed = b"\x00"
        self._moved: dict[int, int] = {}
        """The clocks that the clients had then, which have moved since."""

    def move(self, client: int, clock: int) -> None:
        """Note that ``client``, which was at ``clock``, is about to move."""
        self._moved.setdefault(client, clock)

    def agrees(self, state: bytes, clocks: Mapping[int, int]) -> bool:
        """Whether ``state``, the state vector of yrs, says what ``clocks`` say."""
        if state != self._expected(clocks) and decode_state_vector(state) != clocks:
            return False
        self._agreed = state
        self._moved.clear()
        return True

    def _expected(self, clocks: Mapping[int, int]) -> bytes | None:
        """The former state with the clocks that have moved; None where that cannot be told."""
        if len(self._moved) > _MOVED_LIMIT:
            return None
        expected = self._agreed
        for client, clock in self._moved.items():
            encoded = encode_var_uint(client)
            was = encoded + encode_var_uint(clock)
            if expected.count(was) != 1:
                return None
            expected = expected.replace(was, encoded + encode_var_uint(clocks[client]))
        return expected
