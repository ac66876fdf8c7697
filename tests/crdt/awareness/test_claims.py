"""Who speaks for whom (A5, A10), and what nodes say of each other (A11, A12)."""

import pytest

from crdt.awareness import CLAIM_LIMIT, GRACE_S, Awareness, Heard
from crdt.errors import Malformed
from tests.crdt.awareness.support import ANN, BOB, EVE, HERE, NULL, everybody, said

NODE, OTHER = -1, -2
"""Connections."""


@pytest.mark.parametrize("state", [HERE, NULL])
def test_A5_nobody_speaks_for_a_client_of_another_connection(awareness: Awareness, state: bytes) -> None:
    awareness.receive(said((2, 1, HERE)), BOB, 0.0)
    assert awareness.receive(said((1, 99, state)), BOB, 0.0) == Heard()
    assert awareness.receive(said((2, 2, HERE), (1, 99, state)), BOB, 0.0) == Heard([2])
    assert everybody(awareness) == {1: (5, HERE), 2: (2, HERE)}


def test_A5_a_first_message_about_several_takes_nothing_from_anybody(awareness: Awareness) -> None:
    assert awareness.receive(said((1, 99, NULL), (2, 1, HERE)), EVE, 0.0) == Heard([2])
    assert everybody(awareness) == {1: (5, HERE), 2: (1, HERE)}


def test_A5_the_first_message_takes_over_from_a_half_open_connection(awareness: Awareness) -> None:
    assert awareness.receive(said((1, 6, HERE)), BOB, 30.0) == Heard([1])
    assert awareness.receive(said((1, 7, NULL)), ANN, 31.0) == Heard()
    assert awareness.leave(ANN, 31.0, clean=True) == []
    assert everybody(awareness) == {1: (6, HERE)}
    assert awareness.leave(BOB, 32.0, clean=True) == [1]


def test_A5_taking_over_at_the_same_clock_changes_nothing_that_is_seen(awareness: Awareness) -> None:
    assert awareness.receive(said((1, 5, HERE)), BOB, 1.0) == Heard(moved=[1])
    assert awareness.leave(ANN, 2.0, clean=False) == []
    assert awareness.expire(2.0 + GRACE_S) == []
    assert everybody(awareness) == {1: (5, HERE)}


def test_A11_who_moves_to_another_node_is_no_longer_here_through_this_one(awareness: Awareness) -> None:
    """At the clock that was known: the end of the former connection says nothing then."""
    assert awareness.receive_relayed(said((1, 5, HERE)), NODE, 1.0) == Heard(moved=[1])
    assert awareness.claimed_by(lambda peer: peer > 0) == []
    assert awareness.leave(ANN, 2.0, clean=True) == []
    assert awareness.receive_relayed(said((1, 5, HERE)), NODE, 3.0) == Heard()
    assert everybody(awareness) == {1: (5, HERE)}


def test_A12_what_nodes_keep_moves_nobody_at_the_same_clock(awareness: Awareness) -> None:
    """A dead node keeps its people until its lease ends; they may be elsewhere already."""
    moved = said((1, 5, HERE))
    awareness.receive_relayed(moved, NODE, 1.0)
    for order in ({NODE: moved, OTHER: moved}, {OTHER: moved, NODE: moved}):
        assert awareness.receive_kept(order, 2.0, 2.0) == Heard()
    assert awareness.leave(OTHER, 3.0, clean=False) == []
    assert awareness.next_leave is None


def test_A12_who_is_here_is_not_taken_by_what_another_node_still_keeps(awareness: Awareness) -> None:
    assert awareness.receive_kept({NODE: said((1, 5, HERE))}, 1.0, 1.0) == Heard()
    assert awareness.claimed_by(lambda peer: peer > 0) == [1]


@pytest.mark.parametrize("nodes", [(NODE, OTHER), (OTHER, NODE)])
def test_A12_who_moved_unheard_is_with_the_node_that_keeps_it(
    awareness: Awareness, nodes: tuple[int, int]
) -> None:
    awareness.receive_relayed(said((1, 5, HERE)), NODE, 1.0)
    kept = {NODE: said(), OTHER: said((1, 5, HERE))}
    awareness.receive_kept({node: kept[node] for node in nodes}, 2.0, 2.0)
    assert awareness.next_leave is None
    awareness.leave(NODE, 3.0, clean=False)
    assert awareness.next_leave is None
    awareness.leave(OTHER, 4.0, clean=False)
    assert awareness.expire(4.0 + GRACE_S) == [1]


def test_A12_who_left_unheard_leaves_after_the_grace(awareness: Awareness) -> None:
    awareness.receive_relayed(said((2, 1, HERE)), NODE, 1.0)
    assert awareness.receive_kept({NODE: said()}, 2.0, 2.0) == Heard()
    assert awareness.expire(2.0 + GRACE_S) == [2]


def test_A12_who_came_after_the_question_is_not_lacking_in_the_answer(awareness: Awareness) -> None:
    awareness.receive_relayed(said((2, 1, HERE)), NODE, 3.0)
    awareness.receive_kept({NODE: said()}, 2.0, 3.1)
    assert awareness.next_leave is None


def test_A12_what_one_node_keeps_and_nobody_can_read_is_no_matter_of_the_others(
    awareness: Awareness,
) -> None:
    awareness.receive_relayed(said((2, 1, HERE)), NODE, 1.0)
    heard = awareness.receive_kept({NODE: b"?", OTHER: said((4, 1, HERE))}, 2.0, 2.0)
    assert (heard.changed, list(heard.flaws)) == ([4], [NODE])
    assert everybody(awareness) == {1: (5, HERE), 2: (1, HERE), 4: (1, HERE)}
    assert awareness.next_leave is None


def test_A1_of_what_is_no_update_nothing_is_taken(awareness: Awareness) -> None:
    with pytest.raises(Malformed):
        awareness.receive_relayed(said((2, 1, HERE)) + b"\x00", NODE, 1.0)
    assert everybody(awareness) == {1: (5, HERE)}


def test_A7_a_recalled_connection_is_told_that_it_left_and_the_others_are_not(awareness: Awareness) -> None:
    recalled = awareness.recall(ANN)
    assert recalled == said((1, 5, NULL))
    assert everybody(awareness) == {1: (5, HERE)}
    assert awareness.recall(BOB) is None


def test_A5_a_storm_of_echoes_changes_nothing(awareness: Awareness) -> None:
    """Every stock client sends back all that it hears."""
    for client in range(2, 30):
        awareness.receive(said((client, 1, HERE)), 1_000 + client, 0.0)
    echo = awareness.encode(awareness.present)
    for peer in (ANN, *range(1_002, 1_030)):
        assert awareness.receive(echo, peer, 1.0) == Heard()
    assert awareness.leave(ANN, 2.0, clean=True) == [1]


def test_A10_a_connection_speaks_for_a_bounded_number_of_clients(awareness: Awareness) -> None:
    many = [(client, 1, HERE) for client in range(10, 10 + 2 * CLAIM_LIMIT)]
    kept = list(range(10, 10 + CLAIM_LIMIT))
    assert awareness.receive(said(*many), BOB, 0.0).changed == kept
    assert awareness.receive(said((5_000, 1, HERE)), BOB, 0.0) == Heard()
    assert awareness.receive(said((10, 2, HERE)), BOB, 0.0) == Heard([10])
    assert awareness.leave(BOB, 1.0, clean=True) and awareness.present == [1]
