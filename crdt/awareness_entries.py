"""How awareness updates are written: entries of client, clock and state, which is opaque JSON text.

Rules (references/protocol.md, A1, A3, A4).
"""

import json
from collections.abc import Sequence
from typing import NoReturn

from crdt.encoding import Decoder, encode_var_bytes, encode_var_uint
from crdt.errors import Malformed, TooLarge

__all__ = ["STATE_LIMIT_BYTES", "check_state", "encode_entries", "read_entries"]

STATE_LIMIT_BYTES = 16_384
"""The largest state (A3)."""

MESSAGE_LIMIT_BYTES = 2**20
MESSAGE_LIMIT = 4_096
"""The largest awareness message, in bytes and in clients: clients echo everybody of a large room (A3)."""

CLOCK_LIMIT = 2**31

_NULL = b"null"


def encode_entries(entries: Sequence[tuple[int, int, bytes | None]]) -> bytes:
    """Write clients with their clocks and states, None for one that left, as one awareness update."""
    parts = [
        encode_var_uint(client) + encode_var_uint(clock) + encode_var_bytes(_NULL if state is None else state)
        for client, clock, state in entries
    ]
    return encode_var_uint(len(parts)) + b"".join(parts)


def read_entries(update: bytes) -> dict[int, tuple[int, bytes | None]]:
    """Read an awareness update: clock and state by client; raises ``Malformed`` or ``TooLarge``."""
    decoder = Decoder(update)
    entries: dict[int, tuple[int, bytes | None]] = {}
    count = decoder.read_count(3)
    if count > MESSAGE_LIMIT or len(update) > MESSAGE_LIMIT_BYTES:
        raise TooLarge("awareness message too large")
    for _ in range(count):
        client = decoder.read_var_uint()
        clock = decoder.read_var_uint()
        state = decoder.read_var_bytes()
        if client in entries:
            raise Malformed("client twice in an awareness update")
        if clock >= CLOCK_LIMIT:
            raise Malformed("awareness clock out of range")
        if len(state) > STATE_LIMIT_BYTES:
            raise TooLarge("awareness state too large")
        entries[client] = clock, None if state == _NULL else state
    if not decoder.is_at_end:
        raise Malformed("bytes behind the awareness update")
    return entries


def check_state(state: bytes | None) -> None:
    """Raise ``Malformed`` where a state is no JSON object.

    JavaScript throws away a whole message for one state that it cannot parse (A4).
    """
    if state is None:
        return
    try:
        value = json.loads(state.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Malformed("awareness state is not JSON") from error
    if not isinstance(value, dict):
        raise Malformed("awareness state is not an object")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
