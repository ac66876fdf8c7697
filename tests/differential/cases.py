"""Named updates that Cowrite or yrs once took otherwise than Yjs, each as small as it gets."""

from crdt.content import ANY, BINARY, DELETED, DOC, EMBED, FORMAT, JSON, STRING, TYPE
from crdt.encoding import encode_var_string, encode_var_uint
from tests.crdt.build import ARRAY, MAP, Id, gc, item, section, skip, text, type_item, update
from tests.differential.generator import Case
from tests.differential.traits import HOOK, INFINITE, LONE_SURROGATE, SEVERAL_UNDER_A_KEY, TOO_DEEP

__all__ = ["ENDED_THE_PROCESS", "FOUND", "REFUSED"]


def _beside(kind: int, content: bytes, length: int = 1) -> bytes:
    """The content between two pieces of text."""
    return update(
        section(1, 0, text("xy"), item(kind, content, left=(1, 1)), text("z", left=(1, 1 + length)))
    )


def _any(*values: bytes) -> bytes:
    return _beside(ANY, encode_var_uint(len(values)) + b"".join(values), len(values))


def _mark(json: str) -> bytes:
    return _beside(FORMAT, encode_var_string("b") + encode_var_string(json))


def _embed(json: str) -> bytes:
    return _beside(EMBED, encode_var_string(json))


def _json(*values: str) -> bytes:
    return encode_var_uint(len(values)) + b"".join(map(encode_var_string, values))


def _doc(options: bytes) -> bytes:
    return _beside(DOC, encode_var_string("guid") + options)


def _child_of(kind: int, content: bytes, child: bytes) -> bytes:
    """A struct of client 2 in an item of client 1 that is no type, and one behind it in a root."""
    return update(section(2, 0, child, text("after")), section(1, 0, item(kind, content, parent="a")))


INSIDE: Id = (1, 0)
CHILD = text("inside", parent=INSIDE)
KEYED_CHILD = item(ANY, b"\x01\x78", parent=INSIDE, key="k")

_SINGLE = {
    "JSON that is misread: what follows becomes another text": bytes.fromhex(
        "0102010002010161010131040101740a04010175054f5448455200"
    ),
    "JSON alone": update(section(1, 0, item(JSON, _json("1"), parent="a"))),
    "JSON beside text": _beside(JSON, _json("1")),
    "JSON of every kind": _beside(JSON, _json("undefined", "null", "-1.5", '"é"', '{"k":[1,{}]}', "-0"), 6),
    "JSON in the middle of which somebody writes": update(
        section(2, 0, text("x", left=(1, 0), right=(1, 1))), section(1, 0, item(JSON, _json("1", "2")))
    ),
    "JSON of which one value is deleted": update(
        section(1, 0, item(JSON, _json("1", "2", "3"))), deletes={1: [(1, 1)]}
    ),
    "a mark of which yrs reads the neighbouring double": _mark("0.0009365522017793401"),
    "an embed of which yrs reads the neighbouring double": _embed('{"width":94383151595.47633}'),
    "a number of 2^53 + 1 with a point": _mark("9007199254740993.0"),
    "-0 in a mark": _mark("-0"),
    "an integer of 2^63": _mark("9223372036854775808"),
    "an integer below 2^64": _embed("[12345678901234567890]"),
    "an integer of 2^64": _mark("18446744073709551616"),
    "JSON 127 deep": _mark("[" * 127 + "]" * 127),
    "JSON 128 deep": _mark("[" * 128 + "]" * 128),
    "JSON 500 deep": _embed('{"k":' * 500 + "1" + "}" * 500),
    "small BigInts": _any(*(b"\x7a" + value.to_bytes(8, "big", signed=True) for value in (0, 1, -1, 2**53))),
    "large BigInts": _any(
        *(b"\x7a" + value.to_bytes(8, "big", signed=True) for value in (2**60, 2**63 - 1, -(2**63)))
    ),
    "a BigInt in an object": _any(b"\x76\x01\x01k\x7a\0\0\0\0\0\0\0\x05"),
    "-0 as an integer": _any(b"\x7d\x40", b"\x75\x01\x7d\xc0\x00"),
    "any 65 deep": _any(b"\x75\x01" * 65 + b"\x7e"),
    "any 500 deep": _any(b"\x76\x01\x01k" * 500 + b"\x7e"),
    "a subdocument's meta": _doc(b"\x76\x01\x04meta\x76\x01\x01k\x7d\x01"),
    "a subdocument's guid among its options": _doc(b"\x76\x01\x04guid\x77\x05other"),
    "a subdocument without options": _doc(b"\x7e"),
    "a subdocument with undefined options": _doc(b"\x7f"),
    "text inside text": _child_of(STRING, encode_var_string("text"), CHILD),
    "text inside an embed": _child_of(EMBED, encode_var_string("{}"), CHILD),
    "text inside a mark": _child_of(FORMAT, b"\x01b" + encode_var_string("true"), CHILD),
    "text inside bytes": _child_of(BINARY, b"\x00", CHILD),
    "text inside a value": _child_of(ANY, b"\x01\x78", CHILD),
    "text inside a subdocument": _child_of(DOC, b"\x01g\x76\x00", CHILD),
    "a key of a value": _child_of(ANY, b"\x01\x78", KEYED_CHILD),
    "text inside what was deleted": _child_of(DELETED, b"\x01", CHILD),
    "a key of what was deleted": _child_of(DELETED, b"\x01", KEYED_CHILD),
    "no JSON in what has to wait": update(section(1, 0, skip(1), item(EMBED, encode_var_string("{bad")))),
}


