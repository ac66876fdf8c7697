"""Reads a socket as far as whoever takes the messages, and the node's memory, have room."""

import asyncio

from server.transport.framing import FrameReader
from server.transport.receive_budget import ReceiveBudget

__all__ = ["BudgetedReader"]


class BudgetedReader(FrameReader):
    """A ``FrameReader`` that is itself the ``Receiver`` of its large messages.

    A large message counts until it is handed over and reading goes on: who pauses reading when it gets one is
    busy with it.
    """

    __slots__ = ("_budget", "_is_counted", "_is_held", "is_reading_paused")

    def __init__(self, tcp: asyncio.Transport, max_size: int) -> None:
        super().__init__(tcp, max_size)
        self._budget: ReceiveBudget | None = None
        """None where nothing is received but the end."""
        self._is_counted = False
        self._is_held = False
        self.is_reading_paused = True
        """See ``Transport``."""

    def go_on(self) -> None:
        """Hand over what was kept while reading was paused, and read."""
        raise NotImplementedError

    def pause_reading(self) -> None:
        """See ``Transport``; what was received with the message in hand is kept."""
        if self.is_open:
            self.is_reading_paused = True
            self._tcp.pause_reading()

    def resume_reading(self) -> None:
        """See ``Transport``; the sink is not called from within."""
        if self.is_reading_paused:
            self.is_reading_paused = False
            asyncio.get_running_loop().call_soon(self.go_on)

    def message_grew(self, received_bytes: int, missing_bytes: int, *, has_more: bool) -> None:
        """Count a message that is on its way; of one in several frames as much is expected as has come."""
        most_bytes = self._max_size - received_bytes if has_more else missing_bytes
        if has_more:
            missing_bytes = min(received_bytes + 2 * missing_bytes, most_bytes)
        if self._budget is not None:
            self._is_counted = True
            self._budget.count(self, received_bytes, max(missing_bytes, 1), most_bytes)

    def message_ended(self, message: bytes | None) -> None:
        """Hand a message over, and count it until it is taken."""
        if self._is_counted and self._budget is not None:
            self._budget.count(self, len(message or b""), 0)
        self.message_read(message)
        if not self.is_reading_paused:
            self.uncount()

    def uncount(self) -> None:
        """Count nothing any more; idempotent."""
        if self._is_counted and self._budget is not None:
            self._is_counted = self._is_held = False
            self._budget.forget(self)

    def hold(self) -> None:
        """See ``Receiver``."""
        self._is_held = True
        if not self._tcp.is_closing():
            self._tcp.pause_reading()

    def read_on(self) -> None:
        """See ``Receiver``."""
        self._is_held = False
        self.read_socket()

    def read_socket(self) -> None:
        """Read, unless there is a reason not to."""
        if not self._is_held and not self.is_reading_paused:
            self._tcp.resume_reading()

    def give_up(self) -> None:
        """See ``Receiver``."""
        raise NotImplementedError

    def take_activity(self) -> bool:
        """See ``Transport``; pongs count, and who is not read for want of room is not to blame."""
        has_activity, self._has_activity = self._has_activity, False
        return has_activity or self._is_held
