"""Memory for large messages that are under way: one budget for all connections of a node.

Counted is what has come of a message of more than ``COUNTED_BYTES``, from then until whoever takes it reads
on. While all that is still to come has room, everybody is read. When it has not, those that are nearest to
their end are read, as many as there is room for to the last byte, and never none, unless a message is being
taken, which ends by itself. The others are held: their sockets are not read, and TCP slows their senders
down. So a message that is announced, and does not come, costs nobody anything. Where somebody is held for
``PATIENCE_S`` all the same, the messages that hold the most bytes for the longest are given up until there is
room.
"""

import asyncio
from dataclasses import dataclass
from operator import attrgetter
from typing import Protocol

__all__ = ["COUNTED_BYTES", "PATIENCE_S", "ReceiveBudget", "Receiver"]

COUNTED_BYTES = 65_536
"""Smaller messages are never counted, and never held."""

PATIENCE_S = 10.0
"""How long somebody is held before others are given up."""

_LOOK_AGAIN_S = 1.0


class Receiver(Protocol):
    """A connection that receives a large message. Nothing here may call the budget, but for ``give_up``."""

    def hold(self) -> None:
        """Read nothing more for now."""

    def read_on(self) -> None:
        """Read again."""

    def give_up(self) -> None:
        """End the connection: there is no room."""


@dataclass(slots=True, eq=False)
class _Arrival:
    receiver: Receiver
    began_at: float
    received_bytes: int = 0
    missing_bytes: int = 0
    """0 when it is whole, and being taken."""
    most_bytes: int = 0
    """What may be missing at most."""


_missing = attrgetter("missing_bytes")
_most = attrgetter("most_bytes")


class ReceiveBudget:
    """How much of large messages may be in memory, complete or not.

    It is exceeded by the rest of one message at most, and by what came of others before they could be held:
    one read of their sockets. Where that adds up to the budget once more, messages are given up at once.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._arrivals: dict[Receiver, _Arrival] = {}
        self._held: dict[_Arrival, float] = {}
        """Since when; the longest first."""
        self._missing_bytes = 0
        self._watch: asyncio.TimerHandle | None = None
        self.received_bytes = 0
        """What is counted now."""

    def count(
        self, receiver: Receiver, received_bytes: int, missing_bytes: int, most_bytes: int | None = None
    ) -> None:
        """Learn how much of a message has come, and how much is missing: 0 when it is whole.

        Where that cannot be known it is what is expected, which may grow later, and ``most_bytes`` the most
        that it can be.
        """
        arrival = self._arrivals.get(receiver)
        if arrival is None:
            arrival = self._arrivals[receiver] = _Arrival(receiver, self._now())
        had_bytes = arrival.received_bytes + arrival.missing_bytes
        self._resize(arrival, received_bytes, missing_bytes)
        arrival.most_bytes = missing_bytes if most_bytes is None else most_bytes
        if not missing_bytes:
            self._let(arrival, be_read=True)
        # Else room was found for all of it before.
        if received_bytes + missing_bytes != had_bytes or not missing_bytes:
            self._share()

    def forget(self, receiver: Receiver) -> None:
        """Learn that a message is taken or will never be, whose receiver reads on by itself; idempotent."""
        arrival = self._arrivals.get(receiver)
        if arrival is not None:
            self._remove(arrival)
            self._share()

    def _remove(self, arrival: _Arrival) -> None:
        self._resize(arrival, 0, 0)
        self._held.pop(arrival, None)
        del self._arrivals[arrival.receiver]

    def _resize(self, arrival: _Arrival, received_bytes: int, missing_bytes: int) -> None:
        self.received_bytes += received_bytes - arrival.received_bytes
        self._missing_bytes += missing_bytes - arrival.missing_bytes
        arrival.received_bytes, arrival.missing_bytes = received_bytes, missing_bytes

    def _share(self) -> None:
        """Let those be read for whom there is room."""
        while self.received_bytes > 2 * self._budget_bytes and self._give_up():
            pass
        free_bytes = self._budget_bytes - self.received_bytes
        if not self._held and free_bytes >= self._missing_bytes:
            return
        # By the most that may be missing: who goes on without room must stay the first until the end.
        coming = sorted(filter(_missing, self._arrivals.values()), key=_most)
        is_none_taken = len(coming) == len(self._arrivals)
        for index, arrival in enumerate(coming):
            free_bytes -= arrival.missing_bytes
            self._let(arrival, be_read=free_bytes >= 0 or is_none_taken and index == 0)
        if self._held and self._watch is None:
            self._look_in(PATIENCE_S)

    def _let(self, arrival: _Arrival, *, be_read: bool) -> None:
        if be_read and self._held.pop(arrival, None) is not None:
            arrival.receiver.read_on()
        elif not be_read and arrival not in self._held:
            self._held[arrival] = self._now()
            arrival.receiver.hold()

    def _look_in(self, delay_s: float) -> None:
        self._watch = asyncio.get_running_loop().call_later(delay_s, self._look)

    def _look(self) -> None:
        """Make room for who was held too long, unless what is being taken has it all: that ends by itself."""
        self._watch = None
        while self._waited_s >= PATIENCE_S and self._would_help() and self._give_up():
            self._share()
        if self._held and self._watch is None:
            self._look_in(max(PATIENCE_S - self._waited_s, _LOOK_AGAIN_S))

    @property
    def _waited_s(self) -> float:
        return self._now() - next(iter(self._held.values())) if self._held else 0.0

    def _would_help(self) -> bool:
        taken_bytes = sum(each.received_bytes for each in self._arrivals.values() if not each.missing_bytes)
        held = next(iter(self._held))
        return taken_bytes + held.received_bytes + held.missing_bytes <= self._budget_bytes

    def _give_up(self) -> bool:
        """Give up the largest and slowest message that is not complete; False where there is none.

        First of those that are read: it is not the fault of who is held that nothing more comes.
        """
        now = self._now()
        coming = list(filter(_missing, self._arrivals.values()))
        coming = [arrival for arrival in coming if arrival not in self._held] or coming
        worst = max(coming, key=lambda each: each.received_bytes * (now - each.began_at), default=None)
        if worst is None:
            return False
        self._remove(worst)
        worst.receiver.give_up()
        return True

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
