"""The lib0 primitives that the wire is made of, with bounds on every read.

Source: lib0 0.2 ``encoding.js`` and ``decoding.js`` (references/protocol.md, E1–E5).
"""

from collections.abc import Iterator
from math import copysign
from struct import pack, unpack

from crdt.errors import Malformed

__all__ = [
    "MAX_SAFE_INTEGER",
    "Decoder",
    "encode_any",
    "encode_var_bytes",
    "encode_var_string",
    "encode_var_uint",
]

MAX_SAFE_INTEGER = 2**53 - 1
"""The largest integer that JavaScript counts exactly, and that lib0 reads (E1)."""

_ONE_BYTE = tuple(bytes((value,)) for value in range(128))


def encode_var_uint(value: int) -> bytes:
    """Encode an integer from 0 to ``MAX_SAFE_INTEGER`` as a varUint (E1)."""
    if value < 128:
        return _ONE_BYTE[value]
    encoded = bytearray()
    while value > 127:
        encoded.append(128 | value & 127)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def encode_var_bytes(value: bytes) -> bytes:
    """Encode bytes as a varUint8Array: the length, then the bytes (E3)."""
    return encode_var_uint(len(value)) + value


def encode_var_string(value: str) -> bytes:
    """Encode text as a varString: the length in UTF-8 bytes, then UTF-8 (E4)."""
    return encode_var_bytes(value.encode())


def encode_any(value: object) -> bytes:
    """Encode None, bool, float, str, list or dict, as JSON has them, as a lib0 ``any`` (E5)."""
    parts: list[bytes] = []
    open_values: list[Iterator[tuple[bytes, object]]] = [iter(((b"", value),))]
    while open_values:
        for key, inner in open_values[-1]:
            parts.append(key)
            if isinstance(inner, list):
                parts.append(b"\x75" + encode_var_uint(len(inner)))
                open_values.append((b"", item) for item in inner)
                break
            if isinstance(inner, dict):
                parts.append(b"\x76" + encode_var_uint(len(inner)))
                open_values.append((encode_var_bytes(_whole(name)), item) for name, item in inner.items())
                break
            parts.append(_encode_leaf(inner))
        else:
            open_values.pop()
    return b"".join(parts)


def _encode_leaf(value: object) -> bytes:
    match value:
        case None:
            return b"\x7e"
        case bool():
            return b"\x78" if value else b"\x79"
        case float():
            return _encode_number(value)
        case str():
            return b"\x77" + encode_var_bytes(_whole(value))
        case _:
            raise AssertionError(f"JSON has no {type(value)}")


def _whole(text: str) -> bytes:
    """As browsers do: half a surrogate pair becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _encode_number(value: float) -> bytes:
    is_negative_zero = value == 0 and copysign(1, value) < 0
    if value.is_integer() and abs(value) < 2**31 and not is_negative_zero:
        sign, rest = (64 if value < 0 else 0), abs(int(value))
        more = 128 if rest > 63 else 0
        return bytes((125, more | sign | rest & 63)) + (encode_var_uint(rest >> 6) if more else b"")
    try:
        short = pack(">f", value)
    except OverflowError:
        return b"\x7b" + pack(">d", value)
    return b"\x7c" + short if unpack(">f", short)[0] == value else b"\x7b" + pack(">d", value)


class Decoder:
    """Reads lib0 values one after another from ``data``.

    Every method raises ``Malformed`` when the bytes end too early or break the encoding; the
    position is undefined afterwards.
    """

    __slots__ = ("data", "deepest", "end", "negative_zeros", "position")

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data = data
        self.deepest = 0
        self.negative_zeros: list[tuple[int, int]] = []
        self.position = position
        self.end = len(data)

    @property
    def is_at_end(self) -> bool:
        """Whether everything has been read."""
        return self.position >= self.end

    def read_byte(self) -> int:
        """Read one byte."""
        position = self.position
        if position >= self.end:
            raise Malformed("unexpected end")
        self.position = position + 1
        return self.data[position]

    def read_var_uint(self) -> int:
        """Read an unsigned integer of at most 8 bytes, up to ``MAX_SAFE_INTEGER`` (E1)."""
        position = self.position
        if position >= self.end:
            raise Malformed("unexpected end")
        byte = self.data[position]
        if byte < 128:
            self.position = position + 1
            return byte
        value = byte & 127
        shift = 7
        # A client id takes 5 to 8 bytes, three times a keystroke: the loop stays in one frame.
        for byte in self.data[position + 1 : position + 8]:
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                self.position = position + shift // 7
                if value > MAX_SAFE_INTEGER:
                    break
                return value
        raise Malformed("integer out of range")

    def read_var_int(self) -> int:
        """Read a signed integer: 6 bits and the sign in the first byte, then 7 bits a byte (E2)."""
        byte = self.read_byte()
        sign = -1 if byte & 64 else 1
        value = byte & 63
        shift = 6
        while byte >= 128:
            if shift > 48:
                raise Malformed("integer out of range")
            byte = self.read_byte()
            value |= (byte & 127) << shift
            shift += 7
        if value > MAX_SAFE_INTEGER:
            raise Malformed("integer out of range")
        return sign * value

    def read_count(self, min_size_bytes: int = 1) -> int:
        """Read how many items follow, each of at least ``min_size_bytes``; more than fit is refused."""
        count = self.read_var_uint()
        if count * min_size_bytes > self.end - self.position:
            raise Malformed("count exceeds the bytes left")
        return count

    def read_var_bytes(self) -> bytes:
        """Read a varUint8Array (E3)."""
        start = self.skip_var_bytes()
        return self.data[start : self.position]

    def skip_var_bytes(self) -> int:
        """Pass over a varUint8Array and return where its content starts; it ends at ``position``."""
        size = self.read_var_uint()
        start = self.position
        if size > self.end - start:
            raise Malformed("length exceeds the bytes left")
        self.position = start + size
        return start

    def read_var_string(self) -> str:
        """Read a varString; its bytes must be UTF-8 (E4)."""
        try:
            return self.read_var_bytes().decode()
        except UnicodeDecodeError as error:
            raise Malformed("text is not UTF-8") from error

    def skip_any(self) -> bool:
        """Pass over one lib0 ``any``, checked in full; return whether there is no int64 in it (E5).

        ``deepest`` tells afterwards how deeply it nests, and ``negative_zeros`` has got where integers −0
        stand. Nothing recurses.
        """
        is_plain = True
        left, is_object = 1, False
        outer: list[tuple[int, bool]] = []
        self.deepest = 0
        while left or outer:
            if not left:
                left, is_object = outer.pop()
                continue
            left -= 1
            if is_object:
                self.read_var_string()
            tag = self.read_byte()
            if tag in (117, 118):
                outer.append((left, is_object))
                left, is_object = self.read_count(tag - 116), tag == 118
                self.deepest = max(self.deepest, len(outer))
            elif not self._skip_leaf(tag):
                is_plain = False
        return is_plain

    def _skip_leaf(self, tag: int) -> bool:
        match tag:
            case 127 | 126 | 121 | 120:
                pass
            case 124:
                self._skip(4)
            case 123:
                self._skip(8)
            case 122:
                self._skip(8)
                return False
            case 125:
                start = self.position
                if self.read_var_int() == 0 and self.data[start] & 64:
                    self.negative_zeros.append((start - 1, self.position))
            case 119:
                self.read_var_string()
            case 116:
                self.skip_var_bytes()
            case _:
                raise Malformed(f"unknown value tag {tag}")
        return True

    def _skip(self, size: int) -> None:
        if size > self.end - self.position:
            raise Malformed("unexpected end")
        self.position += size
