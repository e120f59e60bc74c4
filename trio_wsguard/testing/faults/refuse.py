"""Nobody listens."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import attrs

from trio_wsguard.testing.faults.fault import Fault

if TYPE_CHECKING:
    from trio_wsguard.testing.connection import Dialing


@attrs.frozen(kw_only=True, repr=False)
class Refuse(Fault):
    """Refuse dials at once (ECONNREFUSED); open connections live on.

    Source: a closed port; toxiproxy's disabled proxy.
    """

    def meet_dial(self, dialing: Dialing) -> None:
        """Answer SYN by RST."""
        dialing.fail(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"))
