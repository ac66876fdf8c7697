"""What an awareness message changed in the table of those who are here."""

from dataclasses import dataclass, field

from crdt.errors import ProtocolError

__all__ = ["Heard"]


@dataclass(slots=True)
class Heard:
    """What one message changed, or what several nodes keep."""

    changed: list[int] = field(default_factory=list)
    """Ids that everybody has to hear of."""
    corrected: list[int] = field(default_factory=list)
    """Ids of the sender's own of which the room saw null at that clock: only the sender must hear it."""
    moved: list[int] = field(default_factory=list)
    """Ids that now belong to the sender, at the clock that was known: for other nodes (A11)."""
    refused: dict[int, ProtocolError] = field(default_factory=dict)
    """What is wrong with what a node keeps, of which nothing was taken, by the peer that stands for it."""
