"""One form for each value: equal where JavaScript reads equal values, and nowhere else."""

from itertools import combinations

import pytest

from crdt.encoding import Decoder
from crdt.errors import Malformed
from crdt.values import any_value, json_value
from tests.crdt.contents import any_of


def any_bytes(encoded: bytes) -> bytes:
    decoder = Decoder(encoded)
    value = any_value(decoder)
    assert decoder.is_at_end
    return value


SAME = {
    "key order": [
        '{"a":1,"b":{"c":2,"d":[]}}',
        '{"b":{"d":[],"c":2},"a":1}',
        ' {"b" : {"d":[ ],"c":2}, "a":1} ',
    ],
    "escapes": ['"\\u00e9\\/\\n"', '"é/\\u000a"'],
    "astral": ['"\\ud83d\\ude00"', '"😀"'],
    "numbers": ["1", "1.0", "10e-1", "1E0"],
    "large": ["12345678901234567890", "1.2345678901234567e19"],
    "infinite": ["1e999", "2e999"],
    "a key twice": ['{"a":1,"a":2}', '{"a":2}'],
}


@pytest.mark.parametrize("texts", SAME.values(), ids=SAME)
def test_json_of_equal_values_is_equal(texts: list[str]) -> None:
    assert len({json_value(text) for text in texts}) == 1


DIFFERENT = [
    "0", "-0", "1", "-1", '"1"', "true", "false", "null", "{}", "[]", "[[]]", "[{}]", "[null]", '""', '"a"',
    '{"a":1}', '{"a":2}', '{"b":1}', '{"a":1,"b":2}', '{"a":2,"b":1}', '{"a":{"b":1}}', '{"a":null}',
    "[1,2]", "[2,1]", "[[1],2]", "[1,[2]]", "0.1", "0.10000000000000002",
    "9007199254740992", "9007199254740994", '{"":1}', '["a",1]', '"\\ud800"', '"\\ufffd"',
]  # fmt: skip


def test_json_of_different_values_is_different() -> None:
    for one, other in combinations(DIFFERENT, 2):
        assert json_value(one) != json_value(other), (one, other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        "[1,]",
        '{"a":1,}',
        "{]",
        "[}",
        "01",
        "NaN",
        "-Infinity",
        "undefined",
        '{"a"}',
        "{1:2}",
        '"a',
    ]
    + ["[1 2]", "1 1", "'a'", "tru", '{"a":1]', "\ufeff1", '"\n"', "[,1]", "+1", "1.", ".5"],
)
def test_what_is_no_json_is_equal_to_itself_alone(text: str) -> None:
    assert json_value(text) == json_value(text) != json_value(text + " ")
    assert json_value(text)[:1] == b"\xff", "it was taken for JSON"


def test_any_of_equal_values_is_equal() -> None:
    """yrs writes a number that is whole as an integer, and any other as the shortest float that holds it."""
    assert any_bytes(any_of(1)) == any_bytes(any_of(1.0)) == any_bytes(b"\x7c\x3f\x80\x00\x00")
    assert any_bytes(b"\x7d\x40") == any_bytes(any_of(-0.0)) != any_bytes(b"\x7d\x00")
    assert any_bytes(b"\x7b\x7f\xf8" + bytes(6)) == any_bytes(b"\x7b\xff\xf8" + bytes(5) + b"\x01")
    assert any_bytes(any_of({"a": 1, "b": [2]})) == any_bytes(any_of({"b": [2.0], "a": 1}))


def test_any_of_different_values_is_different() -> None:
    """BigInt 1 is not 1, undefined is not null, and bytes are no text."""
    encoded = [b"\x7f", b"\x7a" + bytes(7) + b"\x01", b"\x7a" + bytes(8), b"\x7b\x7f\xf8" + bytes(6)]
    encoded += map(
        any_of, [None, True, False, 0, 1, -1, -0.0, 0.5, "", "a", b"", b"a", [], {}, [[]], [{}], ["a"]]
    )
    encoded += map(
        any_of, [{"a": 1}, {"a": 2}, {"b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 1}, {"a": {"b": 1}}]
    )
    encoded += [b"\x76\x01\x01a\x7f", any_of({"a": None})]
    assert len(set(map(any_bytes, encoded))) == len(encoded)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('[1.5,null,{},{"é":[true,"x"]}]', [1.5, None, {}, {"é": [True, "x"]}]),
        ('{"a":-0.0,"b":"😀"}', {"b": "😀", "a": -0.0}),
    ],
)
def test_json_and_any_that_say_the_same_are_equal(text: str, value: object) -> None:
    assert json_value(text) == any_bytes(any_of(value))


@pytest.mark.parametrize("opening", [b"\x75\x01", b"\x76\x01\x01a"], ids=["array", "object"])
def test_values_may_nest_as_deep_as_they_like(opening: bytes) -> None:
    deep = opening * 50_000
    assert any_bytes(deep + b"\x7e") != any_bytes(deep + b"\x78")
    start, end = ("[", "]") if opening[0] == 117 else ('{"a":', "}")
    assert json_value(start * 50_000 + "null" + end * 50_000) == any_bytes(deep + b"\x7e")


@pytest.mark.parametrize(
    "encoded", [b"", b"\x73", b"\x7b\x00", b"\x7a", b"\x75\x02\x7e", b"\x76\x01\x01a", b"\x76\x01"]
)
def test_an_any_that_ends_too_early_is_malformed(encoded: bytes) -> None:
    with pytest.raises(Malformed):
        any_bytes(encoded)
