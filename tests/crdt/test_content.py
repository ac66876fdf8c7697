"""What structs carry: text as JavaScript counts it, values, subdocuments (U7, U11, U12)."""

import pytest

from crdt.encoding import encode_var_bytes, encode_var_string
from crdt.errors import Malformed
from crdt.update import Update
from tests.crdt.build import item, section, text, update
from tests.crdt.summary import summarise


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


def test_U4_the_options_of_a_subdocument_are_an_object() -> None:
    """Yjs throws where they are not, and yrs takes them."""
    brought = summarise(update(section(1, 0, item(9, encode_var_string("guid") + b"\x76\x00"))))
    assert brought.brings == {1: [(0, 1)]}
    with pytest.raises(Malformed):
        summarise(update(section(1, 0, item(9, encode_var_string("guid") + b"\x7e"))))


@pytest.mark.parametrize("json", ["", "{", "NaN", "undefined", "01", "'a'", "[1,]", "\ufeff1", '"\n"', "1 2"])
@pytest.mark.parametrize("kind", [2, 5, 6])
def test_U12_what_json_parse_throws_at_is_refused(kind: int, json: str) -> None:
    content = {2: b"\x02\x011", 5: b"", 6: b"\x04bold"}[kind] + encode_var_string(json)
    if (kind, json) == (2, "undefined"):
        return  # Old arrays write it for a value that JSON does not have.
    with pytest.raises(Malformed):
        summarise(update(section(1, 0, item(kind, content))))
