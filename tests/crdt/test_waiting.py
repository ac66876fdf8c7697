"""What waits for something unknown: kept once, bounded, and asked only when what it lacks has moved."""

import pytest

from crdt.update import Update
from crdt.waiting import Waiting

ONE, TWO, THREE = Update(b"one"), Update(b"two"), Update(b"three")


def test_B15_only_what_lacks_a_clock_that_has_moved_may_go_on() -> None:
    waiting = Waiting()
    waiting.add(ONE, frozenset({(1, 5)}))
    waiting.add(TWO, frozenset({(2, 0), (3, 7)}))
    assert waiting.pop_ready({1: 5, 3: 7}) is None
    assert waiting.pop_ready({1: 5, 3: 8}) == TWO
    assert waiting.pop_ready({1: 5, 3: 8}) is None
    assert waiting.pop_ready({1: 6}) == ONE
    assert not waiting


def test_B15_the_oldest_of_those_that_lack_the_same_goes_first() -> None:
    waiting = Waiting()
    for update in (TWO, ONE, THREE):
        waiting.add(update, frozenset({(1, 0)}))
    assert [waiting.pop_ready({1: 1}) for _ in range(4)] == [TWO, ONE, THREE, None]


def test_B15_what_comes_twice_waits_once() -> None:
    waiting = Waiting()
    waiting.add(ONE, frozenset({(1, 0)}))
    waiting.add(ONE, frozenset({(1, 0)}))
    assert len(waiting) == 1


def test_what_nobody_has_looked_at_is_tried_whatever_the_clocks() -> None:
    waiting = Waiting([ONE, TWO])
    assert [waiting.pop_ready({}), waiting.pop_ready({}), waiting.pop_ready({})] == [ONE, TWO, None]


@pytest.mark.parametrize("limit", ["WAITING_LIMIT", "WAITING_LIMIT_BYTES"])
def test_B15_beyond_the_bound_it_is_known_when_something_has_to_be_read_again(
    monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(f"crdt.waiting.{limit}", {"WAITING_LIMIT": 2, "WAITING_LIMIT_BYTES": 6}[limit])
    waiting = Waiting()
    for update, client in ((ONE, 1), (TWO, 2), (THREE, 3)):
        waiting.add(update, frozenset({(client, 0)}))
    assert len(waiting) == 2
    assert not waiting.take_missed({1: 1, 2: 1})
    assert waiting.take_missed({3: 1})
    assert not waiting.take_missed({3: 1})
    assert waiting.pop_ready({3: 1}) is None
