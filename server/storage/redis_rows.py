"""Reads what Redis holds of one document (``LOAD`` in redis_scripts.py)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from server.bus.redis_connection import Reply
from server.bus.redis_entries import VERSION, Unsealed, parse_id, unseal
from server.storage import DocumentUnreadable, Entry, Snapshot, Stored
from server.storage.redis_records import RecordDamaged, unpack

__all__ = ["Loaded", "read"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """One document, and those of its entries that cannot be read."""

    stored: Stored
    damaged: list[bytes]
    """The id of each damaged entry, and what was found in the place of its update."""
    foreign: list[bytes]
    """The ids of those that another version of this program wrote, as far as one can tell."""


def read(document: str, reply: Reply) -> Loaded:
    """Understand what ``LOAD`` returned; raises ``DocumentUnreadable`` if the snapshot is damaged."""
    assert isinstance(reply, list)
    record, last_id, stream, late = reply
    snapshot, generation = _read_snapshot(document, record)
    folded = snapshot.position if snapshot else 0
    entries: dict[int, Entry] = {}
    damaged: list[bytes] = []
    foreign: list[bytes] = []
    last_position = max(folded, parse_id(_bytes(last_id)))
    for id, sealed in [*_in_stream(stream), *_pairs(late)]:
        position = parse_id(id)
        last_position = max(last_position, position)
        try:
            entries.setdefault(position, Entry(document, position, unseal(sealed)))
        except Unsealed:
            if _is_foreign(sealed):
                foreign.append(id)
            else:
                damaged += [id, sealed]
    in_order = [entries[position] for position in sorted(entries)]
    return Loaded(Stored(snapshot, generation, in_order, last_position), damaged, foreign)


def _is_foreign(sealed: bytes) -> bool:
    return bool(sealed) and sealed[0] != VERSION


def _read_snapshot(document: str, record: Reply) -> tuple[Snapshot | None, int]:
    if record is None:
        return None, 0
    try:
        return unpack(document, _bytes(record))
    except RecordDamaged as error:
        raise DocumentUnreadable(f"the snapshot of {document!r} is damaged: {error}") from error


def _in_stream(entries: Reply) -> Iterator[tuple[bytes, bytes]]:
    assert isinstance(entries, list)
    for entry in entries:
        assert isinstance(entry, list)
        id, fields = entry
        assert isinstance(fields, list)
        yield _bytes(id), _bytes(fields[-1])


def _pairs(flat: Reply) -> Iterable[tuple[bytes, bytes]]:
    assert isinstance(flat, list)
    values = [_bytes(value) for value in flat]
    return zip(values[::2], values[1::2], strict=True)


def _bytes(value: Reply) -> bytes:
    assert isinstance(value, bytes)
    return value
