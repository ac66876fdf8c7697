"""What of a room is durable, and who has to be told when more of it is (references/protocol.md, D1)."""

import asyncio

from server.member import Member

__all__ = ["Receipts"]


class Receipts:
    """Counts the entries of a room, in the order in which they were handed to the journal."""

    __slots__ = ("_durable", "_handed_over", "_members", "_settled")

    def __init__(self) -> None:
        self._handed_over = 0
        self._durable = 0
        """The oldest entries, that many, are durable."""
        self._members: set[Member] = set()
        """Those with acknowledgements that wait."""
        self._settled = asyncio.Event()
        self._settled.set()

    def begin(self) -> None:
        """Note that something was accepted, and will be handed over."""
        self._settled.clear()

    def hand_over(self) -> None:
        """Count one entry."""
        self._handed_over += 1

    def ask(self, member: Member, payload: bytes, coming: int) -> bool:
        """Tell whether everything is durable, ``coming`` entries not yet handed over included.

        If not, ``member`` is told when it is.
        """
        due = self._handed_over + coming
        if self._durable >= due:
            return True
        member.acknowledge(due, payload)
        self._members.add(member)
        return False

    def stored(self, count: int, *, is_more_coming: bool) -> None:
        """Note that ``count`` more entries are durable, and tell who waits for that."""
        self._durable += count
        self._members = {member for member in list(self._members) if member.stored(self._durable)}
        if self._durable == self._handed_over and not is_more_coming:
            self._settled.set()

    def forget(self, member: Member) -> None:
        """Tell a member nothing more; idempotent."""
        self._members.discard(member)

    def give_up(self) -> None:
        """Let nobody wait any longer: what was accepted will not be stored."""
        self._settled.set()

    async def settle(self) -> None:
        """Wait until everything accepted is durable, or was given up."""
        await self._settled.wait()
