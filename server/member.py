"""A connection, as far as its room knows it."""

from collections.abc import Iterator
from enum import Enum, auto
from typing import Protocol

from crdt.effects import Effect
from crdt.errors import CloseCode
from crdt.session import Session
from crdt.state_vector import StateVector
from server.fan_out import Reader
from server.transport import Frame

__all__ = ["Member", "PauseReason"]


class PauseReason(Enum):
    """Why nothing is read from a member."""

    INGEST = auto()
    """A large update of its own is being taken."""
    LOG = auto()
    """Too much waits for the disk."""
    QUESTION = auto()
    """It has asked, with a large state vector, for what it lacks, and has not drained."""
    RELOAD = auto()
    """The document is being loaded anew."""
    TURN = auto()
    """It has sent a lot at once, and others have their turn."""


class Member(Reader, Protocol):
    """One peer in a room. All methods are synchronous and never raise."""

    session: Session

    def note(self, kind: str, text: str) -> None:
        """Have logged what the peer has brought about; ``kind`` is the same for what is alike."""

    def send(self, frame: Frame) -> None:
        """Send to this member alone."""

    def answer(self, state_vector: StateVector) -> None:
        """Bring the member from ``state_vector`` up to date, now or when it has drained."""

    def retry(self) -> None:
        """Try again what the session holds back."""

    def ingest(self, steps: Iterator[list[Effect]]) -> None:
        """Drive a large update in slices, reading nothing more meanwhile."""

    def pause(self, reason: PauseReason) -> None:
        """Process nothing until ``reason`` and every other one is over; idempotent."""

    def resume(self, reason: PauseReason) -> None:
        """End one reason; idempotent."""

    def close(self, code: CloseCode) -> None:
        """Close the connection; idempotent."""
