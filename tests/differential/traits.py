"""Named differences: where Cowrite may refuse what Yjs reads, and where Yjs may read something else from it.

Everything the generator writes is as Yjs reads it, unless it carries one of these names.
"""

from typing import Final

__all__ = [
    "DIFFERENCES",
    "FORGOTTEN_BY_YJS",
    "HOOK",
    "INFINITE",
    "LONE_SURROGATE",
    "MUTATED",
    "REFUSALS",
    "SEVERAL_UNDER_A_KEY",
    "SPLIT_PAIR",
    "TOO_DEEP",
]

MUTATED: Final = "some bytes changed at random"
SPLIT_PAIR: Final = "an edit between the halves of a surrogate pair"
SEVERAL_UNDER_A_KEY: Final = "several values in one struct under a key"
TOO_DEEP: Final = "content nested deeper than 500"
HOOK: Final = "XmlHook"
INFINITE: Final = "a JSON number beyond every double"
LONE_SURROGATE: Final = "half a surrogate pair in JSON"
FORGOTTEN_BY_YJS: Final = "what Yjs itself drops when it encodes again"

REFUSALS: Final = {
    MUTATED: "whatever rule the changed bytes break",
    "an integer of 2^53 and more": "E2",
    "a client twice": "U2",
    "a section without structs": "U3",
    "a struct of length zero": "U4",
    "flags on a GC struct": "U4",
    "a parent that is neither root nor item": "U4, Yjs takes it for an item",
    "a struct that refers to what comes after it": "U4, Yjs waits for ever",
    "a jump of more than 2^28": "U6",
    "a deleted range of length zero": "U9",
    "bytes behind the delete set": "U9",
}
"""What Cowrite may refuse though Yjs reads it, and why. No client writes any of it."""

DIFFERENCES: Final[dict[str, tuple[str, ...]]] = {
    # Whatever the changed bytes say by now, it may be any of those below.
    MUTATED: ("onlyClocks",),
    # G6: the pair is deleted, where Yjs keeps two U+FFFD.
    SPLIT_PAIR: ("onlyClocks",),
    # Taken as deleted (U17). No client writes it; once it was cut Yjs itself reads it otherwise, or throws.
    SEVERAL_UNDER_A_KEY: ("onlyClocks",),
    # U16: taken as deleted, unread.
    TOO_DEEP: ("onlyClocks",),
    # U15: becomes an XmlElement of its name.
    HOOK: ("onlyClocks",),
    # U13: becomes null, as JSON.stringify writes it.
    INFINITE: ("onlyClocks",),
    # U13: becomes U+FFFD.
    LONE_SURROGATE: ("isWellFormed",),
    # -0 in JSON, and the options of a subdocument that Yjs does not write.
    FORGOTTEN_BY_YJS: ("mayForget",),
}
"""What Yjs may read otherwise from what Cowrite gives out, and how the judge is to compare it then.

Never compared are the order of an object's keys, and its key ``__proto__``.
"""
