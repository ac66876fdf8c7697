"""The server as a process of its own, to be killed and started again like an operator's."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import psutil

from tests.support.polling import PATIENCE_S, poll_blocking
from tests.support.ports import free_ports

__all__ = ["COWRITE", "ServerProcess", "free_port", "is_port_free"]

COWRITE = (str(Path(sys.executable).with_name("cowrite")),)
"""The console script of this environment; arguments follow."""


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on at this moment."""
    return free_ports(1)[0]


def is_port_free(port: int) -> bool:
    """Tell whether a new server could listen on ``port``; ended connections do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class ServerProcess:
    """One ``cowrite serve`` on one data folder; keeps its port over restarts.

    As a context manager it starts at entry and is gone, with all its children, at exit. Its log is
    printed then, which pytest shows when the test fails. Methods block: in a coroutine, call them
    through ``asyncio.to_thread``.
    """

    def __init__(
        self,
        data: Path,
        *,
        port: int | None = None,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = COWRITE,
    ) -> None:
        self.data = data
        self.port = port if port is not None else free_port()
        self.log = data.with_name(f"{data.name}.log")
        """Everything that every run printed."""
        self._command = [*command, "serve", "--host", "127.0.0.1", "--port", str(self.port)]
        self._command += ["--data", str(data), *arguments]
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def http_url(self) -> str:
        """Where the server listens, without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_root(self) -> str:
        """What a y-websocket provider is given as its server URL."""
        return f"ws://127.0.0.1:{self.port}/ws"

    def ws_url(self, document: str) -> str:
        """Return where ``document`` is connected to."""
        return f"{self.ws_root}/{quote(document, safe='')}"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._running.pid

    def start(self) -> None:
        """Start the server and wait until it is ready; it must not be running."""
        assert self._process is None, "the server runs already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=subprocess.STDOUT
            )
        poll_blocking(self._has_started, PATIENCE_S, "the server is ready")

    def kill(self) -> None:
        """Kill the server as ``kill -9`` does; its children are left on their own."""
        self._running.kill()
        self._running.wait()
        self._process = None

    def stop(self) -> int:
        """Ask the server to end, as ``kill`` does, wait for it, and return its exit code."""
        self._running.send_signal(signal.SIGTERM)
        code = self._running.wait(timeout=PATIENCE_S)
        self._process = None
        return code

    def freeze(self) -> None:
        """Stop the server in its tracks, as a suspended machine does; ``thaw`` lets it go on."""
        self._running.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._running.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Start again on the same port and data folder; kill it first if it runs."""
        if self._process is not None:
            self.kill()
        self.start()

    def children(self) -> list[psutil.Process]:
        """Return every process below the server at this moment."""
        try:
            return list(psutil.Process(self.pid).children(recursive=True))
        except psutil.NoSuchProcess:
            return []

    def spawned(self) -> list[psutil.Process]:
        """Return those of them that do its work: Python starts one more to look after them."""
        found = []
        for child in self.children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if any("spawn_main" in word for word in child.cmdline()):
                    found.append(child)
        return found

    def rss_bytes(self) -> int:
        """Return the resident memory of the server and all its children together; 0 when it is down."""
        if self._process is None:
            return 0
        total = 0
        for pid in [self.pid, *(child.pid for child in self.children())]:
            try:
                total += psutil.Process(pid).memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return total

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        if self._process is not None:
            children = self.children()
            self.kill()
            for child in children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
        print(f"--- log of the server on {self.data} ---")
        print(self.log.read_text(errors="replace"))

    @property
    def _running(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "the server does not run"
        return self._process

    def get(self, path: str) -> tuple[int, bytes]:
        """Ask for a path and return the status and the body; raises OSError where nobody answers."""
        try:
            with urllib.request.urlopen(f"{self.http_url}{path}", timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def is_ready(self) -> bool:
        """Tell whether the server calls itself ready."""
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False

    def _has_started(self) -> bool:
        assert self._running.poll() is None, f"the server ended while starting:\n{self.log.read_text()}"
        return self.is_ready()
