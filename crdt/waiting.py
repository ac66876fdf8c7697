"""What cannot enter a document yet, because something it refers to has not come (references/protocol.md, G1).

Kept by what it lacks, so that a document that grows asks only for what could go on.
"""

from collections.abc import Iterable, Mapping

from crdt.update import Update

__all__ = ["WAITING_LIMIT", "WAITING_LIMIT_BYTES", "Gaps", "Waiting"]

WAITING_LIMIT, WAITING_LIMIT_BYTES = 4_096, 4 * 2**20
"""What may wait at once (B15)."""

Gaps = frozenset[tuple[int, int]]
"""What is lacking, as (client, clock known so far); empty where nobody has looked yet."""


class Waiting:
    """Updates that wait, each once, the oldest first among those that lack the same.

    Beyond the bound an update is dropped, and only what it lacked is remembered: ``take_missed`` tells when
    it could go on, and has to be read again.
    """

    __slots__ = ("_count", "_groups", "_lost", "_size_bytes")

    def __init__(self, unseen: Iterable[Update] = ()) -> None:
        self._groups: dict[Gaps, dict[Update, None]] = {}
        self._lost: Gaps = frozenset()
        self._count = self._size_bytes = 0
        for update in unseen:
            self.add(update, frozenset())

    def __bool__(self) -> bool:
        return bool(self._groups or self._lost)

    def __len__(self) -> int:
        return self._count

    def add(self, update: Update, gaps: Gaps) -> None:
        """Have an update wait for any of ``gaps`` to move; one that waits already is not kept twice."""
        if update in self._groups.get(gaps, ()):
            return
        is_full = self._count >= WAITING_LIMIT or self._size_bytes + len(update) > WAITING_LIMIT_BYTES
        # What nobody has looked at comes from a log: how much that is, the log says.
        if is_full and gaps:
            self._lost |= gaps
            return
        self._groups.setdefault(gaps, {})[update] = None
        self._count += 1
        self._size_bytes += len(update)

    def pop_ready(self, clocks: Mapping[int, int]) -> Update | None:
        """Take out an update that may go on in a document with ``clocks``, None where there is none."""
        for gaps, group in self._groups.items():
            if not gaps or _have_moved(gaps, clocks):
                update = next(iter(group))
                del group[update]
                if not group:
                    del self._groups[gaps]
                self._count -= 1
                self._size_bytes -= len(update)
                return update
        return None

    def take_missed(self, clocks: Mapping[int, int]) -> bool:
        """Tell, once, whether something that was dropped could go on by now, and has to come again."""
        if not _have_moved(self._lost, clocks):
            return False
        self._lost = frozenset()
        return True


def _have_moved(gaps: Gaps, clocks: Mapping[int, int]) -> bool:
    return any(clocks.get(client, 0) > known for client, known in gaps)
