"""What the tests of the SQLite store share."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from server.storage import Entry
from server.storage.sqlite import FILE_NAME

__all__ = ["ROOT", "entries", "locked", "python", "sql"]

ROOT = Path(__file__).parents[3]


def entries(document: str, positions: Sequence[int]) -> list[Entry]:
    return [Entry(document, position, f"{document} {position}".encode()) for position in positions]


def sql(folder: Path, statement: str, *values: object) -> list[tuple[object, ...]]:
    """Run one statement on the file as an outsider would."""
    with closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None)) as connection:
        return connection.execute(statement, values).fetchall()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the write lock of the file as an outsider would."""
    with closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def python(script: str, folder: Path, stdin: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen[bytes]]:
    """Run a script beside the test; it is gone at the end, however the test ends."""
    command = [sys.executable, "-c", script, str(folder)]
    with subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()
