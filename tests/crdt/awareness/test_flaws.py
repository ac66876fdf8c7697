"""What of an awareness update does not count, and what that costs the rest of it (A1, A3, A4): nothing."""

import pytest

from crdt.awareness import CLAIM_LIMIT, Awareness, Heard
from crdt.awareness_entries import MESSAGE_LIMIT, STATE_LIMIT_BYTES, STATE_LIMIT_DEPTH
from crdt.heard import Flaw
from tests.crdt.awareness.support import ANN, BOB, EVE, HERE, NULL, everybody, said

NODE, OTHER = -1, -2
THERE = b'{"there":1}'


def nested(depth: int) -> bytes:
    """An object that is so many objects and lists deep."""
    lists = depth - 1
    return b'{"a":' + b"[" * lists + b"]" * lists + b"}"


LARGEST = b'{"a":"' + b"x" * (STATE_LIMIT_BYTES - 8) + b'"}'

bad_states = pytest.mark.parametrize(
    ("state", "reason"),
    [
        pytest.param(b"", "state is not JSON", id="nothing"),
        pytest.param(b"{", "state is not JSON", id="cut short"),
        pytest.param(b"undefined", "state is not JSON", id="undefined"),
        pytest.param(b"[]", "state is not an object", id="list"),
        pytest.param(b'"text"', "state is not an object", id="text"),
        pytest.param(rb'"\ud800"', "state is not an object", id="half a surrogate pair"),
        pytest.param(b"5", "state is not an object", id="number"),
        pytest.param(b"true", "state is not an object", id="true"),
        pytest.param(b" null", "state is not an object", id="null with a space"),
        pytest.param(b'{"a":NaN}', "state is not JSON", id="NaN"),
        pytest.param(b'{"a":-Infinity}', "state is not JSON", id="Infinity"),
        pytest.param(nested(STATE_LIMIT_DEPTH + 1), "state nested too deeply", id="a level too many"),
        pytest.param(nested(7_000), "state nested too deeply", id="7,000 levels"),
        pytest.param(b'{"a":"\xff"}', "state is not JSON", id="no UTF-8"),
        pytest.param(b'{"a":"\xed\xa0\x80"}', "state is not JSON", id="half a surrogate pair in UTF-8"),
        pytest.param(b"\xef\xbb\xbf{}", "state is not JSON", id="byte order mark"),
        pytest.param(b"{'a':1}", "state is not JSON", id="python"),
        pytest.param(LARGEST + b" ", "state too large", id="a byte too many"),
        pytest.param(b'{"a":"' + b"x" * 3_000_000 + b'"}', "state too large", id="3 MB"),
    ],
)


@bad_states
def test_A4_a_state_that_does_not_count_costs_nobody_else_of_its_message_anything(
    awareness: Awareness, state: bytes, reason: str
) -> None:
    """JavaScript throws a whole message away for one state that it cannot parse: so it goes to nobody."""
    heard = awareness.receive(said((2, 1, HERE), (3, 1, state), (4, 1, THERE)), BOB, 0.0)
    assert heard == Heard([2, 4], flaws={BOB: Flaw(reason, len(state))})
    assert everybody(awareness) == {1: (5, HERE), 2: (1, HERE), 4: (1, THERE)}


@bad_states
def test_A4_instead_of_a_state_that_does_not_count_the_former_one_stays(
    awareness: Awareness, state: bytes, reason: str
) -> None:
    """At the new clock: others forget whose clock stands still for 30 s."""
    for clock in (6, 7):
        heard = awareness.receive(said((1, clock, state)), ANN, 40.0 * (clock - 5))
        assert heard.changed == [1]
        assert awareness.expire(40.0 * (clock - 5)) == []
        assert everybody(awareness) == {1: (clock, HERE)}
    assert awareness.receive(said((1, 8, THERE)), ANN, 90.0) == Heard([1])
    assert everybody(awareness) == {1: (8, THERE)}


def test_A4_who_does_not_renew_leaves_whatever_its_state_was(awareness: Awareness) -> None:
    awareness.receive(said((1, 6, b"5")), ANN, 10.0)
    assert awareness.expire(55.0) == []
    assert awareness.expire(56.0) == [1]


def test_A4_whoever_comes_with_a_state_that_does_not_count_is_seen_with_the_next_one(
    awareness: Awareness,
) -> None:
    """Its client is its own all the same (A5)."""
    assert awareness.receive(said((2, 1, b"[]")), BOB, 0.0).changed == []
    assert awareness.receive(said((2, 2, THERE)), EVE, 0.0).changed == [2]
    assert awareness.receive(said((3, 1, b"[]")), ANN + 1_000, 0.0).changed == []
    assert awareness.receive(said((3, 9, THERE), (4, 1, HERE)), BOB, 0.0).changed == [4]
    assert awareness.receive(said((3, 2, THERE)), ANN + 1_000, 0.0) == Heard([3])


def test_A7_who_returns_with_a_state_that_does_not_count_is_told_once(awareness: Awareness) -> None:
    awareness.leave(ANN, 1.0, clean=True)
    assert awareness.receive(said((1, 5, b"5")), BOB, 2.0).corrected == [1]
    assert awareness.receive(said((1, 6, b"5")), BOB, 2.1).corrected == []
    assert awareness.receive(said((1, 7, HERE)), BOB, 2.2) == Heard([1])


