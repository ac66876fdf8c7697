"""What several processes on one port are seen to do from outside."""

from collections.abc import Mapping
from pathlib import Path

import psutil

from tests.support.polling import PATIENCE_S, poll_blocking
from tests.support.redis_server import RedisServer
from tests.support.server_process import ServerProcess

__all__ = ["WORKERS", "serving", "wait_for_workers", "with_workers"]

WORKERS = 2


def with_workers(
    redis: RedisServer, folder: Path, environment: Mapping[str, str] | None = None
) -> ServerProcess:
    """Return ``WORKERS`` processes on one port, to be started."""
    arguments = ("--redis", redis.url, "--workers", str(WORKERS))
    return ServerProcess(folder / "data", arguments=arguments, environment=environment)


def wait_for_workers(server: ServerProcess) -> None:
    """Wait until all the processes serve; blocks."""
    poll_blocking(lambda: server.log.read_text().count(" serves") >= WORKERS, PATIENCE_S, "all serve")


def serving(server: ServerProcess) -> dict[int, int]:
    """Return how many clients each process has, by its id; those that have none are left out."""
    counts = {child.pid: _clients_of(child, server) for child in server.children()}
    return {pid: count for pid, count in counts.items() if count}


def _clients_of(process: psutil.Process, server: ServerProcess) -> int:
    return sum(
        connection.laddr.port == server.port and connection.status == psutil.CONN_ESTABLISHED
        for connection in process.net_connections("tcp")
    )
