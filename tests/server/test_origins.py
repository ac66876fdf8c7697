"""Which texts are the same origin, and which of them an operator has let in."""

import pytest

from server.origins import AllowedOrigins, Origin

SAME = [
    ("https://x", "https://x:443"),
    ("http://x:80", "http://x"),
    ("HTTPS://Page.Example", "https://page.example"),
    ("http://[::1]:5173", "http://[0:0:0:0:0:0:0:1]:5173"),
    ("https://[2001:DB8::1]", "https://[2001:db8::1]:443"),
    ("http://x:0080", "http://x"),
]
OTHER = [
    ("https://x", "http://x"),
    ("https://x", "https://x:80"),
    ("https://x", "https://x."),
    ("https://x", "https://y.x"),
    ("http://127.0.0.1", "http://localhost"),
    ("capacitor://localhost", "ionic://localhost"),
]
NONE = [
    "",
    "null",
    "x",
    "x:80",
    "//x",
    "https://",
    "https://x/",
    "https://x/y",
    "https://u@x",
    "https://x:65536",
    "https://x:",
    "https://x:1:2",
    "https://[::1",
    "https://[1.2.3.4]",
    "https://x y",
    "https://x\n",
    "https://münchen.example",
    "http://\u212aelvin.example",  # a Kelvin sign, whose lower case is an ASCII letter
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_L2_spellings_of_one_origin_are_equal(one: str, other: str) -> None:
    assert Origin.read(one) == Origin.read(other) is not None
    assert str(Origin.read(one)) == str(Origin.read(other))


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_L2_other_origins_are_not(one: str, other: str) -> None:
    assert Origin.read(one) != Origin.read(other)
    assert None not in (Origin.read(one), Origin.read(other))


@pytest.mark.parametrize("text", NONE)
def test_L2_what_is_no_origin(text: str) -> None:
    assert Origin.read(text) is None
    assert not AllowedOrigins(["https://x", "https://*.x"]).lets_in(text)
    assert AllowedOrigins(["*"]).lets_in(text)


def test_an_origin_is_written_as_an_operator_names_it() -> None:
    texts = ["https://x", "http://x:81", "http://[::1]:5173", "capacitor://localhost"]
    assert [str(Origin.read(text)) for text in texts] == texts
    assert all(AllowedOrigins([text]).lets_in(text) for text in texts)


@pytest.mark.parametrize(
    ("origin", "is_let_in"),
    [
        ("https://a.example.org", True),
        ("https://a.b.example.org:443", True),
        ("https://example.org", False),
        ("https://aexample.org", False),
        ("https://a.example.org.evil.example", False),
        ("http://a.example.org", False),
        ("https://a.example.org:8443", False),
    ],
)
def test_L2_a_star_stands_for_everything_below_a_name(origin: str, is_let_in: bool) -> None:
    assert AllowedOrigins(["https://*.example.org"]).lets_in(origin) is is_let_in
