"""A server that accepts and says nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trio_wsguard.testing.faults.fault import Fault

if TYPE_CHECKING:
    from trio_wsguard.testing.connection import Dialing
    from trio_wsguard.testing.stream import SimulatedStream


@attrs.frozen(kw_only=True, repr=False)
class AcceptThenSilent(Fault):
    """Accept dials and neither read nor write; open connections live on.

    A reader gets nothing, ever. A writer succeeds until the buffers are full.
    A connection accepted so stays silent after the fault, too.

    Source: listen() without accept(): the kernel shakes hands, nobody serves.
    """

    def meet_dial(self, dialing: Dialing) -> None:
        """Stand in for the server."""
        dialing.answer(_serve)


async def _serve(stream: SimulatedStream) -> None:
    await stream.wait_over()
