"""websockets' state machine, for the frames that do not take the short way."""

import logging

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.frames import CloseCode as StandardCode
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from crdt.errors import CloseCode

__all__ = ["Parser"]

_FRAGMENTS_LIMIT = 16_384
_FRAGMENT_BYTES = 1_024
"""Frames of one message: so many, and one more for each so many bytes. Empty ones would otherwise pile up
without ever reaching the size limit."""

_OUR_CODES: dict[int, CloseCode] = {
    StandardCode.PROTOCOL_ERROR: CloseCode.MALFORMED,
    StandardCode.INVALID_DATA: CloseCode.MALFORMED,
    StandardCode.MESSAGE_TOO_BIG: CloseCode.TOO_LARGE,
    StandardCode.INTERNAL_ERROR: CloseCode.FAILURE,
    StandardCode.SERVICE_RESTART: CloseCode.RESTART,
}


class _TooManyFrames(PayloadTooBig):
    def __str__(self) -> str:
        return f"{self.max_size} bytes in more than {_FRAGMENTS_LIMIT} frames"


class Parser(ServerProtocol):
    """Speaks our close codes and fixed phrases, and bounds the fragments of a message."""

    def __init__(self, max_size: int, state: State = State.OPEN) -> None:
        super().__init__(state=state, max_size=max_size, logger=logging.getLogger("uvicorn.error"))
        # T8: at level DEBUG the parser logs the request's path and headers, tokens included.
        self.debug = False
        self.fragments: list[bytes] = []
        """Of the message that has begun, put here by whoever takes the frames."""
        self._frames = 0
        self._is_text = False

    @property
    def is_idle(self) -> bool:
        """Whether it knows nothing that another one, made anew, would not."""
        return self.state is State.OPEN and self.current_size is None

    def recv_frame(self, frame: Frame) -> None:
        """Process a frame; too many of one message are too large a message."""
        if frame.opcode is Opcode.CONT:
            self._frames += 1
            if self._frames > _FRAGMENTS_LIMIT + self.received_bytes // _FRAGMENT_BYTES:
                raise _TooManyFrames(None, self.received_bytes)
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._frames, self._is_text = 1, frame.opcode is Opcode.TEXT
        super().recv_frame(frame)

    @property
    def received_bytes(self) -> int:
        """What has come of a message of which more frames are to come."""
        return self.current_size or 0

    def take_frame(self, head: int, payload: bytes) -> None:
        """Process a data frame that was read elsewhere, for a large one would be copied five times here."""
        try:
            self.recv_frame(Frame(Opcode(head & 0x0F), payload, fin=head >= 0x80))
        except ProtocolError as error:
            self.fail(StandardCode.PROTOCOL_ERROR)
            self.parser_exc = error
        except PayloadTooBig as error:
            self.fail(StandardCode.MESSAGE_TOO_BIG)
            self.parser_exc = error

    def abandon_message(self) -> None:
        """Forget the message that has begun: what closes now is not wrong in the middle of it."""
        self.fragments = []
        self.current_size = None

    @property
    def refusal(self) -> tuple[int, str]:
        """The code with which it failed, and why, in words for the log."""
        assert self.close_sent is not None
        code, reason = self.close_sent.code, self.close_sent.reason
        return code, f"{reason}, {self.parser_exc}" if code == CloseCode.TOO_LARGE else reason

    @property
    def peer_has_left(self) -> bool:
        """Whether the peer closed, unless only because it was sent away to come back at once (A6)."""
        was_sent_away = self.close_sent is not None and self.close_sent.code == CloseCode.RESTART
        return self.close_rcvd is not None and (not was_sent_away or self.close_rcvd_then_sent is True)

    def take_message(self) -> bytes | None:
        """Return the message that is whole now, None for a text."""
        fragments, self.fragments = self.fragments, []
        return None if self._is_text else b"".join(fragments)

    def fail(self, code: int, reason: str = "") -> None:
        """Close with our code for what the peer did wrong."""
        ours = _OUR_CODES.get(code)
        super().fail(*((ours, ours.phrase) if ours else (code, reason)))

    def send_close(self, code: int | None = None, reason: str = "") -> None:
        """Close with our code for what we want to say."""
        ours = None if code is None else _OUR_CODES.get(code)
        super().send_close(*((ours, ours.phrase) if ours else (code, reason)))

    def take_output(self) -> bytes:
        """Return what has to be written, empty for nothing."""
        return b"".join(self.data_to_send())

    def dispose(self) -> None:
        """Break the cycle with its generator: else 1.6 KB wait for the garbage collector."""
        self.parser.close()
