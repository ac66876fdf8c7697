"""What a test asks of the machine: skipped where it is missing, failed where it must not be."""

import os

import pytest

__all__ = ["require"]


def require(condition: object, sentence: str) -> None:
    """Go on only when ``condition`` is true; ``sentence`` says what is missing and how to get it.

    Skips the test, or the whole module when called while it is imported. With ``CI=true`` it fails
    instead, so that a machine that lost a tool never passes by skipping.
    """
    __tracebackhide__ = True
    if condition:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence, allow_module_level=True)
