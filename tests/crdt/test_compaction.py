"""Folding a log into a snapshot, and the proof that nothing was lost (rule D6)."""

import pytest
from pycrdt import Doc, Text

from crdt.compaction import FoldRefused, fold
from crdt.document import Document
from crdt.errors import Malformed
from crdt.meaning import means_same
from crdt.update import Update
from tests.crdt.build import ARRAY, chain, section, text, type_item, update
from tests.crdt.mutations import corpus

HELLO = update(section(1, 0, text("hello")))
WORLD = update(section(1, 5, text(" world", left=(1, 4))))
FIRST_GONE = update(deletes={1: [(0, 1)]})


def string_of(snapshot: bytes) -> str:
    doc: Doc[Text] = Doc()
    doc.apply_update(snapshot)
    return str(doc.get("t", type=Text))


def test_a_log_is_folded_into_what_it_amounts_to() -> None:
    assert string_of(fold(None, 0, [HELLO, WORLD, FIRST_GONE]).update) == "ello world"


def test_a_snapshot_and_the_log_behind_it_are_folded_together() -> None:
    first = fold(None, 0, [HELLO])
    assert string_of(fold(first.update, first.depth, [FIRST_GONE, WORLD]).update) == "ello world"


def test_a_log_that_repeats_the_snapshot_changes_nothing() -> None:
    first = fold(None, 0, [HELLO, WORLD, FIRST_GONE])
    assert fold(first.update, first.depth, [HELLO, WORLD, FIRST_GONE, WORLD]) == first
    assert fold(first.update, first.depth, []) == first


def test_every_kind_of_content_is_folded_and_loads_to_the_same() -> None:
    folded = fold(None, 0, corpus()[:-1])
    assert means_same(folded.update, Document.from_snapshot(folded.update, folded.depth).encode())


@pytest.mark.parametrize(
    "log", [[WORLD], [HELLO, update(deletes={2: [(0, 1)]})]], ids=["structs", "deletions"]
)
def test_a_log_with_a_hole_is_left_as_it_is(log: list[Update]) -> None:
    with pytest.raises(FoldRefused):
        fold(None, 0, log)


def test_a_snapshot_that_misses_something_is_never_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever makes the snapshot smaller than the log, the proof finds it from the log."""
    for forgetful in (HELLO, update(section(1, 0, text("hello world")))):
        monkeypatch.setattr(Document, "encode", lambda _, kept=forgetful: kept)
        with pytest.raises(FoldRefused):
            fold(None, 0, [HELLO, WORLD, FIRST_GONE])


def test_bytes_that_are_no_update_are_malformed() -> None:
    with pytest.raises(Malformed):
        fold(None, 0, [b"no update"])


def test_U8_the_depth_is_that_of_the_snapshot_however_often_it_was_loaded() -> None:
    """While a document is live everything loaded counts as its deepest; that must not add up."""
    folded = fold(None, 0, [chain(1, 0, 5, "a")])
    assert folded.depth & 0xFFFF == 4
    for generation in range(10):
        beside = update(
            section(100 + generation, 0, type_item(ARRAY, left=(1, 3)), type_item(ARRAY, left=(1, 3)))
        )
        inside = chain(200 + generation, 0, 1, (100 + generation, 1))
        folded = fold(folded.update, folded.depth, [beside, inside])
    assert folded.depth & 0xFFFF == 4


def test_a_document_that_encodes_otherwise_once_it_was_loaded_is_folded_to_what_stays() -> None:
    """Yrs joins neighbours collected one after the other only as it loads."""
    inner = [text("x", parent=(1, 1)), text("y", left=(1, 2)), type_item(ARRAY, parent=(1, 0))]
    nested = section(1, 0, type_item(ARRAY, parent="a"), type_item(ARRAY, parent=(1, 0)), *inner)
    log = [update(nested), update(deletes={1: [(1, 1)]}), update(deletes={1: [(0, 1)]})]
    document = Document()
    for entry in log:
        document.intake(entry).run()
    once = Document.from_snapshot(document.encode(), document.depth).encode()
    assert once != document.encode(), "yrs settles by itself now: fold has a step too many"
    assert fold(None, 0, log).update == once
