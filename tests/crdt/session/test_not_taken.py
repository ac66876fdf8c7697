"""An edit for which the document has no place: its author stays and is told (S10, L8)."""

from dataclasses import replace

import pytest

from crdt.awareness import Awareness
from crdt.document import Document
from crdt.effects import Accepted, Acknowledge, Effect, Ingest, Refused, Reply
from crdt.limits import Limits
from crdt.messages import PermissionDenied, SyncStatus, SyncStep2, SyncUpdate
from crdt.session import Session
from tests.crdt.build import chain, section, text, update

LIMITS = replace(Limits.of(), document_bytes=4_096)
FULL = "4413: the document is full, edits are not saved"


def reasons(effects: list[Effect]) -> list[str]:
    return [effect.reason for effect in effects if isinstance(effect, Refused)]


def words(effects: list[Effect]) -> list[str]:
    messages = [effect.message for effect in effects if isinstance(effect, Reply)]
    return [message.reason for message in messages if isinstance(message, PermissionDenied)]


@pytest.fixture
def document() -> Document:
    """Full, by client 1."""
    document = Document()
    document.intake(update(section(1, 0, text("x" * LIMITS.document_bytes)))).run()
    return document


@pytest.fixture
def ann(document: Document) -> Session:
    return Session(1, document, Awareness(), LIMITS)


def test_L8_a_full_document_takes_nothing_and_its_author_stays(ann: Session, document: Document) -> None:
    before = document.encode()
    for edit in (text("a"), text("é" * 200)):
        effects = ann.receive(SyncUpdate(update(section(2, 0, edit))), 0.0)
        assert not any(isinstance(effect, Accepted) for effect in effects)
    assert ann.receive(SyncStatus(b"\x01"), 0.0) == []
    assert document.encode() == before


def test_S10_who_goes_on_writing_is_told_once(ann: Session) -> None:
    first = ann.receive(SyncUpdate(update(section(2, 0, text("é")))), 0.0)
    assert (words(first), reasons(first)) == ([FULL], ["the document is full"])
    again = ann.receive(SyncUpdate(update(section(2, 0, text("é")))), 0.0)
    assert (words(again), reasons(again)) == ([], [])


@pytest.mark.parametrize("pieces", [1, 10])
def test_L8_a_full_document_has_space_once_something_was_deleted(
    ann: Session, document: Document, pieces: int
) -> None:
    assert words(ann.receive(SyncUpdate(update(section(2, 0, text("é")))), 0.0)) == [FULL]
    step = LIMITS.document_bytes // pieces
    for clock in range(0, step * pieces, step):
        deleted = update(deletes={1: [(clock, step)]})
        assert ann.receive(SyncUpdate(deleted), 0.0) == [Accepted(deleted)]
    typed = update(section(2, 0, text("é")))
    assert ann.receive(SyncStep2(typed), 0.0) == [Accepted(typed)]
    assert ann.receive(SyncStatus(b"\x01"), 0.0) == [Acknowledge(b"\x01")]


def test_L8_what_was_undone_and_what_was_typed_one_by_one_do_not_fill_a_document() -> None:
    document = Document()
    ann = Session(1, document, Awareness(), LIMITS)
    clock = 0
    for _ in range(10):
        pasted = update(section(2, clock, text("x" * 3_000, left=(2, clock - 1) if clock else None)))
        assert ann.receive(SyncUpdate(pasted), 0.0) == [Accepted(pasted)]
        clock += 3_000
        undone = update(deletes={2: [(clock - 3_000, 3_000)]})
        assert ann.receive(SyncUpdate(undone), 0.0) == [Accepted(undone)]
    for at in range(clock, clock + 1_000):
        typed = update(section(2, at, text("y", left=(2, at - 1))))
        assert ann.receive(SyncUpdate(typed), 0.0) == [Accepted(typed)]


def test_U16_a_paste_that_has_no_place_is_left_out_and_what_is_typed_after_it_is_taken() -> None:
    limits = replace(Limits.of(), document_bytes=300_000, content_bytes=300_000)
    document = Document()
    ann = Session(1, document, Awareness(), limits)
    kept = update(section(2, 0, text("x" * 60_000)))
    assert ann.receive(SyncUpdate(kept), 0.0) == [Accepted(kept)]
    [ingest] = ann.receive(SyncUpdate(update(section(2, 60_000, text("y" * 250_000, left=(2, 59_999))))), 0.0)
    assert isinstance(ingest, Ingest)
    effects = [effect for step in ingest.steps for effect in step]
    assert words(effects) == ["4413: something was too large and was taken out"]
    typed = update(section(2, 310_000, text("é", left=(2, 309_999))))
    assert ann.receive(SyncUpdate(typed), 0.0) == [Accepted(typed)]
    assert ann.receive(SyncStatus(b"\x01"), 0.0) == [Acknowledge(b"\x01")]
    assert len(document.encode()) < 61_000


def test_L8_what_a_document_knows_already_needs_no_place(ann: Session, document: Document) -> None:
    assert ann.receive(SyncUpdate(document.encode()), 0.0) == []
    assert ann.receive(SyncStatus(b"\x01"), 0.0) == [Acknowledge(b"\x01")]


def test_L8_deletions_that_cut_a_document_up_end_before_it_is_no_message_any_more() -> None:
    limits = Limits.of(2**16)
    document = Document()
    ann = Session(1, document, Awareness(), limits)
    ann.receive(SyncUpdate(update(section(1, 0, text("x" * 30_000)))), 0.0)
    for start in range(0, 30_000, 1_000):
        cut = {1: [(clock, 1) for clock in range(start, start + 1_000, 2)]}
        ann.receive(SyncUpdate(update(deletes=cut)), 0.0)
    assert len(document.encode()) < 2**16


def test_S10_who_was_told_is_told_again_once_everything_had_a_place(ann: Session, document: Document) -> None:
    refused = update(section(2, 0, text("é")))
    assert words(ann.receive(SyncUpdate(refused), 0.0)) == [FULL]
    ann.receive(SyncStep2(document.encode()), 0.0)
    assert words(ann.receive(SyncUpdate(refused), 0.0)) == [FULL]


def test_L8_a_document_takes_no_more_clients_than_a_state_vector_may_name() -> None:
    limits = replace(Limits.of(), clients=1_000)
    document = Document()
    newcomers = [section(client, 0, text("x")) for client in range(limits.clients, 0, -1)]
    document.intake(update(*newcomers)).run()
    ann = Session(1, document, Awareness(), limits)
    effects = ann.receive(SyncUpdate(update(section(2**40, 0, text("é")))), 0.0)
    assert reasons(effects) == ["the document has too many client ids"]
    known = update(section(1, 1, text("é", left=(1, 0))))
    assert ann.receive(SyncUpdate(known), 0.0) == [Accepted(known)]
    assert len(document.state_vector) <= 13_000 + 8


def test_U8_what_is_beside_types_that_nest_too_deeply_is_taken() -> None:
    ann = Session(1, Document(), Awareness(), Limits.of())
    ann.receive(SyncUpdate(chain(1, 0, 1_001)), 0.0)
    effects = ann.receive(SyncUpdate(chain(2, 0, 1_002)), 0.0)
    assert words(effects) == ["4413: shared types nest too deeply, edits are not saved"]
    beside = update(section(3, 0, text("é")))
    assert ann.receive(SyncUpdate(beside), 0.0) == [Accepted(beside)]
