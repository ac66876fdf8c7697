"""What one struct carries: text, values, a mark, a shared type. Knows nothing of where the struct stands.

Content is checked as Yjs reads it, and how yrs would read it is noted (references/protocol.md, U4–U16).
"""

import re
from collections.abc import Iterator, Sequence
from sys import maxsize

from crdt.encoding import Decoder
from crdt.errors import Malformed
from crdt.json_text import DEPTH_LIMIT, inspect_json
from crdt.reading import Reading

__all__ = [
    "ANY",
    "BINARY",
    "DELETED",
    "DOC",
    "EMBED",
    "FORMAT",
    "GC",
    "JSON",
    "LOST_OPTIONS",
    "SKIP",
    "STRING",
    "TYPE",
    "XML_ELEMENT",
    "YJS_OPTIONS",
    "ContentReader",
    "read_options",
]

JUMP_LIMIT = 2**28
"""The longest struct without content (U6), which is longer than any content: one GC struct of 2**32 would
silence its client for ever."""

GC, DELETED, JSON, BINARY, STRING, EMBED, FORMAT, TYPE, ANY, DOC, SKIP = range(11)

XML_ELEMENT, XML_HOOK = 3, 5
_TYPES = range(7)


_OBJECT = 118
_KEPT_OPTIONS = re.compile(
    rb"\x76[\x00-\x02](?:\x02gc[\x78\x79]|\x08autoLoad[\x78\x79])*"  # of Yjs
    rb"|\x76\x04(?:\x02gc[\x78\x79]|\x08encoding\x7d\x01|\x08autoLoad\x78|\x0ashouldLoad\x78)*"  # of yrs
    rb"|\x76\x04(?:\x02gc[\x78\x79]|\x08encoding\x7d\x01|\x08autoLoad\x79|\x0ashouldLoad\x79)*"
)
YJS_OPTIONS = (b"gc", b"autoLoad", b"meta", b"guid", b"collectionid")
"""What Yjs makes of the options of a subdocument; it drops the others when it writes."""

LOST_OPTIONS = rb"\x04meta|\x04guid|\x0ccollectionid|\x02gc[^\x78\x79]|\x08autoLoad[^\x78\x79]"
"""Those of them that yrs drops, as a regular expression."""


def read_options(options: Decoder) -> Iterator[tuple[bytes, bytes]]:
    """Go through an object at the position of ``options``, which was checked: key and encoded value."""
    options.read_byte()
    for _ in range(options.read_var_uint()):
        key = options.read_var_bytes()
        start = options.position
        options.skip_any()
        yield key, options.data[start : options.position]


class ContentReader(Decoder):
    """Reads contents one after another; the attributes describe the latest one."""

    __slots__ = ("_limit_bytes", "content_at", "pairs", "reading")

    pairs: Sequence[int]
    """Where in its text the second halves of surrogate pairs stand."""
    content_at: int
    """Where it starts; it ends at ``position``."""
    reading: Reading
    """How yrs reads it."""

    def __init__(self, data: bytes, position: int = 0, limit_bytes: int = maxsize) -> None:
        """Begin at ``position``; larger content than ``limit_bytes`` is ``UNTAKABLE``."""
        super().__init__(data, position)
        self._limit_bytes = limit_bytes

    def read_content(self, kind: int) -> int:
        """Read the content of an item of ``kind`` and return its length in clocks."""
        self.content_at = self.position
        length = self._read_string() if kind == STRING else self._read_content(kind)
        if self.position - self.content_at > self._limit_bytes:
            self.reading = Reading.UNTAKABLE
        return length

    def _read_content(self, kind: int) -> int:
        match kind:
            case 1:
                return self._read_jump()
            case 8:
                return self._read_values()
            case 2:
                return self._read_json_values()
            case 3:
                self.skip_var_bytes()
            case 5:
                self._read_json()
            case 6:
                self.read_var_string()
                self._read_json()
            case 7:
                self._read_type()
            case 9:
                self._read_subdocument()
            case _:
                raise Malformed(f"unknown struct kind {kind}")
        return 1

    def _read_values(self) -> int:
        count = self._read_item_count()
        self.negative_zeros.clear()
        for _ in range(count):
            self._read_any()
        if self.negative_zeros:
            self._is(Reading.UNREADABLE)
        return count

    def _read_any(self) -> None:
        if not self.skip_any():
            self._is(Reading.ALTERED)
        if self.deepest > DEPTH_LIMIT:
            self._is(Reading.UNTAKABLE)

    def _is(self, reading: Reading) -> None:
        if reading > self.reading:
            self.reading = reading

    def _read_json_values(self) -> int:
        """yrs reads one text too many (U13)."""
        count = self._read_item_count()
        self.reading = Reading.UNREADABLE
        for _ in range(count):
            text = self.read_var_bytes()
            if text != b"undefined":
                self._is(inspect_json(text))
        return count

    def _read_json(self) -> None:
        start = self.skip_var_bytes()
        is_large = self.position - start > self._limit_bytes
        self._is(Reading.UNTAKABLE if is_large else inspect_json(self.data[start : self.position]))

    def _read_subdocument(self) -> None:
        self.read_var_string()
        start = self.position
        self._read_any()
        if self.data[start] != _OBJECT:
            raise Malformed("options of a subdocument are an object")
        if _KEPT_OPTIONS.fullmatch(self.data, start, self.position):
            return
        is_odd = any(key not in YJS_OPTIONS for key, _ in read_options(Decoder(self.data, start)))
        self._is(Reading.UNREADABLE if is_odd else Reading.ALTERED)

    def _read_item_count(self) -> int:
        count = self.read_count()
        if not count:
            raise Malformed("struct of length zero")
        return count

    def _read_string(self) -> int:
        """Lengths count UTF-16 code units, as JavaScript does (U7)."""
        content = self.read_var_bytes()
        if content.isascii():
            length = len(content)
        else:
            try:
                text = content.decode()
            except UnicodeDecodeError as error:
                raise Malformed("text is not UTF-8") from error
            units = text.encode("utf-16-le")
            length = len(units) // 2
            if length != len(text):
                self.pairs = [index for index in range(length) if units[2 * index + 1] & 0xFC == 0xDC]
        if not length:
            raise Malformed("struct of length zero")
        return length

    def _read_type(self) -> None:
        type_ref = self.read_var_uint()
        if type_ref not in _TYPES:
            raise Malformed("unknown shared type")
        if type_ref in (XML_ELEMENT, XML_HOOK):
            self.read_var_string()
        if type_ref == XML_HOOK:
            self.reading = Reading.UNREADABLE  # yrs does not read its name.

    def _read_jump(self) -> int:
        length = self.read_var_uint()
        if not 0 < length <= JUMP_LIMIT:
            raise Malformed("length of an empty struct out of range")
        return length
