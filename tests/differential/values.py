"""Random values in the two notations of an update: lib0's ``any``, and JSON text."""

import re
import struct
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from crdt.encoding import encode_var_bytes, encode_var_string, encode_var_uint
from tests.differential.traits import FORGOTTEN_BY_YJS, LONE_SURROGATE, TOO_DEEP

__all__ = ["Written", "any_object", "any_traits", "any_value", "encode_var_int", "json_text", "word"]


class Written(NamedTuple):
    """Something encoded, and the names of what is peculiar about it."""

    data: bytes
    traits: frozenset[str] = frozenset()


PLAIN: frozenset[str] = frozenset()

WORDS = (
    "a",
    "be",
    "sea ",
    "née",
    "Ω",
    "世界",
    "\ufffd",
    "\ufeff",
    "\0",
    "\n",
    '"\\',
    "\x7f",
    "\u2028",
    "\uffff",
)
PAIRS = ("😀", "x😀y", "👩\u200d👩", "\U0010ffff")
KEYS = ("k", "n", "", "é", "constructor", "2", "1", "a\0b", "😀")
JSON_KEYS = (*KEYS, "__proto__")
"""Of an ``any`` JavaScript makes __proto__ the prototype: what is behind it is lost at once."""
DEPTHS = (2, 3, 17, 64, 65, 126, 127, 128, 129, 300, 490, 1_200)
"""Around the limits that yrs and its parsers have, and beyond Cowrite's own."""

