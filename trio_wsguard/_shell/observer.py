"""Looks at a guard's figures again and again: health, alerts, states that are stuck.

As long as a connection is ready, its watchdog has the observer look. It is a task
of the guard's own only while there is none, which is when most of what it looks
for shows: an idle guard is spared that task's memory.
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
    from trio_wsguard._policy import GuardPolicy
    from trio_wsguard._shell.journal import Journal
    from trio_wsguard._shell.outgoing import Outgoing
    from trio_wsguard._shell.queue import MessageQueue


class Observer:
    """Sees what no single event shows.

    Args:
        policy: The guard's settings.
        journal: What it knows.
        queue: Messages that wait for the application.
        outgoing: Those that wait to be sent.
    """

    def __init__(
        self,
        policy: GuardPolicy,
        journal: Journal,
        queue: MessageQueue,
        outgoing: Outgoing | None,
    ) -> None:
        self._policy = policy
        self._journal = journal
        self._queue = queue
        self._outgoing = outgoing
        self._nursery: trio.Nursery
        self._begin_anew: Callable[[str], None]
        self._watch: trio.CancelScope | None = None
        alerts = policy.alerts
        self._alerts = Alerts(trio.current_time(), alerts.rules, alerts.interval)

    def start(self, nursery: trio.Nursery, begin_anew: Callable[[str], None]) -> None:
        """Begin.

        Args:
            nursery: The guard's own.
            begin_anew: Drops the present connection or attempt, for a reason.
        """
        self._nursery, self._begin_anew = nursery, begin_anew
        self.watch()

    @property
    def open_alerts(self) -> tuple[AlertRaised, ...]:
        """The alerts raised and not yet resolved."""
        return self._alerts.open

    def snapshot(self) -> Snapshot:
        """Freeze all figures."""
        outgoing = None if self._outgoing is None else self._outgoing.statistics()
        return self._journal.snapshot(len(self._queue), outgoing)

    def watch(self) -> None:
        """Look from a task of its own: there is no watchdog that would."""
        if self._watch is None:
            self._watch = trio.CancelScope()
            self._nursery.start_soon(self._run, self._watch)

    def rest(self) -> None:
        """Leave it to a watchdog, or to nobody."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    async def _run(self, scope: trio.CancelScope) -> None:
        with scope:
            while True:
                await trio.sleep_until(self.next_deadline(trio.current_time()))
                self.look(trio.current_time())

    def next_deadline(self, now: float) -> float:
        """Tell when to look again, in monotonic seconds."""
        deadline = self._alerts.next_deadline()
        if not self._journal.is_open(AnomalyKind.STUCK):
            # A state entered while it sleeps is stuck no sooner than a timeout from now.
            soonest = now + self._policy.watchdog.stuck_timeout
            deadline = min(deadline, soonest, self._journal.monitor.stuck_at)
        return deadline

    def look(self, now: float) -> None:
        """Look at what is due."""
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
        """Resolve what is open: the guard is over, and nobody looks again."""
        self.rest()
        for alert in self._alerts.finish(trio.current_time(), time.time()):
            self._journal.publish(alert)
