"""No way to the host."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Literal, get_args

import attrs

from trio_wsguard.testing.faults import settings
from trio_wsguard.testing.faults.fault import Fault

if TYPE_CHECKING:
    from trio_wsguard.testing.connection import Dialing

Kind = Literal["host", "network"]


@attrs.frozen(kw_only=True, repr=False)
class Unreachable(Fault):
    """Fail dials at once for want of a route; open connections live on.

    Args:
        kind: What is out of reach: ``"host"`` (EHOSTUNREACH) or ``"network"``
            (ENETUNREACH).

    Source: ICMP's answers, which established connections take for passing
    troubles (RFC 1122, section 4.2.3.9).
    """

    kind: Kind = attrs.field(default="host", validator=settings.one_of(*get_args(Kind)))

    def meet_dial(self, dialing: Dialing) -> None:
        """Have a router answer."""
        if self.kind == "host":
            dialing.fail(OSError(errno.EHOSTUNREACH, "No route to host"))
        else:
            dialing.fail(OSError(errno.ENETUNREACH, "Network is unreachable"))
