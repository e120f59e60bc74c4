"""A server that accepts and closes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import trio

from trio_wsguard._core import checks
from trio_wsguard.testing.faults.fault import Fault

if TYPE_CHECKING:
    from trio_wsguard.testing.connection import Dialing
    from trio_wsguard.testing.stream import SimulatedStream


@attrs.frozen(kw_only=True, repr=False)
class AcceptThenClose(Fault):
    """Accept dials and close them by FIN, without a word; open connections live on.

    A reader gets the end, a writer is told that the connection is broken once
    it has written after that.

    Args:
        after: Seconds after the dial.

    Source: a load balancer without a server behind it.
    """

    after: float = attrs.field(default=0.0, validator=checks.not_negative)

    def meet_dial(self, dialing: Dialing) -> None:
        """Stand in for the server."""
        dialing.answer(self._serve)

    async def _serve(self, stream: SimulatedStream) -> None:
        with trio.move_on_after(self.after):
            await stream.wait_over()
        stream.discard()
