"""Clients as they come from npm and PyPI edit together through the server, unchanged."""

import pytest
from pycrdt import Doc, Text

from tests.interop.peers import KINDS, Room
from tests.support.clients import VERSIONS

each_kind = pytest.mark.parametrize("kind", KINDS)
PARTNER = VERSIONS[0]


@each_kind
async def test_edits_travel_both_ways(room: Room, kind: str) -> None:
    """What one types the other shows, deletions too."""
    client = await room.enter(kind, "client")
    partner = await room.enter(PARTNER, "partner")

    await client.insert(0, "hello wrld")
    await partner.wait_text("hello wrld")
    await partner.insert(7, "o")
    await client.wait_text("hello world")
    await client.delete(0, 6)
    await partner.wait_text("world")
    await partner.delete(0, 1)
    await client.wait_text("orld")


@each_kind
async def test_late_joiner_reads_what_was_written_before(room: Room, kind: str) -> None:
    """A document is there for whoever comes later, also when its authors have left."""
    author = await room.enter(kind, "author")
    await author.insert(0, "written early")
    witness = await room.enter(PARTNER, "witness")
    await witness.wait_text("written early")
    await author.disconnect()
    await witness.disconnect()

    late = await room.enter(kind, "late")

    await late.wait_text("written early")


@each_kind
async def test_reconnect_brings_what_was_missed(room: Room, kind: str) -> None:
    """A client that was away gets the edits of that time, and goes on typing."""
    client = await room.enter(kind, "client")
    partner = await room.enter(PARTNER, "partner")
    await client.insert(0, "one ")
    await partner.wait_text("one ")
    await client.disconnect()
    await partner.insert(4, "two ")

    await client.connect()
    await client.wait_text("one two ")

    await client.insert(8, "three")
    await partner.wait_text("one two three")


@each_kind
async def test_offline_edits_are_merged(room: Room, kind: str) -> None:
    """Both type while both are away; both end with the work of both."""
    client = await room.enter(kind, "client")
    partner = await room.enter(PARTNER, "partner")
    await client.insert(0, "middle")
    await partner.wait_text("middle")
    await client.disconnect()
    await partner.disconnect()
    await client.insert(0, "before ")
    await partner.insert(6, " after")
    await partner.delete(0, 3)

    await client.connect()
    await partner.connect()

    await client.wait_text("before dle after")
    await partner.wait_text("before dle after")


@pytest.mark.parametrize("version", VERSIONS)
async def test_client_with_a_gap_is_not_asked_for_ever(room: Room, version: str) -> None:
    """Its document waits for an update that nobody has: its own edits arrive, it is asked twice at most."""
    gapped = await room.open_stock(version, "gapped")
    await gapped.apply(_update_without_its_dependency())
    await gapped.insert(0, "good")
    partner = await room.enter(PARTNER, "partner")

    await gapped.connect()
    await partner.wait_text("good")
    for index, letter in enumerate(" edits", start=4):
        await gapped.insert(index, letter)
    await partner.wait_text("good edits")
    await partner.insert(0, "all ")
    await gapped.wait_text("all good edits")

    asked = await gapped.history("sync step 1")
    assert len(asked) <= 2, "the server keeps asking for what nobody has"
    assert await gapped.history("close") == []


def _update_without_its_dependency() -> bytes:
    """Return the second of two updates of an author who is never seen here."""
    doc: Doc[Text] = Doc()
    text = doc.get("text", type=Text)
    text += "first"
    known = doc.get_state()
    text += " second"
    return doc.get_update(known)
