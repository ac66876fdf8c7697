"""What several processes on one port are seen to do from outside."""

import psutil

from tests.support.polling import poll_blocking
from tests.support.server_process import ServerProcess

__all__ = ["serving", "wait_for_workers"]

START_LIMIT_S = 20.0


def wait_for_workers(server: ServerProcess, count: int) -> None:
    """Wait until so many processes serve; blocks."""
    poll_blocking(
        lambda: server.log.read_text().count(" serves") >= count, START_LIMIT_S, f"{count} processes serve"
    )


def serving(server: ServerProcess) -> dict[int, int]:
    """Return how many clients each process has, by its id; those that have none are left out."""
    counts = {child.pid: _clients_of(child, server) for child in server.children()}
    return {pid: count for pid, count in counts.items() if count}


def _clients_of(process: psutil.Process, server: ServerProcess) -> int:
    return sum(
        connection.laddr.port == server.port and connection.status == psutil.CONN_ESTABLISHED
        for connection in process.net_connections("tcp")
    )
