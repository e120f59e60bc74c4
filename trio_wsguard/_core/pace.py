"""At most so many sends a second, by the generic cell rate algorithm (GCRA).

One number is the whole state: the theoretical arrival time (TAT) of the next
send if all came at exactly the rate. A send may go as long as the TAT is no
more than the burst's tolerance ahead of the clock.

Waiting is not done here, and nothing is reserved for who waits: only the first
in line asks, and takes its turn when it begins to write. So one that gives up
in the line has nothing to give back. A turn can be given back until the next is
taken, for a send that was cancelled before its first byte; to give back an
older one would need more than the one number, since those after it stand on it.

Source: ITU-T I.371, annex A (virtual scheduling).
"""

from __future__ import annotations

import math

import attrs

from trio_wsguard._core import checks
from trio_wsguard._errors import InternalError


@attrs.frozen(kw_only=True)
class SendRate:
    """How fast to send; beats and control frames do not count.

    Args:
        rate: Messages a second, in the long run.
        burst: Messages that may go at once after a rest.
    """

    rate: float = attrs.field(validator=checks.positive)
    burst: int = attrs.field(default=1, validator=checks.count)


class Pacer:
    """Tells when the next message may go.

    Args:
        settings: How fast.
    """

    def __init__(self, settings: SendRate) -> None:
        self._interval = 1 / settings.rate
        self._tolerance = (settings.burst - 1) * self._interval
        self._next_at = -math.inf  # the TAT
        self._before: float | None = None

    def ready_at(self) -> float:
        """Tell from when on the next may go, in monotonic seconds; it may be past."""
        return self._next_at - self._tolerance

    def take(self, now: float) -> bool:
        """Take the turn; tell whether it was time. Called too early it does nothing."""
        if now < self.ready_at():
            return False
        self._before = self._next_at
        self._next_at = max(self._next_at, now) + self._interval
        return True

    def give_back(self) -> None:
        """Undo the last `take`: nothing was sent.

        Raises:
            InternalError: There is none to undo.
        """
        if self._before is None:
            raise InternalError("a turn to send was given back that nobody has")
        self._next_at, self._before = self._before, None
