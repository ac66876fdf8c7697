"""Updates that no client writes: each breaks one rule of the grammar, or has bytes changed at random."""

import re
from collections.abc import Callable
from random import Random

from crdt.content import ANY, DELETED, DOC, EMBED, FORMAT, GC, JSON, STRING, TYPE
from crdt.encoding import encode_var_bytes, encode_var_string, encode_var_uint
from tests.differential.contents import Content
from tests.differential.draft import Draft, encode
from tests.differential.traits import MUTATED

__all__ = ["BROKEN", "break_grammar", "mutate"]

Breaker = Callable[[Draft, Random], Content | bytes]
"""Returns what stands in the place of a struct: its content, or all its bytes."""

_MAY_HOLD_A_PAIR = re.compile(rb"[\xf0-\xf4][\x80-\xbf]{3}")
TWO_TO_53 = b"\x80\x80\x80\x80\x80\x80\x80\x20"


def _one_of(kind: int, *contents: bytes, length: int = 1) -> Breaker:
    return lambda draft, random: Content(kind, random.choice(contents), length)


def _raw(*structs: bytes) -> Breaker:
    return lambda draft, random: random.choice(structs)


def _to_itself(draft: Draft, random: Random) -> bytes:
    client = draft.clients[0]
    later = encode_var_uint(client) + encode_var_uint(draft.clocks[client] + random.randrange(2))
    return random.choice((b"\x84" + later, b"\x44" + later, b"\x04\x00" + later)) + b"\x01x"


def _length_zero(draft: Draft, random: Random) -> Content:
    return Content(random.choice((GC, DELETED, JSON, STRING, ANY)), b"\x00", 0)


NOT_JSON = (
    "",
    "undefined",
    "NaN",
    "01",
    ".5",
    "[1,]",
    "{a:1}",
    '"\n"',
    "1 2",
    "\ufeff1",
    '"\\x41"',
    "nul",
    "[",
)
NOT_TEXT = (encode_var_bytes(b"a\xff"), encode_var_bytes(b"\xed\xa0\xbc"))

BOTH_REFUSE: dict[str, Breaker] = {
    "not UTF-8": _one_of(STRING, *NOT_TEXT),
    "no JSON in an embed": _one_of(EMBED, *map(encode_var_string, NOT_JSON)),
    "no JSON in a mark": _one_of(FORMAT, *(b"\x01b" + encode_var_string(text) for text in NOT_JSON)),
    "no JSON in JSON": _one_of(
        JSON, *(b"\x01" + encode_var_string(text) for text in NOT_JSON if text != "undefined")
    ),
    "unknown shared type": _one_of(TYPE, *map(encode_var_uint, (7, 8, 9, 15, 127, 255))),
    "unknown any": _one_of(ANY, *(b"\x01" + bytes((tag,)) for tag in (0, 115, 128, 255))),
    "subdocument without options": _one_of(DOC, b"\x01g\x7e", b"\x01g\x7f"),
    "unknown kind": _raw(*(bytes((kind, 1, 1)) + b"t\x01x" for kind in range(11, 32))),
}
YJS_READS: dict[str, Breaker] = {
    "a struct of length zero": _length_zero,
    "a parent that is neither root nor item": _raw(b"\x04\x02\x01t\x01x"),
    "a struct that refers to what comes after it": _to_itself,
    "flags on a GC struct": _raw(b"\x80\x01", b"\x20\x01"),
    "XmlHook": _one_of(TYPE, b"\x05\x04hook"),
    "a jump of more than 2^28": _one_of(GC, encode_var_uint(2**28 + 1), length=2**28 + 1),
    "an integer of 2^53 and more": _one_of(ANY, b"\x01\x7d" + TWO_TO_53),
    "a JSON number beyond every double": _one_of(
        EMBED, *map(encode_var_string, ("1e400", "[-1e999]", "1" + "0" * 400))
    ),
}
OUTSIDE = (
    "bytes behind the delete set",
    "a client twice",
    "a section without structs",
    "a deleted range of length zero",
)
BROKEN = (*BOTH_REFUSE, *YJS_READS, *OUTSIDE)
"""The names of all that ``break_grammar`` does."""


def break_grammar(draft: Draft, update: bytes) -> bytes:
    """Return an update that breaks one rule: around ``update``, or in a struct beside good ones."""
    random = draft.random
    name = random.choice(BROKEN)
    draft.traits.add(name)
    if name in OUTSIDE:
        return _outside(name, draft, update)
    client = draft.clients[0]
    broken = (BOTH_REFUSE | YJS_READS)[name](draft, random)
    if isinstance(broken, bytes):
        draft.structs[client].append((draft.clocks[client], broken))
        draft.clocks[client] += 1
    else:
        draft.add(client, broken)
    if random.random() < 0.5:
        draft.add(client, Content(STRING, b"\x05after", 5))
    return encode(_sections(draft), ())


def _outside(name: str, draft: Draft, update: bytes) -> bytes:
    sections = _sections(draft)
    if name == "bytes behind the delete set":
        return update + draft.random.randbytes(draft.random.randint(1, 4))
    if name == "a deleted range of length zero":
        return encode(sections, [(draft.clients[0], [(0, 0)])])
    if name == "a section without structs":
        return encode([*sections, (5, 0, [])], ())
    client, clock, structs = sections[-1]
    again = (client, draft.clocks[client], [b"\x04\x01\x01t\x05again"])
    return encode([*sections, again], ())


def _sections(draft: Draft) -> list[tuple[int, int, list[bytes]]]:
    return [
        (client, structs[0][0], [data for _, data in structs])
        for client, structs in sorted(draft.structs.items(), reverse=True)
        if structs
    ]


def mutate(draft: Draft, update: bytes) -> bytes:
    """Change, drop or add a byte or a few: what still is an update must be read alike all the same."""
    random = draft.random
    if _MAY_HOLD_A_PAIR.search(update):
        # A changed origin may split it, which is named otherwise.
        return update
    draft.traits.add(MUTATED)
    changed = bytearray(update)
    for _ in range(random.choice((1, 1, 2, 3))):
        # Never the last byte left: an empty update is none.
        position = random.randrange(len(changed))
        match random.randrange(4):
            case 0:
                changed[position] ^= 1 << random.randrange(8)
            case 1:
                changed[position] = random.choice((0, 1, 2, 4, 7, 10, 0x7F, 0x80, 0xFF))
            case 2 if len(changed) > 1:
                del changed[position]
            case _:
                changed.insert(position, random.randrange(256))
    return bytes(changed)
