"""A Postgres of the tests' own: a new cluster on a free port of 127.0.0.1, as durable as in production."""

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.support.polling import PATIENCE_S, poll_blocking
from tests.support.require import require
from tests.support.server_process import free_port

__all__ = ["PostgresServer"]

USER = "cowrite"
PASSWORD = "a secret: with @ and /"
QUOTED_PASSWORD = "a%20secret%3A%20with%20%40%20and%20%2F"


class PostgresServer:
    """One ``postgres`` process with its children; keeps its port and its data over restarts.

    As a context manager it starts at entry and is gone, with its data, at exit. Its log is printed then,
    which pytest shows when the test fails. Methods block.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self._binaries = _find_binaries()
        self._owner = _owner()
        self._extra_groups: list[int] | None = None if self._owner is None else []
        # Not the folder of a test: the user that runs Postgres may not enter that.
        self._folder = Path(tempfile.mkdtemp(prefix="cowrite-postgres-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        try:
            self._create()
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        if self._log.exists():
            print(self._log.read_text())
        shutil.rmtree(self._folder)

    def url(self, database: str = "postgres", *, password: str = QUOTED_PASSWORD) -> str:
        """Return the URL of a database; ``password`` as it stands in a URL."""
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def new_database(self, *options: str) -> str:
        """Create an empty database and return its URL; ``options`` are those of ``createdb``."""
        name = f"test{next(self._numbers)}"
        self._run("createdb", "--host=127.0.0.1", f"--port={self.port}", f"--username={USER}", *options, name)
        return self.url(name)

    def give(self, path: Path) -> None:
        """Make the server the owner of ``path``."""
        if self._owner is not None:
            shutil.chown(path, self._owner, self._owner)

    def start(self) -> None:
        """Run it and wait until it answers. Right after ``kill`` it waits for the last children to end."""
        poll_blocking(self._has_started, PATIENCE_S, "Postgres has started")

    def kill(self) -> None:
        """End it as a crash does, its connections too; idempotent.

        They are processes of their own, and would store for a moment yet.
        """
        if self._process is not None:
            connections = psutil.Process(self._process.pid).children(recursive=True)
            self._end(signal.SIGKILL)
            for connection in connections:
                with suppress(psutil.NoSuchProcess):
                    connection.kill()
            psutil.wait_procs(connections, PATIENCE_S)

    def stop(self) -> None:
        """End it as an operator does, and its connections with it; idempotent."""
        self._end(signal.SIGINT)

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _create(self) -> None:
        password = self._folder / "password"
        password.write_text(PASSWORD)
        for path in (self._folder, password):
            self.give(path)
        self._run(
            "initdb",
            f"--pgdata={self._data}",
            f"--username={USER}",
            f"--pwfile={password}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        )

    def _has_started(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            self._launch()
        try:
            status = (self._data / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        assert self._process is not None
        return status[0] == str(self._process.pid) and "ready   " in status

    def _launch(self) -> None:
        command = [str(self._binaries / "postgres"), "-D", str(self._data), "-p", str(self.port)]
        settings = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=50")
        command += [word for setting in settings for word in ("-c", setting)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                user=self._owner,
                group=self._owner,
                extra_groups=self._extra_groups,
            )

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(PATIENCE_S)
            self._process = None

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._binaries / program), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self._folder,
            env={**os.environ, "PGPASSWORD": PASSWORD},
            user=self._owner,
            group=self._owner,
            extra_groups=self._extra_groups,
        )


def _find_binaries() -> Path:
    found = shutil.which("postgres")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    whole = [folder for folder in folders if (folder / "initdb").exists() and (folder / "createdb").exists()]
    require(whole, "Postgres is not installed: initdb, postgres and createdb are needed (package postgresql)")
    return whole[0]


def _owner() -> str | None:
    """Whom to run it as where we are root, as whom it refuses to run."""
    if os.geteuid() != 0:
        return None
    users = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in users else "nobody"
