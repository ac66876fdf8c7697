"""How much the kernel takes of what a peer has not read yet."""

import asyncio
import socket
import sys

__all__ = ["limit_unsent"]

_NOTSENT_LOWAT_BYTES = 131_072
# Named in the socket module from Python 3.12 on.
_TCP_NOTSENT_LOWAT = 25 if sys.platform == "linux" else None


def limit_unsent(tcp: asyncio.Transport) -> None:
    """Leave what waits in ``tcp``, where it counts: else the kernel hides up to 4 MB for each slow reader."""
    sock = tcp.get_extra_info("socket")
    if _TCP_NOTSENT_LOWAT and sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, _NOTSENT_LOWAT_BYTES)
