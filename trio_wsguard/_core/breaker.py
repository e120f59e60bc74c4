"""A circuit breaker of one endpoint: while it is down, one member dials for all.

It opens when so many *different* members in a row met a server that is not
there: one member that fails again and again has a trouble of its own, and many
that fail once have one in common. Any answer of the server in between ends the
row. A connection lost counts as well as a dial that failed: of a server that was
killed, all are lost at once, and it takes no dial to see that.

While it is open there is one probe at a time, each later than the one before.
Source: the pattern is Nygard's ("Release It!"); his half-open state, too, lets one
call through. Here a probe is given to whoever is first in line.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

    from trio_wsguard._core.backoff import Backoff


class Breaker:
    """Whether an endpoint is there, by what its members met.

    Args:
        limit: Different members failing in a row that open it.
        backoff: The delays between probes.
        max_retry_after: The longest delay, in seconds, that a server can ask for.

    Attributes:
        probe_at: When the next probe may go, in monotonic seconds; of no meaning
            while it is closed.
        opened: How often it opened.
        probes_failed: In a row, since it opened.
    """

    def __init__(self, limit: int, backoff: Backoff, max_retry_after: float) -> None:
        self.probe_at = -math.inf
        self.opened = 0
        self.probes_failed = 0
        self._limit = limit
        self._backoff = backoff
        self._max_retry_after = max_retry_after
        self._failing: dict[str, None] = {}  # in the order in which they failed
        self._is_open = False

    @property
    def is_open(self) -> bool:
        """Whether only probes may go."""
        return self._is_open

    @property
    def failing(self) -> tuple[str, ...]:
        """The members that failed in a row, at most as many as open it."""
        return tuple(self._failing)

    def failed(self, now: float, member: str, rng: Random, retry_after: float = 0.0) -> bool:
        """Note a dial that found no server; tell whether that opened it.

        Args:
            now: Monotonic seconds.
            member: Whose dial it was; not the probe's, see `probe_failed`.
            rng: Where jitter is drawn from.
            retry_after: Seconds the server asked for, if it did.
        """
        opens = self._count(member)
        if opens:
            self._wait(now, 1, rng, retry_after)
        return opens

    def lost(self, now: float, member: str) -> bool:
        """Note a connection lost; tell whether that opened it.

        Then the first probe may go at once: the server may well be back, and
        nobody has asked it yet.
        """
        opens = self._count(member)
        if opens:
            self.probe_at = now
        return opens

    def probe_failed(self, now: float, rng: Random, retry_after: float = 0.0) -> None:
        """Note that a probe found no server: the next one waits longer."""
        self.probes_failed += 1
        self._wait(now, self.probes_failed + 1, rng, retry_after)

    def answered(self) -> bool:
        """Note that the server answered someone; tell whether that closed it."""
        was_open, self._is_open = self._is_open, False
        self._failing.clear()
        self.probes_failed = 0
        return was_open

    def forget(self, member: str) -> None:
        """Let a member that is gone count no longer."""
        if not self._is_open:
            self._failing.pop(member, None)

    def _count(self, member: str) -> bool:
        if self._is_open:
            return False
        self._failing[member] = None
        self._is_open = len(self._failing) >= self._limit
        self.opened += self._is_open
        return self._is_open

    def _wait(self, now: float, failures: int, rng: Random, retry_after: float) -> None:
        delay = self._backoff.delay(failures, rng)
        self.probe_at = now + max(delay, min(retry_after, self._max_retry_after))
