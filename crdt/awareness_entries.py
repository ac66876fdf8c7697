"""What is known of a client, and how awareness updates are written: client, clock and opaque JSON text.

Rules (references/protocol.md, A1, A3, A4).
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

from crdt.encoding import Decoder, encode_var_bytes, encode_var_uint
from crdt.errors import Malformed, TooLarge

__all__ = [
    "ENTRY_BYTES",
    "NODE_LIMIT",
    "NODE_LIMIT_BYTES",
    "STATE_LIMIT_BYTES",
    "Entry",
    "check_state",
    "encode_entries",
    "in_parts",
    "read_entries",
]

STATE_LIMIT_BYTES = 16_384
"""The largest state (A3)."""

MESSAGE_LIMIT_BYTES = 2**20
MESSAGE_LIMIT = 4_096
"""The largest awareness message, in bytes and in clients (A3)."""

PART_LIMIT_BYTES = 2**17
PART_LIMIT = 1_024
"""The largest update that members are sent, but for a single state above it. Stock clients echo all that they
hear, and JavaScript writes JSON anew: ``1e20`` becomes five times as long (A3)."""

NODE_LIMIT_BYTES = 2**24
NODE_LIMIT = 2**16
"""The largest update that a node tells the others of its connections, all of them on one document (A3)."""

ENTRY_BYTES = 16
"""What an entry takes beside its state at most."""

CLOCK_LIMIT = 2**31

_NULL = b"null"


@dataclass(slots=True)
class Entry:
    """The latest that is known of one client."""

    clock: int
    state: bytes | None
    """JSON text of an object; None: the client left."""
    peer: int | None
    """The connection that claims the id."""
    seen_at: float
    leaves_at: float | None = None
    """When the connection broke: the moment at which the client counts as gone."""

    def bury(self, now: float) -> None:
        """Note that the client left, at the clock it had (A6).

        Not at clock + 1, which would tie with the returning client's next update and win.
        """
        self.state = None
        self.leaves_at = None
        self.seen_at = now

    def release(self, now: float, grace_s: float) -> None:
        """Give up the claim: whoever was here leaves after the grace."""
        self.peer = None
        if self.state is None:
            self.seen_at = now
        else:
            self.leaves_at = now + grace_s


def encode_entries(entries: Sequence[tuple[int, int, bytes | None]]) -> bytes:
    """Write clients with their clocks and states, None for one that left, as one awareness update."""
    parts = [
        encode_var_uint(client) + encode_var_uint(clock) + encode_var_bytes(_NULL if state is None else state)
        for client, clock, state in entries
    ]
    return encode_var_uint(len(parts)) + b"".join(parts)


def in_parts(
    entries: Iterable[tuple[int, int, bytes | None]],
) -> Iterator[list[tuple[int, int, bytes | None]]]:
    """Go through the entries in parts small enough for members."""
    part: list[tuple[int, int, bytes | None]] = []
    size_bytes = 0
    for entry in entries:
        entry_bytes = ENTRY_BYTES + len(entry[2] or _NULL)
        if part and (size_bytes + entry_bytes > PART_LIMIT_BYTES or len(part) == PART_LIMIT):
            yield part
            part, size_bytes = [], 0
        part.append(entry)
        size_bytes += entry_bytes
    if part:
        yield part


def read_entries(update: bytes, *, is_relayed: bool) -> dict[int, tuple[int, bytes | None]]:
    """Read an awareness update: clock and state by client; raises ``Malformed`` or ``TooLarge``.

    ``is_relayed`` where a node tells it of many connections.
    """
    limit, limit_bytes = (
        (NODE_LIMIT, NODE_LIMIT_BYTES) if is_relayed else (MESSAGE_LIMIT, MESSAGE_LIMIT_BYTES)
    )
    decoder = Decoder(update)
    entries: dict[int, tuple[int, bytes | None]] = {}
    count = decoder.read_count(3)
    if count > limit or len(update) > limit_bytes:
        raise TooLarge("awareness message too large")
    for _ in range(count):
        client = decoder.read_var_uint()
        clock = decoder.read_var_uint()
        state = decoder.read_var_bytes()
        if client in entries:
            raise Malformed("client twice in an awareness update")
        if clock >= CLOCK_LIMIT:
            raise Malformed("awareness clock out of range")
        entries[client] = clock, None if state == _NULL else state
    if not decoder.is_at_end:
        raise Malformed("bytes behind the awareness update")
    return entries


def check_state(state: bytes | None) -> None:
    """Raise ``TooLarge`` for a state above the limit, and ``Malformed`` where it is no JSON object.

    JavaScript throws away a whole message for one state that it cannot parse (A4); numbers of any length
    it can, which Python takes for a float only.
    """
    if state is None:
        return
    if len(state) > STATE_LIMIT_BYTES:
        raise TooLarge("awareness state too large")
    try:
        value = json.loads(state.decode(), parse_int=float, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Malformed("awareness state is not JSON") from error
    if not isinstance(value, dict):
        raise Malformed("awareness state is not an object")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
