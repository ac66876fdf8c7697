"""What waits for the bus becomes fewer entries: small enough, at little cost, and never less (B11, R3)."""

from collections.abc import Iterator, Sequence

import pytest
from pycrdt import Doc, Text

from crdt.document import DocumentBroken
from crdt.merging import merge
from crdt.update import Update
from server.batch import ENTRY_LIMIT_BYTES
from server.items import Item, merged, size_of
from server.storage import Entry
from tests.server.support import Peer

WORDS = 3_000


class Writer:
    """Who hands entries over."""

    name = "d"
    position = 0

    def stored(self, count: int) -> None:
        """Not used here."""


def typed(writer: Writer, words: Sequence[str]) -> Iterator[Item]:
    """Write words at random places of one text, which merges badly."""
    doc: Doc[Text] = Doc()
    content = doc.get("t", type=Text)
    for number, word in enumerate(words):
        before = doc.get_state()
        content.insert(number * 7919 % (len(content) + 1), word)
        yield Item(writer, Entry("d", 0, doc.get_update(before)))


def text_of(items: Sequence[Item]) -> str:
    return Peer.text_of([item.entry.update for item in items])


def test_R3_a_merged_entry_is_no_larger_than_any_other() -> None:
    items = list(typed(Writer(), [f"{number} " * 20 for number in range(WORDS)]))
    fewer = list(merged(items))
    assert len(fewer) < 30
    assert max(item.size_bytes for item in fewer) < ENTRY_LIMIT_BYTES * 1.1
    assert sum(item.stands_for for item in fewer) == WORDS
    assert text_of(fewer) == text_of(items)


def test_a_byte_is_merged_a_few_times_however_often_more_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def count(updates: list[Update]) -> Update:
        sizes.append(sum(map(len, updates)))
        return merge(updates)

    monkeypatch.setattr("server.items.merge", count)
    items: list[Item] = []
    came = list(typed(Writer(), [f"{number} " * 20 for number in range(WORDS)]))
    for index in range(0, WORDS, 5):
        items = list(merged([*items, *came[index : index + 5]]))
    assert sum(sizes) < 12 * size_of(came)
    assert max(sizes) <= ENTRY_LIMIT_BYTES
    assert len(items) < 40
    assert text_of(items) == text_of(came)


def test_entries_of_two_rooms_are_not_merged() -> None:
    """One was given up, and the next one has the same name: each hears of its own."""
    former, later = Writer(), Writer()
    items = [*typed(former, "ab"), *typed(later, "cd")]
    assert [(item.origin, item.stands_for) for item in merged(items)] == [(former, 2), (later, 2)]


def test_what_cannot_be_merged_stays_as_it_is_and_is_not_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(updates: list[Update]) -> Update:
        raise DocumentBroken("yrs failed")

    came = list(typed(Writer(), "abcd"))
    with monkeypatch.context() as patched:
        patched.setattr("server.items.merge", fail)
        items = list(merged(merged(came[:2])))
    assert [item.entry for item in items] == [item.entry for item in came[:2]]
    items = list(merged([*items, *came[2:]]))
    assert [item.stands_for for item in items] == [1, 1, 2]
    assert text_of(items) == text_of(came)
    assert [record.getMessage() for record in caplog.records] == ["cannot merge what waits: yrs failed"]
