"""What of a room is durable, and who has to be told when more of it is (references/protocol.md, D1)."""

import asyncio
from collections import deque
from collections.abc import Iterator

from crdt.session import UNANSWERED_LIMIT
from server.member import Member

__all__ = ["Receipts"]


class Receipts:
    """Counts the entries of a room, in the order in which they were handed to the journal."""

    __slots__ = ("_durable", "_handed_over", "_is_settled", "_settled", "_waiting")

    def __init__(self) -> None:
        self._handed_over = 0
        self._durable = 0
        """The oldest entries, that many, are durable."""
        self._waiting: dict[Member, deque[tuple[int, bytes]]] = {}
        """For each member the acknowledgements that wait, with the count of entries that they wait for."""
        self._is_settled = True
        """Whether everything accepted is durable."""
        self._settled: asyncio.Event | None = None
        """While somebody waits for that. An event takes 850 bytes."""

    @property
    def are_awaited(self) -> bool:
        """Whether anybody waits for entries to be durable."""
        return bool(self._waiting)

    def begin(self) -> None:
        """Note that something was accepted, and will be handed over."""
        self._is_settled = False

    def hand_over(self) -> None:
        """Count one entry."""
        self._handed_over += 1

    def ask(self, member: Member, payload: bytes, coming: int) -> bool:
        """Tell whether everything is durable, ``coming`` entries not yet handed over included.

        If not, ``stored`` returns ``payload`` when it is.
        """
        due = self._handed_over + coming
        if self._durable >= due:
            return True
        if member not in self._waiting:
            self._waiting[member] = deque(maxlen=UNANSWERED_LIMIT)
        self._waiting[member].append((due, payload))
        return False

    def stored(self, count: int, *, is_more_coming: bool) -> list[tuple[Member, bytes]]:
        """Note that ``count`` more entries are durable; return what to send to those who wait for that."""
        self._durable += count
        due = [(member, payload) for member in list(self._waiting) for payload in self._take_due(member)]
        if self._durable == self._handed_over and not is_more_coming:
            self._settle()
        return due

    def _take_due(self, member: Member) -> Iterator[bytes]:
        waiting = self._waiting[member]
        while waiting and waiting[0][0] <= self._durable:
            yield waiting.popleft()[1]
        if not waiting:
            del self._waiting[member]

    def forget(self, member: Member) -> None:
        """Tell a member nothing more; idempotent."""
        self._waiting.pop(member, None)

    def give_up(self) -> None:
        """Let nobody wait any longer: what was accepted will not be stored."""
        self._settle()

    def _settle(self) -> None:
        self._is_settled = True
        if self._settled is not None:
            self._settled.set()
            self._settled = None

    async def settle(self) -> None:
        """Wait until everything accepted is durable, or was given up."""
        while not self._is_settled:
            self._settled = self._settled or asyncio.Event()
            await self._settled.wait()
