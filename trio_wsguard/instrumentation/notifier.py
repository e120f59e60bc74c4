"""Tells the alerts of guards to sinks, in groups.

One notifier serves one guard or a whole fleet. It goes *around* its guards:
then it hears of their end, and guards can come and go while it lives. Inside
a guard's block it works as well; what is open when it is left is told as ended.
"""

from __future__ import annotations

import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

import trio_wsguard as wsguard
from trio_wsguard._shell.nursery import open_flat_nursery
from trio_wsguard.instrumentation._dispatch import Dispatcher
from trio_wsguard.instrumentation._outlet import Outlet
from trio_wsguard.instrumentation.call_sink import CallSink
from trio_wsguard.instrumentation.channel_sink import ChannelSink
from trio_wsguard.instrumentation.sinks import Sink

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from trio_wsguard.instrumentation.sinks import SinkFigures

LINGER: Final = 5.0  # seconds; what takes longer to say goodbye is hanging


@attrs.define(eq=False)
class _Watch:
    """A guard that is listened to, and its alerts that are open, by rule."""

    guard: wsguard.GuardedWebSocket
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    open: dict[str, wsguard.AlertRaised] = attrs.field(factory=dict)


class AlertNotifier:
    """Tells alerts of guards to sinks; made by `open_notifier`."""

    def __init__(self, nursery: trio.Nursery, dispatcher: Dispatcher) -> None:
        self._nursery = nursery
        self._dispatcher = dispatcher
        self._watches: dict[str, _Watch] = {}
        self._is_over = False

    @property
    def guards(self) -> tuple[wsguard.GuardedWebSocket, ...]:
        """Those that are listened to; one that ended is no longer among them."""
        return tuple(watch.guard for watch in self._watches.values())

    @property
    def sinks(self) -> tuple[SinkFigures, ...]:
        """How the sinks fare, in the order they were given."""
        return tuple(outlet.figures for outlet in self._dispatcher.outlets)

    def add(self, guard: wsguard.GuardedWebSocket) -> None:
        """Listen to a guard, until it ends; nothing if that is so already.

        Alerts that it has open count as raised now.

        Raises:
            PolicyError: Another guard has its name, and alerts are told apart by it.
            trio.ClosedResourceError: The notifier has ended.
        """
        if self._is_over:
            raise trio.ClosedResourceError("the notifier has ended")
        other = self._watches.get(guard.name)
        if other is not None and other.guard is guard:
            return
        if other is not None and other.guard.closed is None:
            raise wsguard.PolicyError("name", guard.name, "is the name of two guards")
        watch = self._watches[guard.name] = _Watch(guard)
        self._nursery.start_soon(self._listen, watch)

    def remove(self, guard: wsguard.GuardedWebSocket) -> None:
        """Cease to listen to a guard; nothing if it ended or was never added.

        Its open alerts are told as ended, without a value: nobody looks any more.
        """
        watch = self._watches.get(guard.name)
        if watch is not None and watch.guard is guard:
            watch.scope.cancel()
            self._forget(watch)

    async def _listen(self, watch: _Watch) -> None:
        with watch.scope:
            async with watch.guard.events() as events:
                self._compare(watch, watch.guard.open_alerts)
                async for event in events:
                    if isinstance(event, wsguard.AlertRaised | wsguard.AlertResolved):
                        self._take(watch, event)
                    elif isinstance(event, wsguard.EventsDropped):
                        self._compare(watch, watch.guard.open_alerts)
        self._forget(watch)

    def _take(self, watch: _Watch, alert: wsguard.Alert) -> None:
        if isinstance(alert, wsguard.AlertRaised):
            watch.open[alert.rule.name] = alert
        else:
            watch.open.pop(alert.rule.name, None)
        self._dispatcher.take(alert)

    def _compare(self, watch: _Watch, current: Iterable[wsguard.AlertRaised]) -> None:
        """Take in the difference between what is known to be open and what is."""
        now_open = {alert.rule.name: alert for alert in current}
        for name, alert in list(watch.open.items()):
            if name not in now_open:
                self._take(watch, _ended(alert))
        for name, alert in now_open.items():
            if name not in watch.open:
                self._take(watch, alert)

    def _forget(self, watch: _Watch) -> None:
        self._compare(watch, ())
        if self._watches.get(watch.guard.name) is watch:
            del self._watches[watch.guard.name]

    async def aclose(self) -> None:
        """Remove all guards, and wait until everything is told.

        Leaving the block does it, within `linger`. Cancelled before it began,
        it tells nothing more.
        """
        self._is_over = True
        await trio.lowlevel.checkpoint()
        for guard in self.guards:
            self.remove(guard)
        await self._dispatcher.finish()


def _ended(alert: wsguard.AlertRaised) -> wsguard.AlertResolved:
    now = trio.current_time()
    return wsguard.AlertResolved(
        rule=alert.rule,
        guard=alert.guard,
        value=None,
        duration=now - alert.at,
        at=now,
        time=time.time(),
    )


AnySink = Sink | trio.MemorySendChannel[wsguard.Notification]


def _as_sink(sink: object) -> Sink:
    if isinstance(sink, trio.MemorySendChannel):
        return ChannelSink(sink)
    if isinstance(sink, Sink):
        return sink
    if callable(sink):
        return CallSink(sink)
    # Its type, and not the thing: a URL given by mistake may hold a secret.
    problem = "must be a sink, an (async) callable or a memory channel"
    raise wsguard.PolicyError("sinks", type(sink).__name__, problem)


@asynccontextmanager
async def open_notifier(
    *guards: wsguard.GuardedWebSocket,
    sinks: Iterable[AnySink | Callable[[wsguard.Notification], Any]],
    grouping: wsguard.Grouping | None = None,
    linger: float = LINGER,
    rng: random.Random | None = None,
) -> AsyncIterator[AlertNotifier]:
    """Tell the alerts of guards to sinks.

    Open it around the guards, and add each: `AlertNotifier.add`. Leaving the
    block tells at once what was not told yet, groups or no groups; cancelling
    the scope around it ends everything at once.

    Args:
        guards: Those to listen to from the beginning.
        sinks: Whom to tell: sinks, (async) callables that take a
            `Notification`, and memory channels.
        grouping: Which alerts are told together, and how often; ``None`` for
            `Grouping()`. A sink may have its own.
        linger: Seconds that sinks have for the rest when the block is left; 0
            tells nothing more.
        rng: Where the jitter of retries is drawn from; ``None`` for a fresh one.

    Raises:
        PolicyError: A setting is wrong.
    """
    if not linger >= 0:
        raise wsguard.PolicyError("linger", linger, "must not be negative")
    rng = random.Random() if rng is None else rng  # noqa: S311 - jitter is no secret
    served = [_as_sink(sink) for sink in sinks]
    outlets = [Outlet(sink, random.Random(rng.getrandbits(64))) for sink in served]  # noqa: S311
    dispatcher = Dispatcher(outlets, grouping or wsguard.Grouping())
    async with open_flat_nursery() as nursery:
        for outlet in outlets:
            nursery.start_soon(outlet.run)
        nursery.start_soon(dispatcher.run)
        notifier = AlertNotifier(nursery, dispatcher)
        for guard in guards:
            notifier.add(guard)
        try:
            yield notifier
        finally:
            with trio.move_on_after(linger):
                await notifier.aclose()
            nursery.cancel_scope.cancel()
