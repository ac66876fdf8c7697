"""Who is here (rules A). Time is an argument; nothing here waits."""

from collections.abc import Mapping

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt.awareness import (
    CLAIM_LIMIT,
    GRACE_S,
    OUTDATED_S,
    TOMBSTONE_S,
    Awareness,
    Heard,
)
from crdt.awareness_entries import STATE_LIMIT_BYTES
from crdt.encoding import Decoder, encode_var_bytes, encode_var_string, encode_var_uint
from crdt.errors import Malformed, ProtocolError, TooLarge

ANN, BOB, EVE = 101, 102, 103
NODE = -1
"""Connections."""

HERE = b'{"user":{"name":"\xc3\xa9"}}'
NULL = b"null"


def said(*entries: tuple[int, int, bytes]) -> bytes:
    parts = [
        encode_var_uint(client) + encode_var_uint(clock) + encode_var_bytes(state)
        for client, clock, state in entries
    ]
    return encode_var_uint(len(parts)) + b"".join(parts)


def shown(awareness: Awareness, clients: list[int]) -> Mapping[int, tuple[int, bytes]]:
    decoder = Decoder(awareness.encode(clients))
    return {
        decoder.read_var_uint(): (decoder.read_var_uint(), decoder.read_var_bytes())
        for _ in range(decoder.read_var_uint())
    }


def everybody(awareness: Awareness) -> Mapping[int, tuple[int, bytes]]:
    return shown(awareness, awareness.present)


@pytest.fixture
def awareness() -> Awareness:
    """Ann is here as client 1, at clock 5."""
    table = Awareness()
    assert table.receive(said((1, 5, HERE)), ANN, 0.0) == Heard([1])
    return table


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x01", id="cut short"),
        pytest.param(said((2, 1, HERE))[:-1], id="state cut short"),
        pytest.param(said((2, 1, HERE)) + b"\x00", id="bytes behind"),
        pytest.param(said((2, 1, HERE), (2, 2, HERE)), id="client twice"),
        pytest.param(said((2, 2**31, HERE)), id="clock 2**31"),
        pytest.param(b"\xff\xff\xff\x7f" + said((2, 1, HERE)), id="count bomb"),
    ],
)
def test_A1_a_malformed_message_is_refused_and_leaves_no_trace(awareness: Awareness, message: bytes) -> None:
    with pytest.raises(Malformed):
        awareness.receive(message, BOB, 0.0)
    assert everybody(awareness) == {1: (5, HERE)}


def test_A1_an_empty_message_says_nothing(awareness: Awareness) -> None:
    """The keepalive; it does not count as the first message either."""
    assert awareness.receive(said(), BOB, 0.0) == Heard()
    assert awareness.receive(said((1, 5, HERE)), BOB, 0.0) == Heard(moved=[1])
    assert awareness.leave(ANN, 0.0, clean=True) == []


@pytest.mark.parametrize(
    ("clock", "state", "counts"),
    [(6, b'{"a":1}', True), (6, NULL, True), (5, NULL, True), (5, b'{"a":1}', False), (4, NULL, False)],
    ids=["newer", "newer null", "null at the same clock", "same clock", "older null"],
)
def test_A2_an_entry_counts_when_it_is_newer_or_null_at_the_same_clock(
    awareness: Awareness, clock: int, state: bytes, counts: bool
) -> None:
    heard = awareness.receive(said((1, clock, state)), ANN, 1.0)
    assert heard.changed == ([1] if counts else [])
    assert shown(awareness, [1]) == {1: (clock, state) if counts else (5, HERE)}


def test_A2_the_first_frame_of_a_fresh_client_shows_nobody_and_the_next_one_does(
    awareness: Awareness,
) -> None:
    """Clock 0 is below everything, at every receiver."""
    assert awareness.receive(said((2, 0, b"{}")), BOB, 0.0) == Heard()
    assert awareness.present == [1]
    assert awareness.receive(said((2, 1, HERE)), BOB, 0.0) == Heard([2])
    assert everybody(awareness) == {1: (5, HERE), 2: (1, HERE)}


def test_A2_null_counts_once(awareness: Awareness) -> None:
    assert awareness.receive(said((1, 5, NULL)), ANN, 0.0).changed == [1]
    assert awareness.receive(said((1, 5, NULL)), ANN, 0.0).changed == []


def test_A2_someone_who_comes_and_goes_between_two_flushes_is_shown_as_gone(awareness: Awareness) -> None:
    awareness.receive(said((2, 1, HERE)), BOB, 0.0)
    awareness.receive(said((2, 2, NULL)), BOB, 0.0)
    assert shown(awareness, [1, 2]) == {1: (5, HERE), 2: (2, NULL)}


