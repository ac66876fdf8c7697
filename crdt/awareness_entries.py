"""What is known of a client, and how awareness updates are written: client, clock and opaque JSON text.

Rules (references/protocol.md, A1, A3, A4).
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from crdt.encoding import Decoder, encode_var_bytes, encode_var_uint
from crdt.errors import Malformed, TooLarge
from crdt.heard import Flaw

__all__ = [
    "ENTRY_BYTES",
    "NODE_LIMIT",
    "NODE_LIMIT_BYTES",
    "STATE_LIMIT_BYTES",
    "Entry",
    "Said",
    "encode_entries",
    "flaw_of",
    "in_parts",
    "read_entries",
]

STATE_LIMIT_BYTES = 16_384
"""The largest state (A3)."""

STATE_LIMIT_DEPTH = 128
"""How deeply a state may nest: clients compare states recursively, and some stacks are small (A4)."""

MESSAGE_LIMIT_BYTES = 2**20
MESSAGE_LIMIT = 4_096
"""How much of an awareness message is read: so many clients, and so many bytes of states that are not too
large by themselves (A3)."""

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

Said: TypeAlias = tuple[int, int, bytes | None]
"""What an awareness update says of a client: its id, its clock and its state, None for one that left."""

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
    is_relayed: bool = False
    """Whether it was another node that told of it last."""

    def is_older_than(self, clock: int, state: bytes | None) -> bool:
        """Whether an entry is news (A2)."""
        return self.clock < clock or (self.clock == clock and state is None and self.state is not None)

    def is_here_at(self, clock: int, state: bytes | None) -> bool:
        """Whether an entry tells of a client that is known to be here at that clock."""
        return None not in (self.state, state) and self.clock == clock

    def has_left_at(self, clock: int, state: bytes | None) -> bool:
        """Whether an entry tells of a client that was seen leaving at that clock, or later (A7)."""
        return self.state is None and state is not None and 0 < self.clock >= clock

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


def encode_entries(entries: Sequence[Said]) -> bytes:
    """Write entries as one awareness update."""
    parts = [
        encode_var_uint(client) + encode_var_uint(clock) + encode_var_bytes(_NULL if state is None else state)
        for client, clock, state in entries
    ]
    return encode_var_uint(len(parts)) + b"".join(parts)


def in_parts(entries: Iterable[Said]) -> Iterator[list[Said]]:
    """Go through the entries in parts small enough for members."""
    part: list[Said] = []
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


def read_entries(update: bytes, *, is_relayed: bool) -> tuple[list[Said], Flaw | None]:
    """Read an awareness update; return its entries, and what was passed over.

    Raises ``Malformed`` for bytes that are none. ``is_relayed`` where a node tells it of many connections:
    of that nothing is passed over for its size, and ``TooLarge`` is raised instead.
    """
    decoder = Decoder(update)
    count = decoder.read_count(3)
    if is_relayed and (count > NODE_LIMIT or len(update) > NODE_LIMIT_BYTES):
        raise TooLarge("awareness update too large")
    entries: list[Said] = []
    flaw: Flaw | None = None
    size_bytes = 0
    for number in range(count):
        if not is_relayed and (number == MESSAGE_LIMIT or size_bytes > MESSAGE_LIMIT_BYTES):
            return entries, flaw or Flaw("more than is read of a message", len(update))
        client = decoder.read_var_uint()
        clock = decoder.read_var_uint()
        state = decoder.read_var_bytes()
        if len(state) <= STATE_LIMIT_BYTES:
            size_bytes += len(state)
        if clock < CLOCK_LIMIT:
            entries.append((client, clock, None if state == _NULL else state))
        else:
            flaw = flaw or Flaw("clock out of range", len(state))
    if not decoder.is_at_end:
        raise Malformed("bytes behind the awareness update")
    return entries, flaw


def flaw_of(state: bytes | None) -> Flaw | None:
    """Return why a state does not count, None where it does (A3, A4).

    JavaScript throws away a whole message for one state that it cannot parse; numbers of any length
    it can, which Python takes for a float only.
    """
    reason = None if state is None else _reason_against(state)
    return None if reason is None else Flaw(reason, len(state or b""))


def _reason_against(state: bytes) -> str | None:
    if len(state) > STATE_LIMIT_BYTES:
        return "state too large"
    try:
        value = json.loads(state.decode(), parse_int=float, parse_constant=_refuse_constant)
    except RecursionError:
        return "state nested too deeply"
    except ValueError:
        return "state is not JSON"
    if not isinstance(value, dict):
        return "state is not an object"
    # Counted first: nearly no state has so many brackets.
    may_be_deep = state.count(b"{") + state.count(b"[") > STATE_LIMIT_DEPTH
    return "state nested too deeply" if may_be_deep and _is_deep(value) else None


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(STATE_LIMIT_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
    return any(isinstance(value, dict | list) for value in level)


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
