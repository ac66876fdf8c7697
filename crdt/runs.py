"""What one struct of an update says: where it stands, and its content as values."""

import re
from typing import NamedTuple, TypeAlias

from crdt.content import ANY, DELETED, GC, JSON, SKIP
from crdt.encoding import Decoder, encode_var_bytes, encode_var_uint
from crdt.update import StructReader
from crdt.values import any_value, json_value

__all__ = ["Content", "Place", "Run", "RunReader"]

Content: TypeAlias = str | tuple[bytes, ...]
"""One element for each clock, but none where nothing is left: text has a character for each half of a
surrogate pair."""

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


class Place(NamedTuple):
    """Where a struct stands: beside its origins or, without any, in a parent that is named."""

    left: tuple[int, int] | None
    right: tuple[int, int] | None
    parent: tuple[int, int] | str | None
    key: str | None


class Run(NamedTuple):
    """What one struct says."""

    client: int
    clock: int
    end: int
    kind: int
    place: Place
    content: Content

    def agrees(self, other: "Run", clock: int, end: int) -> bool:
        """Whether both say the same of the clocks from ``clock`` to ``end``, which both have."""
        return (
            self.kind == other.kind
            and self._place(clock) == other._place(clock)
            and self._slice(clock, end) == other._slice(clock, end)
        )

    def _place(self, clock: int) -> Place:
        # Inside a struct everything stands behind what is before it.
        if clock == self.clock or self.kind in (GC, SKIP):
            return self.place
        return Place((self.client, clock - 1), self.place.right, None, None)

    def _slice(self, clock: int, end: int) -> Content:
        return self.content[clock - self.clock : end - self.clock]


class RunReader(StructReader):
    """Reads structs, and tells of the latest one all that it says, to whoever wants to know."""

    __slots__ = ("_parent_at",)

    @property
    def is_empty(self) -> bool:
        """Whether of the latest struct nothing is left."""
        return self.kind in _EMPTY

    def run(self, client: int, clock: int) -> Run:
        """Return the struct just read, which is that of ``client`` at ``clock``."""
        stop = self.position
        content = () if self.kind in _EMPTY else self._content(stop)
        self.position = stop
        kind = ANY if self.kind == JSON else self.kind
        return Run(client, clock, self.clock, kind, self.place(), content)

    def place(self) -> Place:
        """Return where the struct just read stands."""
        if self.left is not None or self.right is not None or self.kind in (GC, SKIP):
            return Place(self.left, self.right, None, None)
        stop, self.position = self.position, self._parent_at
        self.read_var_uint()
        parent = (self.read_var_uint(), self.read_var_uint()) if self.parent else self.read_var_string()
        key = self.read_var_string() if self.position < self.content_at else None
        self.position = stop
        return Place(None, None, parent, key)

    def _read_parent(self, client: int, info: int) -> None:
        self._parent_at = self.position
        super()._read_parent(client, info)

    def _content(self, stop: int) -> Content:
        self.position = self.content_at
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
