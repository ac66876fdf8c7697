"""Writes content anew that yrs refuses or misreads, as the same values in a form that it reads as Yjs does.

An update comes out with the same clocks, origins and parents (references/protocol.md, U13, U15, U16). What
is beyond a limit comes out as deleted content of the same length: what its author writes behind it is taken,
and everybody sees the same.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from sys import maxsize

from crdt.content import (
    ANY,
    DELETED,
    DOC,
    EMBED,
    FORMAT,
    GC,
    JSON,
    TYPE,
    XML_ELEMENT,
    YJS_OPTIONS,
    read_options,
)
from crdt.encoding import Decoder, encode_any, encode_var_bytes, encode_var_string, encode_var_uint
from crdt.gate import Inspection
from crdt.json_text import parse_json, rewrite_json
from crdt.reading import Reading
from crdt.surrogates import SurrogatePairs
from crdt.update import SLICE, DeleteRange, Run, StructReader, Update, encode_update

__all__ = ["Removed", "Rewriting", "as_kind", "rewritten"]


def rewritten(update: bytes) -> Update:
    """Return an update of an old log as it would be logged today; raises ``Malformed``."""
    inspection = Inspection(update, {}, SurrogatePairs())
    deque(inspection.steps(), maxlen=0)
    if inspection.reading < Reading.UNREADABLE:
        return inspection.update
    rewriting = Rewriting(inspection, maxsize)
    deque(rewriting.steps(), maxlen=0)
    return rewriting.update


@dataclass(frozen=True, slots=True)
class Removed:
    """Content that was taken as deleted, because it is beyond a limit."""

    range: DeleteRange
    kind: int
    size_bytes: int

    def __str__(self) -> str:
        """Tell where it stood, for the log."""
        return f"{self.size_bytes} bytes of kind {self.kind} at {self.range.client}:{self.range.clock}"


@dataclass(slots=True)
class Rewriting:
    """Rewrites an inspected update."""

    inspection: Inspection
    content_limit_bytes: int
    """What content may take."""
    update: Update = Update(b"")
    """Afterwards: the update as it is to be taken."""
    removed: list[Removed] = field(default_factory=list)

    def steps(self) -> Iterator[None]:
        """Write the update anew, pausing now and then; its delete set stays as it is."""
        runs = []
        passed = 0
        for client, clock, count, start, _ in self.inspection.sections:
            reader = StructReader(self.inspection.update, start, self.content_limit_bytes)
            reader.clock = clock
            structs: list[bytes] = []
            for _ in range(count):
                structs.append(self._rewritten(client, reader))
                passed += 1
                if passed % SLICE == 0:
                    yield
            runs.append(Run(client, clock, count, b"".join(structs)))
        without_deletes = encode_update(runs)[:-1]
        self.update = Update(without_deletes + self.inspection.deletes.encoded)

    def _rewritten(self, client: int, reader: StructReader) -> bytes:
        start, clock = reader.position, reader.clock
        reader.read_struct(client)
        whole = reader.data[start : reader.position]
        if reader.reading < Reading.UNREADABLE:
            return whole
        head, content = whole[: reader.content_at - start], whole[reader.content_at - start :]
        if reader.reading is Reading.UNTAKABLE:
            deleted = DeleteRange(client, clock, reader.clock)
            self.removed.append(Removed(deleted, reader.kind, len(content)))
            return as_kind(DELETED, start, reader)
        if reader.kind == JSON:
            return _of_kind(ANY, head) + _values(Decoder(content))
        if reader.kind == ANY:
            return head + _with_float_zeros(reader)
        return head + _CONTENTS[reader.kind](Decoder(content))


def as_kind(kind: int, start: int, reader: StructReader) -> bytes:
    """Return the struct just read, which began at ``start``, as one of the same length without content."""
    head = b"\x00" if kind == GC else _of_kind(kind, reader.data[start : reader.content_at])
    return head + encode_var_uint(reader.length)


def _of_kind(kind: int, head: bytes) -> bytes:
    """The first byte of a struct tells its kind, beside three flags."""
    return bytes((head[0] & 0xE0 | kind,)) + head[1:]


def _values(content: Decoder) -> bytes:
    """U13: the elements of an old array were JSON, or nothing."""
    count = content.read_var_uint()
    texts = [content.read_var_bytes() for _ in range(count)]
    values = [b"\x7f" if text == b"undefined" else encode_any(parse_json(text)) for text in texts]
    return encode_var_uint(count) + b"".join(values)


def _with_float_zeros(reader: StructReader) -> bytes:
    """U13: yrs gives the integer −0 back as 0, and the float −0 as it is."""
    parts: list[bytes] = []
    position = reader.content_at
    for start, stop in reader.negative_zeros:
        parts += (reader.data[position:start], b"\x7c\x80\x00\x00\x00")
        position = stop
    return b"".join((*parts, reader.data[position : reader.position]))


def _embed(content: Decoder) -> bytes:
    return encode_var_string(rewrite_json(content.read_var_string()))


def _mark(content: Decoder) -> bytes:
    return encode_var_bytes(content.read_var_bytes()) + _embed(content)


def _type(content: Decoder) -> bytes:
    """U15: XmlHook becomes an XmlElement of its name; both hold a map, and children."""
    content.read_var_uint()
    return encode_var_uint(XML_ELEMENT) + content.data[content.position :]


def _subdocument(content: Decoder) -> bytes:
    """U13: Yjs drops the options that it does not know."""
    guid = content.read_var_bytes()
    options = [(key, value) for key, value in read_options(content) if key in YJS_OPTIONS]
    entries = b"".join(encode_var_bytes(key) + value for key, value in options)
    return encode_var_bytes(guid) + b"\x76" + encode_var_uint(len(options)) + entries


_CONTENTS = {EMBED: _embed, FORMAT: _mark, TYPE: _type, DOC: _subdocument}
