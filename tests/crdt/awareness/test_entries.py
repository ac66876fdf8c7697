"""What an awareness update says, and which of it counts (A1–A4); what does not is in ``test_flaws.py``."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt.awareness import Awareness, Heard
from crdt.awareness_entries import NODE_LIMIT, read_entries
from crdt.errors import Malformed, ProtocolError, TooLarge
from crdt.heard import Flaw
from tests.crdt.awareness.support import ANN, BOB, EVE, HERE, NULL, everybody, said, shown


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x01", id="cut short"),
        pytest.param(said((2, 1, HERE))[:-1], id="state cut short"),
        pytest.param(said((2, 1, HERE)) + b"\x00", id="bytes behind"),
        pytest.param(b"\x01\x02\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02{}", id="clock of 9 bytes"),
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


def test_A4_a_state_is_passed_on_byte_for_byte(awareness: Awareness) -> None:
    odd = b'{ "z" : 1e3,\n"a":"\\u00e9\xc3\xa9", "z": 2 }'
    awareness.receive(said((1, 6, odd)), ANN, 0.0)
    assert everybody(awareness) == {1: (6, odd)}


@pytest.mark.parametrize(
    "state",
    [
        pytest.param(b'{"a":1e999}', id="beyond a float"),
        pytest.param(b'{"a":' + b"9" * 5_000 + b"}", id="5,000 digits"),
        pytest.param(rb'{"a":"\ud800"}', id="half a surrogate pair"),
        pytest.param(rb'{"a":"\u0000"}', id="zero"),
        pytest.param(b'{"a":-0}', id="minus zero"),
    ],
)
def test_A4_whatever_clients_can_parse_is_passed_on(awareness: Awareness, state: bytes) -> None:
    awareness.receive(said((1, 6, state)), ANN, 0.0)
    assert everybody(awareness) == {1: (6, state)}


def test_A3_a_node_tells_of_more_than_a_client_may(awareness: Awareness) -> None:
    """A large room is not refused whole by the other nodes."""
    many = said(*((client, 1, HERE) for client in range(2, 5_000)))
    large = said(*((client, 1, b'{"a":"' + b"x" * 16_000 + b'"}') for client in range(5_000, 5_100)))
    assert len(awareness.receive_relayed(many, EVE, 0.0).changed) == 4_998
    assert awareness.receive_kept({BOB: large}, 0.0, 0.0).changed == list(range(5_000, 5_100))


def test_A3_what_a_node_tells_is_bounded_too(awareness: Awareness) -> None:
    many = said(*((client, 1, b"{}") for client in range(NODE_LIMIT + 1)))
    large = said(*((client, 1, b'{"a":"' + b"x" * 16_000 + b'"}') for client in range(1_100)))
    for node, update in ((BOB, many), (EVE, large)):
        with pytest.raises(TooLarge):
            awareness.receive_relayed(update, node, 0.0)
        kept = awareness.receive_kept({node: update}, 0.0, 0.0)
        assert kept == Heard(flaws={node: Flaw("awareness update too large", len(update))})
    assert everybody(awareness) == {1: (5, HERE)}


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


def test_A3_nobody_is_refused_for_echoing_the_states_of_others(awareness: Awareness) -> None:
    """Stock clients send back all that they hear, and JavaScript writes ``1e20`` as 21 digits."""
    hostile = b'{"a":[' + b",".join([b"1e20"] * 3_270) + b"]}"
    for client in range(100, 160):
        awareness.receive(said((client, 1, hostile)), client, 0.0)
    parts = awareness.encode_parts(awareness.present)
    told = [read_entries(part, is_relayed=False)[0] for part in parts]
    assert {client for entries in told for client, _, _ in entries} >= set(range(100, 160))
    for entries in told:
        echo = said(
            *(
                (client, clock, state.replace(b"1e20", b"1" + b"0" * 20))
                for client, clock, state in entries
                if state
            )
        )
        assert awareness.receive(echo, EVE, 1.0) == Heard()


def test_A3_members_are_told_in_parts(awareness: Awareness) -> None:
    for client in range(2_000, 5_000):
        awareness.receive(said((client, 1, HERE)), client, 0.0)
    parts = awareness.encode_parts(awareness.present)
    assert [len(read_entries(part, is_relayed=False)[0]) for part in parts] == [1_024, 1_024, 953]
