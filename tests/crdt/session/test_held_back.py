"""What cannot be taken yet is held back, within bounds (S4, S5)."""

import pytest

from crdt.effects import Accepted, Acknowledge, Discarded
from crdt.errors import Malformed
from crdt.messages import SyncStatus, SyncStep2, SyncUpdate
from crdt.session import HELD_LIMIT, HELD_LIMIT_BYTES, HELD_LIMIT_S
from tests.crdt.build import item, section, skip, text, update
from tests.crdt.session.support import Room, behind


def test_S4_offline_edits_with_a_gap_go_in_as_far_as_they_can_and_the_rest_is_asked_for_once(
    room: Room,
) -> None:
    rest = update(section(1, 8, text("b", left=(1, 5))))
    offline = SyncStep2(update(section(1, 5, text("a", left=(1, 4)), skip(2), text("b", left=(1, 5)))))
    effects = room.ann.receive(offline, 0.0)
    assert effects == [Accepted(update(section(1, 5, text("a", left=(1, 4))))), room.ask()]
    assert room.ann.waits
    assert room.ann.receive(SyncStep2(rest), 0.1) == []
    assert room.ann.receive(offline, 0.2) == []
    assert room.ann.receive(SyncStatus(b"\x01"), 0.3) == []


def test_S4_every_gap_is_asked_for_once_however_they_alternate(room: Room) -> None:
    gaps = [update(section(9, clock, text("x", left=(client, 0)))) for clock in range(3) for client in (7, 8)]
    answers = [room.ann.receive(SyncUpdate(gap), 0.0) for gap in gaps]
    asked = [room.ask()]
    assert answers == [asked, asked, asked, [], [], []]


def test_S4_a_new_gap_is_asked_for_after_the_old_one_was_filled(room: Room) -> None:
    assert room.ann.receive(SyncUpdate(behind(6)), 0.0) == [room.ask()]
    room.bob.receive(SyncUpdate(behind(5)), 0.0)
    assert room.ann.retry(0.0) == [Accepted(behind(6))]
    assert not room.ann.waits
    assert room.ann.receive(SyncUpdate(behind(8)), 0.0) == [room.ask()]


def test_S4_what_is_held_back_goes_on_when_somebody_else_fills_the_gap(room: Room) -> None:
    room.ann.receive(SyncUpdate(behind(6)), 0.0)
    assert room.ann.retry(0.0) == []
    room.bob.receive(SyncUpdate(behind(5)), 0.0)
    assert room.ann.retry(0.0) == [Accepted(behind(6))]
    assert room.document.clocks == {1: 7}


def test_S4_one_that_goes_on_takes_along_those_that_waited_for_it(room: Room) -> None:
    """In whichever order they came: nobody calls again for what the peer itself has filled."""
    last = update(section(8, 0, text("z", left=(7, 0))))
    middle = update(section(7, 0, text("y", left=(1, 5))))
    for sent in (last, middle):
        room.ann.receive(SyncUpdate(sent), 0.0)
    room.bob.receive(SyncUpdate(behind(5)), 0.0)
    assert room.ann.retry(0.0) == [Accepted(middle), Accepted(last)]
    assert not room.ann.waits


def test_S5_of_too_many_held_back_updates_the_oldest_is_dropped(room: Room) -> None:
    for clock in range(HELD_LIMIT):
        room.ann.receive(SyncUpdate(behind(10 + clock)), float(clock) / 10)
    assert room.ann.receive(SyncUpdate(behind(100)), 7.0) == [Discarded(len(behind(10)))]


def test_S5_of_too_many_held_back_bytes_the_oldest_is_dropped(room: Room) -> None:
    large = [behind(10 + index, "x" * 60_000) for index in range(4)]
    for sent in large:
        room.ann.receive(SyncUpdate(sent), 0.0)
    assert sum(map(len, large)) < HELD_LIMIT_BYTES
    last = behind(99, "x" * 30_000)
    assert room.ann.receive(SyncUpdate(last), 1.0) == [Discarded(len(large[0]))]


def test_S5_what_waited_too_long_is_dropped_the_oldest_first(room: Room) -> None:
    early, late = behind(8), behind(20)
    room.ann.receive(SyncUpdate(early), 0.0)
    room.ann.receive(SyncUpdate(late), 10.0)
    room.bob.receive(SyncUpdate(behind(5)), 0.0)
    room.ann.retry(11.0)
    assert room.ann.retry(HELD_LIMIT_S) == []
    assert room.ann.retry(HELD_LIMIT_S + 0.1) == [Discarded(len(early))]
    assert room.ann.retry(HELD_LIMIT_S + 10.1) == [Discarded(len(late))]
    assert not room.ann.waits


def test_S5_what_was_dropped_is_acknowledged_only_after_a_whole_step_2(room: Room) -> None:
    room.ann.receive(SyncUpdate(behind(6)), 0.0)
    room.ann.receive(SyncStatus(b"\x01"), 0.0)
    assert room.ann.retry(HELD_LIMIT_S + 1) == [Discarded(len(behind(6)))]
    assert room.ann.receive(SyncStatus(b"\x02"), 40.0) == []
    assert room.ann.receive(SyncUpdate(behind(5)), 41.0) == [Accepted(behind(5))]
    assert room.ann.receive(SyncStatus(b"\x03"), 42.0) == []
    gapped = SyncStep2(update(section(1, 9, text("z", left=(1, 8)))))
    assert room.ann.receive(gapped, 43.0) == [room.ask()]
    whole = SyncStep2(update(section(1, 5, text("xyz", left=(1, 4)))))
    effects = room.ann.receive(whole, 44.0)
    assert effects[1:] == [Acknowledge(b"\x01"), Acknowledge(b"\x02"), Acknowledge(b"\x03")]
    assert not room.ann.waits


def test_what_cannot_be_read_is_refused_at_once_though_it_would_have_to_wait(room: Room) -> None:
    with pytest.raises(Malformed):
        room.ann.receive(SyncUpdate(update(section(2, 0, item(5, b"\x01{", left=(1, 6))))), 0.0)


def test_S5_a_flood_of_edits_that_can_never_be_taken_costs_a_bounded_amount(room: Room) -> None:
    """Left to yrs, 3,000 of them are merged again for each new one."""
    discarded = 0
    for clock in range(3_000):
        effects = room.ann.receive(SyncUpdate(behind(1_000 + 2 * clock)), 0.0)
        discarded += sum(isinstance(effect, Discarded) for effect in effects)
    assert discarded == 3_000 - HELD_LIMIT
    assert room.document.encode() == update(section(1, 0, text("hello")))
