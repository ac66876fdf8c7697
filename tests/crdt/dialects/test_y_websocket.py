"""The framing of y-websocket (rules M)."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt.dialects.y_websocket import MESSAGES_LIMIT, YWebsocket
from crdt.errors import Malformed
from crdt.messages import (
    AwarenessQuery,
    AwarenessUpdate,
    Message,
    PermissionDenied,
    SyncStatus,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
)
from crdt.state_vector import StateVector
from crdt.update import Update

FRAMES = {
    vector["name"]: bytes.fromhex(vector["hex"])
    for vector in json.loads((Path(__file__).parents[1] / "vectors.json").read_text())["vectors"]
    if vector["kind"] == "frame"
}
DIALECT = YWebsocket()
MESSAGES: dict[str, type[Message]] = {
    "sync_step1": SyncStep1,
    "sync_step2": SyncStep2,
    "sync_update": SyncUpdate,
    "awareness": AwarenessUpdate,
    "query_awareness": AwarenessQuery,
    "ysweet_sync_status": SyncStatus,
}


@pytest.mark.parametrize("name", [name for name in FRAMES if name != "auth_denied"])
def test_M1_to_M5_every_frame_of_the_clients_is_read_and_written_back_byte_for_byte(name: str) -> None:
    [message] = DIALECT.decode(FRAMES[name])
    expected = max((prefix for prefix in MESSAGES if name.startswith(prefix)), key=len)
    assert type(message) is MESSAGES[expected]
    assert DIALECT.encode(message) == FRAMES[name]


def test_M2_the_body_of_a_sync_message_is_its_update_or_state_vector() -> None:
    hello = Update(FRAMES["sync_update_hello"][3:])
    assert DIALECT.decode(FRAMES["sync_update_hello"]) == [SyncUpdate(hello)]
    assert DIALECT.decode(FRAMES["sync_step2_hello"]) == [SyncStep2(hello)]
    assert DIALECT.decode(FRAMES["sync_step1_hello"]) == [SyncStep1(StateVector(b"\x01\x01\x05"))]


def test_M6_an_auth_message_says_nothing() -> None:
    assert DIALECT.decode(FRAMES["auth_denied"]) == []
    assert DIALECT.decode(FRAMES["auth_denied"] + b"\x03") == [AwarenessQuery()]


def test_M6_a_refusal_is_what_stock_clients_print() -> None:
    assert DIALECT.encode(PermissionDenied("read-only")) == FRAMES["auth_denied"]


def test_M7_several_messages_in_a_frame_are_all_read_in_order() -> None:
    frame = FRAMES["sync_step1_empty"] + FRAMES["awareness_clock0"] + FRAMES["query_awareness"]
    assert DIALECT.decode(frame) == [
        SyncStep1(StateVector(b"\x00")),
        AwarenessUpdate(FRAMES["awareness_clock0"][2:]),
        AwarenessQuery(),
    ]


def test_M7_a_lone_zero_at_the_end_is_passed_over_and_no_other_byte() -> None:
    frame = FRAMES["sync_update_hello"]
    assert DIALECT.decode(frame + b"\x00") == DIALECT.decode(frame)
    for tail in (b"\x01", b"\x00\x00", b"\x05"):
        with pytest.raises(Malformed):
            DIALECT.decode(frame + tail)
    with pytest.raises(Malformed):
        DIALECT.decode(b"\x00")


def test_M7_a_frame_holds_a_bounded_number_of_messages() -> None:
    assert DIALECT.decode(b"\x03" * MESSAGES_LIMIT) == [AwarenessQuery()] * MESSAGES_LIMIT
    with pytest.raises(Malformed):
        DIALECT.decode(b"\x03" * (MESSAGES_LIMIT + 1))


@pytest.mark.parametrize("frame", [b"", b"\x04", b"\x09", b"\x65\x00", b"\x00\x03\x00", b"\x00\x7f\x00"])
def test_M8_what_the_protocol_does_not_know_is_refused(frame: bytes) -> None:
    with pytest.raises(Malformed):
        DIALECT.decode(frame)


@pytest.mark.parametrize("name", FRAMES)
def test_M8_every_frame_that_ends_too_early_is_refused(name: str) -> None:
    for size in range(len(FRAMES[name])):
        with pytest.raises(Malformed):
            DIALECT.decode(FRAMES[name][:size])


@given(st.binary())
def test_M8_random_bytes_raise_nothing_but_malformed(frame: bytes) -> None:
    try:
        DIALECT.decode(frame)
    except Malformed:
        return


def messages() -> st.SearchStrategy[Message]:
    return (
        st.builds(SyncStep1, st.binary().map(StateVector))
        | st.builds(SyncStep2, st.binary().map(Update))
        | st.builds(SyncUpdate, st.binary().map(Update))
        | st.builds(AwarenessUpdate, st.binary())
        | st.builds(AwarenessQuery)
        | st.builds(SyncStatus, st.binary())
    )


@given(messages())
def test_M1_every_message_comes_back(message: Message) -> None:
    assert DIALECT.decode(DIALECT.encode(message)) == [message]
