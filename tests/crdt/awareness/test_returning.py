"""Who comes to a room just opened, or from another node, is asked to announce itself anew (A7)."""

import pytest

from crdt.awareness import GRACE_S, YOUNG_S, Awareness, Heard
from tests.crdt.awareness.support import ANN, BOB, EVE, HERE, NULL, everybody, said

NODE = -1
OPENED_AT = 100.0
SOON = OPENED_AT + YOUNG_S - 0.1
LATE = OPENED_AT + YOUNG_S


@pytest.fixture
def young() -> Awareness:
    """A room that was just opened."""
    return Awareness(OPENED_AT)


def test_A7_who_comes_to_a_room_just_opened_is_recalled_and_shown_all_the_same(young: Awareness) -> None:
    """It may never answer."""
    assert young.receive(said((1, 5, HERE)), ANN, SOON) == Heard([1], is_recalled=True)
    assert everybody(young) == {1: (5, HERE)}
    assert young.recall(ANN) == said((1, 5, NULL))


def test_A7_who_answers_is_announced_once_more_and_not_recalled_again(young: Awareness) -> None:
    young.receive(said((1, 5, HERE)), ANN, SOON)
    assert young.receive(said((1, 6, HERE)), ANN, SOON) == Heard([1])
    assert everybody(young) == {1: (6, HERE)}


def test_A7_who_comes_later_is_not_recalled(young: Awareness) -> None:
    """Its clock has grown by itself meanwhile: stock clients renew within 18 s."""
    assert young.receive(said((1, 5, HERE)), ANN, LATE) == Heard([1])


def test_A7_who_was_here_before_in_the_same_room_is_not_recalled_again(young: Awareness) -> None:
    young.receive(said((1, 5, HERE)), ANN, OPENED_AT)
    young.leave(ANN, OPENED_AT + 1, clean=False)
    assert young.receive(said((1, 5, HERE)), BOB, OPENED_AT + 2) == Heard(moved=[1])
    young.leave(BOB, OPENED_AT + 3, clean=True)
    assert young.receive(said((1, 5, HERE)), EVE, OPENED_AT + 4) == Heard(corrected=[1])


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(said(), id="nothing"),
        pytest.param(said((1, 0, HERE)), id="a fresh client, that nobody sees yet"),
        pytest.param(said((1, 5, NULL)), id="one that is not here"),
        pytest.param(said((1, 5, b"[]")), id="one whose state does not count"),
        pytest.param(said((1, 5, HERE), (2, 5, HERE)), id="several"),
    ],
)
def test_A7_only_who_announces_its_own_client_alone_is_recalled(young: Awareness, message: bytes) -> None:
    heard = young.receive(message, ANN, SOON)
    assert not heard.is_recalled or young.recall(ANN) is None


def test_A7_who_comes_from_another_node_is_recalled_once_however_old_the_room(awareness: Awareness) -> None:
    """The node may have died, with many: they remember the clocks of each other."""
    awareness.receive_relayed(said((2, 3, HERE)), NODE, 0.0)
    assert awareness.receive(said((2, 3, HERE)), BOB, 1.0) == Heard(moved=[2], is_recalled=True)
    assert awareness.receive(said((2, 3, HERE)), EVE, 2.0) == Heard(moved=[2])


@pytest.mark.parametrize("is_young", [True, False])
def test_A7_who_comes_from_a_node_that_died_is_recalled(is_young: bool) -> None:
    table = Awareness(OPENED_AT if is_young else OPENED_AT - YOUNG_S)
    table.receive_kept({NODE: said((1, 5, HERE), (2, 3, HERE))}, OPENED_AT, OPENED_AT)
    table.leave(NODE, OPENED_AT, clean=False)
    assert table.receive(said((1, 5, HERE)), ANN, OPENED_AT + 1) == Heard(moved=[1], is_recalled=True)
    assert table.receive(said((2, 4, HERE)), BOB, OPENED_AT + 1) == Heard([2], is_recalled=True)
    assert table.expire(OPENED_AT + GRACE_S) == []


def test_A7_of_many_who_return_each_is_recalled_once_and_nobody_is_shown_as_gone(young: Awareness) -> None:
    everyone = range(1_000, 3_000)
    told: list[int] = []
    for client in everyone:
        heard = young.receive(said((client, 7, HERE)), client, SOON)
        assert heard.is_recalled and young.recall(client) == said((client, 7, NULL))
        told += heard.changed
    for client in everyone:
        heard = young.receive(said((client, 8, HERE)), client, SOON)
        assert heard == Heard([client])
        told += heard.changed
    assert len(told) == 2 * len(everyone)
    assert everybody(young) == dict.fromkeys(everyone, (8, HERE))
