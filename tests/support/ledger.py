"""What was promised: the tokens that were written and erased, and which of that was acknowledged."""

import re
from dataclasses import dataclass, field

from tests.support.clients import StockClient

__all__ = ["Author", "Ledger"]

TOKEN = re.compile(r"<[^<>]*>")


@dataclass(slots=True)
class Ledger:
    """The promises of a server to all clients of one document."""

    inserted: set[str] = field(default_factory=set)
    """Acknowledged, so they must be there unless they were erased."""
    erased: set[str] = field(default_factory=set)
    """Acknowledged, so they must not be there."""
    attempted: set[str] = field(default_factory=set)
    """Everything that was ever written."""
    erasing: set[str] = field(default_factory=set)
    """Everything that was ever erased, acknowledged or not."""

    def check(self, text: str) -> None:
        """Fail unless the text keeps every promise and holds nothing else, and nothing twice."""
        found = TOKEN.findall(text)
        assert "".join(found) == text, "an edit is there in part"
        assert len(set(found)) == len(found), "an edit is there twice"
        assert not self.inserted - self.erasing - set(found), "an acknowledged edit is lost"
        assert not self.erased & set(found), "an acknowledged deletion is lost"
        assert set(found) <= self.attempted, "there is what nobody wrote"


class Author:
    """A stock client that writes and erases tokens of its own, and what it was promised."""

    def __init__(self, client: StockClient, ledger: Ledger) -> None:
        self.client = client
        self._ledger = ledger
        self._count = 0
        self._present: list[str] = []
        self._inserted: set[str] = set()
        self._erased: set[str] = set()

    async def insert(self, place: float) -> None:
        """Write a new token between two others; ``place``, from 0 to 1, says where."""
        self._count += 1
        token = f"<{self.client.name}.{self._count}>"
        self._ledger.attempted.add(token)
        self._inserted.add(token)
        self._present.append(token)
        await self.client.insert_token(token, place)

    async def erase(self) -> None:
        """Erase the oldest token of its own that is left, if there is one."""
        if self._present:
            token = self._present.pop(0)
            self._ledger.erasing.add(token)
            self._erased.add(token)
            await self.client.erase_token(token)

    async def acknowledge(self, timeout_s: float) -> bool:
        """Ask for an acknowledgement of everything until now; tell whether it came in time."""
        inserted, erased = set(self._inserted), set(self._erased)
        if not await self.client.is_acknowledged(timeout_s):
            return False
        self._ledger.inserted |= inserted
        self._ledger.erased |= erased
        return True
