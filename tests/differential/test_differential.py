"""Every kind of content, beside every other, is to Cowrite and to yrs in it what it is to Yjs.

Either Cowrite refuses an update, and so does Yjs; or all agree on the clocks, and Yjs reads from whatever
Cowrite gives out what it reads from the update itself. What is otherwise is named in ``traits``.
More updates: ``COWRITE_TEST_UPDATES=1000000``; what found something goes into ``cases``, as small as it gets.
"""

import os
from pathlib import Path

import pytest

from tests.differential.program import run

UPDATES = int(os.environ.get("COWRITE_TEST_UPDATES", "100000"))
SHARE = 5_000


@pytest.mark.parametrize("first", range(0, UPDATES, SHARE))
def test_Yjs_reads_from_Cowrite_what_was_put_in(seed: int, first: int, tmp_path: Path) -> None:
    progress = tmp_path / "progress"
    result = run(seed, first, min(SHARE, UPDATES - first), progress)
    assert result.returncode in (0, 1), f"ended with {result.returncode} at case {progress.read_text()}"
    assert result.returncode == 0, result.stdout[:20_000] + result.stderr[-2_000:]
