"""Where WebSocket frames end in a stream of bytes, without decoding them (RFC 6455, 5.2)."""

__all__ = ["measure"]


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
