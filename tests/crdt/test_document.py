"""The live document: what it takes, what it says of itself, and what it does when yrs fails."""

import subprocess
import sys
from pathlib import Path

import pycrdt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Doc, Text

from crdt.document import Document, DocumentBroken
from crdt.errors import Malformed
from crdt.merging import merge
from crdt.replay import take_all
from crdt.state_vector import decode_state_vector, encode_state_vector
from crdt.update import EMPTY_UPDATE, Update
from tests.crdt.build import item, section, text, update
from tests.crdt.mutations import corpus
from tests.crdt.summary import summarise

HELLO = update(section(1, 0, text("hello")))


def holding(*updates: Update) -> Document:
    document = Document()
    for known in updates:
        document.intake(known).run()
    return document


def string_of(*updates: bytes) -> str:
    doc: Doc[Text] = Doc()
    for known in updates:
        doc.apply_update(known)
    return str(doc.get("t", type=Text))


def test_G5_a_document_says_what_it_knows() -> None:
    document = holding(HELLO, update(section(2, 0, text("!", left=(1, 4)))))
    assert decode_state_vector(document.state_vector) == {1: 5, 2: 1}
    assert string_of(document.encode()) == "hello!"


def test_G5_a_diff_brings_what_is_missing_and_every_deletion() -> None:
    document = holding(HELLO, update(section(2, 0, text("!", left=(1, 4)))), update(deletes={1: [(0, 1)]}))
    missing = document.diff(encode_state_vector({1: 5}))
    assert summarise(missing).brings == {2: [(0, 1)]}
    assert string_of(HELLO, missing) == "ello!"


@pytest.mark.parametrize(
    "state_vector", [b"", b"\x01", b"\x01\x01", b"\x00\x00", b"\xff\xff\x03", b"\x01\x01" + b"\xff" * 9]
)
def test_G5_a_malformed_state_vector_is_refused(state_vector: bytes) -> None:
    with pytest.raises(Malformed):
        holding(HELLO).diff(state_vector)


@given(st.dictionaries(st.integers(0, 2**53 - 1), st.integers(0, 2**31 - 1)))
def test_state_vectors_come_back_and_are_those_of_yjs(clocks: dict[int, int]) -> None:
    assert decode_state_vector(encode_state_vector(clocks)) == clocks


@given(st.binary())
def test_random_state_vectors_raise_nothing_but_malformed(data: bytes) -> None:
    try:
        clocks = decode_state_vector(data)
    except Malformed:
        return
    holding(HELLO).diff(encode_state_vector(clocks))


@pytest.mark.parametrize("nothing", [EMPTY_UPDATE, b"\x80\x00\x00", b"\x00\x01\x05\x00"])
def test_an_update_that_brings_nothing_is_not_accepted(nothing: bytes) -> None:
    document = holding(HELLO)
    intake = document.intake(nothing, is_complete=True)
    assert (intake.run(), intake.rest) == ([], None)


def test_an_edit_that_fits_is_accepted_byte_for_byte() -> None:
    document = holding(HELLO)
    for edit in (
        update(section(2, 0, text("!", left=(1, 4)))),
        update(deletes={1: [(1, 2)]}),
        update(section(2, 1, text("?", left=(2, 0))), deletes={2: [(0, 1)]}),
    ):
        assert document.intake(edit).run() == [edit]


def test_what_was_encoded_loads_to_the_same() -> None:
    document = holding(*map(Update, corpus()[:-1]))
    loaded = Document.from_snapshot(document.encode(), document.depth)
    assert (loaded.clocks, loaded.depth) == (document.clocks, document.depth)
    assert loaded.encode() == document.encode()


def test_bytes_that_are_no_snapshot_are_refused() -> None:
    with pytest.raises(Malformed):
        Document.from_snapshot(b"no snapshot", 0)


STRING_AS_PARENT = update(section(2, 0, text("x", left=(1, 4)), item(8, b"\x01\x7e", parent=(1, 0))))


@pytest.mark.usefixtures("unguarded")
def test_an_item_in_a_piece_of_text_breaks_the_document() -> None:
    """Yrs fails in the middle of it, and what came before stays in the Doc."""
    document = holding(HELLO)
    with pytest.raises(DocumentBroken):
        document.intake(STRING_AS_PARENT).run()


@pytest.mark.parametrize(
    "struct",
    [item(5, b"\x01{"), item(6, b"\x01b\x03NaN"), item(5, b"\x00")],
    ids=["json that does not end", "NaN", "no json"],
)
def test_U12_json_that_nobody_can_read_is_malformed_and_leaves_no_trace(struct: bytes) -> None:
    document = holding(HELLO)
    before = document.encode()
    with pytest.raises(Malformed):
        document.intake(update(section(2, 0, text("ok", left=(1, 4)), struct))).run()
    assert (document.encode(), document.clocks) == (before, {1: 5})


def test_merged_updates_are_one_update_with_the_same_content() -> None:
    log = [update(section(1, c, text("a", left=(1, c - 1) if c else None))) for c in range(300)]
    assert string_of(merge(log)) == "a" * 300
    assert merge([merge(log[:77]), merge(log[77:]), merge(log)]) == merge(log)
    assert (merge([]), merge(log[:1])) == (EMPTY_UPDATE, log[0])


def test_updates_taken_in_any_order_are_told_once_each_in_a_good_one() -> None:
    log = [update(section(1, c, text(str(c % 10), left=(1, c - 1) if c else None))) for c in range(20)]
    document, told = Document(), list[Update]()
    waiting = take_all(document, [*reversed(log[:-1]), *log[:3]], told.append)
    assert (waiting, told) == ([], log[:-1])
    stranger = update(section(7, 3, text("?")))
    assert take_all(document, [stranger]) == [stranger]


def test_yrs_has_nothing_pending_whatever_is_held_back() -> None:
    document = holding(HELLO)
    document.intake(update(section(1, 9, text("b", left=(1, 8))), deletes={3: [(0, 1)]})).run()
    document.intake(update(section(1, 5, text("?!", left=(1, 4))))).run()
    assert string_of(document.encode()) == "hello?!"
    assert decode_state_vector(pycrdt.get_state(document.encode())) == document.clocks


def test_no_change_of_one_to_three_bytes_ends_the_process(seed: int) -> None:
    """In a process of its own (``mutations.py``): a signal is a failure here, not the end of the run."""
    result = subprocess.run(
        [sys.executable, "-m", "tests.crdt.mutations", str(seed), "8"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stdout[-5_000:] + result.stderr[-2_000:]
