"""The shared answer to everybody who joins: always true, and never much more than one copy."""

import tracemalloc
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from pycrdt import Doc, Text

from crdt.dialects.y_websocket import YWebsocket
from crdt.document import Document
from crdt.messages import SyncStep2, SyncUpdate
from crdt.state_vector import StateVector, decode_state_vector, encode_state_vector
from server.join import DIFFS_LIMIT_BYTES, IDLE_S, JoinCache
from server.transport import Frame, payloads_of
from tests.server.support import update_of

DIALECT = YWebsocket()
EMPTY = StateVector(b"\x00")


@dataclass(frozen=True)
class Edit:
    """Insert ``size`` letters at a fraction of the text, or delete as many."""

    author: int
    where: float
    size: int
    inserts: bool


@dataclass(frozen=True)
class Join:
    """Ask with nothing, or as somebody who has seen the first ``seen`` states."""

    seen: int | None
    after_s: float


EDITS = st.builds(
    Edit,
    st.integers(0, 2),
    st.floats(0, 1),
    st.sampled_from([1, 3, 500, 9_000, 40_000]),
    st.sampled_from([True, True, True, False]),
)
JOINS = st.builds(Join, st.none() | st.integers(0, 30), st.sampled_from([0.0, 1.0, IDLE_S + 1]))


class Model:
    """Three authors who always see each other's edits, a document with its cache, and who left when."""

    def __init__(self) -> None:
        self.document = Document()
        self.cache = JoinCache(self.document, DIALECT)
        self.authors = [Doc[Text](client_id=client) for client in (1, 2, 3)]
        self.history = [Doc[Text]().get_update()]
        """The whole document after each edit: what somebody has who left then."""
        self.now = 0.0

    def edit(self, edit: Edit) -> None:
        """Edit, and have everybody take the edit as the room would."""
        author = self.authors[edit.author]
        text, before = author.get("t", type=Text), author.get_state()
        at = int(edit.where * len(text))
        with author.transaction():
            if edit.inserts:
                text.insert(at, "x" * edit.size)
            else:
                del text[at : min(at + edit.size, len(text))]
        update = author.get_update(before)
        for part in self.document.intake(update).run():
            self.cache.extend(part)
        for other in self.authors:
            if other is not author:
                other.apply_update(update)
        self.history.append(author.get_update())

    def join(self, join: Join) -> None:
        """Ask, and check that the one who asked has everything then."""
        self.now += join.after_s
        self.cache.expire(self.now)
        doc: Doc[Text] = Doc()
        if join.seen is not None:
            doc.apply_update(self.history[min(join.seen, len(self.history) - 1)])
        frames = self.cache.answer(StateVector(doc.get_state()), self.now)
        *first, last = [message_of(frame) for frame in frames]
        assert isinstance(last, SyncStep2)
        assert all(isinstance(message, SyncUpdate) for message in first)
        for message in (*first, last):
            assert isinstance(message, SyncUpdate | SyncStep2)
            doc.apply_update(message.update)
        everything = self.authors[0]
        assert str(doc.get("t", type=Text)) == str(everything.get("t", type=Text))
        assert decode_state_vector(doc.get_state()) == decode_state_vector(everything.get_state())


def message_of(frame: Frame) -> object:
    (message,) = DIALECT.decode(*payloads_of(frame))
    return message


@given(st.lists(EDITS | JOINS, max_size=25))
@settings(max_examples=60, deadline=None)
def test_R4_whoever_joins_ends_with_everything(steps: list[Edit | Join]) -> None:
    model = Model()
    for step in [*steps, Join(None, 0.0), Join(None, 0.0), Join(0, 0.0)]:
        if isinstance(step, Edit):
            model.edit(step)
        else:
            model.join(step)


def test_R4_joiners_of_a_large_document_share_one_encoding() -> None:
    document = Document()
    cache = JoinCache(document, DIALECT)
    document.intake(update_of("x" * 100_000)).run()
    base, _ = cache.answer(EMPTY, 0.0)
    for _ in range(50):
        for part in document.intake(update_of("y" * 100)).run():
            cache.extend(part)
        again, tail = cache.answer(EMPTY, 0.0)
        assert again is base
    assert len(tail) < 20_000
    assert cache.answer(EMPTY, 0.0)[0] is base


def test_R4_a_long_tail_or_a_long_quiet_ends_the_base() -> None:
    document = Document()
    cache = JoinCache(document, DIALECT)
    document.intake(update_of("x" * 100_000)).run()
    base = cache.answer(EMPTY, 0.0)[0]
    for part in document.intake(update_of("y" * 70_000)).run():
        cache.extend(part)
    longer = cache.answer(EMPTY, 1.0)[0]
    assert len(longer) > len(base) + 70_000
    cache.expire(1.0 + IDLE_S)
    assert cache.answer(EMPTY, 2.0)[0] is longer
    cache.expire(2.1 + IDLE_S)
    assert cache.answer(EMPTY, 2.1 + IDLE_S)[0] is not longer


def test_answers_to_many_state_vectors_are_not_all_kept() -> None:
    """Whoever invents state vectors is answered with the whole document each time."""
    document = Document()
    cache = JoinCache(document, DIALECT)
    document.intake(update_of("x" * 1_500_000)).run()
    tracemalloc.start()
    try:
        for client in range(64):
            state_vector = encode_state_vector({client + 1: 1})
            assert len(cache.answer(state_vector, 0.0)) == 1
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept_bytes < 2 * DIFFS_LIMIT_BYTES


def test_the_same_question_is_answered_once_until_the_next_edit() -> None:
    document = Document()
    cache = JoinCache(document, DIALECT)
    document.intake(update_of("x")).run()
    other = encode_state_vector({7: 1})
    answer = cache.answer(other, 0.0)[0]
    assert cache.answer(other, 0.0)[0] is answer
    for part in document.intake(update_of("y")).run():
        cache.extend(part)
    assert cache.answer(other, 0.0)[0] is not answer


def test_a_large_document_is_there_twice_at_most_while_it_is_framed() -> None:
    document = Document()
    cache = JoinCache(document, DIALECT)
    document.intake(update_of("x" * 4_000_000)).run()
    tracemalloc.start()
    try:
        frames = cache.answer(EMPTY, 0.0)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 2.1 * sum(map(len, frames))
