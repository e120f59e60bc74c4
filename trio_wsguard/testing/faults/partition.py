"""Two hosts that do not reach each other."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import attrs

from trio_wsguard._core import checks
from trio_wsguard.testing.faults.blackhole import Blocked
from trio_wsguard.testing.faults.fault import Fault

if TYPE_CHECKING:
    from trio_wsguard.testing.connection import Dialing
    from trio_wsguard.testing.faults.fault import Way
    from trio_wsguard.testing.segment import Effect


@attrs.frozen(kw_only=True, repr=False)
class Partition(Fault):
    """Part the two hosts: no byte goes either way, no dial gets through.

    Reader and writer observe what they do with `Blackhole`; removing the fault
    repairs the link.

    Args:
        unreachable: Whether the client's own interface is down, so that a dial
            fails at once (ENETUNREACH), instead of getting no answer.

    Source: turmoil's ``partition`` and ``repair``; ``ip link set down``.
    """

    unreachable: bool = attrs.field(default=False, validator=checks.boolean)

    def meet_dial(self, dialing: Dialing) -> None:
        """Lose SYN, or have nowhere to send it."""
        if self.unreachable:
            dialing.fail(OSError(errno.ENETUNREACH, "Network is unreachable"))
        else:
            dialing.is_blocked = True

    def effect(self, way: Way) -> Effect | None:  # noqa: ARG002 - both ways alike
        """Block both ways."""
        return Blocked()
