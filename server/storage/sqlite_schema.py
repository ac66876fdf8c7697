"""The tables of the SQLite store, and how its file is created, checked and opened."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from server.storage import SchemaTooNew, StoreUnavailable

__all__ = ["Database", "StoreDamaged", "Synchronous", "explained", "transaction"]

Synchronous = Literal["FULL", "NORMAL"]

_VERSION = 1
_BUSY_TIMEOUT_S = 0.5

# With its rowid a row of 40 bytes takes 75 bytes, against 65 without; but an append then writes half as
# much to the WAL and takes a third of the time, and rows of 1 to 3 KB take no 4.7 KB each.
_TABLES = (
    "CREATE TABLE documents (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    """CREATE TABLE entries (
        document INTEGER NOT NULL, position INTEGER NOT NULL, checksum INTEGER NOT NULL,
        payload BLOB NOT NULL, PRIMARY KEY (document, position))""",
    """CREATE TABLE snapshots (
        document INTEGER PRIMARY KEY, generation INTEGER NOT NULL, position INTEGER NOT NULL,
        depth INTEGER NOT NULL, checksum INTEGER NOT NULL, payload BLOB NOT NULL)""",
    """CREATE TABLE quarantine (
        id INTEGER PRIMARY KEY, document INTEGER, position INTEGER, checksum INTEGER, payload BLOB,
        reason TEXT NOT NULL, at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)""",
    "CREATE INDEX quarantine_by_position ON quarantine (document, position)",
)

# Our statements are fixed, so a generic SQLITE_ERROR means that the tables they name are gone.
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_SCHEMA}
_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOLFS,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}


class StoreDamaged(StoreUnavailable):
    """The file is not what SQLite wrote; an operator has to look."""


@dataclass(frozen=True, slots=True)
class Database:
    """Where the file is, and how it is to be opened."""

    path: Path
    synchronous: Synchronous
    limit_bytes: int | None
    """The size above which the file does not grow (None: as the disk allows)."""

    def prepare(self) -> None:
        """Create the file where there is none, and check it where there is one.

        Raises ``SchemaTooNew``, ``StoreDamaged`` or ``StoreUnavailable``; what was there is unchanged then.
        """
        with explained(), closing(self._connect("rwc")) as connection:
            version = int(_pragma(connection, "user_version"))
            if version > _VERSION:
                raise SchemaTooNew(
                    f"{self.path} has schema {version}, this version knows schemas up to {_VERSION}"
                )
            if version == 0:
                self._create(connection)
            self._check(connection)

    def connect(self) -> sqlite3.Connection:
        """Open one connection to the file that ``prepare`` left.

        Never creates anything: a file that was lost while the server ran is not an empty one.
        """
        connection = self._connect("rw")
        try:
            connection.execute(f"PRAGMA synchronous = {self.synchronous}")
            if self.limit_bytes is not None:
                pages = self.limit_bytes // int(_pragma(connection, "page_size"))
                connection.execute(f"PRAGMA max_page_count = {pages}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self, mode: Literal["rw", "rwc"]) -> sqlite3.Connection:
        uri = f"{self.path.resolve().as_uri()}?mode={mode}"
        connection = sqlite3.connect(
            uri, uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        # A damaged row may claim that its bytes are text; they still have to match their checksum.
        connection.text_factory = bytes
        return connection

    def _create(self, connection: sqlite3.Connection) -> None:
        # Only possible before the first page is written, which is what changing the journal does.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        if _pragma(connection, "journal_mode = WAL") != "wal":
            raise StoreUnavailable(f"the file system of {self.path} cannot hold a write-ahead log")
        with transaction(connection):
            for table in _TABLES:
                connection.execute(table)
            connection.execute(f"PRAGMA user_version = {_VERSION}")

    def _check(self, connection: sqlite3.Connection) -> None:
        tables = connection.execute(
            "SELECT sql FROM sqlite_master WHERE sql NOT NULL ORDER BY rowid"
        ).fetchall()
        if [text for (text,) in tables] != [text.encode() for text in _TABLES]:
            raise StoreDamaged(f"{self.path} is damaged: its tables are not as they were made")
        # A name that its index has lost would load as an empty document.
        damage = _pragma(connection, "integrity_check(documents)")
        if damage != "ok":
            raise StoreDamaged(f"{self.path} is damaged: {damage}")


@contextmanager
def transaction(
    connection: sqlite3.Connection, kind: Literal["IMMEDIATE", "DEFERRED"] = "IMMEDIATE"
) -> Iterator[None]:
    """Write (if deferred: read) in one transaction; after an error, close the connection: it rolls back."""
    connection.execute(f"BEGIN {kind}")
    yield
    connection.execute("COMMIT")


@contextmanager
def explained() -> Iterator[None]:
    """Turn what SQLite says of the world into this project's errors; let our own bugs through."""
    try:
        yield
    except sqlite3.Error as error:
        # The low byte is the kind, the rest says more of it (sqlite.org/rescode.html). No code: our bug.
        kind = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE) & 0xFF
        if kind in _DAMAGED:
            raise StoreDamaged(str(error)) from error
        if kind in _UNAVAILABLE:
            raise StoreUnavailable(str(error)) from error
        raise
    except UnicodeDecodeError as error:
        # SQLite's message quotes what it could not read, and Python could not read that either.
        raise StoreDamaged("the schema is damaged") from error


def _pragma(connection: sqlite3.Connection, text: str) -> str:
    (value,) = connection.execute(f"PRAGMA {text}").fetchone()
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
