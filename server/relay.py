"""What other nodes and the log bring into a live document: in slices, in order, and what has to wait waits.

Rules (references/protocol.md): L6 for what is large, B15 for what has to wait, B16 for what breaks yrs.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

from crdt.document import DocumentBroken
from crdt.errors import ProtocolError
from crdt.update import Update
from crdt.waiting import Waiting
from server.member import Member
from server.slices import SLICE_S

if TYPE_CHECKING:
    from server.room import Room

__all__ = ["Relay"]

logger = logging.getLogger("cowrite.room")

REFUSED_LIMIT = 64
"""How many of the updates that broke a document are remembered."""


class Relay:
    """The way into a document for what does not enter it as it comes from a member.

    What has waited is logged anew, for it may be cut otherwise than it came.
    """

    __slots__ = (
        "_holding",
        "_is_due",
        "_loads",
        "_refused",
        "_retrying",
        "_room",
        "_waiting",
        "is_suspended",
    )

    def __init__(self, room: "Room", waiting: Sequence[Update]) -> None:
        self._room = room
        self._holding: dict[Member, None] = {}
        self._is_due = False
        self._waiting = Waiting(waiting)
        self._retrying: Iterator[None] | None = None
        self._refused: tuple[bytes, ...] = ()
        """Digests of what broke the document: it is in the stream still, and would break the next one."""
        self._loads = 0
        """How often the document was replaced: what began before that must not go on."""
        self.is_suspended = False
        """Whether nothing is taken, because the document is about to be replaced."""

    def take(self, update: Update) -> Iterator[None]:
        """Take an entry of another node, pausing now and then.

        Raises ``ProtocolError`` and ``DocumentBroken``. It ends early when the document is to be replaced:
        the stream is read again then.
        """
        if not self.is_suspended:
            yield from self._steps(update, self._room.pass_on)

    def _steps(self, update: Update, accept: Callable[[Update], None]) -> Iterator[None]:
        if self._refused and sha256(update).digest() in self._refused:
            logger.error("skipped an entry that breaks the document", extra={"document": self._room.name})
            return
        loads = self._loads
        intake = self._room.document.intake(update)
        try:
            for part in intake.steps():
                if part is not None:
                    accept(part)
                yield
                if self.is_suspended or loads != self._loads:
                    return
        except DocumentBroken:
            self._refused = (*self._refused[1 - REFUSED_LIMIT :], sha256(update).digest())
            raise
        if intake.rest is not None:
            self._waiting.add(intake.rest, intake.gaps)

    def hold(self, member: Member) -> None:
        """Have ``member`` try again what its session holds back, when the document has grown (S5)."""
        self._holding[member] = None

    def forget(self, member: Member) -> None:
        """Call a member no more; idempotent."""
        self._holding.pop(member, None)

    def grown(self) -> None:
        """Try again, once in this turn of the loop, what waited for something that may have come."""
        if not self._is_due and (self._holding or self._waiting):
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._retry)

    def _retry(self) -> None:
        self._is_due = False
        if self.is_suspended:
            return
        holding, self._holding = self._holding, {}
        for member in holding:
            member.retry()
        if self._retrying is None and not self.is_suspended:
            self._retrying = self._retry_steps()
            self._retry_slice()

    def _retry_slice(self) -> None:
        ends_at = time.monotonic() + SLICE_S
        try:
            while self._retrying is not None and next(self._retrying, self) is not self:
                if time.monotonic() > ends_at:
                    asyncio.get_running_loop().call_soon(self._retry_slice)
                    return
        except DocumentBroken:
            self._room.owner.broken(self._room)
        self._retrying = None

    def _retry_steps(self) -> Iterator[None]:
        while (update := self._waiting.pop_ready(self._room.document.clocks)) is not None:
            try:
                yield from self._steps(update, self._room.accept)
            except ProtocolError as error:
                logger.error(
                    "skipped a bad entry that had waited: %s", error, extra={"document": self._room.name}
                )
            yield
        if self._waiting.take_missed(self._room.document.clocks):
            self._room.owner.incomplete(self._room)

    def suspend(self) -> None:
        """Take nothing until ``start_over``."""
        self.is_suspended = True
        self._retrying = None

    def start_over(self, waiting: Sequence[Update]) -> None:
        """Go on with a document that was replaced, and with what waits for it."""
        self._loads += 1
        self._retrying = None
        self._waiting = Waiting(waiting)
        self.is_suspended = False
        self.grown()
