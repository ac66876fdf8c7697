"""State vectors on the wire."""

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crdt.encoding import MAX_SAFE_INTEGER, encode_var_uint
from crdt.errors import Malformed
from crdt.state_vector import check_state_vector, decode_state_vector, encode_state_vector
from crdt.update import CLOCK_LIMIT

VECTORS = {
    vector["name"]: bytes.fromhex(vector["hex"])
    for vector in json.loads((Path(__file__).parent / "vectors.json").read_text())["vectors"]
}
EDGES = [0, 1, *(2**bits + step for bits in (7, 14, 21, 28, 31, 35, 42, 49, 53) for step in (-1, 0))]
"""Where an integer takes another byte, or is too large."""


def test_state_vectors_are_those_of_yjs() -> None:
    for name, clocks in (("sv_empty", {}), ("sv_hello", {1: 5}), ("sv_from_gap_update", {3: 1})):
        assert decode_state_vector(VECTORS[name]) == clocks
        assert encode_state_vector(clocks) == VECTORS[name]


def is_accepted(state_vector: bytes) -> bool:
    """Whether it is checked to be one, after seeing that reading it says the same."""
    try:
        decode_state_vector(state_vector)
    except Malformed:
        with pytest.raises(Malformed):
            check_state_vector(state_vector)
        return False
    check_state_vector(state_vector)
    return True


@pytest.mark.parametrize("client", EDGES)
@pytest.mark.parametrize("clock", EDGES)
def test_E1_U5_the_check_knows_the_largest_integers(client: int, clock: int) -> None:
    state_vector = encode_state_vector({1: 2}) + encode_var_uint(client) + encode_var_uint(clock)
    state_vector = b"\x02" + state_vector[1:]
    assert is_accepted(state_vector) == (client <= MAX_SAFE_INTEGER and clock < CLOCK_LIMIT)


def padded(value: int, size: int) -> bytes:
    """Encode ``value`` in ``size`` bytes, more than it needs."""
    return bytes(128 | value >> 7 * place & 127 for place in range(size - 1)) + bytes(
        (value >> 7 * (size - 1),)
    )


@pytest.mark.parametrize("size", range(5, 11))
@pytest.mark.parametrize("value", [0, 1, 2**28 - 1, 2**31 - 1])
def test_E1_the_check_takes_integers_that_are_longer_than_they_need(value: int, size: int) -> None:
    for state_vector in (b"\x01\x05" + padded(value, size), b"\x01" + padded(value, size) + b"\x05"):
        assert is_accepted(state_vector) == (size <= 8)


@given(
    st.lists(st.sampled_from([0x00, 0x01, 0x07, 0x08, 0x0F, 0x10, 0x7F, 0x80, 0x87, 0x88, 0xFF]), max_size=24)
)
@example([0x02, 0x01, 0x01, 0x01])
@example([0x01, 0x01, 0x01, 0x01])
@example([0x81, 0x00, 0x01, 0x01])
def test_S3_the_check_says_what_reading_says(entries: list[int]) -> None:
    is_accepted(bytes(entries))
    for count in range(6):
        is_accepted(bytes((count, *entries)))
