"""Who asks, and where: with a proxy in between, and with somebody who says there is one."""

from collections.abc import Sequence

import pytest

from server.callers import Caller, TrustedProxies

PROXIES = ("10.0.0.0/8", "::1", "fd00::/8")


def caller(
    peer: str | None = "192.0.2.1", *, scheme: str = "ws", trusted: tuple[str, ...] = PROXIES, **headers: str
) -> Caller:
    """Ask as ``peer``; headers with underscores for their hyphens."""
    named = {"host": "x", **headers}
    return caller_of(peer, [(name.replace("_", "-"), named[name]) for name in named], scheme, trusted)


def caller_of(
    peer: str | None,
    headers: Sequence[tuple[str, str]],
    scheme: str = "ws",
    trusted: tuple[str, ...] = PROXIES,
) -> Caller:
    lines = [(name.encode(), value.encode()) for name, value in headers]
    scope = {"type": "websocket", "scheme": scheme, "headers": lines, "client": peer and (peer, 1)}
    return TrustedProxies(trusted).caller_of(scope)


OWN = [
    ("x", "http://x", True),
    ("x", "https://x", True),
    ("x", "https://x:443", True),
    ("x:443", "https://x", True),
    ("x:80", "http://x", True),
    ("x", "http://x:80", True),
    ("X.Example", "https://x.example", True),
    ("x.example", "https://X.EXAMPLE", True),
    ("[::1]:8000", "http://[::1]:8000", True),
    ("[::1]", "https://[0:0::1]", True),
    ("x:443", "http://x", False),
    ("x:80", "https://x", False),
    ("x", "https://x:80", False),
    ("x:8000", "http://x", False),
    ("x", "http://y.x", False),
    ("x", "ftp://x", False),
    ("x", "null", False),
    ("null", "null", False),
    ("", "http://", False),
    ("x@evil.example", "http://x", False),
    ("[::1", "http://[::1", False),
]


@pytest.mark.parametrize(("host", "origin", "is_own"), OWN)
def test_L2_the_own_origin_is_the_host_with_either_scheme(host: str, origin: str, is_own: bool) -> None:
    assert caller(host=host).is_at(origin) is is_own


def test_L2_where_the_scheme_is_known_it_counts() -> None:
    known = [
        caller(scheme="wss"),
        caller("10.0.0.1", x_forwarded_proto="https"),
        caller("10.0.0.1", x_forwarded_proto="wss, http"),
    ]
    for each in known:
        assert each.is_at("https://x")
        assert not each.is_at("http://x")
    plain = caller("10.0.0.1", x_forwarded_proto="http")
    assert (plain.is_at("http://x"), plain.is_at("https://x")) == (True, False)


def test_L2_nobody_else_says_where_we_are() -> None:
    forged = {"x_forwarded_host": "evil.example", "x_forwarded_proto": "https", "x_forwarded_for": "10.9.9.9"}
    for peer, trusted in (("192.0.2.1", PROXIES), ("10.0.0.1", ()), (None, PROXIES)):
        asking = caller(peer, trusted=trusted, **forged)
        assert (asking.host, asking.scheme, asking.address) == ("x", None, peer or "unknown")


def test_L2_a_trusted_proxy_says_where_we_are() -> None:
    asking = caller("10.0.0.1", x_forwarded_host="page.example:8443, inner", x_forwarded_proto="HTTPS")
    assert asking.is_at("https://page.example:8443")
    assert not asking.is_at("https://x")
    assert caller("10.0.0.1").is_at("https://x")
    assert caller("10.0.0.1", x_forwarded_proto="gopher").is_at("http://x")


ADDRESSES = {
    "nothing said": ("10.0.0.1", "", "10.0.0.1"),
    "one proxy": ("10.0.0.1", "192.0.2.7", "192.0.2.7"),
    "what the client wrote is not believed": ("10.0.0.1", "198.51.100.1, 192.0.2.7", "192.0.2.7"),
    "two proxies": ("10.0.0.1", "198.51.100.1, 192.0.2.7, 10.0.0.2", "192.0.2.7"),
    "a client inside": ("10.0.0.1", "10.0.0.3", "10.0.0.3"),
    "with a port": ("10.0.0.1", "192.0.2.7:1234", "192.0.2.7"),
    "garbage": ("10.0.0.1", "192.0.2.7, unknown", "10.0.0.1"),
    "IPv6": ("::1", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
    "IPv6 with a port": ("::1", "[2001:db8:1:2::9]:80", "2001:db8:1:2::/64"),
    "IPv4 in IPv6": ("::ffff:10.0.0.1", "::ffff:192.0.2.7", "192.0.2.7"),
}


@pytest.mark.parametrize("name", ADDRESSES)
def test_L9_refusals_count_for_the_nearest_address_that_is_no_proxy(name: str) -> None:
    peer, forwarded, address = ADDRESSES[name]
    assert caller(peer, x_forwarded_for=forwarded).address == address


def test_L9_several_header_lines_are_one_list() -> None:
    lines = [("host", "x"), ("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "192.0.2.7")]
    assert caller_of("10.0.0.1", lines).address == "192.0.2.7"
