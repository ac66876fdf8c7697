"""How a connection gets from the process that accepted it to the one that is to serve it: with its socket.

What waits for a process is bounded by the kernel's buffer; when that is full, who accepted serves. What waits
for a process that died is there for its successor.
"""

import asyncio
import sys
from collections.abc import Callable
from itertools import chain
from socket import AF_UNIX, SOCK_DGRAM, SOCK_SEQPACKET, recv_fds, send_fds, socket, socketpair

__all__ = ["LARGEST_BYTES", "Passing"]

LARGEST_BYTES = 8_192
"""The largest request that is passed on; browsers send 500 bytes."""
AT_ONCE = 16
"""Taken in one turn of the loop: a storm of them stalls nobody."""

_KIND = SOCK_SEQPACKET if sys.platform == "linux" else SOCK_DGRAM
"""Both keep messages apart; of the second kind Linux lets no more than 10 wait."""


class Passing:
    """A way to each of several processes; one object of it is given to each when it is spawned.

    Numbers of processes count from 0. The parent keeps its object as long as any of them lives.
    """

    def __init__(self, workers: int) -> None:
        pairs = [socketpair(AF_UNIX, _KIND) for _ in range(workers)]
        for end in chain.from_iterable(pairs):
            # Holds in every process. MSG_DONTWAIT would not do: send_fds and recv_fds of Python 3.11 drop it.
            end.setblocking(False)
        self._ends = [end for end, _ in pairs]
        self._ways = [way for _, way in pairs]

    def pass_on(self, worker: int, tcp: asyncio.Transport, request: bytes) -> bool:
        """Give a connection to another process, with what was read of it; False where that cannot be now.

        After True the transport is closed, which the client does not see: the other process has it open.
        """
        if len(request) > LARGEST_BYTES:
            return False
        try:
            send_fds(self._ways[worker], [request], [tcp.get_extra_info("socket").fileno()])
        except OSError:
            return False
        tcp.close()
        return True

    def listen(self, worker: int, take: Callable[[socket, bytes], None]) -> None:
        """Have what is given to a process, this one, taken from the event loop; ``take`` must not raise."""

        def read() -> None:
            for _ in range(AT_ONCE):
                try:
                    request, sockets, _, _ = recv_fds(self._ends[worker], LARGEST_BYTES, 1)
                except BlockingIOError:
                    return
                # None came where this process has no descriptor left: then the client is gone already.
                for descriptor in sockets:
                    take(socket(fileno=descriptor), request)

        asyncio.get_running_loop().add_reader(self._ends[worker], read)

    def stop_listening(self, worker: int) -> None:
        """Take no more in this process; what waits is for its successor. Idempotent."""
        asyncio.get_running_loop().remove_reader(self._ends[worker])

    def close(self) -> None:
        """Lose what waits, and be of no use any more; idempotent."""
        for end in chain(self._ends, self._ways):
            end.close()
