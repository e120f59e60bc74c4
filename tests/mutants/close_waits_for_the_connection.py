"""A guard whose `aclose` waits until it is CONNECTED, to close that properly."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

import trio

from trio_wsguard import GuardedWebSocket, WSGuardError
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "closing_at_any_step_ends_all"


@contextmanager
def mutated() -> Iterator[Parts]:
    aclose = GuardedWebSocket.aclose

    async def late(self: GuardedWebSocket, code: int = 1000, reason: str = "") -> None:
        try:
            with trio.move_on_after(60):
                await self.wait_connected()
        except (WSGuardError, trio.ClosedResourceError):
            pass
        await aclose(self, code, reason)

    with mock.patch.object(GuardedWebSocket, "aclose", late):
        yield Parts()