def test_A3_a_state_is_bounded(awareness: Awareness) -> None:
    largest = b'{"a":"' + b"x" * (STATE_LIMIT_BYTES - 8) + b'"}'
    assert awareness.receive(said((1, 6, largest)), ANN, 0.0) == Heard([1])
    with pytest.raises(TooLarge):
        awareness.receive(said((1, 7, largest + b" ")), ANN, 0.0)


@pytest.mark.parametrize(
    "state",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="cut short"),
        pytest.param(b"[]", id="list"),
        pytest.param(b'"text"', id="text"),
        pytest.param(b"5", id="number"),
        pytest.param(b" null", id="null with a space"),
        pytest.param(b'{"a":NaN}', id="NaN"),
        pytest.param(b'{"a":-Infinity}', id="Infinity"),
        pytest.param(b'{"a":' + b"9" * 5_000 + b"}", id="5,000 digits"),
        pytest.param(b'{"a":' + b"[" * 7_000 + b"]" * 7_000 + b"}", id="7,000 levels"),
        pytest.param(b'{"a":"\xff"}', id="no UTF-8"),
        pytest.param(b"\xef\xbb\xbf{}", id="byte order mark"),
        pytest.param(b"{'a':1}", id="python"),
    ],
)
def test_A4_a_state_that_is_no_json_object_is_refused_with_its_whole_message(
    awareness: Awareness, state: bytes
) -> None:
    """JavaScript throws the whole message away for one state that it cannot parse."""
    with pytest.raises(Malformed):
        awareness.receive(said((2, 1, HERE), (3, 1, state)), BOB, 0.0)
    assert everybody(awareness) == {1: (5, HERE)}


def test_A4_a_state_is_passed_on_byte_for_byte(awareness: Awareness) -> None:
    odd = b'{ "z" : 1e3,\n"a":"\\u00e9\xc3\xa9", "z": 2 }'
    awareness.receive(said((1, 6, odd)), ANN, 0.0)
    assert everybody(awareness) == {1: (6, odd)}


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


def test_A10_a_connection_speaks_for_a_bounded_number_of_clients(awareness: Awareness) -> None:
    many = [(client, 1, HERE) for client in range(10, 10 + 2 * CLAIM_LIMIT)]
    kept = list(range(10, 10 + CLAIM_LIMIT))
    assert awareness.receive(said(*many), BOB, 0.0) == Heard(kept)
    assert awareness.receive(said((5_000, 1, HERE)), BOB, 0.0) == Heard()
    assert awareness.receive(said((10, 2, HERE)), BOB, 0.0) == Heard([10])
    assert awareness.leave(BOB, 1.0, clean=True) and awareness.present == [1]


@given(st.binary())
def test_random_bytes_raise_nothing_but_a_protocol_error(data: bytes) -> None:
    try:
        Awareness().receive(data, ANN, 0.0)
    except ProtocolError:
        return


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["say", "leave", "break", "expire"]),
            st.integers(1, 3),
            st.integers(1, 4),
            st.integers(0, 3),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_whatever_happens_every_change_is_announced(
    events: list[tuple[str, int, int, int, bool]],
) -> None:
    """Whoever applies the announced entries by the rules of the clients sees what the table shows."""
    awareness = Awareness()
    seen: dict[int, tuple[int, bytes]] = {}
    for number, (event, peer, client, clock, is_here) in enumerate(events):
        now = float(number)
        match event:
            case "say":
                changed = awareness.receive(
                    said((client, clock, HERE if is_here else NULL)), peer, now
                ).changed
            case "expire":
                changed = awareness.expire(now)
            case _:
                changed = awareness.leave(peer, now, clean=event == "leave")
        for other, (at, state) in shown(awareness, changed).items():
            known_clock, known_state = seen.get(other, (0, NULL))
            assert known_clock < at or (known_clock == at and state == NULL and known_state != NULL)
            seen[other] = (at, state)
        assert {other for other, (_, state) in seen.items() if state != NULL} == set(awareness.present)


def test_A3_a_message_of_too_many_is_refused() -> None:
    """Whoever lists more clients than any room has costs nothing but a look at the count."""
    awareness = Awareness()
    body = b"".join(encode_var_uint(number) + b"\x01" + encode_var_string("{}") for number in range(4_097))
    with pytest.raises(TooLarge):
        awareness.receive(encode_var_uint(4_097) + body, 1, 0.0)
    assert awareness.present == []
