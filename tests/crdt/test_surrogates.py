"""Edits between the halves of a surrogate pair, which yrs does not survive (rule G6)."""

import pycrdt
import pytest
from pycrdt import Doc, Text

from crdt.document import Document
from crdt.merging import merge
from crdt.replay import take_all
from crdt.state_vector import decode_state_vector
from crdt.update import DeleteRange, Update
from tests.crdt.build import section, text, update
from tests.crdt.summary import summarise

PAIR = update(section(1, 0, text("a😀b")))
"""Clocks 0 to 3; the pair is 1 and 2."""

PAIR_GONE = update(deletes={1: [(1, 2)]})


def string_of(*updates: bytes) -> str:
    doc: Doc[Text] = Doc()
    for known in updates:
        doc.apply_update(known)
    return str(doc.get("t", type=Text))


def check(document: Document) -> None:
    """The document is whole: it loads, and says of itself what the clock table says."""
    encoded = document.encode()
    assert decode_state_vector(pycrdt.get_state(encoded)) == document.clocks
    summarise(encoded)
    loaded = Document()
    assert take_all(loaded, [encoded]) == []
    assert loaded.clocks == document.clocks


@pytest.fixture(params=["typed", "loaded"])
def document(request: pytest.FixtureRequest) -> Document:
    """Holds the pair, as it was typed or from a snapshot."""
    document = Document()
    document.intake(PAIR).run()
    return document if request.param == "typed" else Document.from_snapshot(document.encode(), 0)


@pytest.mark.parametrize(("clock", "length"), [(1, 1), (2, 1), (0, 2), (2, 2)])
def test_G6_a_deletion_of_half_a_pair_deletes_the_pair(document: Document, clock: int, length: int) -> None:
    [part] = document.intake(update(deletes={1: [(clock, length)]})).run()
    first, last = min(clock, 1), max(clock + length, 3)
    assert summarise(part).deletes == [DeleteRange(1, first, last)]
    assert string_of(document.encode()) == "a😀b".encode("utf-16-le")[: 2 * first].decode("utf-16-le") + (
        "b" if last == 3 else ""
    )
    check(document)


def test_G6_a_deletion_beside_a_pair_is_taken_as_it_is(document: Document) -> None:
    for beside in (update(deletes={1: [(0, 1)]}), update(deletes={1: [(3, 1)]})):
        assert document.intake(beside).run() == [beside]
    assert string_of(document.encode()) == "😀"


@pytest.mark.parametrize(
    ("typed", "result"),
    [
        (text("x", left=(1, 1), right=(1, 2)), "axb"),
        (text("x", left=(1, 1)), "abx"),
        (text("x", right=(1, 2)), "axb"),
    ],
    ids=["between", "behind the first half", "before the second half"],
)
def test_G6_text_typed_between_the_halves_comes_after_the_pair_was_deleted(
    document: Document, typed: bytes, result: str
) -> None:
    edit = update(section(2, 0, typed))
    assert document.intake(edit).run() == [PAIR_GONE, edit]
    assert string_of(document.encode()) == string_of(PAIR, PAIR_GONE, edit) == result
    check(document)


def test_G6_one_emoji_replaced_by_another_that_begins_alike(document: Document) -> None:
    """What an editor sends that compares texts by code units; the half that it typed became U+FFFD."""
    edit = update(section(2, 0, text("\ufffd", left=(1, 1), right=(1, 2))), deletes={1: [(2, 1)]})
    parts = document.intake(edit).run()
    assert parts == [PAIR_GONE, update(section(2, 0, text("\ufffd", left=(1, 1), right=(1, 2))))]
    assert string_of(document.encode()) == "a\ufffdb"
    check(document)


def test_G6_a_keystroke_never_splits_a_pair(document: Document) -> None:
    for keystroke in (
        update(deletes={1: [(2, 1)]}),
        update(section(2, 0, text("x", left=(1, 1)))),
        update(section(2, 0, text("x", right=(1, 2)))),
    ):
        assert not document.take_keystroke(keystroke)
    assert document.take_keystroke(update(section(2, 0, text("x", left=(1, 2)))))


def test_G6_an_update_that_splits_its_own_pair_is_taken_apart() -> None:
    """As a flush merges it: what was split, the deletion, what split it."""
    edit = update(section(2, 0, text("x", left=(1, 1), right=(1, 2))))
    document = Document()
    document.intake(merge([PAIR, PAIR_GONE, edit])).run()
    assert string_of(document.encode()) == "axb"
    check(document)
    together = Document()
    between = section(2, 0, text("x", left=(1, 1), right=(1, 2)))
    together.intake(update(between, section(1, 0, text("a😀b")))).run()
    assert string_of(together.encode()) == "axb"
    check(together)


def test_G6_an_emoji_alone_is_accepted_byte_for_byte() -> None:
    document = Document()
    assert document.intake(PAIR).run() == [PAIR]
    behind = update(section(2, 0, text("👩‍👩‍👧", left=(1, 2), right=(1, 3))))
    assert document.intake(behind).run() == [behind]
    assert string_of(document.encode()) == "a😀👩‍👩‍👧b"


def test_G6_a_pair_is_deleted_once(document: Document) -> None:
    first = update(section(2, 0, text("x", left=(1, 1))))
    second = update(section(3, 0, text("y", left=(1, 1))))
    parts: list[Update] = [part for edit in (first, second) for part in document.intake(edit).run()]
    assert parts == [PAIR_GONE, first, second]
    check(document)
