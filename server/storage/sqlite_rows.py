"""What the SQLite store reads and writes, each as one function on an open connection."""

import sqlite3
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from server.storage import Backlog, DocumentUnreadable, Entry, Snapshot, Stored
from server.storage.sqlite_schema import transaction

__all__ = [
    "Row",
    "append",
    "backlog_page",
    "give_pages_back",
    "quarantine",
    "read",
    "replace",
    "row_of",
    "truncate_log",
]

_IDS_LIMIT = 10_000
_DOCUMENTS_PER_PAGE = 100
_PAGES_PER_STEP = 256


class Row(NamedTuple):
    """An entry on its way to its table."""

    document: str
    position: int
    checksum: int
    payload: bytes


def row_of(entry: Entry) -> Row:
    """Give an entry the checksum that will prove it."""
    return Row(
        entry.document,
        entry.position,
        _checksum(_place(entry.document, entry.position), entry.update),
        entry.update,
    )


def append(connection: sqlite3.Connection, ids: dict[str, int], rows: Sequence[Row]) -> None:
    """Insert the rows that are not there yet, in one transaction.

    ``ids`` remembers the ids of documents between calls; clear it when a call failed.
    """
    with transaction(connection):
        if len(ids) > _IDS_LIMIT:
            ids.clear()
        for row in rows:
            if row.document not in ids:
                ids[row.document] = _document_id(connection, row.document)
        connection.executemany(
            "INSERT INTO entries VALUES (?, ?, ?, ?) ON CONFLICT (document, position) DO NOTHING",
            [(ids[name], *rest) for name, *rest in rows],
        )


def read(connection: sqlite3.Connection, document: str) -> tuple[Stored, list[int]]:
    """Read one document at one point in time, and the row ids of the entries that are damaged.

    Raises ``DocumentUnreadable`` if its snapshot is damaged.
    """
    with transaction(connection, "DEFERRED"):
        found = connection.execute("SELECT id FROM documents WHERE name = ?", (document,)).fetchone()
        if found is None:
            return Stored(None, 0, (), 0), []
        snapshot, generation = _read_snapshot(connection, document, found[0])
        folded = snapshot.position if snapshot else 0
        rows = connection.execute(
            """SELECT rowid, position, checksum, payload FROM entries
            WHERE document = ? AND position > ? ORDER BY position""",
            (found[0], folded),
        ).fetchall()
        last_position = max(folded, _last_position(connection, found[0]))
    intact, damaged = [], []
    for row_id, position, checksum, payload in rows:
        if _is_intact(_place(document, position), checksum, payload):
            intact.append(Entry(document, position, payload))
        else:
            damaged.append(row_id)
    return Stored(snapshot, generation, intact, last_position), damaged


def quarantine(connection: sqlite3.Connection, document: str, row_ids: Sequence[int]) -> list[int]:
    """Move those of the entries that are still there and damaged; return their positions."""
    moved = []
    with transaction(connection):
        for row_id in row_ids:
            row = connection.execute(
                "SELECT document, position, checksum, payload FROM entries WHERE rowid = ?", (row_id,)
            ).fetchone()
            if row is None or _is_intact(_place(document, row[1]), *row[2:]):
                continue
            connection.execute(
                """INSERT INTO quarantine (document, position, checksum, payload, reason)
                VALUES (?, ?, ?, ?, 'checksum')""",
                row,
            )
            connection.execute("DELETE FROM entries WHERE rowid = ?", (row_id,))
            moved.append(row[1])
    return moved


