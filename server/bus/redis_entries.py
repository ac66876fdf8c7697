"""How an update travels through Redis, and what happens to what is no such thing."""

import logging
import re
import struct
from collections import OrderedDict
from zlib import crc32

from server.bus import BIRTH_LIMIT, SEQUENCE_BITS, Position, birth_of, fits, position_at, sequence_of

__all__ = ["LATEST_ID", "Unreadable", "Unsealed", "id_of", "parse_id", "position_of", "seal", "unseal"]

VERSION = 1
HEADER = struct.Struct(">BII")
"""Version, length of the update, CRC-32 of the update."""

REMEMBERED_LIMIT = 1024
LOGGED_BYTES = 32

ID = re.compile(rb"(\d{1,20})-(\d{1,20})")
LAST_SEQUENCE = (1 << SEQUENCE_BITS) - 1

LATEST_ID = str(BIRTH_LIMIT - 1)
"""The end of every range that Redis is asked for: later ids stand for no position."""

logger = logging.getLogger("cowrite.bus")


class Unsealed(ValueError):
    """Bytes that ``seal`` did not make, or that were damaged since."""


def seal(update: bytes) -> bytes:
    """Put what ``unseal`` needs in front of an update."""
    return HEADER.pack(VERSION, len(update), crc32(update)) + update


def unseal(sealed: bytes) -> bytes:
    """Return the update; raises ``Unsealed`` for another version and for anything broken."""
    if len(sealed) < HEADER.size:
        raise Unsealed("too short")
    version, length, checksum = HEADER.unpack_from(sealed)
    if version != VERSION:
        raise Unsealed(f"version {version} is unknown")
    update = sealed[HEADER.size :]
    if len(update) != length or crc32(update) != checksum:
        raise Unsealed("length or checksum is wrong")
    return update


def parse_id(id: bytes) -> Position:
    """Read the id of an entry; one that no position stands for counts as the last of its birth.

    Raises ``Unsealed`` for what is no id.
    """
    match = ID.fullmatch(id)
    if match is None:
        raise Unsealed("no id")
    return position_at(int(match[1]), min(int(match[2]), LAST_SEQUENCE))


def position_of(id: bytes) -> Position:
    """Read the id of an entry as ``parse_id`` does; raises ``Unsealed`` also where it does not fit."""
    position = parse_id(id)
    if not fits(position):
        raise Unsealed("an id beyond every position")
    return position


def id_of(position: Position) -> str:
    """Write a position as the id of its entry."""
    return f"{birth_of(position)}-{sequence_of(position)}"


class Unreadable:
    """Counts what could not be read, and logs it once for each entry; remembers the latest of them."""

    def __init__(self) -> None:
        self.count = 0
        self._seen: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def note(self, document: str, id: bytes, reason: object) -> None:
        """Note an entry that is skipped; the same one again is ignored."""
        key = document, id[:LOGGED_BYTES]
        if key in self._seen:
            return
        self._seen[key] = None
        if len(self._seen) > REMEMBERED_LIMIT:
            self._seen.popitem(last=False)
        self.count += 1
        logger.error(
            "skipped an entry that cannot be read: %r, %s", key[1], reason, extra={"document": document}
        )
