"""What the Postgres store reads and writes, each as one function on a connection."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from asyncpg.pool import PoolConnectionProxy

from server.storage import Backlog, DocumentUnreadable, Entry, Snapshot, Stored, checksums

__all__ = ["DamagedRow", "append", "backlog", "quarantine", "read", "replace"]


SLOWEST_BYTES_PER_S = 1_000_000
"""A statement gets a second more for each of these that it carries."""


@dataclass(frozen=True, slots=True)
class DamagedRow:
    """An entry as it was found."""

    position: int
    checksum: int
    payload: bytes


async def append(
    connection: PoolConnectionProxy, entries: Sequence[Entry], timeout_s: float
) -> Sequence[Entry]:
    """Insert the entries that are not there yet, in one statement, which is one transaction.

    Returns those whose place another one has.
    """
    # Nodes that insert the same rows wait for each other: in one order, lest they do so in a circle.
    # Sorting keeps the first of several entries in the same place in front.
    waiting = sorted(entries, key=_place_of)
    taken: list[Entry] = []
    while waiting and await _insert(connection, waiting, timeout_s) < len(waiting):
        found = await _checksums_at(connection, waiting)
        taken += [
            entry for entry in waiting if found.get(_place_of(entry)) not in (None, checksums.of_entry(entry))
        ]
        # What was there when the rows came, and is not now, another node has folded in between.
        waiting = [entry for entry in waiting if _place_of(entry) not in found]
    return taken


def _place_of(entry: Entry) -> tuple[str, int]:
    return entry.document, entry.position


async def _insert(connection: PoolConnectionProxy, rows: Sequence[Entry], timeout_s: float) -> int:
    """Insert what has its place free; return how many rows that were."""
    status = await connection.execute(
        """INSERT INTO cowrite.entries (document, position, checksum, payload)
        SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bytea[])
        ON CONFLICT DO NOTHING""",
        [row.document for row in rows],
        [row.position for row in rows],
        [checksums.of_entry(row) for row in rows],
        [row.update for row in rows],
        timeout=timeout_s + sum(len(row.update) for row in rows) / SLOWEST_BYTES_PER_S,
    )
    return int(status.rpartition(" ")[2])


async def _checksums_at(connection: PoolConnectionProxy, rows: Sequence[Entry]) -> dict[tuple[str, int], int]:
    found = await connection.fetch(
        """SELECT document, position, checksum FROM cowrite.entries
        WHERE (document, position) IN (SELECT * FROM unnest($1::text[], $2::bigint[]))""",
        [row.document for row in rows],
        [row.position for row in rows],
    )
    return {(document, position): checksum for document, position, checksum in found}


async def read(connection: PoolConnectionProxy, document: str) -> tuple[Stored, Sequence[DamagedRow]]:
    """Read one document at one point in time, and those of its entries that are damaged.

    Raises ``DocumentUnreadable`` if its snapshot is damaged.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        snapshot, generation = await _read_snapshot(connection, document)
        rows = await connection.fetch(
            "SELECT position, checksum, payload FROM cowrite.entries WHERE document = $1 ORDER BY position",
            document,
        )
        folded = snapshot.position if snapshot else 0
        last_position = max(folded, await _last_position(connection, document))
    intact: list[Entry] = []
    damaged: list[DamagedRow] = []
    for position, checksum, payload in rows:
        entry = Entry(document, position, payload)
        if checksums.of_entry(entry) == checksum:
            intact.append(entry)
        else:
            damaged.append(DamagedRow(position, checksum, payload))
    return Stored(snapshot, generation, intact, last_position), damaged


