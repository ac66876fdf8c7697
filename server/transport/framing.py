"""Cuts a stream of bytes into the frames of a WebSocket (RFC 6455, 5.2).

Whole binary messages take a short way; everything else (text, fragments, control frames, anything
malformed) goes through websockets' parser, one whole frame at a time. The parser is there only while
it knows something: that a message has begun, or that the connection closes. It gets large data frames
unmasked, and once we close nothing but the peer's close frame: what else comes then is not even kept.
"""

import asyncio

from websockets.frames import Frame as ParsedFrame
from websockets.frames import Opcode
from websockets.protocol import State
from websockets.speedups import apply_mask

from server.transport.parser import Parser
from server.transport.receive_budget import COUNTED_BYTES

__all__ = ["FrameReader", "measure"]

_FINAL_BINARY, _FINAL_CLOSE, _FINAL_PONG = 0x82, 0x88, 0x8A
_FINAL = 0x80
_CONTROL_LIMIT_BYTES = 125
_OPCODE_DATA_LAST = 0x2


class FrameReader(asyncio.Protocol):
    """The reading half of a socket's protocol; the handshake is over."""

    __slots__ = ("_has_activity", "_max_size", "_parser", "_rest", "_skipping", "_tcp", "_wanted")

    def __init__(self, tcp: asyncio.Transport, max_size: int) -> None:
        self._tcp = tcp
        self._max_size = max_size
        self._has_activity = False
        """Whether anything was received since this was last set to False."""
        self._parser: Parser | None = None
        """Made when there is something to parse: it takes 1.6 KB."""
        self._rest: bytearray | None = None  # an incomplete frame: at most max_size and one chunk
        self._wanted = 0  # the length at which it is worth another look
        self._skipping = False  # whether _wanted counts what is to be dropped instead, and _rest is empty

    def message_read(self, message: bytes | None) -> None:
        """Take one message; None stands for a text."""
        raise NotImplementedError

    def message_grew(self, received_bytes: int, missing_bytes: int, *, has_more: bool) -> None:
        """Learn of a large message that is not complete, and how much is missing of the frame at hand.

        ``has_more`` where other frames will follow.
        """
        raise NotImplementedError

    def message_ended(self, message: bytes | None) -> None:
        """Take one message that may have grown."""
        raise NotImplementedError

    def ping_read(self, pong: bytes) -> None:
        """Take a ping, and what answers it."""
        raise NotImplementedError

    def close_read(self, answer: bytes) -> None:
        """Take a close frame, and what answers it; nothing comes after it."""
        raise NotImplementedError

    def malformed_read(self, answer: bytes) -> None:
        """Take what breaks the rules, and the close frame that says so; nothing comes after it."""
        raise NotImplementedError

    @property
    def is_open(self) -> bool:
        """Whether neither side has begun to close."""
        is_closing = self._parser is not None and self._parser.state is not State.OPEN
        return not is_closing and not self._tcp.is_closing()

    def close_frame(self, code: int, reason: str) -> bytes:
        """Begin to close: return the frame that says so. From then on only a close frame counts."""
        parser = self._parser = self._parser or Parser(self._max_size)
        parser.send_close(code, reason)
        parser.abandon_message()
        if self._rest is not None:
            begun, self._rest = self._rest, None
            self._take(begun)
        return parser.take_output()

    def data_received(self, data: bytes) -> None:
        """Take the whole frames of what was received; keep the incomplete rest."""
        self._has_activity = True
        if self._rest is None:
            self._take(data)
        elif self._skipping:
            self._skip(data)
        else:
            self._rest += data
            if len(self._rest) < self._wanted:
                if self._wanted > COUNTED_BYTES:
                    self._tell_growth(self._rest)
                return
            whole, self._rest = self._rest, None
            if self._wanted > COUNTED_BYTES:
                self._take_large(whole)
            else:
                self._take(whole)

    def _take(self, data: bytes | bytearray) -> None:
        at, size = 0, len(data)
        while at < size and not self._tcp.is_closing():
            if self._parser is not None and self._parser.state is not State.OPEN:
                self._take_closing(self._parser, data, at)
                return
            start, end = measure(data, at, size)
            if start <= size and (end - start > self._max_size or data[at + 1] < 0x80):
                # Too large or not masked: the parser refuses it by its header alone.
                self._parse(bytes(data[at:start]))
                return
            if end > size:
                if end - at > COUNTED_BYTES:
                    self._keep_large(data, at, start, end)
                else:
                    self._rest, self._wanted = bytearray(memoryview(data)[at:]), end - at
                return
            if data[at] == _FINAL_BINARY and self._parser is None:
                self.message_read(apply_mask(data[start:end], data[start - 4 : start]))
            elif data[at] != _FINAL_PONG or end - start > _CONTROL_LIMIT_BYTES:
                self._parse(bytes(data[at:end]))
            at = end

    def _keep_large(self, data: bytes | bytearray, at: int, start: int, end: int) -> None:
        """Keep the beginning of a large frame, unless its header is wrong."""
        if data[at] & ~_FINAL > _OPCODE_DATA_LAST:
            # Not allowed at this size. A frame of the same kind and 126 bytes is as wrong.
            self._parse(bytes((data[at], 0xFE, 0, 126)) + bytes(4 + 126))
        elif self._received_bytes + end - start > self._max_size:
            self._parse(bytes(data[at:start]))
        else:
            self._rest, self._wanted = bytearray(memoryview(data)[at:]), end - at
            self._tell_growth(self._rest)

    @property
    def _received_bytes(self) -> int:
        """What has come of a message before the frame at hand."""
        return 0 if self._parser is None else self._parser.received_bytes

    def _tell_growth(self, frame: bytearray) -> None:
        received_bytes = self._received_bytes + len(frame)
        whole_bytes = self._received_bytes + self._wanted
        self.message_grew(received_bytes, whole_bytes - received_bytes, has_more=not frame[0] & _FINAL)

    def _take_large(self, data: bytearray) -> None:
        """Take a large data frame and what came behind it; give its memory back before it is worked on."""
        start, end = measure(data, 0, len(data))
        head, payload = data[0], apply_mask(memoryview(data)[start:end], data[start - 4 : start])
        behind = bytes(memoryview(data)[end:])
        data.clear()
        if head == _FINAL_BINARY and self._parser is None:
            self.message_ended(payload)
        else:
            parser = self._parser = self._parser or Parser(self._max_size)
            parser.take_frame(head, payload)
            del payload
            self._take_events(parser)
        self._take(behind)

    def _take_closing(self, parser: Parser, data: bytes | bytearray, at: int) -> None:
        """Look for the peer's close frame, and drop the rest."""
        size = len(data)
        while at < size and not parser.eof_sent and not self._tcp.is_closing():
            start, end = measure(data, at, size)
            is_close = data[at] == _FINAL_CLOSE and end - start <= _CONTROL_LIMIT_BYTES
            if start > size or is_close and end > size:
                self._rest, self._wanted, self._skipping = bytearray(memoryview(data)[at:]), end - at, False
                return
            if is_close:
                self._parse(bytes(data[at:end]))
            elif end > size:
                self._rest, self._wanted, self._skipping = bytearray(), end - size, True
            at = end

    def _skip(self, data: bytes) -> None:
        if len(data) <= self._wanted:
            self._wanted -= len(data)
        else:
            self._rest, self._skipping = None, False
            self._take(data[self._wanted :])

    def _parse(self, data: bytes) -> None:
        parser = self._parser = self._parser or Parser(self._max_size)
        parser.receive_data(data)
        self._take_events(parser)

    def _take_events(self, parser: Parser) -> None:
        for event in parser.events_received():
            assert isinstance(event, ParsedFrame)
            self._take_parsed(parser, event)
        if parser.parser_exc is not None:
            self.malformed_read(parser.take_output())
        elif parser.is_idle:
            parser.dispose()
            self._parser = None

    def _take_parsed(self, parser: Parser, frame: ParsedFrame) -> None:
        match frame.opcode:
            case Opcode.PING:
                self.ping_read(parser.take_output())
            case Opcode.PONG:
                pass
            case Opcode.CLOSE:
                self.close_read(parser.take_output())
            case _:
                parser.fragments.append(bytes(frame.data))
                if frame.fin:
                    message = parser.take_message()
                    if parser.close_sent is None:
                        self.message_ended(message)
                elif parser.received_bytes > COUNTED_BYTES:
                    self.message_grew(parser.received_bytes, 0, has_more=True)


def measure(data: bytes | bytearray, at: int, size: int) -> tuple[int, int]:
    """Return where the payload of the frame at ``at`` starts and ends (RFC 6455, 5.2).

    Both lie beyond ``size`` when the header is not complete.
    """
    start = at + 2
    if start > size:
        return start, start
    length = data[at + 1] & 0x7F
    if length == 126:
        start += 2
        length = int.from_bytes(data[at + 2 : start], "big")
    elif length == 127:
        start += 8
        length = int.from_bytes(data[at + 2 : start], "big")
    if data[at + 1] >= 0x80:
        start += 4
    return (start, start + length) if start <= size else (start, start)
