"""What a session asks, takes, answers and announces (S1–S3, S6–S9)."""

import pytest

from crdt.awareness import Awareness
from crdt.cut import PIECE_LIMIT_BYTES, Piece
from crdt.document import Document
from crdt.effects import Accepted, Acknowledge, Announce, Discarded, Ingest, Reply, SendDiff
from crdt.encoding import encode_var_bytes, encode_var_uint
from crdt.errors import Malformed, ProtocolError, TooLarge
from crdt.limits import Limits
from crdt.messages import (
    AwarenessQuery,
    AwarenessUpdate,
    Message,
    SyncStatus,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
)
from crdt.reading import Reading
from crdt.session import STATUS_LIMIT_BYTES, UNANSWERED_LIMIT, Session
from crdt.state_vector import StateVector, decode_state_vector, encode_state_vector
from crdt.update import EMPTY_UPDATE, Update
from tests.crdt.build import item, section, text, update
from tests.crdt.session.support import Room, behind


def presence(client: int, clock: int, state: bytes = b"{}") -> AwarenessUpdate:
    entry = encode_var_uint(client) + encode_var_uint(clock) + encode_var_bytes(state)
    return AwarenessUpdate(b"\x01" + entry)


def test_S1_the_server_asks_first(room: Room) -> None:
    assert room.ann.open() == [Reply(SyncStep1(encode_state_vector({1: 5})))]


def test_S2_who_is_here_is_shown_at_once(room: Room) -> None:
    room.bob.receive(presence(7, 1), 0.0)
    assert room.ann.open() == [room.ask(), Reply(presence(7, 1))]


def test_S3_a_step_1_is_answered_with_what_the_peer_lacks(room: Room) -> None:
    assert room.ann.receive(SyncStep1(StateVector(b"\x00")), 0.0) == [SendDiff(StateVector(b"\x00"))]


def test_S3_the_state_vector_that_a_document_of_the_most_clients_gives_out_is_answered(room: Room) -> None:
    """Whoever has the document comes back with what the server's own step 1 says."""
    ids = range(2**32, 2**32 + Limits.of().clients)
    room.ann.receive(SyncUpdate(update(section(1, 5, text("x", left=(1, 4))))), 0.0)
    written = update(*(section(client, 0, text("x")) for client in reversed(ids)))
    room.document.apply(Piece(written, dict.fromkeys(ids, 1)), Reading.ALIKE)
    [opening] = room.ann.open()
    assert isinstance(opening, Reply) and isinstance(opening.message, SyncStep1)
    [effect] = room.bob.receive(opening.message, 0.0)
    assert effect == SendDiff(opening.message.state_vector)
    assert decode_state_vector(opening.message.state_vector) == room.document.clocks
    assert room.document.diff(effect.state_vector) == EMPTY_UPDATE


@pytest.mark.parametrize("kind", [SyncUpdate, SyncStep2])
def test_S3_an_edit_is_accepted_as_an_update_and_as_a_step_2(
    kind: type[SyncUpdate] | type[SyncStep2], room: Room
) -> None:
    assert room.ann.receive(kind(behind(5)), 0.0) == [Accepted(behind(5))]


def test_S6_an_acknowledgement_waits_while_anything_earlier_is_held_back(room: Room) -> None:
    assert room.ann.receive(SyncStatus(b"\x01"), 0.0) == [Acknowledge(b"\x01")]
    room.ann.receive(SyncUpdate(behind(6)), 0.0)
    assert room.ann.receive(SyncStatus(b"\x02"), 0.0) == []
    assert room.bob.receive(SyncStatus(b"\x09"), 0.0) == [Acknowledge(b"\x09")]
    room.bob.receive(SyncUpdate(behind(5)), 0.0)
    assert room.ann.retry(0.0) == [Accepted(behind(6)), Acknowledge(b"\x02")]


