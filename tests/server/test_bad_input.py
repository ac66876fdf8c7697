"""What a hostile or broken client sends: it is closed with a code and a fixed phrase, nobody else notices."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from crdt.encoding import encode_var_bytes, encode_var_string, encode_var_uint
from crdt.errors import CloseCode
from server.connection import TOO_LARGE_TO_TAKE
from tests.crdt.build import MAP, chain, item, section, text, type_item, update
from tests.server.servers import RunningServer
from tests.server.support import Peer, until, warnings_of

Start = Callable[..., RunningServer]

V2_UPDATE = bytes.fromhex("000001010000010409067468656c6c6f01050101000001010000")
"""What Yjs encodes as version 2 for a text that says hello."""
LIMIT_BYTES = 2**17
SECRET = "a secret of the document"

ANY, STRING = 8, 4


def sync_update(content: bytes) -> bytes:
    return b"\x00\x02" + encode_var_bytes(content)


def awareness(content: bytes) -> bytes:
    return b"\x01" + encode_var_bytes(content)


def nested_any(levels: int) -> bytes:
    return update(section(1, 0, item(ANY, b"\x01" + b"\x75\x01" * levels + b"\x7e")))


@dataclass(frozen=True)
class Case:
    """One thing that no well-behaved client sends."""

    frame: bytes | str
    code: CloseCode = CloseCode.MALFORMED


CASES = {
    "text frame": Case(f"text with {SECRET}", CloseCode.TEXT_FRAME),
    "empty frame": Case(b""),
    "unfinished varint": Case(b"\x80"),
    "overlong varint": Case(b"\xff" * 12),
    "varint above 2**53": Case(b"\x00\x02" + b"\xff" * 7 + b"\x7f"),
    "truncated update": Case(b"\x00\x02\x7f" + SECRET.encode()),
    "truncated sync message": Case(b"\x00"),
    "unknown message type": Case(b"\x07" + SECRET.encode()),
    "message type of two bytes": Case(b"\xc8\x01"),
    "unknown sync message": Case(b"\x00\x03\x00"),
    "version 2 update": Case(sync_update(V2_UPDATE)),
    "garbage update": Case(sync_update(b"\xde\xad\xbe\xef" * 8 + SECRET.encode())),
    "garbage state vector": Case(b"\x00\x00" + encode_var_bytes(b"\x05\x01")),
    "bytes behind the update": Case(sync_update(update(section(1, 0, text(SECRET))) + b"\x00")),
    "second message malformed": Case(sync_update(update(section(1, 0, text(SECRET)))) + b"\x07\x07"),
    "text that is not UTF-8": Case(sync_update(update(section(1, 0, item(STRING, b"\x02\xff\xfe"))))),
    "struct of length zero": Case(sync_update(update(section(1, 0, item(STRING, b"\x00"))))),
    "client twice": Case(sync_update(update(section(1, 0, text("a")), section(1, 1, text("b"))))),
    "clock of 2**31": Case(sync_update(update(section(1, 2**31 - 1, text("ab"))))),
    "count of 2**28 clients": Case(sync_update(encode_var_uint(2**28))),
    "awareness that is no update": Case(awareness(b"\x01\x07")),
}


@pytest.mark.parametrize("name", CASES)
async def test_a_bad_frame_costs_its_sender_the_connection_and_nobody_else_anything(
    shared: RunningServer, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    case = CASES[name]
    async with shared.peer(f"a/{name}") as friend:
        await friend.append("one ")
        attacker = shared.peer(f"a/{name}")
        await attacker.connect()
        await attacker.synced()
        seen = len(friend.frames)
        await attacker.ws.send(case.frame)
        assert await attacker.closing() == (case.code, case.code.phrase)
        await friend.append("two ")
        await friend.acknowledge()
        assert friend.shown == "one two "
        # Its own echo and the acknowledgement, nothing of the attacker's.
        assert all(frame[:1] == b"\x66" or b"two " in frame for frame in friend.frames[seen:])
        async with shared.peer(f"a/{name}") as third:
            assert third.shown == "one two "
            await friend.append("three")
            await third.shows("one two three")
    (line,) = warnings_of(caplog)
    assert (line.levelno, vars(line)["document"]) == (logging.WARNING, f"a/{name}")
    assert vars(line)["code"] == case.code
    assert isinstance(vars(line)["connection"], int)
    assert SECRET not in line.getMessage()


def refusals(peer: Peer) -> list[bytes]:
    """What the server told it in words."""
    return [frame[3:] for frame in peer.frames if frame.startswith(b"\x02\x00")]


async def test_U16_whoever_sends_what_cannot_be_taken_is_told_and_goes_on(
    shared: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with shared.peer("deep") as author, shared.peer("deep") as friend:
        await author.ws.send(sync_update(nested_any(30_000)))
        await until(lambda: refusals(author), "told")
        assert refusals(author) == [b"4413: something was too large and was taken out"]
        typed = update(section(1, 1, text("typed afterwards")))
        await author.ws.send(sync_update(typed))
        await author.acknowledge()
        await friend.shows("typed afterwards")
        assert not refusals(friend)
    (line,) = warnings_of(caplog)
    assert vars(line)["document"] == "deep"
    assert line.getMessage().startswith("an edit was not taken: taken as deleted: 60002 bytes of kind 8 at ")


async def test_what_a_large_update_brought_before_it_was_refused_is_the_same_for_all(start: Start) -> None:
    """It is taken in pieces: those before what nests too deeply count, for the log and for all."""
    server = start(max_message_bytes=LIMIT_BYTES)
    async with server.peer("d") as friend:
        attacker = server.peer("d")
        await attacker.connect()
        await attacker.synced()
        await attacker.ws.send(sync_update(chain(1, 0, 12_000)))
        await until(lambda: refusals(attacker), "told")
        await friend.append("mine")
        await friend.acknowledge()
        async with server.peer("d") as third:
            assert third.doc.get_update() == friend.doc.get_update()
        await attacker.close()
    await server.unloaded()
    async with server.peer("d") as later:
        assert later.doc.get_state() == friend.doc.get_state()
        assert later.shown == "mine"


async def test_L4_a_frame_above_the_limit_is_refused(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    server = start(max_message_bytes=LIMIT_BYTES)
    async with server.peer("d") as friend:
        await friend.append("one ")
        attacker = server.peer("d")
        await attacker.connect()
        await attacker.synced()
        await attacker.ws.send(bytes(LIMIT_BYTES + 1))
        # Frames are cut by the server below us; only ours speaks our codes.
        expected = (
            (CloseCode.TOO_LARGE, CloseCode.TOO_LARGE.phrase) if server.kind == "uvicorn" else (1009, "")
        )
        assert await attacker.closing() == expected
        if server.kind == "uvicorn":
            assert attacker.frames[-1] == b"\x02\x00" + encode_var_string(TOO_LARGE_TO_TAKE)
            (line,) = warnings_of(caplog)
            sizes = f"frame with {LIMIT_BYTES + 1} bytes exceeds limit of {LIMIT_BYTES} bytes"
            assert line.getMessage() == f"refused: message too large, {sizes}"
            assert (vars(line)["document"], vars(line)["code"]) == ("d", CloseCode.TOO_LARGE)
        await friend.append("two")
        await friend.acknowledge()
        async with server.peer("d") as third:
            assert third.shown == "one two"


async def test_L4_a_frame_at_the_limit_is_taken(start: Start) -> None:
    """A document has at most half of it, the rest is an auth message, which is passed over (M6)."""
    server = start(max_message_bytes=LIMIT_BYTES)
    async with server.peer("d") as peer, server.peer("d") as other:
        content = "x" * (LIMIT_BYTES // 2 - 2_000)
        edit = sync_update(peer.inserted(0, content))
        ballast = b"\x02\x00" + encode_var_string("x" * (LIMIT_BYTES - len(edit) - 5))
        assert len(edit + ballast) == LIMIT_BYTES
        await peer.ws.send(edit + ballast)
        await other.shows(content)


async def test_what_stood_in_front_of_a_bad_message_counts(server: RunningServer) -> None:
    """Frames are refused as a whole, but an earlier frame of the same connection is not undone."""
    async with server.peer("d") as friend:
        attacker = server.peer("d")
        await attacker.connect()
        await attacker.synced()
        await attacker.append("kept")
        await attacker.ws.send(b"\x07")
        await attacker.closing()
        await friend.shows("kept")


@pytest.mark.parametrize("frame", [b"\x00\x02\x02\x00\x00\x00", b"\x02\x00\x01x", b"\x03", b"\x01\x01\x00"])
async def test_odd_but_harmless_frames_are_tolerated(shared: RunningServer, frame: bytes) -> None:
    """A lone zero behind a message, an auth message, a query, an empty awareness update (M6, M7)."""
    async with shared.peer("odd") as peer:
        await peer.ws.send(frame)
        await peer.append("fine")
        await peer.acknowledge()


async def test_a_client_that_is_refused_again_and_again_leaves_nothing_behind(server: RunningServer) -> None:
    async with server.peer("d") as friend:
        for _ in range(50):
            attacker = Peer(server.url("d"))
            await attacker.connect()
            await attacker.ws.send(b"\x07")
            await attacker.closing()
        connections = await server.call(lambda: len(server.node.connections))
        members = await server.call(lambda: [len(room.members) for room in server.node.rooms])
        assert (connections, members) == (1, [1])
        await friend.append("x")
        await friend.acknowledge()
        await until(lambda: friend.shown == "x", "the text")


NOTES = update(section(1, 0, type_item(MAP, parent="m"), text("bait ")))
"""A map at clock 0, and text."""


@pytest.mark.parametrize(
    ("attack", "told"),
    [
        pytest.param(
            [
                update(section(2, 0, item(STRING, b"\x02ab", parent=(1, 0), key="k"))),
                update(section(3, 0, text("x", left=(2, 0)))),
                update(deletes={1: [(0, 1)]}),
            ],
            [b"4413: something was too large and was taken out"],
            id="U17: values under a key that somebody splits",
        ),
        pytest.param(
            [
                update(
                    section(
                        2, 0, text("half ", parent=(1, 1)), item(ANY, b"\x01\x7e", parent=(1, 1), key="k")
                    )
                )
            ],
            [],
            id="U18: text inside text",
        ),
    ],
)
async def test_what_yrs_fails_at_by_its_place_closes_nobody(
    shared: RunningServer, caplog: pytest.LogCaptureFixture, attack: list[bytes], told: list[bytes]
) -> None:
    name = f"places-{len(attack)}"
    async with shared.peer(name) as attacker, shared.peer(name) as friend:
        for sent in (NOTES, *attack):
            await attacker.ws.send(sync_update(sent))
            await friend.append("on ")
        await attacker.acknowledge()
        await friend.acknowledge()
        assert refusals(attacker) == told
        assert not refusals(friend)
        await attacker.append("both ")
        await friend.shows(attacker.shown)
        async with shared.peer(name) as third:
            assert third.shown == friend.shown
            assert sorted(third.shown.split()) == ["bait", "both", *["on"] * (len(attack) + 1)]
    assert len(warnings_of(caplog)) == len(told)
