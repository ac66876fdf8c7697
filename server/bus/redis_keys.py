"""What things are called in Redis. All names of one document share a hash tag, hence a slot of a Cluster."""

from binascii import crc_hqx
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote

__all__ = ["SLOTS", "DocumentKeys", "RedisKeys", "document_of", "encoded"]

SLOTS = 16384
KNOWN_LIMIT = 16384


def encoded(name: str) -> str:
    """Return ``name`` with all but ``A-Z a-z 0-9 - . _ ~`` percent-encoded: reversible, no two the same.

    The empty name becomes ``%``: an empty hash tag would be none.
    """
    return quote(name, safe="", errors="surrogatepass") or "%"


def document_of(key: bytes) -> str:
    """Return the name of the document that a key belongs to."""
    tag = key[key.index(b"{") + 1 : key.index(b"}")].decode()
    return "" if tag == "%" else unquote(tag, errors="surrogatepass")


@dataclass(frozen=True, slots=True)
class DocumentKeys:
    """The names of one document."""

    slot: int
    stream: bytes
    bell: bytes
    """The sharded channel that tells of new entries and of presence."""
    presence: bytes
    """A hash: what each node keeps of its presence."""


class RedisKeys:
    """All names, under a prefix of their own for each database: channels know no databases."""

    def __init__(self, database: int) -> None:
        self._prefix = f"cowrite:{database}"
        tag = f"{self._prefix}:nodes"
        self.leases = tag.encode()
        """A sorted set: until when each node lives, in ms by the clock of Redis."""
        self.leases_slot = _slot_of(tag)
        self.of = lru_cache(KNOWN_LIMIT)(self._of)
        """Return the names of a document; remembers those used lately."""

    def claim(self, task: str) -> tuple[int, bytes]:
        """Return the slot and the key that says which node holds a task, beside the document's others."""
        kind, _, document = task.partition(":")
        tag = encoded(document)
        return _slot_of(tag), f"{self._prefix}:{{{tag}}}:{encoded(kind)}:claim".encode()

    def pattern(self, what: str) -> str:
        """Return what SCAN finds one kind of key of all documents with."""
        return f"{self._prefix}:{{*}}:{what}"

    def _of(self, document: str) -> DocumentKeys:
        tag = encoded(document)
        stream, bell, presence = (
            f"{self._prefix}:{{{tag}}}:{what}".encode() for what in ("stream", "bell", "presence")
        )
        return DocumentKeys(_slot_of(tag), stream, bell, presence)


def _slot_of(tag: str) -> int:
    return crc_hqx(tag.encode(), 0) % SLOTS
