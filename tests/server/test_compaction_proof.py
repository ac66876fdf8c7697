"""No fold takes anything from the log that its snapshot would not hold (D6)."""

import logging

import pytest
from pycrdt import Doc, Text

from crdt.document import Document
from crdt.merging import merge
from crdt.update import Update
from server.storage import Entry
from server.storage.memory import MemoryStore
from tests.crdt.build import section, text, update
from tests.server.folding import in_process, written
from tests.server.support import warnings_of


def without_structs(document: Document) -> Update:
    doc: Doc[Text] = Doc()
    doc.apply_update(document.diff(b"\x00"))
    fresh: Doc[Text] = Doc(client_id=1)
    fresh.get("t", type=Text).insert(0, str(doc.get("t", type=Text))[:-1])
    return Update(fresh.get_update())


def failing(document: Document) -> Update:
    raise RuntimeError("a bug")


SABOTAGE = {
    "structs": without_structs,
    "empty": lambda _: Update(b"\x00\x00"),
    "rubbish": lambda _: Update(b"\xff\xff"),
    "bug": failing,
}


@pytest.mark.parametrize("kind_of_sabotage", SABOTAGE)
async def test_F8_a_fold_that_would_lose_something_is_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind_of_sabotage: str
) -> None:
    store = await written(20)
    before = await store.load("d")
    monkeypatch.setattr(Document, "encode", SABOTAGE[kind_of_sabotage])
    async with in_process(store) as compactor:
        assert not await compactor.compact("d")
    assert await store.load("d") == before
    (line,) = warnings_of(caplog)
    assert (line.levelno, vars(line)["document"]) == (logging.ERROR, "d")


@pytest.mark.parametrize("lost", range(4))
async def test_F8_a_merge_that_drops_an_update_is_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, lost: int
) -> None:
    """The proof comes from the inputs: what a wrong merge left out is missed."""
    store = MemoryStore()
    kinds = [
        update(section(1, 0, text("abc"))),
        update(section(2, 0, text("def"))),
        update(section(3, 0, text("ghi"))),
        update(deletes={1: [(0, 1)]}),
    ]
    await store.append([Entry("d", index, kind) for index, kind in enumerate(kinds, 1)])
    before = await store.load("d")
    monkeypatch.setattr(
        "crdt.compaction.merge", lambda updates: merge([u for u in updates if u != kinds[lost]])
    )
    async with in_process(store) as compactor:
        assert not await compactor.compact("d")
    assert await store.load("d") == before
    assert [line.levelno for line in warnings_of(caplog)] == [logging.ERROR]


async def test_F8_a_log_with_a_hole_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    await store.append(
        [Entry("d", 1, update(section(1, 0, text("a")))), Entry("d", 3, update(section(1, 2, text("c"))))]
    )
    before = await store.load("d")
    async with in_process(store) as compactor:
        assert not await compactor.compact("d")
    assert await store.load("d") == before
