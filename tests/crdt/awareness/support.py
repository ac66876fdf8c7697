"""How awareness updates are written and read by hand."""

from collections.abc import Mapping

from crdt.awareness import Awareness
from crdt.encoding import Decoder, encode_var_bytes, encode_var_uint

__all__ = ["ANN", "BOB", "EVE", "HERE", "NULL", "everybody", "said", "shown"]

ANN, BOB, EVE = 101, 102, 103
HERE = b'{"user":{"name":"\xc3\xa9"}}'
NULL = b"null"


def said(*entries: tuple[int, int, bytes]) -> bytes:
    parts = [
        encode_var_uint(client) + encode_var_uint(clock) + encode_var_bytes(state)
        for client, clock, state in entries
    ]
    return encode_var_uint(len(parts)) + b"".join(parts)


def shown(awareness: Awareness, clients: list[int]) -> Mapping[int, tuple[int, bytes]]:
    decoder = Decoder(awareness.encode(clients))
    return {
        decoder.read_var_uint(): (decoder.read_var_uint(), decoder.read_var_bytes())
        for _ in range(decoder.read_var_uint())
    }


def everybody(awareness: Awareness) -> Mapping[int, tuple[int, bytes]]:
    return shown(awareness, awareness.present)
