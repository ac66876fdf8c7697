"""Whether some updates say all that a document holds: asked where the same thing would be told twice."""

from collections.abc import Iterable

from crdt.cut import Piece
from crdt.document import Document, DocumentBroken
from crdt.encoding import Decoder
from crdt.errors import ProtocolError
from crdt.update import DeleteRange, Update, read_delete_ranges

__all__ = ["make_up"]


def make_up(updates: Iterable[bytes], document: Document) -> bool:
    """Tell whether ``updates``, in order and with nothing before them, make all of ``document`` and no more.

    A False may be wrong, where yrs did not get over their order; a True is certain.
    """
    made = Document()
    try:
        for update in updates:
            made.apply(Piece(Update(update), {}))
        return _read(made.marks()) == _read(document.marks())
    except (ProtocolError, DocumentBroken):
        return False


def _read(marks: bytes) -> tuple[set[DeleteRange], dict[int, int]]:
    decoder = Decoder(marks)
    deletions = set(read_delete_ranges(decoder))
    return deletions, {decoder.read_var_uint(): decoder.read_var_uint() for _ in range(decoder.read_count(2))}
