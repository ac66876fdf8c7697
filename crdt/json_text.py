"""The JSON in embeds, marks and old arrays: what of it yrs reads otherwise than ``JSON.parse``.

yrs parses it with serde_json, whose integers end at 2**63, whose last digit may be off, which nests 127 deep
and knows no half of a surrogate pair. ``JSON.stringify`` writes all that (references/protocol.md, U13–U16).
"""

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NoReturn

from crdt.errors import Malformed
from crdt.reading import Reading

__all__ = ["DEPTH_LIMIT", "inspect_json", "is_deep", "parse_json", "rewrite_json"]

DEPTH_LIMIT = 500
"""How deeply a value may nest (U16): the parsers of Python and of browsers recurse."""

_YRS_DEPTH = 127
_YRS_INTEGERS = range(-(2**63), 2**63)

_EXACT = re.compile(r"-?[0-9.]{1,15}")
"""Decimals of so few digits become the same number whoever reads them."""

_REMEMBERED_BYTES = 256
"""Shorter texts are looked at once: a mark comes again and again."""

_BRACKET_OR_STRING = re.compile(rb'[\[{\]}]|"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NUMBER_OR_STRING = re.compile(
    r'"[^"\\]*(?:\\.[^"\\]*)*"|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?', re.DOTALL
)
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair
    r"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"  # half of one
    r"|\\.",
    re.DOTALL,
)


def inspect_json(text: bytes) -> Reading:
    """Say how yrs reads ``text``; raises ``Malformed`` where ``JSON.parse`` would throw."""
    if len(text) <= _REMEMBERED_BYTES:
        return _inspect_short(text)
    return _inspect(text)


def _inspect(text: bytes) -> Reading:
    numbers = _Numbers()
    try:
        _parse(text, numbers)
    except RecursionError:
        return Reading.UNTAKABLE  # Whatever else is wrong with it: nobody is given it.
    except ValueError as error:
        raise Malformed("not JSON") from error
    # From here on every string in it has an end.
    depth = max(_depths(text), default=0)
    if depth > DEPTH_LIMIT:
        return Reading.UNTAKABLE
    decoded = text.decode()
    if _HALF.search(decoded) and rewrite_json(decoded) != decoded:
        return Reading.UNREADABLE
    return max(numbers.reading, Reading.ALTERED) if depth > _YRS_DEPTH else numbers.reading


_inspect_short = lru_cache(4_096)(_inspect)


def is_deep(text: bytes) -> bool:
    """Whether JSON in ``text`` may nest more deeply than yrs reads."""
    return len(text) > 2 * _YRS_DEPTH and text.count(b"[") + text.count(b"{") > _YRS_DEPTH


def _depths(text: bytes) -> Iterator[int]:
    """Go through the depths at which something begins; nothing where it cannot be deep."""
    if not is_deep(text):
        return
    depth = 0
    for found in _BRACKET_OR_STRING.finditer(text):
        token = found[0]
        if token in (b"[", b"{"):
            depth += 1
            yield depth
        elif token in (b"]", b"}"):
            depth -= 1


class _Numbers:
    """Takes the numbers of a text as the parser finds them."""

    def __init__(self) -> None:
        self.reading = Reading.ALIKE

    def integer(self, digits: str) -> float:
        # 18 digits are within the integers of yrs.
        if digits == "-0" or (len(digits) > 18 and int(digits[:20]) not in _YRS_INTEGERS) or len(digits) > 20:
            self._is(Reading.ALTERED if digits == "-0" else Reading.UNREADABLE)
        return float(digits)

    def decimal(self, digits: str) -> float:
        value = float(digits)
        if value in (float("inf"), float("-inf")):
            self._is(Reading.UNREADABLE)
        elif not _EXACT.fullmatch(digits) or (value == 0 and digits[0] == "-"):
            self._is(Reading.ALTERED)
        return value

    def _is(self, reading: Reading) -> None:
        self.reading = max(self.reading, reading)


def parse_json(text: bytes) -> object:
    """Return what ``JSON.parse`` reads, numbers as floats; of text that ``inspect_json`` has passed."""
    return _parse(text, _Numbers())


def _parse(text: bytes, numbers: _Numbers) -> object:
    return json.loads(
        text.decode(),
        parse_int=numbers.integer,
        parse_float=numbers.decimal,
        parse_constant=_refuse_constant,
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def rewrite_json(text: str) -> str:
    """Return JSON of the same value that yrs reads too; half a surrogate pair becomes U+FFFD."""
    return _NUMBER_OR_STRING.sub(_rewrite_token, text)


def _rewrite_token(found: "re.Match[str]") -> str:
    token = found[0]
    if token[0] == '"':
        return _ESCAPE.sub(_whole, token) if _HALF.search(token) else token
    value = float(token)
    if value in (float("inf"), float("-inf")):
        return "null"  # As ``JSON.stringify`` writes it.
    is_integer = token.lstrip("-").isdigit()
    return repr(value) if is_integer and len(token) > 18 and int(token[:400]) not in _YRS_INTEGERS else token


def _whole(found: "re.Match[str]") -> str:
    return found[0] if found[1] is None else "\ufffd"
