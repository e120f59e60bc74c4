"""What the tests of the conformance suite share."""

from __future__ import annotations

import pytest

from trio_wsguard.testing.conformance import Profile


@pytest.fixture
def few_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try few examples, where it is known already that all hold."""
    monkeypatch.setattr(Profile, "max_examples", property(lambda _: 10))
