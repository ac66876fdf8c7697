"""State vectors on the wire."""

import json
from pathlib import Path

from crdt.state_vector import decode_state_vector, encode_state_vector

VECTORS = {
    vector["name"]: bytes.fromhex(vector["hex"])
    for vector in json.loads((Path(__file__).parent / "vectors.json").read_text())["vectors"]
}


def test_state_vectors_are_those_of_yjs() -> None:
    for name, clocks in (("sv_empty", {}), ("sv_hello", {1: 5}), ("sv_from_gap_update", {3: 1})):
        assert decode_state_vector(VECTORS[name]) == clocks
        assert encode_state_vector(clocks) == VECTORS[name]
