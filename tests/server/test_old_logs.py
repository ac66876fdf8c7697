"""Logs that an older version wrote: what yrs misread then, and nobody could load any more."""

import pytest

from crdt.compaction import fold
from crdt.document import Document
from crdt.update import Update
from server.loading import load
from server.storage import DocumentUnreadable, Entry
from server.storage.memory import MemoryStore
from tests.crdt.build import item, section, text, update

POISON = bytes.fromhex("01020100 02010161010131 040101740a 04010175054f54484552 00")
"""An old array beside a text: yrs takes the text for another element of the array."""

LATER = update(section(2, 0, text("written on an empty page")))


async def log_of(*updates: bytes) -> MemoryStore:
    store = MemoryStore()
    await store.append([Entry("d", position, update) for position, update in enumerate(updates, 1)])
    return store


@pytest.mark.parametrize("log", [[POISON], [POISON, LATER], [LATER, POISON]], ids=["alone", "first", "last"])
async def test_a_log_with_what_yrs_misreads_is_read_as_yjs_reads_it(log: list[bytes]) -> None:
    loaded = await load(await log_of(*log), "d")
    right = Document()
    for entry in log:
        right.intake(entry).run()
    assert loaded.document.encode() == right.encode()
    assert loaded.document.clocks[1] == 11
    assert not loaded.waiting


@pytest.mark.parametrize("log", [[POISON], [POISON, LATER], [LATER, POISON]], ids=["alone", "first", "last"])
def test_D6_such_a_log_folds_into_what_it_says(log: list[bytes]) -> None:
    right = Document()
    for entry in log:
        right.intake(entry).run()
    assert fold(None, 0, log).update == right.encode()


async def test_D4_a_log_that_nobody_can_read_is_no_empty_document() -> None:
    store = await log_of(LATER, Update(update(section(1, 0, item(5, b"\x01{")))))
    with pytest.raises(DocumentUnreadable):
        await load(store, "d")
