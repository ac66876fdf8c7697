"""What once went wrong stays right, and what is named as a difference still is one."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.differential.cases import ENDED_THE_PROCESS, FOUND, REFUSED
from tests.differential.examination import examine, take
from tests.differential.generator import Case
from tests.differential.judge import Judge, judge
from tests.differential.program import run
from tests.differential.traits import MUTATED, REFUSALS


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def yjs() -> AsyncIterator[Judge]:
    async with judge() as running:
        yield running


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", FOUND, ids=lambda case: case.name)
async def test_what_was_found_is_read_as_Yjs_reads_it(yjs: Judge, case: Case) -> None:
    assert list(map(str, await examine([case], yjs))) == []


@pytest.mark.parametrize("case", ENDED_THE_PROCESS, ids=lambda case: case.name)
def test_what_ended_the_process_does_so_no_more(case: Case) -> None:
    result = run(case.name)
    assert result.returncode == 0, result.stdout[-5_000:] + result.stderr[-2_000:]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
async def test_a_named_refusal_is_refused_though_Yjs_reads_it(yjs: Judge, case: Case) -> None:
    """When this fails the name goes from the list."""
    outcome = take(case)
    [verdict] = await yjs.ask([outcome.question])
    assert (outcome.refusal is not None, outcome.failures, verdict.error) == (True, [], None)


def test_every_named_refusal_has_a_case() -> None:
    assert {case.name for case in REFUSED} == REFUSALS.keys() - {MUTATED}
