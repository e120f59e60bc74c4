"""Looks at a guard's figures again and again: health, alerts, states that are stuck.

It is one task of the guard, beside its connections: most of what it looks for
shows when there is none.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import trio

from trio_wsguard._core.alerts import Alerts
from trio_wsguard._core.events import AnomalyKind
from trio_wsguard._core.liveness import Raise
from trio_wsguard._core.state import CONNECTED

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_wsguard._core.alerts import AlertRaised
    from trio_wsguard._core.health import Snapshot
    from trio_wsguard._shell.connection import Setup


class Observer:
    """Sees what no single event shows.

    Args:
        setup: What the guard's connections share.
        begin_anew: Drops the present connection or attempt, for a reason.
    """

    def __init__(self, setup: Setup, begin_anew: Callable[[str], None]) -> None:
        self._policy = setup.policy
        self._journal = setup.journal
        self._queue = setup.queue
        self._outgoing = setup.outgoing
        self._begin_anew = begin_anew
        alerts = setup.policy.alerts
        self._alerts = Alerts(trio.current_time(), alerts.rules, alerts.interval)

    @property
    def open_alerts(self) -> tuple[AlertRaised, ...]:
        """The alerts raised and not yet resolved."""
        return self._alerts.open

    def snapshot(self) -> Snapshot:
        """Freeze all figures."""
        outgoing = None if self._outgoing is None else self._outgoing.statistics()
        return self._journal.snapshot(len(self._queue), outgoing)

    async def run(self) -> None:
        """Look, whenever something may be due."""
        while True:
            await trio.sleep_until(self._next_deadline(trio.current_time()))
            self._look(trio.current_time())

    def _next_deadline(self, now: float) -> float:
        deadline = self._alerts.next_deadline()
        if not self._journal.is_open(AnomalyKind.STUCK):
            # A state entered while it sleeps is stuck no sooner than a timeout from now.
            soonest = now + self._policy.watchdog.stuck_timeout
            deadline = min(deadline, soonest, self._journal.monitor.stuck_at)
        return deadline

    def _look(self, now: float) -> None:
        journal = self._journal
        journal.assess()
        if now >= journal.monitor.stuck_at and not journal.is_open(AnomalyKind.STUCK):
            self._tell_stuck()
        if now >= self._alerts.next_deadline():
            for alert in self._alerts.tick(now, self.snapshot()):
                journal.publish(alert)

    def _tell_stuck(self) -> None:
        timeout, state = self._policy.watchdog.stuck_timeout, self._journal.state
        what = "ended but still" if state is CONNECTED else "should have passed, but is"
        message = f"{state.name} {what} there after {timeout:g} s"
        self._journal.note(Raise(AnomalyKind.STUCK, message, timeout))
        if self._policy.watchdog.cure_stuck:
            self._begin_anew("stuck")

    def finish(self) -> None:
        """Resolve what is open: the guard is over."""
        for alert in self._alerts.finish(trio.current_time(), time.time()):
            self._journal.publish(alert)