def test_S7_an_acknowledgement_is_small(room: Room) -> None:
    room.ann.receive(SyncStatus(b"x" * STATUS_LIMIT_BYTES), 0.0)
    with pytest.raises(TooLarge):
        room.ann.receive(SyncStatus(b"x" * (STATUS_LIMIT_BYTES + 1)), 0.0)


def test_S7_of_too_many_acknowledgements_the_latest_are_kept(room: Room) -> None:
    room.ann.receive(SyncUpdate(behind(6)), 0.0)
    for number in range(UNANSWERED_LIMIT + 5):
        room.ann.receive(SyncStatus(encode_var_uint(number)), 0.0)
    room.bob.receive(SyncUpdate(behind(5)), 0.0)
    answers = room.ann.retry(0.0)[1:]
    assert answers == [Acknowledge(encode_var_uint(5 + index)) for index in range(UNANSWERED_LIMIT)]


def test_S8_a_step_2_that_repeats_what_is_known_is_not_accepted_again(room: Room) -> None:
    """Every reconnecting client repeats every deletion: the log must not grow by it."""
    room.ann.receive(SyncUpdate(update(deletes={1: [(0, 2), (4, 1)]})), 0.0)
    for repeated in (
        room.document.encode(),
        EMPTY_UPDATE,
        update(deletes={1: [(0, 1)]}),
        update(section(1, 0, text("hello")), deletes={1: [(0, 2), (4, 1)]}),
    ):
        assert room.bob.receive(SyncStep2(repeated), 0.0) == []


def test_S8_a_new_deletion_among_known_ones_is_accepted_alone(room: Room) -> None:
    room.ann.receive(SyncUpdate(update(deletes={1: [(0, 2)]})), 0.0)
    repeated = SyncStep2(update(section(1, 0, text("hello")), deletes={1: [(0, 4)]}))
    assert room.bob.receive(repeated, 0.0) == [Accepted(update(deletes={1: [(2, 2)]}))]


def test_S8_new_structs_are_accepted_without_the_deletions_repeated_beside_them(room: Room) -> None:
    room.ann.receive(SyncUpdate(update(deletes={1: [(0, 2)]})), 0.0)
    mixed = SyncStep2(update(section(1, 5, text("x", left=(1, 4))), deletes={1: [(0, 2)]}))
    assert room.bob.receive(mixed, 0.0) == [Accepted(behind(5))]


def test_S9_presence_is_announced_to_everybody_and_withdrawn_at_the_end(room: Room) -> None:
    assert room.ann.receive(presence(7, 1), 0.0) == [Announce([7])]
    assert room.ann.receive(AwarenessQuery(), 0.0) == [Reply(presence(7, 1))]
    assert room.ann.close(1.0, clean=True) == [Announce([7])]
    assert room.ann.close(1.0, clean=True) == []
    assert room.bob.receive(AwarenessQuery(), 1.0) == [Reply(AwarenessUpdate(b"\x00"))]


def test_S9_after_a_broken_connection_nothing_is_announced_yet(room: Room) -> None:
    room.ann.receive(presence(7, 1), 0.0)
    assert room.ann.close(1.0, clean=False) == []
    assert room.awareness.next_leave == 3.0


def test_S9_who_was_seen_leaving_at_that_clock_is_told_and_nobody_else(room: Room) -> None:
    room.ann.receive(presence(7, 3), 0.0)
    room.ann.close(1.0, clean=True)
    assert room.bob.receive(presence(7, 3), 2.0) == [Reply(presence(7, 3, b"null"))]


def test_A4_presence_that_does_not_count_is_dropped_once_and_the_session_goes_on(room: Room) -> None:
    room.ann.receive(presence(7, 1), 0.0)
    dropped = Discarded(17, "presence: state is not an object")
    assert room.ann.receive(presence(7, 2, b'"a little secret"'), 0.0) == [dropped, Announce([7])]
    assert room.ann.receive(presence(7, 3, b"x" * 3_000_000), 0.0) == [Announce([7])]
    assert room.bob.receive(AwarenessQuery(), 0.0) == [Reply(presence(7, 3))]
    assert room.ann.receive(SyncUpdate(behind(5)), 0.0) == [Accepted(behind(5))]
    assert room.ann.receive(SyncStatus(b"\x01"), 0.0) == [Acknowledge(b"\x01")]
    assert room.bob.receive(presence(8, 1, b"[]"), 0.0) == [Discarded(2, "presence: state is not an object")]


