"""Builds updates struct by struct, well-formed or not, as no library would."""

from collections.abc import Mapping, Sequence

from crdt.encoding import encode_var_bytes, encode_var_string, encode_var_uint
from crdt.update import Update

__all__ = ["BAIT", "POISON", "chain", "gc", "item", "section", "skip", "text", "type_item", "update"]

Id = tuple[int, int]

ARRAY, MAP, TEXT = 0, 1, 2


def update(*sections: bytes, deletes: Mapping[int, Sequence[Id]] | None = None) -> Update:
    """Put sections together, in the given order; ``deletes`` are (clock, length) for each client."""
    parts = [encode_var_uint(len(sections)), *sections, encode_var_uint(len(deletes or {}))]
    for client, ranges in (deletes or {}).items():
        parts += [encode_var_uint(client), encode_var_uint(len(ranges))]
        parts += [encode_var_uint(clock) + encode_var_uint(length) for clock, length in ranges]
    return Update(b"".join(parts))


def section(client: int, clock: int, *structs: bytes) -> bytes:
    """The structs of one client from ``clock`` on."""
    return b"".join(map(encode_var_uint, (len(structs), client, clock))) + b"".join(structs)


def item(
    kind: int,
    content: bytes,
    *,
    left: Id | None = None,
    right: Id | None = None,
    parent: Id | str = "t",
    key: str | None = None,
) -> bytes:
    """One struct with content; ``parent`` and ``key`` count only without origins."""
    info = kind | (0x80 if left else 0) | (0x40 if right else 0) | (0x20 if key is not None else 0)
    parts = [bytes((info,))]
    parts += [encode_var_uint(origin[0]) + encode_var_uint(origin[1]) for origin in (left, right) if origin]
    if not (left or right):
        if isinstance(parent, str):
            parts.append(b"\x01" + encode_var_string(parent))
        else:
            parts.append(b"\x00" + encode_var_uint(parent[0]) + encode_var_uint(parent[1]))
        if key is not None:
            parts.append(encode_var_string(key))
    return b"".join(parts) + content


def text(content: str, *, left: Id | None = None, right: Id | None = None, parent: Id | str = "t") -> bytes:
    """Text in one place."""
    return item(4, encode_var_string(content), left=left, right=right, parent=parent)


def type_item(
    type_ref: int, *, left: Id | None = None, right: Id | None = None, parent: Id | str = "t"
) -> bytes:
    """A shared type, empty."""
    return item(7, encode_var_uint(type_ref), left=left, right=right, parent=parent)


def gc(length: int) -> bytes:
    """A struct whose content was collected."""
    return b"\x00" + encode_var_uint(length)


def skip(length: int) -> bytes:
    """A gap."""
    return b"\x0a" + encode_var_uint(length)


def chain(client: int, clock: int, levels: int, parent: Id | str = "t") -> Update:
    """Arrays inside each other, ``levels`` deep, the outermost in ``parent``."""
    structs = [type_item(ARRAY, parent=parent)]
    structs += [type_item(ARRAY, parent=(client, clock + level)) for level in range(levels - 1)]
    return update(section(client, clock, *structs))


def var_bytes(content: bytes) -> bytes:
    """A varUint8Array."""
    return encode_var_bytes(content)


BAIT = update(section(1, 0, text("bait ")))
POISON = update(section(2, 0, text("half "), text("x", parent=(1, 0))))
"""After ``BAIT`` yrs, unguarded, takes the first struct of it, then finds that a text cannot be a parent."""
