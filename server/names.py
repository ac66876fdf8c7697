"""What a document may be called (references/protocol.md, L1)."""

import unicodedata

from crdt.errors import CowriteError

__all__ = ["BadName", "document_name"]

NAME_LIMIT_BYTES = 255


class BadName(CowriteError):
    """No document can have this name."""


def document_name(raw: str) -> str:
    """Check and normalise a name: NFC, 1 to 255 bytes, no control characters, no empty or dotted part.

    Raises ``BadName``.
    """
    name = unicodedata.normalize("NFC", raw)
    if (
        not 0 < len(name.encode("utf-8", "replace")) <= NAME_LIMIT_BYTES
        or any(unicodedata.category(character) in ("Cc", "Cs") for character in name)
        or "\ufffd" in name
        or any(part in ("", ".", "..") for part in name.split("/"))
    ):
        raise BadName("impossible document name")
    return name
