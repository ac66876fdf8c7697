"""What proves that stored bytes are those that were written, and in their own place.

A whole row in the place of another is damage too. The place carries the document's name, so that two
documents that changed names do not pass for each other.
"""

import zlib

from server.storage import Entry, Snapshot

__all__ = ["of_entry", "of_snapshot"]


def of_entry(entry: Entry) -> int:
    """Return the CRC-32 of an entry and its place."""
    return _checksum(f"{entry.document} {entry.position}", entry.update)


def of_snapshot(document: str, snapshot: Snapshot, generation: int) -> int:
    """Return the CRC-32 of a snapshot and its place."""
    return _checksum(f"{document} {generation} {snapshot.position} {snapshot.depth}", snapshot.update)


def _checksum(place: str, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(place.encode()))
