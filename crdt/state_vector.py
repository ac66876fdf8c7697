"""State vectors: for each client the next clock expected from it."""

import re
from collections.abc import Mapping
from typing import NewType

from crdt.encoding import Decoder, encode_var_uint
from crdt.errors import Malformed
from crdt.update import CLOCK_LIMIT

__all__ = ["StateVector", "check_state_vector", "decode_state_vector", "encode_state_vector"]

StateVector = NewType("StateVector", bytes)
"""An encoded state vector."""

_CLIENT = rb"(?:[\x80-\xff]{0,6}+[\x00-\x7f]|[\x80-\xff]{7}[\x00-\x0f])"
"""Below 2^53 (E1)."""
_CLOCK = rb"(?:[\x80-\xff]{0,3}+[\x00-\x7f]|[\x80-\xff]{4}(?:[\x00-\x07]|[\x80-\x87]\x80{0,2}\x00))"
"""Below 2^31 (U5), in up to 8 bytes."""
_ENTRIES = re.compile(rb"(?:" + _CLIENT + _CLOCK + rb")*+")
"""Possessive: what has matched is never looked at again, and costs no memory."""

_CONTINUED = bytes(range(128, 256))
"""The bytes of an integer but the last."""


def encode_state_vector(clocks: Mapping[int, int]) -> StateVector:
    """Write a state vector."""
    parts = [encode_var_uint(len(clocks))]
    for client, clock in clocks.items():
        parts += (encode_var_uint(client), encode_var_uint(clock))
    return StateVector(b"".join(parts))


def check_state_vector(state_vector: bytes) -> None:
    """Raise ``Malformed`` where ``decode_state_vector`` would: of 1,000,000 clients in 30 ms, not 600."""
    decoder = Decoder(state_vector)
    count = decoder.read_count(2)
    if _ENTRIES.fullmatch(state_vector, decoder.position) is None:
        raise Malformed("state vector is not of clients and clocks")
    # The last bytes of integers are all below 128, and no others are; the count is one of them.
    if len(state_vector.translate(None, _CONTINUED)) != 1 + 2 * count:
        raise Malformed("state vector is not as long as it says")


def decode_state_vector(state_vector: bytes) -> dict[int, int]:
    """Read a state vector; raises ``Malformed``."""
    decoder = Decoder(state_vector)
    clocks = {}
    for _ in range(decoder.read_count(2)):
        client = decoder.read_var_uint()
        clock = decoder.read_var_uint()
        if clock >= CLOCK_LIMIT:
            raise Malformed("clock out of range")
        clocks[client] = clock
    if not decoder.is_at_end:
        raise Malformed("bytes behind the state vector")
    return clocks
