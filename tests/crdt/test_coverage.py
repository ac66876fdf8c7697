"""Whether updates say all that a document holds: so as every node would take them, and with pauses."""

import pytest
from pycrdt import Doc, Text

from crdt.coverage import Coverage
from crdt.document import Document
from crdt.update import Update
from tests.crdt.build import gc, section, text, update

ONE = update(section(1, 0, text("one ")))
TWO = update(section(1, 4, text("two ", left=(1, 3))))
THREE = update(section(2, 0, text("three ", left=(1, 7))))
DELETION = update(deletes={1: [(0, 2)]})
REFUSED = update(section(3, 0, gc(2**28 + 1)))
POISON = update(section(4, 0, text("half "), text("x", parent=(1, 0))))
"""yrs takes the first struct, then finds that a text cannot be a parent."""


def holding(*updates: Update) -> Document:
    document = Document()
    for known in updates:
        document.intake(known).run()
    return document


def is_whole(document: Document, *updates: Update) -> bool:
    coverage = Coverage(updates, document)
    for _ in coverage.steps():
        pass
    return coverage.is_whole


def test_all_that_went_in_is_all_that_it_holds() -> None:
    document = holding(ONE, TWO, THREE, DELETION)
    assert is_whole(document, ONE, TWO, THREE, DELETION)
    assert is_whole(document, document.encode())


@pytest.mark.parametrize("lost", [ONE, TWO, THREE, DELETION])
def test_what_is_lost_shows(lost: Update) -> None:
    known = [ONE, TWO, THREE, DELETION]
    assert not is_whole(holding(*known), *(each for each in known if each is not lost))


def test_what_the_document_does_not_hold_shows() -> None:
    assert not is_whole(holding(ONE), ONE, TWO)


def test_order_and_repetition_mean_nothing() -> None:
    assert is_whole(holding(ONE, TWO, THREE, DELETION), DELETION, THREE, ONE, THREE, TWO, ONE)


def test_U6_what_no_document_takes_reaches_no_document_here_either() -> None:
    assert is_whole(holding(ONE), REFUSED, ONE)


@pytest.mark.usefixtures("unguarded")
def test_what_breaks_yrs_proves_nothing() -> None:
    assert not is_whole(holding(ONE), ONE, POISON)


def test_what_comes_meanwhile_does_not_count() -> None:
    document = holding(ONE)
    coverage = Coverage([ONE], document)
    document.intake(TWO).run()
    for _ in coverage.steps():
        pass
    assert coverage.is_whole


def test_L6_a_large_update_is_taken_with_pauses() -> None:
    doc: Doc[Text] = Doc()
    content = doc.get("t", type=Text)
    for number in range(5_000):
        content.insert(number * 7919 % (len(content) + 1), "word ")
    large = Update(doc.get_update())
    document = holding(large)
    coverage = Coverage([large], document)
    assert len(list(coverage.steps())) > 4
    assert coverage.is_whole
