"""A guard that remembers where a redirect led to."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard._shell import attempt, dial
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_wsguard import Attempt, Target

CAUGHT_BY = "a_redirect_does_not_stick"


@contextmanager
def mutated() -> Iterator[Parts]:
    learned: list[Target] = []
    ask, follow = attempt.Opener._ask_target, dial.follow_redirect

    async def ask_once(self: attempt.Opener, told: Attempt) -> Target:
        return learned[-1] if learned else await ask(self, told)

    def follow_redirect(target: Target, location: str) -> Target:
        learned.append(follow(target, location))
        return learned[-1]

    with (
        mock.patch.object(attempt.Opener, "_ask_target", ask_once),
        mock.patch.object(attempt, "follow_redirect", follow_redirect),
    ):
        yield Parts()
