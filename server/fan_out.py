"""Who gets the frames of a room: written to all in one loop, except who is behind.

A member whose write budget is exceeded is behind: it is skipped until it has drained, and then gets
one answer with all that it missed (references/protocol.md, R6). Frames are sent between two states of
the document, so a member falls behind only at such a point: never with an edit that is neither sent
nor missed.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from crdt.state_vector import StateVector
from server.transport import Frame, Transport

__all__ = ["FanOut", "Reader"]


class Reader(Protocol):
    """A member of a room, as far as the fan-out knows it."""

    @property
    def transport(self) -> Transport:
        """Where its frames are written; always the same."""


class FanOut:
    """The members that get everything, and those that are behind.

    ``state_vector`` tells what all frames sent so far amount to; it is asked only between sends, when
    nothing accepted waits to be sent.
    """

    __slots__ = ("_behind", "_falling", "_state_vector", "_transports", "_writing")

    def __init__(self, state_vector: Callable[[], StateVector]) -> None:
        self._state_vector = state_vector
        self._writing: dict[Reader, Transport] = {}
        self._transports: tuple[Transport, ...] | None = None
        self._falling: dict[Reader, None] = {}
        """Over budget, and still written to until the next send is done."""
        self._behind: dict[Reader, StateVector] = {}
        """Skipped, with what they had when they fell behind."""

    def add(self, reader: Reader) -> None:
        """Send to ``reader`` from the next send on."""
        self._writing[reader] = reader.transport
        self._transports = None

    def remove(self, reader: Reader) -> None:
        """Forget ``reader``; idempotent."""
        self._writing.pop(reader, None)
        self._transports = None
        self._falling.pop(reader, None)
        self._behind.pop(reader, None)

    def send(self, frames: Sequence[Frame]) -> None:
        """Write the same frames to everybody who is not behind, in order."""
        if self._transports is None:
            self._transports = tuple(self._writing.values())
        # One write for all: each takes the kernel 8 to 10 µs, whatever it carries.
        frame = frames[0] if len(frames) == 1 else Frame(b"".join(frames))
        for transport in self._transports if frame else ():
            transport.write(frame)
        if self._falling:
            self._settle()

    def fall_behind(self, reader: Reader, *, is_sending: bool) -> None:
        """Skip ``reader``: at once, or after the coming send where something waits to be sent."""
        if reader in self._writing:
            self._falling[reader] = None
            if not is_sending:
                self._settle()

    def catch_up(self, reader: Reader) -> StateVector | None:
        """Send to ``reader`` again; return what it had when it fell behind, None if it missed nothing."""
        self._falling.pop(reader, None)
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
        self._transports = None