async def quarantine(
    connection: PoolConnectionProxy, document: str, damaged: Sequence[DamagedRow]
) -> Sequence[int]:
    """Move those of the rows that are still there as they were found; return their positions."""
    moved = await connection.fetch(
        """WITH damaged AS (
            DELETE FROM cowrite.entries WHERE document = $1 AND (position, checksum, payload) IN
                (SELECT * FROM unnest($2::bigint[], $3::bigint[], $4::bytea[]))
            RETURNING document, position, checksum, payload)
        INSERT INTO cowrite.quarantine (document, position, checksum, payload, reason)
        SELECT document, position, checksum, payload, 'checksum' FROM damaged ORDER BY position
        RETURNING position""",
        document,
        [row.position for row in damaged],
        [row.checksum for row in damaged],
        [row.payload for row in damaged],
    )
    return [position for (position,) in moved]


async def replace(
    connection: PoolConnectionProxy,
    document: str,
    snapshot: Snapshot,
    folded: Collection[int],
    generation: int,
    timeout_s: float,
) -> bool:
    """Store the snapshot and delete what was folded, if the stored generation is still ``generation``."""
    async with connection.transaction():
        # A node whose network is gone must not hold the row for hours.
        await connection.execute(f"SET LOCAL idle_in_transaction_session_timeout = {int(timeout_s * 1000)}")
        row = await connection.fetchrow(
            "SELECT generation, position FROM cowrite.snapshots WHERE document = $1", document
        )
        stored_generation, stored_position = row or (0, 0)
        if stored_generation != generation:
            return False
        assert snapshot.position >= stored_position, "a snapshot goes back"
        if not await _write_snapshot(connection, document, snapshot, generation, timeout_s):
            return False
        await connection.execute(
            "DELETE FROM cowrite.entries WHERE document = $1 AND position = ANY($2::bigint[])",
            document,
            list(folded),
        )
    return True


async def backlog(connection: PoolConnectionProxy) -> Sequence[Backlog]:
    """Count what waits in each document, largest first.

    Postgres takes the length of a large payload from where it is kept, without reading it.
    """
    rows = await connection.fetch(
        """SELECT document, count(*), sum(length(payload)) FROM cowrite.entries
        GROUP BY document ORDER BY 3 DESC"""
    )
    return [Backlog(*row) for row in rows]


async def _read_snapshot(connection: PoolConnectionProxy, document: str) -> tuple[Snapshot | None, int]:
    row = await connection.fetchrow(
        "SELECT generation, position, depth, checksum, payload FROM cowrite.snapshots WHERE document = $1",
        document,
    )
    if row is None:
        return None, 0
    generation, position, depth, checksum, payload = row
    snapshot = Snapshot(payload, position, depth)
    if checksums.of_snapshot(document, snapshot, generation) != checksum:
        raise DocumentUnreadable(f"the snapshot of {document!r} does not match its checksum")
    return snapshot, generation


async def _last_position(connection: PoolConnectionProxy, document: str) -> int:
    found = await connection.fetchval(
        """SELECT greatest(0, (SELECT max(position) FROM cowrite.entries WHERE document = $1),
            (SELECT max(position) FROM cowrite.quarantine WHERE document = $1))""",
        document,
    )
    return int(found)


async def _write_snapshot(
    connection: PoolConnectionProxy, document: str, snapshot: Snapshot, generation: int, timeout_s: float
) -> bool:
    # The condition decides between rivals, whether they are the first ones or replace the same snapshot.
    written = await connection.fetchval(
        """INSERT INTO cowrite.snapshots AS stored VALUES ($1, $2 + 1, $3, $4, $5, $6)
        ON CONFLICT (document) DO UPDATE SET generation = excluded.generation, position = excluded.position,
            depth = excluded.depth, checksum = excluded.checksum, payload = excluded.payload
        WHERE stored.generation = $2 RETURNING true""",
        document,
        generation,
        snapshot.position,
        snapshot.depth,
        checksums.of_snapshot(document, snapshot, generation + 1),
        snapshot.update,
        timeout=timeout_s + len(snapshot.update) / SLOWEST_BYTES_PER_S,
    )
    return written is not None
