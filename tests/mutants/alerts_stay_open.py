"""A guard whose alerts, once raised, are resolved only at its end."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard._core.alerts import _Standing
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_wsguard._core.alerts import Alert
    from trio_wsguard._core.health import Snapshot

CAUGHT_BY = "alerts_agree_with_the_figures"


@contextmanager
def mutated() -> Iterator[Parts]:
    judge = _Standing.judge

    def stubborn(self: _Standing, now: float, snapshot: Snapshot) -> Alert | None:
        return judge(self, now, snapshot) if self.raised is None else None

    with mock.patch.object(_Standing, "judge", stubborn):
        yield Parts()
