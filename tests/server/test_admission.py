"""Who may connect to which document: names, origins, limits, and a server that stops."""

import asyncio
import logging
from collections.abc import Callable
from urllib.parse import quote

import pytest
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from crdt.errors import CloseCode
from tests.server.faults import FaultyStore
from tests.server.servers import RunningServer
from tests.server.support import Peer, until, warnings_of
from tests.support.polling import poll

Start = Callable[..., RunningServer]

IMPOSSIBLE = {
    "empty": "",
    "a dot": "%2e",
    "two dots": "%2e%2e",
    "dots inside": "a/%2e%2e/b",
    "an empty part": "a//b",
    "a leading slash": "/a",
    "a trailing slash": "a/",
    "encoded slashes": "a%2F%2Fb",
    "NUL": "a%00b",
    "tab": "a%09b",
    "escape": "a%1bb",
    "a line break": "a%0Ab",
    "a line break at the end": "a%0A",
    "a C1 control": "a%C2%85b",
    "invalid UTF-8": "a%ff",
    "a lone surrogate": "a%ED%A0%80",
    "an overlong slash": "a%C0%AFb",
    "256 bytes": "x" * 256,
    "128 letters of 2 bytes": quote("é" * 128),
    "7 KB": "x" * 7_000,
}

POSSIBLE = {
    "255 bytes": "x" * 255,
    "spaces and signs": quote("a b!'()*:@&=+$,;~", safe=""),
    "a percent sign": "100%25",
    "three parts": "a/b/c",
    "an emoji": quote("🫶"),
    "a character newer than this Python": quote("\U000e0fff"),
    "dots in a name": "..a",
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
async def test_an_impossible_name_is_refused(
    shared: RunningServer, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    peer = Peer(f"ws://127.0.0.1:{shared.port}/ws/{IMPOSSIBLE[name]}")
    await peer.connect()
    assert await peer.closing() == (CloseCode.MALFORMED, CloseCode.MALFORMED.phrase)
    (line,) = warnings_of(caplog)
    assert (line.levelno, line.getMessage()) == (logging.WARNING, "refused: impossible document name")
    assert len(vars(line)["path"]) <= 300
    assert vars(line)["path"][4:] not in await shared.documents()


@pytest.mark.parametrize("name", POSSIBLE)
async def test_an_unusual_name_is_a_document(shared: RunningServer, name: str) -> None:
    url = f"ws://127.0.0.1:{shared.port}/ws/{POSSIBLE[name]}"
    async with Peer(url) as one, Peer(url) as other:
        await one.append(name)
        await other.shows(name)


@pytest.mark.parametrize(
    ("one", "other"), [("a/b", "a%2Fb"), (quote("é"), quote("e\u0301")), (quote("한"), quote("한"))]
)
async def test_two_spellings_of_one_name_are_one_document(
    server: RunningServer, one: str, other: str
) -> None:
    root = f"ws://127.0.0.1:{server.port}/ws/"
    async with Peer(root + one) as first, Peer(root + other) as second:
        await first.append("the same")
        await second.shows("the same")
        assert len(await server.documents()) == 1


async def test_case_and_spaces_make_different_documents(server: RunningServer) -> None:
    root = f"ws://127.0.0.1:{server.port}/ws/"
    async with Peer(root + "a") as first, Peer(root + "A") as second, Peer(root + "a%20") as third:
        await first.append("only here")
        await first.acknowledge()
        assert (second.shown, third.shown) == ("", "")
        assert len(await server.documents()) == 3


ORIGINS = {
    "none": (None, (), True),
    "the same host": ("http://127.0.0.1:{port}", (), True),
    "the same host over TLS": ("https://127.0.0.1:{port}", (), True),
    "another port": ("http://127.0.0.1:1", (), False),
    "another host": ("http://evil.example", (), False),
    "a name that begins like ours": ("http://127.0.0.1:{port}.evil.example", (), False),
    "ours as a user": ("http://127.0.0.1:{port}@evil.example", (), False),
    "null": ("null", (), False),
    "no URL": ("http://[evil", (), False),
    "listed": ("https://wiki.example", ("https://wiki.example",), True),
    "listed with another scheme": ("http://wiki.example", ("https://wiki.example",), False),
    "below a listed name": ("https://a.b.wiki.example", ("https://*.wiki.example",), True),
    "the name itself where those below are listed": (
        "https://wiki.example",
        ("https://*.wiki.example",),
        False,
    ),
    "all": ("http://evil.example", ("*",), True),
    "null where all are": ("null", ("*",), True),
}


@pytest.mark.parametrize("name", ORIGINS)
async def test_S11_pages_of_other_origins_get_no_document(
    start: Start, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    origin, allowed, is_allowed = ORIGINS[name]
    server = start(allow_origin=allowed)
    options = {} if origin is None else {"origin": Origin(origin.format(port=server.port))}
    peer = Peer(server.url("d"), options)
    await peer.connect()
    if is_allowed:
        await peer.synced()
        await peer.close()
        assert not warnings_of(caplog)
        return
    assert await peer.closing() == (CloseCode.FORBIDDEN, CloseCode.FORBIDDEN.phrase)
    (line,) = warnings_of(caplog)
    assert line.getMessage().startswith("refused: foreign origin")
    assert not await server.documents()


@pytest.mark.parametrize("is_trusted", [True, False])
async def test_L2_a_proxy_in_front_says_where_the_page_is(start: Start, is_trusted: bool) -> None:
    server = start(trusted_proxies=("127.0.0.1",) if is_trusted else ())
    said = {"X-Forwarded-Host": "page.example", "X-Forwarded-Proto": "https"}
    peer = server.peer("d", options={"origin": Origin("https://page.example"), "additional_headers": said})
    await peer.connect()
    if is_trusted:
        await peer.synced()
    else:
        assert (await peer.closing())[0] == CloseCode.FORBIDDEN


async def test_beyond_the_limit_connections_are_told_to_come_back(start: Start) -> None:
    server = start(max_connections=3)
    peers = [server.peer("d") for _ in range(3)]
    for peer in peers:
        await peer.connect()
        await peer.synced()
    refused = server.peer("d")
    await refused.connect()
    assert await refused.closing() == (CloseCode.OVERLOADED, CloseCode.OVERLOADED.phrase)
    await peers[0].close()
    async with server.peer("d") as welcome:
        assert welcome.is_synced


async def test_S16_those_who_wait_for_their_document_count_too(start: Start) -> None:
    store = FaultyStore()
    server = start(store, max_connections=5)
    store.may_load.clear()
    peers = [server.peer(f"d{number}") for number in range(12)]
    await asyncio.gather(*(peer.connect() for peer in peers))
    await until(lambda: sum(peer.closed for peer in peers) == 7, "refused")
    assert {peer.ws.close_code for peer in peers if peer.closed} == {CloseCode.OVERLOADED}
    store.may_load.set()
    for peer in peers:
        if not peer.closed:
            await peer.synced()


async def test_a_client_that_goes_away_while_its_document_is_loaded_leaves_nothing(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    store = FaultyStore()
    server = start(store, grace_s=1.0)
    store.may_load.clear()
    for _ in range(5):
        peer = server.peer("d")
        await peer.connect()
        await peer.abort()
    store.may_load.set()
    await poll(server.documents, 10, "the document is loaded")
    await server.unloaded()
    assert not await server.call(lambda: server.node.connections)
    async with server.peer("d") as later:
        await later.append("x")
        await later.acknowledge()
    assert not warnings_of(caplog)


async def test_a_client_that_goes_away_before_it_is_refused_causes_no_error(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    store = FaultyStore()
    server = start(store)
    store.may_load.clear()
    peer = server.peer("d")
    await peer.connect()
    await until(lambda: store.loads, "loading")
    await peer.abort()
    store.fail_loads()
    store.may_load.set()
    await until(lambda: warnings_of(caplog), "refused")
    (line,) = warnings_of(caplog)
    assert line.getMessage().startswith("refused: cannot load: ")


async def test_the_first_offered_subprotocol_is_chosen(server: RunningServer) -> None:
    peer = Peer(server.url("d"), {"subprotocols": ["yauth-token", "other"]})
    async with peer:
        assert peer.ws.subprotocol == "yauth-token"


async def test_only_documents_are_websockets(server: RunningServer) -> None:
    for path in ("/", "/ws", "/other/d", "/healthz"):
        with pytest.raises(InvalidStatus):
            await Peer(f"ws://127.0.0.1:{server.port}{path}").connect()
