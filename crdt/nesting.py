"""How deeply shared types sit inside each other in one document.

yrs deletes recursively and overflows its stack at about 45,000 levels, which many small updates can
build up, so depth is bounded as structs are accepted (references/protocol.md, U8). Knows nothing of
content: a struct sits where its parent or one of its origins sits.
"""

from bisect import bisect_right

from crdt.errors import NotTaken
from crdt.update import StructReader

__all__ = ["MAX_DEPTH", "Nesting"]

MAX_DEPTH = 1_000


class Nesting:
    """The depth of every accepted struct, kept as runs: text typed in one place is one run.

    ``base`` is the depth of everything that is not recorded: that of the deepest struct in the
    snapshot a document was loaded from, which is never less than the truth.
    """

    __slots__ = ("_runs", "base", "deepest")

    def __init__(self, base: int = 0) -> None:
        self.base = base
        self.deepest = base
        self._runs: dict[int, tuple[list[int], list[int]]] = {}

    def record(self, client: int, clock: int, known: int, reader: StructReader) -> None:
        """Note the struct that ``reader`` has just read at (``client``, ``clock``).

        ``known`` is the client's clock in the document: what was known before stays where it was,
        whatever a repetition says. Clocks of one client ascend, or start again where a refused
        update left off. Raises ``NotTaken`` above ``MAX_DEPTH``.
        """
        if reader.clock <= known or not self.deepest and reader.parent is None:
            return
        if clock < known:
            clock, depth = known, self._depth_at(client, known - 1)
        elif reader.parent is not None:
            depth = self._depth_at(*reader.parent) + 1
        else:
            depth = self._depth_beside(reader.left, reader.right)
        if depth > MAX_DEPTH:
            raise NotTaken("shared types nest too deeply")
        self.deepest = max(self.deepest, depth)
        self._put(client, clock, depth)

    def record_text(
        self, client: int, clock: int, left: tuple[int, int] | None, right: tuple[int, int] | None
    ) -> None:
        """Note new text at (``client``, ``clock``) beside what is known."""
        self._put(client, clock, self._depth_beside(left, right))

    def _put(self, client: int, clock: int, depth: int) -> None:
        clocks, depths = self._runs.setdefault(client, ([], []))
        while clocks and clocks[-1] >= clock:
            clocks.pop()
            depths.pop()
        if depth != (depths[-1] if depths else self.base):
            clocks.append(clock)
            depths.append(depth)

    def _depth_beside(self, left: tuple[int, int] | None, right: tuple[int, int] | None) -> int:
        # yrs passes over a left origin that was collected: the deeper one is never less than the truth.
        return max(
            0 if left is None else self._depth_at(*left), 0 if right is None else self._depth_at(*right)
        )

    def _depth_at(self, client: int, clock: int) -> int:
        runs = self._runs.get(client)
        if runs is None:
            return self.base
        index = bisect_right(runs[0], clock)
        return runs[1][index - 1] if index else self.base
