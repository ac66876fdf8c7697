"""What the SQLite store reads and writes, each as one function on an open connection."""

import sqlite3
from collections.abc import Collection, Sequence

from server.storage import Backlog, DocumentUnreadable, Entry, Snapshot, Stored, checksums
from server.storage.sqlite_schema import transaction

__all__ = [
    "append",
    "backlog_page",
    "give_pages_back",
    "quarantine",
    "read",
    "replace",
    "truncate_log",
]

_IDS_LIMIT = 10_000
_DOCUMENTS_PER_PAGE = 100
_PAGES_PER_STEP = 256


def append(connection: sqlite3.Connection, ids: dict[str, int], entries: Sequence[Entry]) -> Sequence[Entry]:
    """Insert the entries that are not there yet, in one transaction; return those whose place is taken.

    ``ids`` remembers the ids of documents between calls; clear it when a call failed.
    """
    with transaction(connection):
        if len(ids) > _IDS_LIMIT:
            ids.clear()
        for entry in entries:
            if entry.document not in ids:
                ids[entry.document] = _document_id(connection, entry.document)
        before = connection.total_changes
        connection.executemany(
            "INSERT INTO entries VALUES (?, ?, ?, ?) ON CONFLICT (document, position) DO NOTHING",
            [
                (ids[entry.document], entry.position, checksums.of_entry(entry), entry.update)
                for entry in entries
            ],
        )
        if connection.total_changes - before == len(entries):
            return []
        return [entry for entry in entries if not _is_stored(connection, ids[entry.document], entry)]


def _is_stored(connection: sqlite3.Connection, document_id: int, entry: Entry) -> bool:
    found = connection.execute(
        "SELECT checksum FROM entries WHERE document = ? AND position = ?", (document_id, entry.position)
    ).fetchone()
    return found is not None and found[0] == checksums.of_entry(entry)


def read(connection: sqlite3.Connection, document: str) -> tuple[Stored, list[int]]:
    """Read one document at one point in time, and the row ids of the entries that are damaged.

    Raises ``DocumentUnreadable`` if its snapshot is damaged.
    """
    with transaction(connection, "DEFERRED"):
        found = connection.execute("SELECT id FROM documents WHERE name = ?", (document,)).fetchone()
        if found is None:
            return Stored(None, 0, (), 0), []
        snapshot, generation = _read_snapshot(connection, document, found[0])
        rows = connection.execute(
            "SELECT rowid, position, checksum, payload FROM entries WHERE document = ? ORDER BY position",
            (found[0],),
        ).fetchall()
        folded = snapshot.position if snapshot else 0
        last_position = max(folded, _last_position(connection, found[0]))
    intact, damaged = [], []
    for row_id, position, checksum, payload in rows:
        entry = Entry(document, position, payload)
        if _is_intact(entry, checksum):
            intact.append(entry)
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
            if row is None or _is_intact(Entry(document, row[1], row[3]), checksum=row[2]):
                continue
            connection.execute(
                """INSERT INTO quarantine (document, position, checksum, payload, reason)
                VALUES (?, ?, ?, ?, 'checksum')""",
                row,
            )
            connection.execute("DELETE FROM entries WHERE rowid = ?", (row_id,))
            moved.append(row[1])
    return moved


def replace(
    connection: sqlite3.Connection,
    document: str,
    snapshot: Snapshot,
    folded: Collection[int],
    generation: int,
) -> bool:
    """Store the snapshot and delete what was folded, if the stored generation is still ``generation``."""
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
        connection.executemany(
            "DELETE FROM entries WHERE document = ? AND position = ?",
            [(document_id, position) for position in folded],
        )
        connection.execute(
            "INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?, ?, ?)",
            (
                document_id,
                generation + 1,
                snapshot.position,
                snapshot.depth,
                checksums.of_snapshot(document, snapshot, generation + 1),
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
        FROM entries JOIN documents ON documents.id = document
        WHERE document > ? GROUP BY document ORDER BY document LIMIT ?""",
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
    snapshot = Snapshot(payload, position, depth)
    if not isinstance(payload, bytes) or checksums.of_snapshot(document, snapshot, generation) != checksum:
        raise DocumentUnreadable(f"the snapshot of {document!r} does not match its checksum")
    return snapshot, generation


def _is_intact(entry: Entry, checksum: object) -> bool:
    # In a damaged row any value may be of any kind.
    return isinstance(entry.update, bytes) and checksums.of_entry(entry) == checksum