def test_A7_who_comes_to_a_room_just_opened_is_sent_null_for_itself_alone(room: Room) -> None:
    ann = Session(1, room.document, Awareness(opened_at=0.0), Limits.of())
    asked = [Announce([7], are_asked=True), Reply(presence(7, 3, b"null"))]
    assert ann.receive(presence(7, 3), 1.0) == asked
    assert ann.receive(presence(7, 4), 1.0) == [Announce([7])]
    assert ann.receive(AwarenessQuery(), 1.0) == [Reply(presence(7, 4))]


@pytest.mark.parametrize("hello", [presence(7, 0), presence(7, 3, b"null"), presence(7, 3, b"[]")])
def test_A7_who_is_not_seen_is_not_sent_anything(room: Room, hello: AwarenessUpdate) -> None:
    ann = Session(1, room.document, Awareness(opened_at=0.0), Limits.of())
    assert not any(isinstance(effect, Reply) for effect in ann.receive(hello, 1.0))


def large_update() -> Update:
    structs = [text("x" * 100, left=(3, index * 100 - 1) if index else None) for index in range(2_000)]
    return update(section(3, 0, *structs))


def test_G4_a_large_update_is_taken_in_steps_each_with_its_effects(room: Room) -> None:
    room.ann.receive(SyncUpdate(behind(6)), 0.0)
    room.ann.receive(SyncStatus(b"\x01"), 0.0)
    [ingest] = room.ann.receive(SyncStep2(large_update()), 0.0)
    assert isinstance(ingest, Ingest)
    steps = list(ingest.steps)
    parts = [effect.update for step in steps for effect in step if isinstance(effect, Accepted)]
    assert room.document.clocks == {1: 5, 3: 200_000}
    assert max(map(len, parts)) < 1.1 * PIECE_LIMIT_BYTES
    assert steps[-1] == [Acknowledge(b"\x01")]


def test_U17_a_large_snapshot_is_learnt_in_steps_though_the_edit_is_small(room: Room) -> None:
    structs = [item(8, b"\x01\x7e", parent="m", key=f"a key of many {index}") for index in range(4_000)]
    room.document.intake(update(section(3, 0, *structs))).run()
    room.document.become(Document.from_snapshot(room.document.encode(), room.document.depth))
    pasted = Update(update(section(4, 0, text("pasted", left=(1, 4)))))
    [ingest] = room.ann.receive(SyncUpdate(pasted), 0.0)
    assert isinstance(ingest, Ingest)
    *pauses, last, done = ingest.steps
    assert (pauses, last, done) == ([[]] * len(pauses), [Accepted(pasted)], [])
    assert len(pauses) == 4
    more = Update(update(section(4, 6, text("more", left=(4, 5)))))
    assert room.ann.receive(SyncUpdate(more), 0.0) == [Accepted(more, is_plain=True)]


def test_a_broken_update_raises_and_changes_nothing(room: Room) -> None:
    before = room.document.encode()
    for broken in (SyncUpdate(Update(behind(5) + b"\x00")), SyncStep2(Update(b"\x01"))):
        with pytest.raises(Malformed):
            room.ann.receive(broken, 0.0)
    assert room.document.encode() == before


@pytest.mark.parametrize("frame", [SyncUpdate, SyncStep2])
def test_random_bytes_raise_nothing_but_a_protocol_error(
    frame: type[SyncUpdate] | type[SyncStep2], room: Room
) -> None:
    whole = large_update()[:3_000]
    for size in range(0, 3_000, 37):
        message: Message = frame(Update(whole[:size]))
        with pytest.raises(ProtocolError):
            room.ann.receive(message, 0.0)
