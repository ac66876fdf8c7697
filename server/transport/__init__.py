"""The seam between sockets and connections: one WebSocket, binary messages in and out.

Two implementations pass the same tests: ``uvicorn`` takes whole frames straight from the parser and
writes straight to the transport, ``asgi`` runs on any ASGI server through ``receive`` and ``send``.
"""

from collections.abc import Callable, Iterator
from typing import NewType, Protocol

__all__ = ["DIRECT", "Frame", "Sink", "Transport", "frame_of", "payloads_of"]

DIRECT = "cowrite.direct"
"""The ASGI extension of a server that lets connections bypass ``receive`` and ``send``."""


Frame = NewType("Frame", bytes)
"""A binary message with its header, or several, encoded once and shared by everybody who gets it."""


def frame_of(payload: bytes) -> Frame:
    """Frame a message: FIN, binary, unmasked (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        return Frame(bytes((0x82, size)) + payload)
    if size < 65_536:
        return Frame(b"\x82\x7e" + size.to_bytes(2, "big") + payload)
    return Frame(b"\x82\x7f" + size.to_bytes(8, "big") + payload)


def payloads_of(frame: Frame) -> Iterator[bytes]:
    """Go through the messages again, for servers that frame by themselves."""
    at = 0
    while at < len(frame):
        start = at + {126: 4, 127: 10}.get(frame[at + 1], 2)
        size = frame[at + 1] if start == at + 2 else int.from_bytes(frame[at + 2 : start], "big")
        at = start + size
        yield frame[start:at]


class Sink(Protocol):
    """What a transport delivers to. Every method is a plain call from the event loop's thread.

    Order: any number of ``message_received``, ``text_received``, ``pause_writing`` and
    ``resume_writing`` (these two in turns), at most one ``malformed_received``, then exactly one
    ``connection_lost``, then nothing.
    An exception is our bug: it is logged, and that one connection closed with 1011.
    """

    def message_received(self, payload: bytes) -> None:
        """Take one whole binary message."""

    def text_received(self) -> None:
        """Learn that the peer sent a text message."""

    def malformed_received(self, code: int, reason: str) -> None:
        """Learn with what the transport closes, for the peer broke the rules of WebSockets."""

    def pause_writing(self) -> None:
        """Learn that more than the write budget is waiting for the peer."""

    def resume_writing(self) -> None:
        """Learn that most of it has gone."""

    def connection_lost(self, *, clean: bool) -> None:
        """Learn that the connection is over; ``clean`` if a close frame came from the peer.

        One that only answers ours of code 1012 does not count: who is sent away to come back has not left.
        """


class Transport(Protocol):
    """One accepted WebSocket."""

    async def serve(self, sink: Sink) -> None:
        """Deliver to ``sink``, what was received earlier first, until the connection is over.

        Called once; reading goes on even if it was paused before. This returns when the server needs
        its caller no longer: at once where connections live by callbacks alone, else when the sink has
        heard ``connection_lost``; it has also heard that when this is cancelled, which aborts.
        """

    @property
    def write(self) -> Callable[[Frame], None]:
        """Queues a frame; never blocks, never raises, drops it when the connection is over.

        Read it anew for each message: on uvicorn it is the socket's own function, until the end.
        """

    def ping(self) -> None:
        """Send a WebSocket ping where the server lets us; the peer's stack answers by itself."""

    def pause_reading(self) -> None:
        """Stop reading; idempotent.

        Not one message more is delivered until ``resume_reading``: what the transport holds already
        (at most one read of the socket) is kept, and a ``connection_lost`` that comes meanwhile waits
        until it is delivered. Nothing is kept any longer after ``close`` and ``abort``.
        """

    def resume_reading(self) -> None:
        """Read again, what was kept first; never calls the sink from within; idempotent."""

    def close(self, code: int, reason: str) -> None:
        """Send a close frame after what is queued and end the connection; idempotent.

        What is received or written afterwards is dropped. The peer has 10 seconds to read and answer.
        """

    def abort(self) -> None:
        """End the connection at once, dropping what is queued; idempotent."""

    @property
    def is_reading_paused(self) -> bool:
        """Whether we, not the peer, are why nothing is read."""

    @property
    def unsent_bytes(self) -> int:
        """What is queued and not yet taken by the kernel."""

    def take_activity(self) -> bool:
        """Tell whether any byte was received since the last call (always, where nobody can tell)."""
