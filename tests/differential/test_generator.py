"""The generator writes what it says that it writes."""

from collections import Counter

from crdt.errors import Malformed
from crdt.update import StructReader
from tests.differential.contents import KINDS
from tests.differential.generator import PAIRS, generate
from tests.differential.hostility import BROKEN
from tests.differential.traits import DIFFERENCES, REFUSALS


def neighbours(update: bytes) -> list[tuple[int, int]]:
    """The kinds of structs that follow each other, as far as the walker reads."""
    reader = StructReader(update)
    found: list[tuple[int, int]] = []
    try:
        for _ in range(reader.read_count(3)):
            count, client = reader.read_section_header()
            kinds = []
            for _ in range(count):
                reader.read_struct(client)
                kinds.append(reader.kind)
            found += zip(kinds, kinds[1:], strict=False)
    except Malformed:
        pass
    return found


def test_a_case_is_the_same_for_the_same_seed_and_number() -> None:
    assert [generate(7, number) for number in range(500)] == [generate(7, number) for number in range(500)]
    assert generate(7, 3) != generate(8, 3)


def test_every_kind_stands_beside_every_other(seed: int) -> None:
    cases = [generate(seed, number) for number in range(10 * len(PAIRS))]
    found = {pair for case in cases for update in case.updates for pair in neighbours(update)}
    assert {(first, second) for first in KINDS for second in KINDS} <= found


def test_every_named_difference_and_everything_broken_is_written(seed: int) -> None:
    traits = Counter(trait for number in range(20_000) for trait in generate(seed, number).traits)
    assert traits.keys() == {*DIFFERENCES, *REFUSALS, *BROKEN}
