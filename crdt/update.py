"""The Yjs update format, version 1: its grammar, its limits, and what an update brings and needs.

An update is a list of sections, one for each client with its structs in order of their clocks, and a
delete set. Nothing here changes a document. Every byte from outside passes this module before yrs
sees it, because yrs trusts lengths, recurses without a limit and merges what Yjs would refuse
(references/protocol.md, U1–U12).
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, NewType

from crdt.content import GC, SKIP, TYPE, ContentReader
from crdt.encoding import Decoder, encode_var_uint
from crdt.errors import Malformed, TooLarge
from crdt.reading import Reading

__all__ = [
    "CLOCK_LIMIT",
    "EMPTY_UPDATE",
    "SKIP",
    "SLICE",
    "DeleteRange",
    "Deletes",
    "Run",
    "StructReader",
    "Update",
    "encode_update",
    "read_clients_count",
    "read_delete_ranges",
    "read_delete_set",
]

Update = NewType("Update", bytes)
"""A version 1 update."""

EMPTY_UPDATE = Update(b"\x00\x00")

CLOCK_LIMIT = 2**31
"""Clocks stay below it (U5): yrs counts in 32 bits."""

CLIENTS_LIMIT = 2**19
"""Clients in one update (U3), twice what a document may have: each takes 0.5 KB while it is taken."""

SLICE = 1_000
"""Structs read between two pauses: about 2 ms."""

_KIND, _PARENT_SUB, _RIGHT, _LEFT = 0x1F, 0x20, 0x40, 0x80


class StructReader(ContentReader):
    """Reads the structs of one section after another; the attributes describe the latest one."""

    __slots__ = ("clock", "has_key", "kind", "left", "length", "parent", "right")

    clock: int
    """Where the next struct starts; set it at the start of a section."""
    kind: int
    length: int
    left: tuple[int, int] | None
    right: tuple[int, int] | None
    """Origins, as (client, clock)."""
    parent: tuple[int, int] | None
    """The type that holds it, where that is an item named by its id."""
    has_key: bool
    """Whether it says that it stands under a key. Beside an origin only yrs and Yjs are to be believed."""

    def read_section_header(self) -> tuple[int, int]:
        """Read (number of structs, client) and set ``clock``."""
        count = self.read_count(2)
        if not count:
            raise Malformed("section without structs")
        client = self.read_var_uint()
        self.clock = self.read_var_uint()
        return count, client

    def read_struct(self, client: int) -> None:
        """Read one struct of ``client`` and move ``clock`` behind it."""
        info = self.read_byte()
        kind = info & _KIND
        self.kind = kind
        self.left = self.right = self.parent = None
        self.has_key = info & _PARENT_SUB != 0
        self.pairs = ()
        self.reading = Reading.ALIKE
        if kind in (GC, SKIP):
            if info != kind:
                raise Malformed("flags on a struct that has none")
            length = self._read_jump()
        else:
            if info & (_LEFT | _RIGHT):
                if info & _LEFT:
                    self.left = self._read_id(client)
                if info & _RIGHT:
                    self.right = self._read_id(client)
            else:
                self._read_parent(client, info)
            length = self.read_content(kind)
        self.length = length
        self.clock += length
        if self.clock >= CLOCK_LIMIT:
            raise Malformed("clock out of range")

    @property
    def has_place(self) -> bool:
        """Whether the struct just read has to be known to whoever stands beside it, or in it."""
        return self.has_key or self.parent is not None or self.kind == TYPE

    def _read_id(self, client: int) -> tuple[int, int]:
        other = self.read_var_uint()
        clock = self.read_var_uint()
        if other == client and clock >= self.clock:
            raise Malformed("struct refers to what comes after it")
        return other, clock

    def _read_parent(self, client: int, info: int) -> None:
        match self.read_var_uint():
            case 1:
                self.read_var_string()
            case 0:
                self.parent = self._read_id(client)
            case _:
                raise Malformed("unknown kind of parent")
        if info & _PARENT_SUB:
            self.read_var_string()


class DeleteRange(NamedTuple):
    """Deleted clocks of one client, from ``clock`` up to, not including, ``end``."""

    client: int
    clock: int
    end: int


def read_clients_count(decoder: Decoder, min_size_bytes: int) -> int:
    """Read for how many clients something follows; too many raise ``TooLarge``."""
    count = decoder.read_count(min_size_bytes)
    if count > CLIENTS_LIMIT:
        raise TooLarge("too many clients in an update")
    return count


class Deletes:
    """The delete set of an update, read anew each time: as objects its ranges take forty times as much."""

    __slots__ = ("_start", "_update", "count")

    def __init__(self, update: bytes, start: int) -> None:
        self._update = update
        self._start = start
        self.count = 0
        """How many ranges it has, as far as it was read."""

    def __bool__(self) -> bool:
        return self.count > 0

    @property
    def encoded(self) -> bytes:
        """The delete set as it stands in the update."""
        return self._update[self._start :]

    def __iter__(self) -> Iterator[DeleteRange]:
        return read_delete_set(Decoder(self._update, self._start))


def read_delete_set(decoder: Decoder) -> Iterator[DeleteRange]:
    """Read the delete set that ends an update; anything behind it is refused (U9)."""
    yield from read_delete_ranges(decoder)
    if not decoder.is_at_end:
        raise Malformed("bytes behind the delete set")


def read_delete_ranges(decoder: Decoder) -> Iterator[DeleteRange]:
    """Read a delete set and leave ``decoder`` behind it; raises ``Malformed``."""
    seen = set()
    for _ in range(read_clients_count(decoder, 2)):
        client = decoder.read_var_uint()
        if client in seen:
            raise Malformed("client twice in a delete set")
        seen.add(client)
        for _ in range(decoder.read_count(2)):
            clock = decoder.read_var_uint()
            end = clock + decoder.read_var_uint()
            if not clock < end < CLOCK_LIMIT:
                raise Malformed("deleted range out of range")
            yield DeleteRange(client, clock, end)


class Run(NamedTuple):
    """Neighbouring structs of one client, as the bytes that encode them."""

    client: int
    clock: int
    structs: int
    content: bytes


def encode_update(runs: Iterable[Run], deletes: Iterable[DeleteRange] = ()) -> Update:
    """Write an update; clients descend, as every merge expects (U10). At most one run a client."""
    ordered = sorted(runs, reverse=True)
    parts = [encode_var_uint(len(ordered))]
    for client, clock, structs, content in ordered:
        parts += (encode_var_uint(structs), encode_var_uint(client), encode_var_uint(clock), content)
    by_client: dict[int, list[DeleteRange]] = {}
    for deleted in deletes:
        by_client.setdefault(deleted.client, []).append(deleted)
    parts.append(encode_var_uint(len(by_client)))
    for client, ranges in sorted(by_client.items(), reverse=True):
        parts += (encode_var_uint(client), encode_var_uint(len(ranges)))
        for deleted in ranges:
            parts += (encode_var_uint(deleted.clock), encode_var_uint(deleted.end - deleted.clock))
    return Update(b"".join(parts))
