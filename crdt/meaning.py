"""What an update says, however it is encoded: struct by struct, with values as values, and what is deleted.

Two engines, or one twice, write the same document in different bytes: yrs keeps objects in a hash map, and
neighbours may be one struct or several. Here both are the same. Knows of no document: whether an update can
be integrated, and what becomes of it then, is not asked.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import chain, zip_longest
from typing import NamedTuple, TypeAlias

from crdt.encoding import Decoder, encode_var_bytes, encode_var_uint
from crdt.update import ANY, DELETED, GC, JSON, SKIP, STRING, DeleteRange, StructReader, read_delete_set
from crdt.values import any_value, json_value

__all__ = ["Content", "Run", "RunReader", "joined_ranges", "meaning", "means_same"]

Content: TypeAlias = str | tuple[bytes, ...]
"""One element for each clock, but none where nothing is left: text has a character for each half of a
surrogate pair."""

_JOINABLE = (GC, DELETED, STRING, ANY, SKIP)
_EMPTY = (GC, DELETED, SKIP)

_OBJECT, _UNDEFINED, _FALSE, _TRUE = 118, b"\x7f", b"\x79", b"\x78"

_SUBDOCUMENT_DEFAULTS = {
    b"gc": _TRUE,
    b"autoLoad": _FALSE,
    b"shouldLoad": _FALSE,
    b"encoding": any_value(Decoder(b"\x7d\x01")),
}
"""Options of a subdocument as they are where nothing is said of them; the last one is known to yrs alone."""

_ASTRAL = re.compile("[\U00010000-\U0010ffff]")


class Run(NamedTuple):
    """Neighbouring clocks of one client that were written one behind the other: Yjs may keep them as one struct."""

    client: int
    clock: int
    end: int
    kind: int
    left: tuple[int, int] | None
    right: tuple[int, int] | None
    parent: tuple[int, int] | str | None
    """Where it is named: there are no origins then."""
    key: str | None
    content: Content

    @property
    def is_empty(self) -> bool:
        """Whether it is only said that something was there, or may be."""
        return self.kind in _EMPTY


class RunReader(StructReader):
    """Reads structs with all that they say."""

    __slots__ = ("_content_at", "_key", "_parent")

    def read_run(self, client: int) -> Run:
        """Read one struct of ``client``; raises ``Malformed``."""
        clock = self.clock
        self._parent: tuple[int, int] | str | None = None
        self._key: str | None = None
        self.read_struct(client)
        content = () if self.kind in _EMPTY else self._content()
        kind = ANY if self.kind == JSON else self.kind
        return Run(client, clock, self.clock, kind, self.left, self.right, self._parent, self._key, content)

    def _read_parent(self, client: int, info: int) -> None:
        start = self.position
        super()._read_parent(client, info)
        stop, self.position = self.position, start
        self.read_var_uint()
        self._parent = self.read_var_string() if self.parent is None else self._read_id(client)
        if self.position < stop:
            self._key = self.read_var_string()

    def _read_string(self) -> int:
        self._content_at = self.position
        return super()._read_string()

    def _read_content(self, kind: int) -> int:
        self._content_at = self.position
        return super()._read_content(kind)

    def _content(self) -> Content:
        stop, self.position = self.position, self._content_at
        match self.kind:
            case 4:
                return _ASTRAL.sub(_halves, self.read_var_string())
            case 8:
                return tuple([any_value(self) for _ in range(self.read_var_uint())])
            case 2:
                texts = [self.read_var_string() for _ in range(self.read_var_uint())]
                return tuple([_UNDEFINED if text == "undefined" else json_value(text) for text in texts])
            case 3:
                return (self.read_var_bytes(),)
            case 5:
                return (json_value(self.read_var_string()),)
            case 6:
                return (encode_var_bytes(self.read_var_bytes()) + json_value(self.read_var_string()),)
            case 7:
                type_ref = self.read_var_uint()
                name = self.read_var_bytes() if self.position < stop else b""
                return (encode_var_uint(type_ref) + name,)
            case _:
                return (encode_var_bytes(self.read_var_bytes()) + self._subdocument_options(),)

    def _subdocument_options(self) -> bytes:
        if self.data[self.position] != _OBJECT:
            return any_value(self)
        self.read_byte()
        options: dict[bytes, bytes] = {}
        for _ in range(self.read_var_uint()):
            key = self.read_var_bytes()
            options[key] = any_value(self)
        if options.get(b"autoLoad") == _TRUE:
            options.pop(b"shouldLoad", None)  # Yjs asks for either.
        told = {key: value for key, value in options.items() if _SUBDOCUMENT_DEFAULTS.get(key) != value}
        return b"".join(encode_var_bytes(key) + told[key] for key in sorted(told))


def _halves(astral: re.Match[str]) -> str:
    units = astral.group().encode("utf-16-be")
    return chr(int.from_bytes(units[:2])) + chr(int.from_bytes(units[2:]))


def meaning(update: bytes) -> Iterator[Run | DeleteRange]:
    """Yield what ``update`` says, in an order of its own and in pieces as long as they can be.

    Updates that say the same yield the same, if their clients descend as they should (U10). Raises
    ``Malformed``.
    """
    reader = RunReader(update)
    for _ in range(reader.read_count(3)):
        count, client = reader.read_section_header()
        yield from _joined(reader.read_run(client) for _ in range(count))
    deleted: dict[int, list[tuple[int, int]]] = {}
    for client, clock, end in read_delete_set(reader):
        deleted.setdefault(client, []).append((clock, end))
    for client, ranges in sorted(deleted.items()):
        yield from (DeleteRange(client, clock, end) for clock, end in joined_ranges(ranges))


def means_same(update: bytes, other: bytes) -> bool:
    """Whether two updates say the same; equal bytes are not read at all."""
    return update == other or all(ours == theirs for ours, theirs in zip_longest(meaning(update), meaning(other)))


def _joined(runs: Iterable[Run]) -> Iterator[Run]:
    """Join neighbours of one client as far as that can be."""
    group: list[Run] = []
    for run in runs:
        if group and not _continues(group[-1], run):
            yield _whole(group)
            group = []
        group.append(run)
    if group:
        yield _whole(group)


def _continues(before: Run, run: Run) -> bool:
    if run.kind != before.kind or run.kind not in _JOINABLE:
        return False
    return run.kind in (GC, SKIP) or run.left == (run.client, run.clock - 1) and run.right == before.right


def _whole(group: list[Run]) -> Run:
    if len(group) == 1:
        return group[0]
    contents = [run.content for run in group]
    content: Content = "".join(contents) if group[0].kind == STRING else tuple(chain.from_iterable(contents))
    return group[0]._replace(end=group[-1].end, content=content)


def joined_ranges(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return ranges from a clock to an end in ascending order, joined where they meet or overlap."""
    result: list[tuple[int, int]] = []
    for clock, end in sorted(ranges):
        if result and clock <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((clock, end))
    return result
