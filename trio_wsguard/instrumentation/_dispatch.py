"""Alerts in, notifications out to the outlets: the clock's part of a notifier."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import trio

import trio_wsguard as wsguard
from trio_wsguard._shell.alarm import Alarm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_wsguard.instrumentation._outlet import Outlet


class Dispatcher:
    """Groups alerts, and hands each notification to the outlets of its grouping.

    Args:
        outlets: Those of all sinks.
        grouping: That of sinks without their own.
    """

    def __init__(self, outlets: Sequence[Outlet], grouping: wsguard.Grouping) -> None:
        self.outlets = outlets
        self._alarm = Alarm()
        self._lanes: dict[wsguard.Grouping, tuple[wsguard.Notifier, list[Outlet]]] = {}
        for outlet in outlets:
            paced = outlet.grouping or grouping
            lane = self._lanes.setdefault(paced, (wsguard.Notifier(paced), []))
            lane[1].append(outlet)

    def _next_deadline(self) -> float:
        return min(
            (notifier.next_deadline() for notifier, _ in self._lanes.values()), default=float("inf")
        )

    def take(self, alert: wsguard.Alert) -> None:
        """Take an alert in; it is told when it is due."""
        now = trio.current_time()
        for notifier, _ in self._lanes.values():
            notifier.add(now, alert)
        # Looked at once for all that comes in one scheduler pass: to find the next
        # deadline takes a look at every group.
        self._alarm.move_up(now)

    async def run(self) -> None:
        """Tell what is due, until cancelled."""
        while True:
            await self._alarm.wait_until(self._next_deadline())
            now, unix = trio.current_time(), time.time()
            for notifier, outlets in self._lanes.values():
                _push(notifier.tick(now, unix), outlets)

    async def finish(self) -> None:
        """Tell what was not told yet, and wait until all of it is out.

        Cancelling it leaves the rest to be given up.
        """
        now, unix = trio.current_time(), time.time()
        for notifier, outlets in self._lanes.values():
            _push(notifier.finish(now, unix), outlets)
        for outlet in self.outlets:
            outlet.finish()
        for outlet in self.outlets:
            await outlet.done.wait()


def _push(notifications: Sequence[wsguard.Notification], outlets: Sequence[Outlet]) -> None:
    for notification in notifications:
        for outlet in outlets:
            outlet.push(notification)
