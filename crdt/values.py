"""The values inside a document, in one form each: equal bytes where JavaScript reads equal values.

A value comes as a lib0 ``any`` or as JSON, and the engines write it in more than one way: an object with its
keys in any order, a number as an integer or as either kind of float. Everything that JavaScript tells apart
stays apart: 1 and BigInt 1, 0 and -0, null and undefined. Nothing here recurses, and nothing judges: what is
no JSON is compared as it stands.
"""

import re
import struct
from collections.abc import Iterable
from hashlib import blake2b
from json import JSONDecoder
from math import isnan
from typing import NoReturn

from crdt.encoding import Decoder, encode_var_bytes
from crdt.errors import Malformed

__all__ = ["any_value", "json_value"]

_FLOAT, _STRING, _OBJECT, _ARRAY = 123, 119, 118, 117
_WORDS = {None: b"\x7e", False: b"\x79", True: b"\x78"}
_NO_JSON = b"\xff"
_NAN = bytes((_FLOAT,)) + struct.pack(">d", float("nan"))

_LARGE_BYTES = 1_024
"""A larger array or object stands as its digest: one inside the other, each would be copied into the next."""

_SPACE = re.compile(r"[ \t\n\r]*")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


_SCALARS = JSONDecoder(parse_int=float, parse_constant=_refuse)
"""Asked for everything but arrays and objects, in which it would recurse."""


class _Open:
    """An array or an object that is being read."""

    __slots__ = ("_keyed", "_values", "key", "left")

    def __init__(self, *, is_object: bool, left: int = 0) -> None:
        self.key: bytes | None = b"" if is_object else None
        """Of the next value, encoded; None in an array."""
        self.left = left
        """Values still to come, where that is known."""
        self._keyed: dict[bytes, bytes] = {}
        self._values: list[bytes] = []

    def add(self, value: bytes) -> None:
        """Take the next value; of a key that comes twice JavaScript keeps the later one."""
        self.left -= 1
        if self.key is None:
            self._values.append(value)
        else:
            self._keyed[self.key] = value

    def close(self) -> bytes:
        """Return the whole."""
        if self.key is None:
            return _whole(_ARRAY, self._values)
        return _whole(_OBJECT, (key + self._keyed[key] for key in sorted(self._keyed)))


def _whole(tag: int, parts: Iterable[bytes]) -> bytes:
    content = b"".join(parts)
    if len(content) > _LARGE_BYTES:
        return bytes((tag, 1)) + blake2b(content, digest_size=32).digest()
    return bytes((tag, 0)) + encode_var_bytes(content)


def _number(value: float) -> bytes:
    return _NAN if isnan(value) else struct.pack(">Bd", _FLOAT, value)


def any_value(decoder: Decoder) -> bytes:
    """Read one ``any``; raises ``Malformed``."""
    open_: list[_Open] = []
    while True:
        tag = decoder.read_byte()
        if tag in (_OBJECT, _ARRAY):
            open_.append(_Open(is_object=tag == _OBJECT, left=decoder.read_count()))
        else:
            value = _any_scalar(decoder, tag)
            if not open_:
                return value
            open_[-1].add(value)
        while not open_[-1].left:
            value = open_.pop().close()
            if not open_:
                return value
            open_[-1].add(value)
        if open_[-1].key is not None:
            open_[-1].key = encode_var_bytes(decoder.read_var_bytes())


def _any_scalar(decoder: Decoder, tag: int) -> bytes:
    match tag:
        case 127 | 126 | 121 | 120:
            return bytes((tag,))
        case 125:
            start = decoder.position
            value = decoder.read_var_int()
            return _number(value or (-0.0 if decoder.data[start] & 64 else 0.0))
        case 124:
            return _number(struct.unpack(">f", _take(decoder, 4))[0])
        case 123:
            return _number(struct.unpack(">d", _take(decoder, 8))[0])
        case 122:
            return bytes((tag,)) + _take(decoder, 8)
        case 119 | 116:
            return bytes((tag,)) + encode_var_bytes(decoder.read_var_bytes())
    raise Malformed(f"unknown value tag {tag}")


def _take(decoder: Decoder, size: int) -> bytes:
    start = decoder.position
    if size > decoder.end - start:
        raise Malformed("unexpected end")
    decoder.position = start + size
    return decoder.data[start : start + size]


def json_value(text: str) -> bytes:
    """Read JSON, to the same bytes as the ``any`` that says the same."""
    try:
        return _json(text)
    except (ValueError, IndexError):
        return _NO_JSON + text.encode("utf-8", "surrogatepass")


def _json(text: str) -> bytes:
    open_: list[_Open] = []
    position = _behind_space(text, 0)
    while True:
        first = text[position]
        if first in "{[":
            open_.append(_Open(is_object=first == "{"))
            position = _behind_space(text, position + 1)
            if text[position] not in "}]":
                position = _read_key(text, position, open_[-1])
                continue
        else:
            value, position = _json_scalar(text, position)
            if not open_:
                return _at_end(text, position, value)
            open_[-1].add(value)
        while text[position := _behind_space(text, position)] != ",":
            if text[position] != ("]" if open_[-1].key is None else "}"):
                raise ValueError("neither the end nor a comma")
            position += 1
            value = open_.pop().close()
            if not open_:
                return _at_end(text, position, value)
            open_[-1].add(value)
        position = _read_key(text, _behind_space(text, position + 1), open_[-1])


def _read_key(text: str, position: int, container: _Open) -> int:
    """Pass over the key of the next value, where it has one."""
    if container.key is None:
        return position
    if text[position] != '"':
        raise ValueError("no key")
    key, position = _SCALARS.raw_decode(text, position)
    container.key = _string(key)
    position = _behind_space(text, position)
    if text[position] != ":":
        raise ValueError("no colon")
    return _behind_space(text, position + 1)


def _json_scalar(text: str, position: int) -> tuple[bytes, int]:
    value, position = _SCALARS.raw_decode(text, position)
    if isinstance(value, str):
        return bytes((_STRING,)) + _string(value), position
    return _number(value) if isinstance(value, float) else _WORDS[value], position


def _string(value: str) -> bytes:
    return encode_var_bytes(value.encode("utf-8", "surrogatepass"))


def _behind_space(text: str, position: int) -> int:
    space = _SPACE.match(text, position)
    assert space is not None, "it matches nothing, too"
    return space.end()


def _at_end(text: str, position: int, value: bytes) -> bytes:
    if _behind_space(text, position) != len(text):
        raise ValueError("more behind the value")
    return value
