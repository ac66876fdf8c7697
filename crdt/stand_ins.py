"""Keeps the content beside the Doc that yrs would give back as another value; a stand-in enters in its place.

yrs reads an int64 as a number and the last digit of some numbers in JSON otherwise, drops the ``meta`` of a
subdocument, and refuses JSON that nests 128 deep (references/protocol.md, U14). It never sees them: ``hide``
puts stand-ins into what goes in, ``reveal`` puts the content back into what comes out.
"""

import re
from collections.abc import Iterator
from uuid import uuid4

from crdt.content import ANY, DOC, EMBED, FORMAT, LOST_OPTIONS
from crdt.encoding import Decoder
from crdt.json_text import is_deep
from crdt.reading import Reading
from crdt.update import SLICE, StructReader, Update

__all__ = ["StandIns", "may_be_altered"]

_MARK = uuid4().hex.encode()
"""Begins every stand-in of this process. Nobody outside sees one, so nobody can write what looks like one."""

_STAND_IN = re.compile(_MARK + b"([0-9a-f]{16})")
"""What it is found by, in 0.6 ns a byte; around it are a length and quotes, a tag or options."""

_MAY_BE_ALTERED = re.compile(
    rb"\x7a.{8}"  # an int64
    rb"|-0|[0-9][eE]|[0-9.]{16}"  # numbers in JSON
    rb"|" + LOST_OPTIONS,
    re.DOTALL,
)

_KEPT_MIN, _KEPT_MIN_BYTES = 1_024, 2**20
"""So many contents are kept before anybody looks which are gone."""


def may_be_altered(update: bytes) -> bool:
    """Whether anything in ``update`` may be ``ALTERED``: False is certain, and costs 20 ns a byte."""
    return _MAY_BE_ALTERED.search(update) is not None or is_deep(update)


class StandIns:
    """The contents of one document that have a stand-in, each once."""

    __slots__ = ("_contents", "_kept_bytes", "_next", "_numbers", "_review_at", "_review_at_bytes")

    def __init__(self) -> None:
        self._contents: dict[int, tuple[int, bytes]] = {}
        """By number: the kind, and what stands in the update."""
        self._kept_bytes = 0
        self._numbers: dict[tuple[int, bytes], int] = {}
        """By kind and content: what is equal has the same stand-in, for yrs compares marks."""
        self._next = 0
        self._review_at, self._review_at_bytes = _KEPT_MIN, _KEPT_MIN_BYTES

    def __bool__(self) -> bool:
        return bool(self._contents)

    def hide(self, update: bytes) -> Update:
        """Return ``update`` with stand-ins for what yrs would alter; raises ``Malformed``."""
        *_, hidden = self.hiding(update)
        assert hidden is not None
        return hidden

    def hiding(self, update: bytes) -> Iterator[Update | None]:
        """Do the same, pausing now and then: yield None for a pause, and the update at the end."""
        reader = StructReader(update)
        parts: list[bytes] = []
        position = passed = 0
        for _ in range(reader.read_count(3)):
            count, client = reader.read_section_header()
            for _ in range(count):
                reader.read_struct(client)
                if reader.reading is Reading.ALTERED:
                    for start, stop, stand_in in self._stand_ins(reader):
                        parts += (update[position:start], stand_in)
                        position = stop
                passed += 1
                if passed % SLICE == 0:
                    yield None
        yield Update(b"".join((*parts, update[position:])))

    def _stand_ins(self, reader: StructReader) -> Iterator[tuple[int, int, bytes]]:
        content = Decoder(reader.data, reader.content_at)
        if reader.kind == ANY:
            for _ in range(content.read_var_uint()):
                start = content.position
                if not content.skip_any():
                    value = reader.data[start : content.position]
                    yield start, content.position, b"\x77\x30" + self._name(ANY, value)
            return
        if reader.kind == FORMAT:
            content.skip_var_bytes()
        hidden = reader.data[content.position : reader.position]
        if reader.kind == DOC:
            yield content.position, reader.position, b"\x31" + self._name(DOC, hidden) + b"d\x76\x00"
        else:
            yield content.position, reader.position, b'\x32"' + self._name(EMBED, hidden) + b'"'

    def _name(self, kind: int, content: bytes) -> bytes:
        number = self._numbers.setdefault((kind, content), self._next)
        if number == self._next:
            self._contents[number] = kind, content
            self._kept_bytes += len(content)
            self._next += 1
        return _MARK + b"%016x" % number

    def reveal(self, written: bytes) -> Update:
        """Return what yrs wrote with the contents in the place of their stand-ins."""
        if not self._contents:
            return Update(written)
        parts: list[bytes] = []
        position = 0
        for found in _STAND_IN.finditer(written):
            kind, content = self._contents[int(found[1], 16)]
            start, stop = found.span()
            if kind == DOC:
                options = Decoder(written, stop + 1)
                options.skip_any()
                start, stop = start - 1, options.position
            elif kind == ANY:
                start -= 2
            else:
                start, stop = start - 2, stop + 1
            parts += (written[position:start], content)
            position = stop
        return Update(b"".join((*parts, written[position:])))

    @property
    def is_due(self) -> bool:
        """Whether so much is kept that ``review`` is worth its while."""
        return len(self._contents) >= self._review_at or self._kept_bytes >= self._review_at_bytes

    def review(self, written: bytes) -> None:
        """Forget the contents whose stand-ins are not in ``written``, the whole document as yrs writes it."""
        numbers = {int(found[1], 16) for found in _STAND_IN.finditer(written)}
        self._contents = {number: self._contents[number] for number in numbers}
        self._numbers = {key: number for key, number in self._numbers.items() if number in numbers}
        self._kept_bytes = sum(len(content) for _, content in self._contents.values())
        self._review_at = max(_KEPT_MIN, 2 * len(numbers))
        self._review_at_bytes = max(_KEPT_MIN_BYTES, 2 * self._kept_bytes)
