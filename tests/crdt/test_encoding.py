"""The lib0 primitives: exact where they are right, ``Malformed`` and nothing else where they are wrong."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt.encoding import MAX_SAFE_INTEGER, Decoder, encode_var_bytes, encode_var_string, encode_var_uint
from crdt.errors import Malformed

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text())["vectors"]


def vectors(prefix: str) -> list[Any]:
    return [
        pytest.param(bytes.fromhex(vector["hex"]), vector.get("value"), id=vector["name"])
        for vector in VECTORS
        if vector["name"].startswith(prefix) and vector["kind"] == "primitive"
    ]


def read_all(read: str, data: bytes) -> Any:
    decoder = Decoder(data)
    value = getattr(decoder, read)()
    assert decoder.is_at_end
    return value


READS = ["read_var_uint", "read_var_int", "read_var_bytes", "read_var_string", "skip_any", "read_byte"]


@pytest.mark.parametrize(("encoded", "value"), vectors("varuint_"))
def test_E1_unsigned_integers_are_those_of_lib0(encoded: bytes, value: int) -> None:
    assert encode_var_uint(value) == encoded
    assert read_all("read_var_uint", encoded) == value


@pytest.mark.parametrize(("encoded", "value"), vectors("varint_"))
def test_E2_signed_integers_are_those_of_lib0(encoded: bytes, value: int) -> None:
    assert read_all("read_var_int", encoded) == value


@pytest.mark.parametrize(("encoded", "value"), vectors("varuint8array_"))
def test_E3_bytes_are_those_of_lib0(encoded: bytes, value: None) -> None:
    assert read_all("read_var_bytes", encoded) == b"\x01\x02\x03"
    assert encode_var_bytes(b"\x01\x02\x03") == encoded


@pytest.mark.parametrize(("encoded", "value"), vectors("varstring_"))
def test_E4_text_is_that_of_lib0(encoded: bytes, value: str) -> None:
    assert read_all("read_var_string", encoded) == value
    assert encode_var_string(value) == encoded


@given(st.integers(0, MAX_SAFE_INTEGER))
def test_E1_every_unsigned_integer_comes_back(value: int) -> None:
    assert read_all("read_var_uint", encode_var_uint(value)) == value


@given(st.text(), st.binary())
def test_E3_E4_text_and_bytes_come_back(text: str, data: bytes) -> None:
    assert read_all("read_var_string", encode_var_string(text)) == text
    assert read_all("read_var_bytes", encode_var_bytes(data)) == data


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(b"\x80\x80\x80\x80\x80\x80\x80\x10", id="2**53"),
        pytest.param(b"\xff" * 7 + b"\x7f", id="2**56 - 1"),
        pytest.param(b"\x80" * 8 + b"\x00", id="9 bytes"),
        pytest.param(b"\x80" * 200_000, id="200 KB of nothing"),
    ],
)
def test_E1_integers_that_javascript_cannot_count_are_refused(encoded: bytes) -> None:
    with pytest.raises(Malformed):
        Decoder(encoded).read_var_uint()


def test_E2_signed_integers_that_javascript_cannot_count_are_refused() -> None:
    largest = b"\xbf" + b"\xff" * 6 + b"\x1f"
    with pytest.raises(Malformed):
        Decoder(b"\x80" * 9 + b"\x00").read_var_int()
    with pytest.raises(Malformed):
        Decoder(largest[:-1] + b"\x7f").read_var_int()


def test_E3_a_length_beyond_the_end_is_refused_not_cut_short() -> None:
    with pytest.raises(Malformed):
        Decoder(b"\x05ab").read_var_bytes()


@pytest.mark.parametrize("text", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf5\x80\x80\x80"])
def test_E4_text_that_is_not_utf8_is_refused(text: bytes) -> None:
    """Yrs does not check, and wrong bytes end the process (lone surrogates are no UTF-8 either)."""
    with pytest.raises(Malformed):
        Decoder(encode_var_bytes(text)).read_var_string()


def encode_any(value: object) -> bytes:
    """Write a lib0 ``any`` as lib0 does."""
    match value:
        case None:
            return b"\x7e"
        case bool():
            return b"\x78" if value else b"\x79"
        case float():
            return b"\x7b" + struct.pack(">d", value)
        case int():
            return b"\x7a" + struct.pack(">q", value)
        case str():
            return b"\x77" + encode_var_string(value)
        case bytes():
            return b"\x74" + encode_var_bytes(value)
        case list():
            return b"\x75" + encode_var_uint(len(value)) + b"".join(map(encode_any, value))
        case dict():
            pairs = (encode_var_string(key) + encode_any(item) for key, item in value.items())
            return b"\x76" + encode_var_uint(len(value)) + b"".join(pairs)
        case _:
            raise TypeError(value)


def values() -> st.SearchStrategy[Any]:
    scalars = (
        st.none() | st.booleans() | st.floats() | st.integers(-(2**63), 2**63 - 1) | st.text() | st.binary()
    )
    return st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(values())
def test_E5_every_value_is_passed_over_to_its_last_byte(value: object) -> None:
    read_all("skip_any", encode_any(value))


@given(values(), st.data())
def test_E5_every_value_that_ends_too_early_is_refused(value: object, data: st.DataObject) -> None:
    encoded = encode_any(value)
    size = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(Malformed):
        Decoder(encoded[:size]).skip_any()


@pytest.mark.parametrize("opening", [b"\x75\x01", b"\x76\x01\x01k"], ids=["arrays", "objects"])
def test_E5_the_depth_of_a_value_is_told_however_deep_it_is(opening: bytes) -> None:
    """60 KB of nested arrays overflow the stack of yrs, and of whoever recurses."""
    for depth in (0, 64, 500, 30_000):
        decoder = Decoder(opening * depth + b"\x7e")
        assert decoder.skip_any()
        assert (decoder.deepest, decoder.is_at_end) == (depth, True)


@pytest.mark.parametrize("tag", [0, 1, 115, 128, 255])
def test_E5_values_of_a_kind_unknown_to_lib0_are_refused(tag: int) -> None:
    with pytest.raises(Malformed):
        Decoder(bytes((tag, 0, 0, 0, 0, 0, 0, 0, 0))).skip_any()


@pytest.mark.parametrize("read", READS)
@given(data=st.binary())
def test_random_bytes_raise_nothing_but_malformed(read: str, data: bytes) -> None:
    try:
        getattr(Decoder(data), read)()
    except Malformed:
        return


@pytest.mark.parametrize("count", [2**20, 2**31, 2**32, MAX_SAFE_INTEGER])
def test_a_count_of_more_items_than_bytes_is_refused(count: int) -> None:
    """Whoever believes a count allocates for it."""
    with pytest.raises(Malformed):
        Decoder(encode_var_uint(count) + b"\x00" * 100).read_count()
