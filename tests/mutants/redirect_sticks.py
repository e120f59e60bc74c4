"""A guard that remembers where a redirect led to."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard._shell import attempt, dial
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_wsguard import Target

CAUGHT_BY = "a_redirect_does_not_stick"


@contextmanager
def mutated() -> Iterator[Parts]:
    learned: list[Target] = []
    parse, follow = dial.parse_url, dial.follow_redirect

    def parse_url(url: object) -> Target:
        return learned[-1] if learned else parse(url)

    def follow_redirect(target: Target, location: str) -> Target:
        learned.append(follow(target, location))
        return learned[-1]

    with (
        mock.patch.object(attempt, "parse_url", parse_url),
        mock.patch.object(attempt, "follow_redirect", follow_redirect),
    ):
        yield Parts()
