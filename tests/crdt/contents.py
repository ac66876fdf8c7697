"""Content as editors write it: objects of several keys, in marks, embeds, attributes and records."""

import json
import struct
from collections.abc import Mapping
from typing import Any

from crdt.encoding import encode_var_bytes, encode_var_string, encode_var_uint
from crdt.update import Update
from tests.crdt.build import MAP, item, section, text, type_item, update

__all__ = ["ORDINARY", "any_of", "embed", "entry", "mark", "subdocument"]

XML_ELEMENT = 3


def any_of(value: Any) -> bytes:
    """Encode a value as lib0 does, a float as float64; small integers only."""
    match value:
        case None | True | False:
            return {None: b"\x7e", True: b"\x78", False: b"\x79"}[value]
        case int():
            assert -64 < value < 64
            return bytes((125, 64 - value if value < 0 else value))
        case float():
            return struct.pack(">Bd", 123, value)
        case str():
            return b"\x77" + encode_var_string(value)
        case bytes():
            return b"\x74" + encode_var_bytes(value)
        case list():
            return b"\x75" + encode_var_uint(len(value)) + b"".join(map(any_of, value))
    parts = [encode_var_string(key) + any_of(inner) for key, inner in value.items()]
    return b"\x76" + encode_var_uint(len(parts)) + b"".join(parts)


def mark(name: str, value: Any, **place: Any) -> bytes:
    """The start or, with None, the end of a mark."""
    return item(6, encode_var_string(name) + encode_var_string(json.dumps(value)), **place)


def embed(value: Any, **place: Any) -> bytes:
    """An embed in a text."""
    return item(5, encode_var_string(json.dumps(value)), **place)


def entry(*values: Any, **place: Any) -> bytes:
    """Values in an array, or one under a key of a map."""
    return item(8, encode_var_uint(len(values)) + b"".join(map(any_of, values)), **place)


def subdocument(guid: str, options: Mapping[str, Any], **place: Any) -> bytes:
    """A document inside the document."""
    return item(9, encode_var_string(guid) + any_of(options), **place)


LINK = {"href": "https://example.org/é", "target": "_blank", "rel": "noopener noreferrer"}
IMAGE = {"image": "data:image/png;base64,AAAA", "alt": "a boat", "width": 320, "height": 200.5}
ATTRIBUTES = {"textAlign": "left", "indent": 2, "lineHeight": None, "style": {"color": "red", "weight": 1.5}}
RECORD = {
    "id": "shape:1",
    "x": 10.5,
    "y": -7.25,
    "isLocked": False,
    "meta": {},
    "props": {"w": 1, "h": 2.0, "points": [{"x": 0.1, "y": 0.2}, {"x": 1, "y": 2}]},
}

ORDINARY: dict[str, list[Update]] = {
    "link": [
        update(section(1, 0, text("see "), mark("link", LINK, left=(1, 3)), text("this", left=(1, 4)))),
        update(section(1, 9, mark("link", None, left=(1, 8)))),
        update(section(2, 0, mark("link", LINK, left=(1, 1), right=(1, 2)))),
    ],
    "image": [update(section(1, 0, text("look: "))), update(section(1, 6, embed(IMAGE, left=(1, 5))))],
    "attributes": [
        update(section(1, 0, item(7, encode_var_uint(XML_ELEMENT) + encode_var_string("p"), parent="x"))),
        update(section(1, 1, entry(ATTRIBUTES, parent=(1, 0), key="attrs"))),
        update(section(1, 2, entry("b1", parent=(1, 0), key="id"))),
    ],
    "records": [
        update(section(1, 0, entry(RECORD, parent="records", key="shape:1"))),
        update(section(1, 1, entry({**RECORD, "x": 11.5}, left=(1, 0))), deletes={1: [(0, 1)]}),
        update(section(2, 0, entry(RECORD, {**RECORD, "y": 0.5}, 1, parent="list"))),
    ],
    "subdocument": [
        update(section(1, 0, subdocument("guid", {}, parent="pages", key="one"))),
        update(section(1, 1, type_item(MAP, parent="list"))),
        update(
            section(1, 2, subdocument("other", {"autoLoad": True, "gc": False}, parent=(1, 1), key="two"))
        ),
    ],
}
"""The log of a document of each kind, every struct with an update of its own."""