def replace(connection: sqlite3.Connection, document: str, snapshot: Snapshot, generation: int) -> bool:
    """Store the snapshot and delete what it holds, if the stored generation is still ``generation``."""
    with transaction(connection):
        stored_generation, stored_position = connection.execute(
            """SELECT generation, position FROM snapshots
            WHERE document = (SELECT id FROM documents WHERE name = ?)""",
            (document,),
        ).fetchone() or (0, 0)
        if stored_generation != generation:
            return False
        assert snapshot.position >= stored_position, "a snapshot goes back"
        document_id = _document_id(connection, document)
        # Deleting first lets the snapshot use the space, so that a full disk can be helped by compaction.
        connection.execute(
            "DELETE FROM entries WHERE document = ? AND position <= ?", (document_id, snapshot.position)
        )
        place = _snapshot_place(document, generation + 1, snapshot.position, snapshot.depth)
        connection.execute(
            "INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?, ?, ?)",
            (
                document_id,
                generation + 1,
                snapshot.position,
                snapshot.depth,
                _checksum(place, snapshot.update),
                snapshot.update,
            ),
        )
    return True


def backlog_page(connection: sqlite3.Connection, after: int) -> tuple[list[Backlog], int | None]:
    """Count what waits in the documents that follow id ``after``, and say after which id to go on.

    SQLite takes the length of a large payload from the row's header, without reading it.
    """
    rows = connection.execute(
        """SELECT document, name, count(*), coalesce(sum(length(entries.payload)), 0)
        FROM entries JOIN documents ON documents.id = document LEFT JOIN snapshots USING (document)
        WHERE document > ? AND entries.position > coalesce(snapshots.position, 0)
        GROUP BY document ORDER BY document LIMIT ?""",
        (after, _DOCUMENTS_PER_PAGE),
    ).fetchall()
    page = [Backlog(name.decode(errors="replace"), count, size_bytes) for _, name, count, size_bytes in rows]
    return page, rows[-1][0] if len(rows) == _DOCUMENTS_PER_PAGE else None


def give_pages_back(connection: sqlite3.Connection) -> bool:
    """Return a megabyte of free pages to the system; tell whether there are more."""
    before = _free_pages(connection)
    connection.execute(f"PRAGMA incremental_vacuum({_PAGES_PER_STEP})").fetchall()
    return 0 < _free_pages(connection) < before


def truncate_log(connection: sqlite3.Connection) -> None:
    """Copy the write-ahead log into the file and empty it; without effect while somebody reads it."""
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _free_pages(connection: sqlite3.Connection) -> int:
    (count,) = connection.execute("PRAGMA freelist_count").fetchone()
    return int(count)


def _document_id(connection: sqlite3.Connection, name: str) -> int:
    found = connection.execute("SELECT id FROM documents WHERE name = ?", (name,)).fetchone()
    if found is not None:
        return int(found[0])
    created = connection.execute("INSERT INTO documents (name) VALUES (?)", (name,)).lastrowid
    assert created is not None
    return created


def _last_position(connection: sqlite3.Connection, document_id: int) -> int:
    rows = connection.execute(
        """SELECT max(position) FROM entries WHERE document = ?1
        UNION ALL SELECT max(position) FROM quarantine WHERE document = ?1""",
        (document_id,),
    )
    # Damage can turn a position into anything.
    return max((position for (position,) in rows if isinstance(position, int)), default=0)


def _read_snapshot(
    connection: sqlite3.Connection, document: str, document_id: int
) -> tuple[Snapshot | None, int]:
    found = connection.execute(
        "SELECT generation, position, depth, checksum, payload FROM snapshots WHERE document = ?",
        (document_id,),
    ).fetchone()
    if found is None:
        return None, 0
    generation, position, depth, checksum, payload = found
    if not _is_intact(_snapshot_place(document, generation, position, depth), checksum, payload):
        raise DocumentUnreadable(f"the snapshot of {document!r} does not match its checksum")
    return Snapshot(payload, position, depth), generation


def _is_intact(place: str, checksum: object, payload: object) -> bool:
    return isinstance(payload, bytes) and _checksum(place, payload) == checksum


def _checksum(place: str, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(place.encode()))


# The place is part of what is proved, so that a whole row in the place of another is damage too. It
# carries the name, not the id: two documents that changed names do not pass for each other.
def _place(document: str, position: int) -> str:
    return f"{document} {position}"


def _snapshot_place(document: str, generation: int, position: int, depth: int) -> str:
    return f"{document} {generation} {position} {depth}"