INTEGERS = (0, 1, -1, 63, 64, -64, 2**31 - 1, 2**31, -(2**31), 2**53 - 1, -(2**53 - 1))
FLOATS = (
    0.5,
    -0.0,
    0.1,
    1e308,
    5e-324,
    2.0**31,
    2.0**53,
    2.0**63,
    1e21,
    float("nan"),
    float("inf"),
    float("-inf"),
)
BIG = (0, 1, -1, 2**53 - 1, 2**53, 2**53 + 1, 2**60, 2**63 - 1, -(2**63), 10**18 + 1)
JSON_NUMBERS = (
    *("0", "-1", "1.0", "1e2", "0.1", "1e308", "1e-400", "5e-324", "9007199254740993", "9007199254740993.0"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775809", "12345678901234567890", "1e21"),
    *("18446744073709551615", "18446744073709551616", "123456789012345678901234567890", "94383151595.47633"),
)
JSON_PLAIN = (
    "null",
    "true",
    "false",
    "{}",
    "[]",
    '""',
    '"\\u0000"',
    '"\\ud83d\\ude00"',
    '"\\/\\b\\f\\n\\r\\t\\\\\\""',
)
JSON_LONE = ('"\\ud83c"', '"\\udf0d\\ud83c"', '"a\\ud83cb"', '{"\\ud83c":1}', '["\\ud83c\\u0041"]')
JSON_FORGOTTEN = ("-0", "-0.0", '{"n":-0}')


def word(random: Random, *, pairs: bool = True) -> str:
    """Return a piece of text, of one character or a few."""
    return random.choice(PAIRS if pairs and random.random() < 0.15 else WORDS)


def encode_var_int(value: int, *, negative: bool | None = None) -> bytes:
    """Encode a signed integer as lib0 does (E2); ``negative`` alone tells -0 from 0."""
    sign = 64 if (value < 0 if negative is None else negative) else 0
    value = abs(value)
    first, rest = value & 63, value >> 6
    return bytes((128 | sign | first,)) + encode_var_uint(rest) if rest else bytes((sign | first,))


def any_value(random: Random, depth: int = 0) -> bytes:
    """Encode a random ``any``: every tag, and the numbers at which encoders change their mind."""
    tag = random.choice(_TAGS if depth < 3 else _FLAT)
    return bytes((tag,)) + _ANY[tag](random, depth)


_DEEP = re.compile(rb"(?:\x75\x01){501}|(?:\x76\x01\x01k){501}")


def any_traits(data: bytes) -> frozenset[str]:
    """Return the names of what is peculiar about some ``any``."""
    return frozenset((TOO_DEEP,)) if len(data) > 1_000 and _DEEP.search(data) else PLAIN


def any_object(random: Random, depth: int = 0) -> bytes:
    """Encode a random object without its tag; a key may come twice."""
    entries = range(random.randrange(4))
    parts = [encode_var_string(random.choice(KEYS)) + any_value(random, depth + 1) for _ in entries]
    return encode_var_uint(len(parts)) + b"".join(parts)


def _any_array(random: Random, depth: int) -> bytes:
    if depth == 0 and random.random() < 0.03:
        levels = random.choice(DEPTHS) - 1
        return b"\x01" + random.choice((b"\x75\x01", b"\x76\x01\x01k")) * levels + b"\x7e"
    values = range(random.randrange(4))
    return encode_var_uint(len(values)) + b"".join(any_value(random, depth + 1) for _ in values)


def _any_int(random: Random, depth: int) -> bytes:
    if random.random() < 0.2:
        return encode_var_int(0, negative=True)
    return encode_var_int(random.choice(INTEGERS))


def _any_float(random: Random, depth: int) -> bytes:
    return struct.pack(">d", random.choice(FLOATS)) if random.random() < 0.7 else random.randbytes(8)


def _any_float32(random: Random, depth: int) -> bytes:
    return (
        struct.pack(">f", random.choice((0.5, -0.0, 1.0, 2.0**53)))
        if random.random() < 0.7
        else random.randbytes(4)
    )


def _any_big(random: Random, depth: int) -> bytes:
    return struct.pack(">q", random.choice(BIG)) if random.random() < 0.7 else random.randbytes(8)


_ANY: dict[int, Callable[[Random, int], bytes]] = {
    127: lambda random, depth: b"",
    126: lambda random, depth: b"",
    125: _any_int,
    124: _any_float32,
    123: _any_float,
    122: _any_big,
    121: lambda random, depth: b"",
    120: lambda random, depth: b"",
    119: lambda random, depth: encode_var_string(word(random)),
    118: any_object,
    117: _any_array,
    116: lambda random, depth: encode_var_bytes(random.randbytes(random.randrange(4))),
}
_TAGS = tuple(_ANY)
_FLAT = tuple(tag for tag in _ANY if tag not in (117, 118))


def json_text(random: Random) -> Written:
    """Write random JSON, in its encoding as a varString."""
    chance = random.random()
    if chance < 0.04:
        return Written(_text(random.choice(JSON_LONE)), frozenset((LONE_SURROGATE,)))
    if chance < 0.06:
        return Written(_text(random.choice(JSON_FORGOTTEN)), frozenset((FORGOTTEN_BY_YJS,)))
    if chance < 0.09:
        levels = random.choice(DEPTHS)
        opened, closed = random.choice((("[", "]"), ('{"k":', "}"), (' [ 1.5 ,"]" , ', "]")))
        traits = frozenset((TOO_DEEP,)) if levels > 500 else PLAIN
        return Written(_text(opened * levels + "1" + closed * levels), traits)
    return Written(_text(_json(random, 0)))


def _json(random: Random, depth: int) -> str:
    kind = random.randrange(4 if depth > 2 else 7)
    match kind:
        case 0:
            return random.choice(JSON_PLAIN)
        case 1:
            return random.choice(JSON_NUMBERS)
        case 2:
            return repr(random.random() * 10 ** random.randint(-30, 30))
        case 3:
            return _quoted(word(random))
        case 4 | 5:
            entries = range(random.randrange(4))
            space = random.choice(("", "", " ", "\n\t"))
            members = [
                f"{space}{_quoted(random.choice(JSON_KEYS))}:{space}{_json(random, depth + 1)}"
                for _ in entries
            ]
            return f"{{{','.join(members)}{space}}}"
        case _:
            return f"[{', '.join(_json(random, depth + 1) for _ in range(random.randrange(4)))}]"


def _quoted(text: str) -> str:
    return '"' + "".join(_ESCAPES.get(character, character) for character in text) + '"'


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\0": "\\u0000", "\n": "\\n"}


def _text(text: str) -> bytes:
    return encode_var_string(text)
