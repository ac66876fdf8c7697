"""What one person sends: frames made beforehand, and when each was sent.

A person types one character after the other at their own place, or moves their selection. Both count
from 0: the frame with number n has arrived where the person's clock (in the state vector, or in the
awareness) is above n.
"""

import json
import time
from collections.abc import Iterator, Sequence
from random import Random

from crdt.awareness_entries import encode_entries
from tests.bench.load.client import Client
from tests.bench.load.wire import TEXT_NAME, Wire, awareness_message, update_message
from tests.crdt.build import section, text, update

__all__ = ["Source", "client_ids", "cursor_frames", "keystrokes", "typed_text", "typing_frames"]

LETTERS = "abcdefghijklmnopqrstuvwxyz "
COLOURS = ("#30bced", "#6eeb83", "#ffbc42", "#ecd444", "#ee6352", "#9ac2c9", "#8acb88", "#1be7ff")


class Source:
    """One person's frames, sent through ``client``."""

    def __init__(self, client_id: int, client: Client, frames: Sequence[bytes]) -> None:
        self.client_id = client_id
        self.client = client
        self.sent_at: list[float] = []
        """When each frame was sent, by ``time.perf_counter``."""
        self._frames = frames

    @property
    def document(self) -> str:
        """Where it goes."""
        return self.client.document

    @property
    def sent(self) -> int:
        """How many were sent."""
        return len(self.sent_at)

    def send(self) -> None:
        """Send the next frame."""
        frame = self._frames[len(self.sent_at)]
        self.sent_at.append(time.perf_counter())
        self.client.send_frame(frame)


def client_ids(count: int, seed: int = 1) -> list[int]:
    """Return as many ids of 32 bits, the same ones for the same seed."""
    return Random(seed).sample(range(2**31, 2**32), count)


def typed_text(client_id: int, count: int) -> str:
    """Return the first ``count`` characters that this person types."""
    return "".join(LETTERS[(client_id + number) % len(LETTERS)] for number in range(count))


def keystrokes(client_id: int, count: int) -> Iterator[bytes]:
    """Yield the updates of one person who types ``typed_text``, a character each."""
    for clock, letter in enumerate(typed_text(client_id, count)):
        left = (client_id, clock - 1) if clock else None
        yield update(section(client_id, clock, text(letter, left=left, parent=TEXT_NAME)))


def typing_frames(wire: Wire, client_id: int, count: int) -> list[bytes]:
    """Return the frames of one person who types."""
    return [wire.frame(update_message(keystroke)) for keystroke in keystrokes(client_id, count)]


def cursor_frames(wire: Wire, client_id: int, count: int) -> list[bytes]:
    """Return the frames of one person who moves the selection, as y-codemirror announces it."""
    frames = []
    for number in range(count):
        entry = (client_id, number + 1, _presence(client_id, number))
        frames.append(wire.frame(awareness_message(encode_entries([entry]))))
    return frames


def _presence(client_id: int, number: int) -> bytes:
    colour = COLOURS[client_id % len(COLOURS)]
    places = [
        {"type": None, "tname": TEXT_NAME, "item": {"client": client_id, "clock": number + end}, "assoc": 0}
        for end in (0, 1)
    ]
    state = {
        "user": {"name": f"Person {client_id}", "color": colour, "colorLight": colour + "33"},
        "cursor": {"anchor": places[0], "head": places[1]},
    }
    return json.dumps(state, separators=(",", ":")).encode()
