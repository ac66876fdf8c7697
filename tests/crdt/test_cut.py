"""Cutting: large updates go in piece by piece, known and unknown parts are left out (rules G3, G4)."""

import tracemalloc
from collections.abc import Iterator

import pycrdt
import pytest
from pycrdt import Doc, Text

from crdt.cut import HELD_RANGES_LIMIT, PIECE_LIMIT_BYTES
from crdt.document import Document, DocumentBroken
from crdt.errors import TooLarge
from crdt.places import MAX_DEPTH
from crdt.update import SLICE, Update
from tests.crdt.build import chain, section, skip, text, update
from tests.crdt.summary import summarise


def typed(client: int, count: int, content: str = "abcdefgh") -> Update:
    """``count`` structs of one author, each behind the one before."""
    structs = [
        text(content, left=(client, clock * len(content) - 1) if clock else None) for clock in range(count)
    ]
    return update(section(client, 0, *structs))


def content_of(parts: list[Update]) -> str:
    doc: Doc[Text] = Doc()
    for part in parts:
        doc.apply_update(part)
    return str(doc.get("t", type=Text))


def split(steps: Iterator[Update | None]) -> list[Update]:
    return [part for part in steps if part is not None]


def test_G4_a_large_update_is_taken_in_pieces_that_anybody_can_integrate_in_order() -> None:
    document = Document()
    sent = typed(1, 30_000)
    parts = document.intake(sent).run()
    assert len(parts) > 2
    assert max(map(len, parts)) < PIECE_LIMIT_BYTES + 1_000
    assert content_of(parts) == "abcdefgh" * 30_000
    assert document.clocks == {1: 240_000}


def test_G4_a_struct_is_never_cut_however_long() -> None:
    document = Document()
    sent = update(section(1, 0, text("a" * 300_000)))
    assert document.intake(sent).run() == [sent]


def test_G4_others_may_write_in_the_pauses_and_nothing_is_lost() -> None:
    document = Document()
    sent = typed(1, 30_000)
    theirs = [text("x", left=(2, clock - 1) if clock else None) for clock in range(1_000)]
    parts, written = [], 0
    for part in document.intake(sent).steps():
        if part is not None:
            parts.append(part)
        if written < len(theirs):
            parts += document.intake(update(section(2, written, theirs[written]))).run()
            written += 1
    assert written > 30_000 // SLICE
    assert document.clocks == {1: 240_000, 2: written}
    assert sorted(content_of(parts)) == sorted("abcdefgh" * 30_000 + "x" * written)
    assert content_of([document.encode()]) == content_of(parts)


def test_G4_the_same_large_update_twice_at_once_is_taken_once() -> None:
    document = Document()
    sent = typed(1, 30_000)
    first, second = document.intake(sent).steps(), document.intake(sent).steps()
    parts: list[Update] = []
    for ours in first:
        theirs = next(second, None)
        parts += [part for part in (ours, theirs) if part is not None]
    parts += split(second)
    assert content_of(parts) == "abcdefgh" * 30_000
    assert sum(end - start for part in parts for start, end in summarise(part).brings[1]) == 240_000


def test_G4_many_deletions_come_last_in_pieces_of_their_own() -> None:
    document = Document()
    document.intake(typed(1, 30_000)).run()
    ranges = [(clock, 1) for clock in range(0, 240_000, 8)]
    parts = document.intake(update(deletes={1: ranges})).run()
    assert len(parts) > 2
    deleted = [range_ for part in parts for range_ in summarise(part).deletes]
    assert sorted((clock, end - clock) for _, clock, end in deleted) == ranges


def test_G4_a_long_update_pauses_often() -> None:
    document = Document()
    steps = list(document.intake(typed(1, 30_000, "a")).steps())
    assert len(steps) >= 2 * 30_000 // SLICE


def test_G4_an_update_by_many_clients_pauses_often() -> None:
    """Before anything of it is taken: it is walked, and its parts are laid out."""
    document = Document()
    sent = update(*(section(client, 0, text("a")) for client in range(30_000, 0, -1)))
    pauses = 0
    for part in document.intake(sent).steps():
        if part is not None:
            break
        pauses += 1
    assert pauses >= 2 * 30_000 // SLICE


def test_G4_deletions_take_no_more_memory_than_their_update() -> None:
    """As objects the ranges of an update of 64 MB would take 3 GB."""
    document = Document()
    document.intake(typed(1, 10)).run()
    sent = update(deletes={1: [(0, 1)] * 300_000})
    tracemalloc.start()
    parts = document.intake(sent).run()
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert parts == [update(deletes={1: [(0, 1)]})]
    assert peak_bytes < 2 * len(sent)


def test_U3_too_many_deletions_of_what_is_not_known_are_refused() -> None:
    with pytest.raises(TooLarge):
        Document().intake(update(deletes={1: [(0, 1)] * (HELD_RANGES_LIMIT + 1)})).run()


def test_G3_only_what_is_new_is_handed_on() -> None:
    document = Document()
    document.intake(typed(1, 10)).run()
    sent = update(
        section(2, 0, text("x", left=(1, 3))),
        section(1, 0, *[text("abcdefgh", left=(1, c * 8 - 1) if c else None) for c in range(10)]),
    )
    assert document.intake(sent).run() == [update(section(2, 0, text("x", left=(1, 3))))]


def test_G3_a_struct_that_is_known_in_part_is_taken_whole() -> None:
    document = Document()
    document.intake(update(section(1, 0, text("ab")))).run()
    longer = update(section(1, 0, text("abcd")))
    assert document.intake(longer).run() == [longer]
    assert document.clocks == {1: 4}
    assert content_of([document.encode()]) == "abcd"


def test_G3_the_rest_can_be_taken_once_the_gap_is_filled() -> None:
    document = Document()
    document.intake(update(section(1, 0, text("a")))).run()
    behind = [skip(1), text("c", left=(1, 1)), skip(1), text("e", left=(1, 3))]
    intake = document.intake(update(section(1, 1, *behind), deletes={1: [(1, 2)]}))
    assert intake.run() == []
    assert intake.rest is not None
    document.intake(update(section(1, 1, text("b", left=(1, 0))))).run()
    again = document.intake(intake.rest)
    again.run()
    assert again.rest == update(section(1, 4, text("e", left=(1, 3))))
    assert document.clocks == {1: 3}
    assert content_of([document.encode()]) == "a"


def test_a_part_refused_after_another_was_taken_breaks_the_document() -> None:
    """What was taken is in the Doc but would never reach the log: it has to be loaded anew."""
    good = section(9, 0, text("a"), skip(1), text("b"))
    deep = chain(1, 0, MAX_DEPTH + 2, "a")[1:-1]
    filler = section(5, 0, *[text("x" * 900) for _ in range(60)])
    sent = update(good, filler, deep)
    document = Document()
    with pytest.raises(DocumentBroken):
        document.intake(sent).run()


def test_in_steps_the_parts_before_a_refused_one_are_handed_out() -> None:
    """A large update is logged piece by piece, so nothing has to be taken back."""
    document = Document()
    sent = update(section(9, 0, *[text("x" * 900) for _ in range(200)]), chain(1, 0, 1_200, "a")[1:-1])
    parts: list[Update] = []
    with pytest.raises(Exception, match="deep"):
        parts += split(document.intake(sent).steps())
    assert pycrdt.get_state(document.encode()) == document.state_vector
