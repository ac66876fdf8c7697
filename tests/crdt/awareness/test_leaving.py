"""Who leaves, returns or falls silent (A6–A9)."""

import psutil

from crdt.awareness import GRACE_S, OUTDATED_S, TOMBSTONE_S, Awareness, Heard
from tests.crdt.awareness.support import ANN, BOB, EVE, HERE, NULL, everybody, said, shown


def test_A6_a_clean_leave_is_announced_at_once_at_the_same_clock(awareness: Awareness) -> None:
    assert awareness.leave(ANN, 1.0, clean=True) == [1]
    assert shown(awareness, [1]) == {1: (5, NULL)}
    assert awareness.leave(ANN, 1.0, clean=True) == []


def test_A6_a_broken_connection_is_announced_after_a_grace(awareness: Awareness) -> None:
    assert awareness.leave(ANN, 1.0, clean=False) == []
    assert awareness.next_leave == 1.0 + GRACE_S
    assert awareness.expire(0.9 + GRACE_S) == []
    assert awareness.present == [1]
    assert awareness.expire(1.0 + GRACE_S) == [1]
    assert shown(awareness, [1]) == {1: (5, NULL)}
    assert awareness.next_leave is None


def test_A6_who_returns_within_the_grace_was_never_gone(awareness: Awareness) -> None:
    awareness.leave(ANN, 1.0, clean=False)
    awareness.receive(said((1, 5, HERE)), BOB, 1.5)
    assert awareness.next_leave is None
    assert awareness.expire(10.0) == []
    assert everybody(awareness) == {1: (5, HERE)}


def test_A6_only_who_was_here_is_announced_as_gone(awareness: Awareness) -> None:
    awareness.receive(said((2, 0, b"{}")), BOB, 0.0)
    assert awareness.leave(BOB, 1.0, clean=True) == []
    awareness.receive(said((1, 6, NULL)), ANN, 1.0)
    assert awareness.leave(ANN, 2.0, clean=True) == []


def test_A7_who_returns_after_it_was_seen_gone_is_told(awareness: Awareness) -> None:
    """A stock client then announces itself again at the next clock, instead of after up to 15 s."""
    awareness.leave(ANN, 1.0, clean=True)
    assert awareness.receive(said((1, 5, HERE)), BOB, 2.0) == Heard([], corrected=[1])
    assert shown(awareness, [1]) == {1: (5, NULL)}
    assert awareness.receive(said((1, 6, HERE)), BOB, 2.1) == Heard([1])


def test_A7_only_the_client_itself_is_told(awareness: Awareness) -> None:
    awareness.receive(said((2, 1, HERE)), BOB, 0.0)
    awareness.leave(ANN, 1.0, clean=True)
    assert awareness.receive(said((2, 2, HERE), (1, 5, HERE)), BOB, 2.0) == Heard([2])


def test_A8_who_falls_silent_is_removed_and_who_renews_is_not(awareness: Awareness) -> None:
    awareness.receive(said((2, 1, HERE)), BOB, 0.0)
    for clock in range(2, 8):
        awareness.receive(said((2, clock, HERE)), BOB, clock * 15.0)
        gone = awareness.expire(clock * 15.0 + 14.0)
        assert gone == ([1] if clock * 15.0 + 14.0 > OUTDATED_S and clock == 3 else [])


def test_A9_the_clock_of_who_left_is_remembered_for_a_while_and_then_forgotten(awareness: Awareness) -> None:
    awareness.leave(ANN, 0.0, clean=True)
    awareness.expire(TOMBSTONE_S)
    assert awareness.receive(said((1, 5, HERE), (9, 1, HERE)), EVE, TOMBSTONE_S) == Heard([9])
    awareness.expire(2 * TOMBSTONE_S)
    assert awareness.receive(said((1, 1, HERE)), BOB, 2 * TOMBSTONE_S) == Heard([1])


def test_A9_memory_stays_flat_over_100_000_joins_and_leaves() -> None:
    awareness, process = Awareness(), psutil.Process()
    early = 0
    for number in range(100_000):
        now = number * 0.5
        awareness.receive(said((number, 1, HERE)), number, now)
        awareness.leave(number, now, clean=number % 2 == 0)
        if number % 500 == 0:
            awareness.expire(now)
        if number == 10_000:
            early = process.memory_info().rss
    assert process.memory_info().rss - early < 4_000_000
