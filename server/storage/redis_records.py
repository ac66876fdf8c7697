"""What a document is in Redis beside its stream: the names of its keys, and its snapshot as one string."""

import re
from dataclasses import dataclass
from hashlib import sha1
from typing import Self

from server.bus import Position
from server.bus.redis_entries import id_of, parse_id
from server.bus.redis_keys import RedisKeys
from server.storage import Snapshot, checksums

__all__ = ["RecordDamaged", "StoredKeys", "pack", "unpack"]

# A hash of these fields would take 600 bytes more. Scripts that act on the position (redis_scripts.py) see
# the beginning only, which therefore has a digest of its own.
_HEADER = re.compile(
    rb"(?P<text>1 (?P<generation>\d+) (?P<id>\d+-\d+) (?P<depth>\d+) (?P<checksum>\d+))"
    rb" (?P<digest>[0-9a-f]{40})\n"
)


class RecordDamaged(ValueError):
    """Bytes that ``pack`` did not make for this document, or that were damaged since."""


@dataclass(frozen=True, slots=True)
class StoredKeys:
    """The names of one document, all in one slot."""

    slot: int
    stream: bytes
    """The stream of the bus: its entries are the rows of the store."""
    snapshot: bytes
    late: bytes
    """A hash by id: entries that the stream did not have when they were to be stored (D12)."""
    quarantine: bytes
    """A hash by id: entries as they were when they were found damaged."""

    @classmethod
    def of(cls, keys: RedisKeys, document: str) -> Self:
        """Name the keys beside the stream of the bus."""
        shared = keys.of(document)
        prefix = shared.stream.removesuffix(b"stream")
        beside = (prefix + what for what in (b"snapshot", b"late", b"quarantine"))
        return cls(shared.slot, shared.stream, *beside)


def pack(document: str, snapshot: Snapshot, generation: int) -> bytes:
    """Write a snapshot as one string that proves itself."""
    checksum = checksums.of_snapshot(document, snapshot, generation)
    header = f"1 {generation} {id_of(Position(snapshot.position))} {snapshot.depth} {checksum}".encode()
    return b"%b %b\n%b" % (header, _digest(header), snapshot.update)


def unpack(document: str, record: bytes) -> tuple[Snapshot, int]:
    """Read a snapshot and its generation; raises ``RecordDamaged``."""
    header = _HEADER.match(record)
    if header is None or _digest(header["text"]) != header["digest"]:
        raise RecordDamaged("its header is damaged")
    generation, position, depth = int(header["generation"]), parse_id(header["id"]), int(header["depth"])
    snapshot = Snapshot(record[header.end() :], position, depth)
    if checksums.of_snapshot(document, snapshot, generation) != int(header["checksum"]):
        raise RecordDamaged("its checksum does not match")
    return snapshot, generation


def _digest(header: bytes) -> bytes:
    return sha1(header, usedforsecurity=False).hexdigest().encode()
