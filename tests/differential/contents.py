"""Random content of every kind: what stands in a struct behind its place."""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from crdt.content import ANY, BINARY, DELETED, DOC, EMBED, FORMAT, GC, JSON, SKIP, STRING, TYPE
from crdt.encoding import encode_var_bytes, encode_var_string, encode_var_uint
from tests.differential.traits import FORGOTTEN_BY_YJS
from tests.differential.values import PLAIN, Written, any_object, any_traits, any_value, json_text, word

__all__ = ["KINDS", "Content", "content"]

KINDS = (GC, DELETED, JSON, BINARY, STRING, EMBED, FORMAT, TYPE, ANY, DOC, SKIP)

MARKS = ("bold", "link", "", "__proto__", "é")
LARGE_BYTES = 70_000
"""More than a piece of an update has (G4)."""


class Content(NamedTuple):
    """What one struct holds, over how many clocks."""

    kind: int
    data: bytes
    length: int = 1
    traits: frozenset[str] = PLAIN
    seconds: tuple[int, ...] = ()
    """Where the second halves of surrogate pairs stand."""


def content(kind: int, random: Random) -> Content:
    """Write random content of ``kind``."""
    return _WRITERS[kind](random)


def _length(random: Random) -> int:
    return random.choice((1, 1, 2, 3, 5))


def _empty(kind: int) -> Callable[[Random], Content]:
    def write(random: Random) -> Content:
        length = _length(random)
        return Content(kind, encode_var_uint(length), length)

    return write


def _json(random: Random) -> Content:
    values = [_json_value(random) for _ in range(_length(random))]
    data = encode_var_uint(len(values)) + b"".join(value.data for value in values)
    return Content(JSON, data, len(values), frozenset().union(*(value.traits for value in values)))


def _json_value(random: Random) -> Written:
    return Written(encode_var_string("undefined")) if random.random() < 0.2 else json_text(random)


def _binary(random: Random) -> Content:
    size = LARGE_BYTES if random.random() < 0.001 else random.randrange(6)
    return Content(BINARY, encode_var_bytes(random.randbytes(size)))


def _string(random: Random) -> Content:
    text = "".join(word(random) for _ in range(_length(random)))
    if random.random() < 0.0003:
        text += "long " * (LARGE_BYTES // 5)
    units = text.encode("utf-16-le")
    seconds = tuple(at for at in range(len(units) // 2) if units[2 * at + 1] & 0xFC == 0xDC)
    return Content(STRING, encode_var_string(text), len(units) // 2, seconds=seconds)


def _embed(random: Random) -> Content:
    value = json_text(random)
    return Content(EMBED, value.data, traits=value.traits)


def _format(random: Random) -> Content:
    value = json_text(random)
    return Content(FORMAT, encode_var_string(random.choice(MARKS)) + value.data, traits=value.traits)


def _type(random: Random) -> Content:
    type_ref = random.choice((0, 1, 2, 3, 4, 6))
    name = encode_var_string(word(random)) if type_ref == 3 else b""
    return Content(TYPE, encode_var_uint(type_ref) + name)


def _any(random: Random) -> Content:
    values = [any_value(random) for _ in range(_length(random))]
    data = encode_var_uint(len(values)) + b"".join(values)
    return Content(ANY, data, len(values), any_traits(data))


OPTIONS = {"gc": b"\x79", "autoLoad": b"\x78", "unknown": b"\x77\x01x"}
STRANGE_OPTIONS = (
    ("gc", b"\x7d\x00"),
    ("shouldLoad", b"\x78"),
    ("collectionid", b"\x77\x01c"),
    ("guid", b"\x77\x05other"),
    ("autoLoad", b"\x7d\x01"),
)


def _doc(random: Random) -> Content:
    chosen = [(key, OPTIONS[key]) for key in OPTIONS if random.random() < 0.3]
    traits = PLAIN
    if random.random() < 0.5:
        chosen.append(("meta", b"\x76" + any_object(random) if random.random() < 0.5 else any_value(random)))
    if random.random() < 0.1:
        chosen.append(random.choice(STRANGE_OPTIONS))
        traits = frozenset((FORGOTTEN_BY_YJS,))
    random.shuffle(chosen)
    options = encode_var_uint(len(chosen)) + b"".join(encode_var_string(key) + value for key, value in chosen)
    guid = encode_var_string(f"{word(random)}{random.randrange(3)}")
    return Content(DOC, guid + b"\x76" + options, traits=traits | any_traits(options))


_WRITERS: dict[int, Callable[[Random], Content]] = {
    GC: _empty(GC),
    DELETED: _empty(DELETED),
    JSON: _json,
    BINARY: _binary,
    STRING: _string,
    EMBED: _embed,
    FORMAT: _format,
    TYPE: _type,
    ANY: _any,
    DOC: _doc,
    SKIP: _empty(SKIP),
}
