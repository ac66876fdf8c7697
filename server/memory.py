"""How this process gives memory back to the system."""

import ctypes
from contextlib import suppress

__all__ = ["give_large_blocks_back"]

_M_MMAP_THRESHOLD = -3
_LARGE_BYTES = 128 * 1024
"""What glibc starts with."""


def give_large_blocks_back() -> None:
    """Have every block of 128 KB or more go back as soon as it is freed; idempotent.

    Left alone, glibc raises that limit to the largest block that was freed, up to 32 MB, and keeps what is
    below it. Without effect where there is no glibc.
    """
    with suppress(OSError, TypeError, AttributeError):  # no such library, or none with such a function
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
