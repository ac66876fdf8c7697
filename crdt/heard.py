"""What an awareness message changed in the table of those who are here, and what of it did not count."""

from dataclasses import dataclass, field

__all__ = ["Flaw", "Heard"]


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why something of what a peer said does not count: a fixed phrase, and how large it was."""

    reason: str
    size_bytes: int

    def __str__(self) -> str:
        return f"{self.reason}, {self.size_bytes} bytes"


@dataclass(slots=True)
class Heard:
    """What one message changed, or what several nodes keep."""

    changed: list[int] = field(default_factory=list)
    """Ids that everybody has to hear of."""
    corrected: list[int] = field(default_factory=list)
    """Ids of the sender's own of which the room saw null at that clock: only the sender must hear it."""
    moved: list[int] = field(default_factory=list)
    """Ids that now belong to the sender, at the clock that was known: for other nodes (A11)."""
    is_recalled: bool = False
    """Whether the sender has to announce itself anew, at a clock that nobody remembers (A7)."""
    flaws: dict[int, Flaw] = field(default_factory=dict)
    """The first thing that did not count of what a peer said, by peer: once for each (A4)."""
