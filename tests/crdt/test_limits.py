"""What the server gives out it takes back (L7)."""

import pytest

from crdt.dialects.y_websocket import YWebsocket
from crdt.encoding import MAX_SAFE_INTEGER
from crdt.limits import MESSAGE_MAX_BYTES, MESSAGE_MIN_BYTES, Limits
from crdt.messages import SyncStep1, SyncStep2, SyncUpdate
from crdt.state_vector import encode_state_vector
from crdt.update import CLOCK_LIMIT, Update

NODE_CLIENT_BYTES = 100 * 2**20
"""``maxPayload`` of the WebSocket that y-websocket has in Node."""

each_message_limit = pytest.mark.parametrize(
    "message_bytes", [MESSAGE_MIN_BYTES, 70_000, 2**20, 2**22, 2**26, MESSAGE_MAX_BYTES]
)


@each_message_limit
def test_L7_the_largest_document_is_a_message_both_ways(message_bytes: int) -> None:
    limits = Limits.of(message_bytes)
    document = Update(bytes(limits.document_bytes))
    for message in (SyncStep2(document), SyncUpdate(document)):
        assert len(YWebsocket().encode(message)) <= min(message_bytes, NODE_CLIENT_BYTES)


@each_message_limit
def test_L7_the_state_vector_of_the_most_clients_is_a_message(message_bytes: int) -> None:
    limits = Limits.of(message_bytes)
    ids = range(MAX_SAFE_INTEGER - limits.clients + 1, MAX_SAFE_INTEGER + 1)
    state_vector = encode_state_vector(dict.fromkeys(ids, CLOCK_LIMIT - 1))
    assert len(YWebsocket().encode(SyncStep1(state_vector))) <= message_bytes


@each_message_limit
def test_L7_the_largest_content_fits_into_a_document(message_bytes: int) -> None:
    limits = Limits.of(message_bytes)
    assert min(2**14, message_bytes) <= limits.content_bytes <= limits.document_bytes
