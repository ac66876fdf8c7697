"""What structs carry: text as JavaScript counts it, values, subdocuments (U7, U11, U12)."""

import pytest

from crdt.encoding import encode_var_bytes, encode_var_string
from crdt.errors import Malformed
from crdt.summary import summarise
from crdt.update import Update
from tests.crdt.build import item, section, text, update


@pytest.mark.parametrize(("content", "length"), [("abc", 3), ("é€", 2), ("😀", 2), ("a😀é", 4)])
def test_U7_text_is_as_long_as_in_javascript(content: str, length: int) -> None:
    assert summarise(update(section(1, 0, text(content)))).brings == {1: [(0, length)]}


WRONG_TEXT = encode_var_bytes(b"a\xff")


@pytest.mark.parametrize(
    "struct",
    [
        pytest.param(item(4, WRONG_TEXT), id="text"),
        pytest.param(b"\x04\x01" + WRONG_TEXT + b"\x01a", id="root name"),
        pytest.param(b"\x24\x01\x01t" + WRONG_TEXT + b"\x01a", id="map key"),
        pytest.param(item(2, b"\x01" + WRONG_TEXT), id="json"),
        pytest.param(item(5, WRONG_TEXT), id="embed"),
        pytest.param(item(6, WRONG_TEXT + b"\x04null"), id="mark"),
        pytest.param(item(6, b"\x01b" + WRONG_TEXT), id="mark's value"),
        pytest.param(item(7, b"\x03" + WRONG_TEXT), id="node name"),
        pytest.param(item(8, b"\x01\x77" + WRONG_TEXT), id="any text"),
        pytest.param(item(8, b"\x01\x76\x01" + WRONG_TEXT + b"\x7e"), id="any key"),
        pytest.param(item(9, WRONG_TEXT + b"\x7e"), id="subdocument"),
    ],
)
def test_U11_text_that_is_not_utf8_is_refused_wherever_it_stands(struct: bytes) -> None:
    """Yrs reads it unchecked, and crashes."""
    with pytest.raises(Malformed):
        summarise(Update(update(section(1, 0, struct))))


def test_U11_values_nest_64_deep_and_no_deeper() -> None:
    """60 KB of nested arrays overflow the stack of yrs."""
    summarise(update(section(1, 0, item(8, b"\x01" + b"\x75\x01" * 64 + b"\x7e"))))
    with pytest.raises(Malformed, match="deep"):
        summarise(update(section(1, 0, item(8, b"\x01" + b"\x75\x01" * 30_000 + b"\x7e"))))
    with pytest.raises(Malformed, match="deep"):
        summarise(update(section(1, 0, item(9, b"\x01g" + b"\x75\x01" * 30_000 + b"\x7e"))))


def test_U12_a_subdocument_is_passed_on_unread() -> None:
    brought = summarise(update(section(1, 0, item(9, encode_var_string("guid") + b"\x76\x00"))))
    assert brought.brings == {1: [(0, 1)]}
