"""A guard whose backoff begins anew whenever the user asks for anything.

The suite found this one in the guard itself.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

import trio

from trio_wsguard._shell.supervisor import Supervisor
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "wishes_never_lengthen_a_wait"


@contextmanager
def mutated() -> Iterator[Parts]:
    back_off = Supervisor._back_off

    async def forgetful(self: Supervisor) -> None:
        delay = getattr(self._next, "delay", 0.0)
        self._retry_at = trio.current_time() + delay
        await back_off(self)

    with mock.patch.object(Supervisor, "_back_off", forgetful):
        yield Parts()