def _keyed(*split: bytes) -> tuple[bytes, ...]:
    """Maps with a text of two under a key, which is split; then the maps are deleted, and others are made."""
    count = 400
    maps = range(0, 3 * count, 3)
    structs = [
        struct
        for clock in maps
        for struct in (type_item(MAP), item(STRING, b"\x02ab", parent=(1, clock), key="key" * 10))
    ]
    return (
        update(section(1, 0, *structs)),
        *split,
        update(deletes={1: [(clock, 1) for clock in maps]}),
        update(section(3, 0, *(type_item(ARRAY, parent=f"root {number}") for number in range(500)))),
    )


_ENDED_THE_PROCESS = {
    "the second half of text under a key is deleted, then its map": _keyed(
        update(deletes={1: [(clock + 2, 1) for clock in range(0, 1_200, 3)]})
    ),
    "text under a key is written into, then its map is deleted": _keyed(
        update(section(2, 0, *(text("x", left=(1, clock + 1)) for clock in range(0, 1_200, 3))))
    ),
}
ENDED_THE_PROCESS = [
    Case(name, updates, frozenset((SEVERAL_UNDER_A_KEY,))) for name, updates in _ENDED_THE_PROCESS.items()
]
"""Cases of which yrs reads memory that it has freed."""

FOUND = [
    *(Case(name, (content,)) for name, content in _SINGLE.items()),
    *(
        Case(f"half a surrogate pair: {json}", (_mark(json),), frozenset((LONE_SURROGATE,)))
        for json in ('"\\ud83c"', '"\\udf0d\\ud83c"', '{"\\ud83cx":["\\udf0d"]}')
    ),
    Case(HOOK, (_beside(TYPE, b"\x05" + encode_var_string("hook")),), frozenset((HOOK,))),
    Case(INFINITE, (_mark("1e400"),), frozenset((INFINITE,))),
    Case("any 1,200 deep", (_any(b"\x75\x01" * 1_200 + b"\x7e"),), frozenset((TOO_DEEP,))),
    Case("JSON 1,200 deep", (_mark("[" * 1_200 + "]" * 1_200),), frozenset((TOO_DEEP,))),
]
"""Cases in which something was lost, refused or misread."""

GOOD = text("good")
_REFUSED = {
    "an integer of 2^53 and more": _any(b"\x7d" + b"\x80" * 7 + b"\x20"),
    "a client twice": update(section(1, 0, GOOD), section(1, 4, GOOD)),
    "a section without structs": update(section(1, 0)),
    "a struct of length zero": update(section(1, 0, text(""))),
    "flags on a GC struct": update(section(1, 0, b"\x80\x01")),
    "a parent that is neither root nor item": update(section(1, 0, b"\x04\x02\x02\x00\x01x")),
    "a struct that refers to what comes after it": update(section(1, 0, skip(1), text("x", left=(1, 1)))),
    "a jump of more than 2^28": update(section(1, 0, gc(2**28 + 1))),
    "a deleted range of length zero": update(section(1, 0, GOOD), deletes={1: [(0, 0)]}),
    "bytes behind the delete set": update(section(1, 0, GOOD)) + b"\x00",
}
REFUSED = [Case(name, (content,), frozenset((name,))) for name, content in _REFUSED.items()]
"""One case for each rule in ``REFUSALS``."""
