"""What the tests of the conformance suite share."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from trio_wsguard.testing.conformance import Profile

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def few_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try few examples, where it is known already that all hold."""
    monkeypatch.setattr(Profile, "max_examples", property(lambda _: 10))


@pytest.fixture
def untraced() -> Iterator[None]:
    """Run a test without coverage, which would take more time than the test itself.

    For tests that run what other tests run, too.
    """
    tracer = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(tracer)
