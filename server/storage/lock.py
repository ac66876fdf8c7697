"""One data folder has one server: an exclusive lock that ends with its process, however that ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crdt.errors import CowriteError

__all__ = ["FolderInUse", "exclusive"]


class FolderInUse(CowriteError):
    """Another server holds the data folder."""


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold ``folder`` (created where it is missing) for this process alone.

    Raises ``FolderInUse`` at once when another process holds it, and OSError when the folder cannot
    be used at all. The kernel releases the lock when the process is gone, ``kill -9`` included;
    programs that this process starts do not inherit it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _seize(descriptor, folder)
        yield
    finally:
        # The file stays: if it were removed, two servers could hold two files of the same name.
        os.close(descriptor)


def _seize(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        raise FolderInUse(f"the data folder {folder} is in use by another server (pid {holder})") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
