"""What the load generator sends is what it says it sends."""

import json

from pycrdt import Awareness, Doc, Text, read_message

from crdt.state_vector import decode_state_vector
from tests.bench.load.source import client_ids, cursor_frames, keystrokes, typed_text, typing_frames
from tests.bench.load.wire import TEXT_NAME, wire_to
from tests.bench.systems.contract import Dialect

COUNT = 50


def test_those_who_type_at_the_same_place_stand_in_the_order_of_their_ids() -> None:
    ids = client_ids(5)
    typed = [keystrokes(client, COUNT) for client in ids]
    doc: Doc[Text] = Doc()
    for updates in zip(*typed, strict=True):
        for update in updates:
            doc.apply_update(update)
    assert str(doc.get(TEXT_NAME, type=Text)) == "".join(typed_text(client, COUNT) for client in sorted(ids))


def test_a_persons_clock_counts_the_keystrokes() -> None:
    [client] = client_ids(1)
    doc: Doc[Text] = Doc()
    for number, update in enumerate(keystrokes(client, COUNT), start=1):
        doc.apply_update(update)
        assert decode_state_vector(doc.get_state()) == {client: number}


def test_hocuspocus_frames_are_those_of_y_websocket_behind_the_name() -> None:
    [client] = client_ids(1)
    plain = typing_frames(wire_to(Dialect.Y_WEBSOCKET, "bench"), client, 3)
    assert typing_frames(wire_to(Dialect.HOCUSPOCUS, "bench"), client, 3) == [
        b"\x05bench" + frame for frame in plain
    ]


def test_a_move_is_a_presence_of_usual_size_at_the_next_clock() -> None:
    [client] = client_ids(1)
    frames = cursor_frames(wire_to(Dialect.Y_WEBSOCKET, "bench"), client, 3)
    awareness = Awareness(Doc())
    for number, frame in enumerate(frames, start=1):
        awareness.apply_awareness_update(read_message(frame[1:]), None)
        assert awareness.meta[client]["clock"] == number
    assert 200 < len(json.dumps(awareness.states[client], separators=(",", ":"))) < 320
