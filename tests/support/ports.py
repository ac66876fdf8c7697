"""Free ports of 127.0.0.1, for servers that keep theirs over restarts."""

import socket
from pathlib import Path
from random import SystemRandom

__all__ = ["free_ports"]

LOWEST = 10_000
KERNELS = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""Whence the kernel gives a port to every new connection, also one of a server that is down for a moment."""
KERNELS_LOWEST = 32_768
"""Where that is not told."""

_random = SystemRandom()
_given: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Return different ports that nobody listens on at this moment, each once."""
    end = int(KERNELS.read_text().split()[0]) if KERNELS.exists() else KERNELS_LOWEST
    ports: list[int] = []
    while len(ports) < count:
        port = _random.randrange(LOWEST, max(end, LOWEST + 10_000))
        if port not in _given and _is_free(port):
            _given.add(port)
            ports.append(port)
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
