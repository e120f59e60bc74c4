"""A guard whose nursery puts the user's error into a group."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

import trio

from trio_wsguard._shell import guard
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "the_users_error_comes_out_as_it_is"


@contextmanager
def mutated() -> Iterator[Parts]:
    with mock.patch.object(guard, "open_flat_nursery", trio.open_nursery):
        yield Parts()
