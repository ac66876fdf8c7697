"""A client that applies everything, and so knows when each edit was on its screen."""

import time
from collections.abc import Mapping, Sequence

from picows import WSFrame, WSMsgType, WSTransport
from pycrdt import Doc, Text

from crdt.encoding import Decoder
from crdt.state_vector import decode_state_vector
from crdt.update import SKIP, StructReader
from tests.bench.load.client import Client
from tests.bench.load.source import Source
from tests.bench.load.wire import AWARENESS, SYNC_KINDS, TEXT_NAME
from tests.bench.systems.contract import Server

__all__ = ["Probe"]

WALK_LIMIT_BYTES = 4_096
"""Above it asking yrs for the state vector is cheaper than reading the update."""


class Probe(Client):
    """Holds the document and the awareness clocks; watches what sources send."""

    def __init__(self, server: Server, document: str) -> None:
        super().__init__(server, document)
        self.doc: Doc[Text] = Doc()
        self.latencies_ms: list[float] = []
        """From the sending until it was applied, for what was sent since ``since``."""
        self.since = float("inf")
        self._sources: dict[int, Source] = {}
        self._arrived: dict[int, int] = {}
        self._clocks: dict[int, int] = {}

    def watch(self, sources: Sequence[Source]) -> None:
        """Watch those of ``sources`` who are in the same document, except this client's own; idempotent."""
        for source in sources:
            if source.document == self.document and source.client is not self:
                self._sources[source.client_id] = source
                self._arrived.setdefault(source.client_id, 0)

    @property
    def arrived(self) -> int:
        """How many of the watched frames have arrived."""
        return sum(self._arrived.values())

    @property
    def expected(self) -> int:
        """How many were sent until now."""
        return sum(source.sent for source in self._sources.values())

    @property
    def text(self) -> str:
        """The text as far as it was received."""
        return str(self.doc.get(TEXT_NAME, type=Text))

    def clocks(self) -> Mapping[int, int]:
        """Return the state vector of the document itself."""
        return decode_state_vector(self.doc.get_state())

    def overdue_ms(self) -> list[float]:
        """Return for how long all has been under way that was sent since ``since`` and is not here."""
        now = time.perf_counter()
        return [
            1000 * (now - sent)
            for client, source in self._sources.items()
            for sent in source.sent_at[self._arrived[client] :]
            if sent >= self.since
        ]

    def is_done(self) -> bool:
        """Go on reading after the sync."""
        return False

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Read every message."""
        self.received_bytes += frame.payload_size
        if frame.msg_type is WSMsgType.BINARY:
            self._receive(frame.get_payload_as_bytes())

    def take(self, kind: int, decoder: Decoder) -> None:
        """Apply a step 2 or an update, or read who moved."""
        if kind in SYNC_KINDS:
            decoder.read_byte()
            self._apply(decoder.read_var_bytes())
        elif kind == AWARENESS:
            self._read_entries(Decoder(decoder.read_var_bytes()))

    def _apply(self, update: bytes) -> None:
        self.doc.apply_update(update)
        if len(update) > WALK_LIMIT_BYTES or not self._advance(update):
            self._clocks = dict(self.clocks())
            for client, clock in self._clocks.items():
                self._note(client, clock)

    def _advance(self, update: bytes) -> bool:
        """Move the clocks to where ``update`` ends; False: only the document can tell where that is.

        Nobody here builds on what others wrote, so an update that continues its author's clock has been
        integrated.
        """
        reader = StructReader(update)
        for _ in range(reader.read_var_uint()):
            count, client = reader.read_section_header()
            known = self._clocks.get(client, 0)
            if reader.clock > known:
                return False
            for _ in range(count):
                reader.read_struct(client)
                if reader.kind == SKIP:
                    return False
            if reader.clock > known:
                self._clocks[client] = reader.clock
                self._note(client, reader.clock)
        return True

    def _read_entries(self, decoder: Decoder) -> None:
        for _ in range(decoder.read_var_uint()):
            client = decoder.read_var_uint()
            clock = decoder.read_var_uint()
            decoder.skip_var_bytes()
            self._note(client, clock)

    def _note(self, client: int, count: int) -> None:
        source = self._sources.get(client)
        if source is None:
            return
        now = time.perf_counter()
        for sent in source.sent_at[self._arrived[client] : count]:
            if sent >= self.since:
                self.latencies_ms.append(1000 * (now - sent))
        self._arrived[client] = max(self._arrived[client], count)