def test_A4_a_flood_of_states_that_do_not_count_is_told_of_once_for_each_connection(
    awareness: Awareness,
) -> None:
    told = [
        heard.flaws
        for clock in range(6, 1_000)
        for peer, client in ((ANN, 1), (BOB, 2))
        if (heard := awareness.receive(said((client, clock, b"5")), peer, 1.0)).flaws
    ]
    flaw = Flaw("state is not an object", 1)
    assert told == [{ANN: flaw}, {BOB: flaw}]
    awareness.leave(ANN, 2.0, clean=True)
    assert awareness.receive(said((1, 1_000, b"5")), ANN, 3.0).flaws == {ANN: flaw}


def test_A4_a_state_of_somebody_else_is_not_looked_at(awareness: Awareness) -> None:
    """Whoever echoes it has done nothing wrong."""
    assert awareness.receive(said((2, 1, HERE)), BOB, 0.0) == Heard([2])
    assert awareness.receive(said((1, 6, b"5")), BOB, 0.0) == Heard()


@pytest.mark.parametrize("state", [LARGEST, nested(STATE_LIMIT_DEPTH)], ids=["largest", "deepest"])
def test_A3_what_is_just_within_the_limits_counts(awareness: Awareness, state: bytes) -> None:
    assert awareness.receive(said((1, 6, state)), ANN, 0.0) == Heard([1])


def test_A4_many_brackets_side_by_side_are_not_deep(awareness: Awareness) -> None:
    wide = b'{"a":[' + b",".join([b"[]"] * 5_000) + b"]}"
    assert awareness.receive(said((1, 6, wide)), ANN, 0.0) == Heard([1])


def test_A1_a_clock_out_of_range_is_passed_over(awareness: Awareness) -> None:
    """Whoever takes a stock client over can drive it there: it counts on from what it is told."""
    heard = awareness.receive(said((1, 2**31, HERE), (2, 1, HERE)), ANN, 0.0)
    assert heard == Heard([2], flaws={ANN: Flaw("clock out of range", len(HERE))})
    assert everybody(awareness) == {1: (5, HERE), 2: (1, HERE)}


def test_A1_of_a_client_that_stands_in_a_message_twice_each_entry_counts_in_turn(
    awareness: Awareness,
) -> None:
    """Stock clients write one twice when they heard of it twice at once, from another tab for example."""
    twice = said((2, 1, HERE), (2, 2, b"5"), (2, 3, THERE), (2, 2, HERE))
    assert set(awareness.receive(twice, BOB, 0.0).changed) == {2}
    assert everybody(awareness) == {1: (5, HERE), 2: (3, THERE)}


def test_A3_of_a_message_of_too_many_the_first_count(awareness: Awareness) -> None:
    """Stock clients that forget a crowd say so of everybody in one message."""
    others = [(client, 1, NULL) for client in range(10, 10 + MESSAGE_LIMIT)]
    message = said((1, 6, THERE), *others)
    heard = awareness.receive(message, ANN, 0.0)
    assert heard.changed[0] == 1
    assert heard.flaws == {ANN: Flaw("more than is read of a message", len(message))}
    assert everybody(awareness) == {1: (6, THERE)}


def test_A3_so_much_of_a_message_is_read_and_no_more(awareness: Awareness) -> None:
    """Reading JSON takes 10 ns a byte; what is too large by itself is not read at all."""
    huge, bad = b'{"a":"' + b"x" * 2_000_000 + b'"}', b"[" + b"0," * 8_000 + b"0]"
    entries = [(client, 1, bad) for client in range(10, 100)]
    heard = awareness.receive(said((1, 6, huge), (2, 1, HERE), *entries, (3, 1, HERE)), ANN, 0.0)
    assert heard.changed == [1, 2]
    few = said((1, 7, huge), (2, 2, HERE), *entries[:60], (3, 1, HERE))
    assert awareness.receive(few, ANN, 0.0).changed == [1, 2, 3]


def test_A10_who_claims_too_many_is_reported(awareness: Awareness) -> None:
    message = said(*((client, 1, HERE) for client in range(10, 11 + CLAIM_LIMIT)))
    assert awareness.receive(message, BOB, 0.0).flaws == {BOB: Flaw("too many clients", len(message))}


@bad_states
def test_A4_a_state_of_a_node_that_does_not_count_costs_nobody_else_anything(
    awareness: Awareness, state: bytes, reason: str
) -> None:
    update = said((1, 6, state), (2, 1, HERE), (3, 1, state), (4, 1, HERE))
    heard = awareness.receive_relayed(update, NODE, 1.0)
    assert heard == Heard([1, 2, 4], moved=[1], flaws={NODE: Flaw(reason, len(state))})
    assert everybody(awareness) == {1: (6, HERE), 2: (1, HERE), 4: (1, HERE)}
    assert awareness.leave(ANN, 2.0, clean=True) == []


@bad_states
def test_A12_who_is_kept_with_a_state_that_does_not_count_has_not_left(
    awareness: Awareness, state: bytes, reason: str
) -> None:
    awareness.receive_relayed(said((2, 1, HERE)), NODE, 1.0)
    kept = {NODE: said((2, 2, state)), OTHER: said((3, 1, HERE))}
    heard = awareness.receive_kept(kept, 2.0, 2.0)
    assert heard == Heard([2, 3], flaws={NODE: Flaw(reason, len(state))})
    assert everybody(awareness) == {1: (5, HERE), 2: (2, HERE), 3: (1, HERE)}
    assert awareness.next_leave is None
