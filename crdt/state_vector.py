"""State vectors: for each client the next clock expected from it."""

from collections.abc import Mapping
from typing import NewType

from crdt.encoding import Decoder, encode_var_uint
from crdt.errors import Malformed
from crdt.update import CLOCK_LIMIT

__all__ = ["StateVector", "decode_state_vector", "encode_state_vector"]

StateVector = NewType("StateVector", bytes)
"""An encoded state vector."""


def encode_state_vector(clocks: Mapping[int, int]) -> StateVector:
    """Write a state vector."""
    parts = [encode_var_uint(len(clocks))]
    for client, clock in clocks.items():
        parts += (encode_var_uint(client), encode_var_uint(clock))
    return StateVector(b"".join(parts))


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
