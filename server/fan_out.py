"""Who gets the frames of a room: written to all in one loop, except who is behind.

A member whose write budget is exceeded is behind: it is skipped until it has drained, and then gets
one answer with all that it missed (references/protocol.md, R6). Frames are sent between two states of
the document, so a member falls behind only at such a point: never with an edit that is neither sent
nor missed.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from crdt.state_vector import StateVector
from server.transport import Frame

__all__ = ["FanOut", "Reader"]


class Reader(Protocol):
    """A member of a room, as far as the fan-out knows it."""

    @property
    def write(self) -> Callable[[Frame], None]:
        """Writes one frame; the attribute is read once, for the loop's sake."""


class FanOut:
    """The members that get everything, and those that are behind.

    ``state_vector`` tells what all frames sent so far amount to; it is asked only between sends, when
    nothing accepted waits to be sent.
    """

    __slots__ = ("_behind", "_falling", "_state_vector", "_writes", "_writing")

    def __init__(self, state_vector: Callable[[], StateVector]) -> None:
        self._state_vector = state_vector
        self._writing: dict[Reader, Callable[[Frame], None]] = {}
        self._writes: tuple[Callable[[Frame], None], ...] | None = None
        self._falling: set[Reader] = set()
        """Over budget, and still written to until the next send is done."""
        self._behind: dict[Reader, StateVector] = {}
        """Skipped, with what they had when they fell behind."""

    def add(self, reader: Reader) -> None:
        """Send to ``reader`` from the next send on."""
        self._writing[reader] = reader.write
        self._writes = None

    def remove(self, reader: Reader) -> None:
        """Forget ``reader``; idempotent."""
        self._writing.pop(reader, None)
        self._writes = None
        self._falling.discard(reader)
        self._behind.pop(reader, None)

    def send(self, frames: Sequence[Frame]) -> None:
        """Write the same frames to everybody who is not behind, in order."""
        if self._writes is None:
            self._writes = tuple(self._writing.values())
        for frame in frames:
            for write in self._writes:
                write(frame)
        if self._falling:
            self._settle()

    def fall_behind(self, reader: Reader, *, is_sending: bool) -> None:
        """Skip ``reader``: at once, or after the coming send where something waits to be sent."""
        if reader in self._writing:
            self._falling.add(reader)
            if not is_sending:
                self._settle()

    def catch_up(self, reader: Reader) -> StateVector | None:
        """Send to ``reader`` again; return what it had when it fell behind, None if it missed nothing."""
        self._falling.discard(reader)
        had = self._behind.pop(reader, None)
        if had is not None:
            self.add(reader)
        return had

    def _settle(self) -> None:
        had = self._state_vector()
        for reader in self._falling:
            del self._writing[reader]
            self._behind[reader] = had
        self._falling.clear()
        self._writes = None
