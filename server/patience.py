"""For how long who is refused is held: the longer the oftener its address was. Time is an argument.

y-websocket before 3.1 takes an accepted socket for a success, and comes back 100 ms after it was closed,
whatever the code says. So what slows it down is that the close frame waits (references/protocol.md, L9).
"""

from dataclasses import dataclass

__all__ = ["Holding", "Patience"]


@dataclass(frozen=True, slots=True)
class Holding:
    """Times and bounds of holding."""

    first_s: float = 1.0
    """For the first refusal of an address; each one more takes twice as long."""
    longest_s: float = 25.0
    """Less than the 30 s without a message after which stock clients give up, and come back at once."""
    longest_retry_s: float = 5.0
    """For refusals that may be over at the next attempt."""
    forget_s: float = 120.0
    """An address that was not refused for so long begins anew."""
    addresses: int = 4_096
    """Remembered; beyond them the one whose last refusal is the oldest is forgotten."""
    places: int = 2_000
    """Connections held at once; whoever comes then is closed at once, and told all the same."""
    places_of_address: int = 500
    """Of those for one address: a school, or a proxy that is not trusted, has many people behind it."""


class Patience:
    """The refusals of each address, as far as they count."""

    def __init__(self, holding: Holding) -> None:
        self._holding = holding
        self._refusals: dict[str, tuple[int, float]] = {}
        """How many, and when the last one was; the oldest first."""

    def hold_s(self, address: str, longest_s: float, now: float) -> float:
        """Count a refusal, and return for how long it is to be held."""
        self._forget(now)
        count, _ = self._refusals.pop(address, (0, 0.0))
        if len(self._refusals) >= self._holding.addresses:
            del self._refusals[next(iter(self._refusals))]
        self._refusals[address] = count + 1, now
        return min(self._holding.first_s * 2.0 ** min(count, 60), longest_s)

    def __len__(self) -> int:
        return len(self._refusals)

    def _forget(self, now: float) -> None:
        while self._refusals:
            address, (_, at) = next(iter(self._refusals.items()))
            if now - at < self._holding.forget_s:
                return
            del self._refusals[address]
