"""Refusals: the peer is told why, held for a while, and closed with a code; the log gets one line of many.

Whoever wants to refuse says so with ``Refused``: a code, words for the peer, a reason for the log. Why is
their business (references/protocol.md, L3, L9).
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Hashable, Mapping

from crdt.dialects import Dialect
from crdt.errors import CloseCode, CowriteError
from crdt.messages import PermissionDenied
from server.patience import Holding, Patience
from server.tally import Tally
from server.transport import Transport, frame_of

__all__ = ["HELD_MESSAGE_BYTES", "Refusals", "Refused"]

logger = logging.getLogger("cowrite.refusals")

HELD_MESSAGE_BYTES = 65_536
"""The largest message of a peer that is held: it is kept until it is whole, and then thrown away."""
HELD_READ_BYTES, MESSAGE_BYTES = 262_144, 256
"""What such a peer may send, and what a message counts besides its bytes; beyond that it is closed."""

_TO_RETRY = (CloseCode.OVERLOADED, CloseCode.UNREADABLE)


class Refused(CowriteError):
    """The peer gets nothing: ``words`` are its code and a phrase for it, the text is for the log."""

    def __init__(self, code: CloseCode, words: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.words = words


class Refusals:
    """Tells whom it refuses, and holds a bounded number of them; the rest are closed at once."""

    def __init__(self, holding: Holding | None = None, tally: Tally | None = None) -> None:
        self.counts: Counter[int] = Counter()
        """All there were, by their codes."""
        self.tally = tally or Tally()
        self._holding = holding or Holding()
        self._patience = Patience(self._holding)
        self._held: set[_Held] = set()
        self._places: Counter[str] = Counter()
        self._is_closed = False

    @property
    def held(self) -> int:
        """How many are held now."""
        return len(self._held)

    def log(self, kind: Hashable, code: int, reason: str, fields: Mapping[str, object]) -> None:
        """Count a refusal, and log it: one line for each ``kind`` in an interval."""
        self.counts[code] += 1
        # It is not the peer's fault that a document cannot be loaded.
        level = logging.ERROR if code == CloseCode.UNREADABLE else logging.WARNING
        now = asyncio.get_running_loop().time()
        self.tally.note((kind, code), now, logger, f"refused: {reason}", {**fields, "code": int(code)}, level)

    async def turn_away(self, transport: Transport, dialect: Dialect, refused: Refused, address: str) -> None:
        """Tell a peer that it is refused, and close it later; returns when ``Transport.serve`` does."""
        held = _Held(transport, refused.code, address, self._leave)
        hold_s = 0.0
        if refused.code is not CloseCode.RESTART:
            # Who is to come back at once was not denied anything.
            transport.write(frame_of(dialect.encode(PermissionDenied(refused.words))))
            hold_s = self._hold_s(refused.code, address)
        if hold_s > 0:
            self._held.add(held)
            self._places[address] += 1
            held.close_in(hold_s)
        else:
            held.close()
        await transport.serve(held)

    def close(self) -> None:
        """Close everybody who is held, and hold nobody from now on; idempotent."""
        self._is_closed = True
        for held in list(self._held):
            held.close()

    def _hold_s(self, code: CloseCode, address: str) -> float:
        holding = self._holding
        longest_s = holding.longest_retry_s if code in _TO_RETRY else holding.longest_s
        hold_s = self._patience.hold_s(address, longest_s, asyncio.get_running_loop().time())
        has_place = len(self._held) < holding.places and self._places[address] < holding.places_of_address
        return hold_s if has_place and not self._is_closed else 0.0

    def _leave(self, held: "_Held") -> None:
        if held in self._held:
            self._held.remove(held)
            self._places[held.address] -= 1
            if not self._places[held.address]:
                del self._places[held.address]


class _Held:
    """The sink of a refused connection: throws away what comes, and nothing of it is answered."""

    __slots__ = ("_closing", "_code", "_left_bytes", "_on_over", "_transport", "address")

    def __init__(
        self, transport: Transport, code: CloseCode, address: str, on_over: Callable[["_Held"], None]
    ) -> None:
        self.address = address
        self._transport = transport
        self._code = code
        self._on_over = on_over
        self._left_bytes = HELD_READ_BYTES
        self._closing: asyncio.TimerHandle | None = None

    def close_in(self, delay_s: float) -> None:
        """Close later; once."""
        self._closing = asyncio.get_running_loop().call_later(delay_s, self.close)

    def close(self) -> None:
        """Close now; idempotent."""
        self._stop_waiting()
        self._transport.close(self._code, self._code.phrase)

    def message_received(self, payload: bytes) -> None:
        """Throw it away; close where that becomes work. Not reading would hide that the peer has gone."""
        self._left_bytes -= len(payload) + MESSAGE_BYTES
        if self._left_bytes < 0:
            self.close()

    def text_received(self) -> None:
        """Throw it away."""
        self.message_received(b"")

    def malformed_received(self, code: int, reason: str) -> None:
        """Let the transport close: the peer was told why it is refused."""

    def pause_writing(self) -> None:
        """Go on: nothing is written."""

    def resume_writing(self) -> None:
        """Go on: nothing is written."""

    def connection_lost(self, *, clean: bool) -> None:
        """Give up the place."""
        self._stop_waiting()
        self._on_over(self)

    def _stop_waiting(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
