"""What a guard knows and tells: its monitor, its events, its log, who waits for a state."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import attrs
import trio

from trio_wsguard._core.events import Anomaly, EventsDropped, Gap, Recovery
from trio_wsguard._core.liveness import Raise, Recover
from trio_wsguard._core.monitor import Anomalies, ConnectionMonitor
from trio_wsguard._core.state import CONNECTED, FAILED, RECONNECTING, ConnectionState, StateChange

if TYPE_CHECKING:
    from trio_wsguard._core.events import AnomalyKind
    from trio_wsguard._core.failure import Failure
    from trio_wsguard._policy import GuardPolicy

Event = StateChange | Gap | Anomaly | Recovery | EventsDropped

logger: Final = logging.getLogger("trio_wsguard")


class EventStream:
    """Events of a guard, oldest first; made by `GuardedWebSocket.events`.

    A slow reader loses the oldest and finds an `EventsDropped` in their place.
    It ends after the guard's last event.
    """

    def __init__(self, max_queue: int) -> None:
        self._events: deque[Event] = deque()
        self._max_queue = max_queue
        self._dropped = 0
        self._news = trio.Event()
        self._is_over = False

    def push(self, event: Event) -> None:
        """Add an event; never waits."""
        if len(self._events) == self._max_queue:
            self._events.popleft()
            self._dropped += 1
        self._events.append(event)
        self._news.set()

    def finish(self) -> None:
        """Let the reader end once it has read what is there."""
        self._is_over = True
        self._news.set()

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> Event:
        await trio.lowlevel.checkpoint()
        while not self._events:
            if self._is_over:
                raise StopAsyncIteration
            self._news = trio.Event()
            await self._news.wait()
        if self._dropped:
            count, self._dropped = self._dropped, 0
            return EventsDropped(count=count)
        return self._events.popleft()


@attrs.define(eq=False)
class _Waiter:
    states: frozenset[ConnectionState]
    reached: ConnectionState | None = None
    woken: trio.Event = attrs.field(factory=trio.Event)


class Journal:
    """The one place where a guard's state moves and its events are told.

    Args:
        name: The guard's name, for the log.
        policy: Its settings.
    """

    def __init__(self, name: str, policy: GuardPolicy) -> None:
        self.name = name
        self.monitor = ConnectionMonitor(policy, trio.current_time(), time.time())
        self.generation = 0
        self._anomalies = Anomalies()
        self._streams: set[EventStream] = set()
        self._waiters: set[_Waiter] = set()
        self._lost: tuple[float, int] | None = None
        self._is_over = False

    @property
    def state(self) -> ConnectionState:
        """Where the guard stands."""
        return self.monitor.connection_state

    def move(
        self,
        state: ConnectionState,
        reason: str,
        *,
        failure: Failure | None = None,
        retry_in: float | None = None,
    ) -> None:
        """Move to a state, and tell it; nothing if the guard is there already."""
        now, unix = trio.current_time(), time.time()
        change = self.monitor.set_connection_state(
            state,
            now,
            unix,
            reason=reason,
            failure=failure,
            generation=self.generation,
            retry_in=retry_in,
        )
        if change is None:
            return
        self._log(change)
        self.publish(change)
        if change.previous is CONNECTED:
            for recovery in self._anomalies.end_connection(now, unix, self.generation):
                self.publish(recovery)
            self._lost = (now, self.generation)
        if state is CONNECTED:
            self._tell_gap(now, unix)
        for waiter in [waiter for waiter in self._waiters if state in waiter.states]:
            self._waiters.discard(waiter)
            waiter.reached = state
            waiter.woken.set()

    def _tell_gap(self, now: float, unix: float) -> None:
        if self._lost is not None:
            lost_at, lost_generation = self._lost
            self._lost = None
            self.publish(
                Gap(
                    lost_at=lost_at,
                    ready_at=now,
                    time=unix,
                    lost_generation=lost_generation,
                    ready_generation=self.generation,
                )
            )

    def _log(self, change: StateChange) -> None:
        level = {FAILED: logging.ERROR, RECONNECTING: logging.WARNING}.get(
            change.state, logging.INFO
        )
        retry = "" if change.retry_in is None else f", retrying in {change.retry_in:g} s"
        logger.log(
            level,
            "%s: %s -> %s (%s%s)",
            self.name,
            change.previous.name,
            change.state.name,
            change.reason,
            retry,
        )

    def note(self, verdict: Raise | Recover) -> None:
        """Open or close an anomaly, and tell it if that is news."""
        if isinstance(verdict, Recover) and not self.is_open(verdict.kind):
            return  # the usual case: nothing is wrong, and nothing was
        now, unix = trio.current_time(), time.time()
        if isinstance(verdict, Raise):
            anomaly = self._anomalies.begin(verdict, now, unix, self.generation)
            if anomaly is not None:
                logger.warning("%s: %s: %s", self.name, anomaly.kind.value, anomaly.message)
                self.publish(anomaly)
            return
        recovery = self._anomalies.end(verdict.kind, now, unix, self.generation)
        if recovery is not None:
            logger.info(
                "%s: %s over after %.1f s", self.name, recovery.kind.value, recovery.duration
            )
            self.publish(recovery)

    def is_open(self, kind: AnomalyKind) -> bool:
        """Tell whether an anomaly is open."""
        return self._anomalies.is_open(kind)

    def publish(self, event: Event) -> None:
        """Tell an event to all who listen."""
        for stream in self._streams:
            stream.push(event)

    def open_stream(self, max_queue: int) -> EventStream:
        """Begin to listen."""
        stream = EventStream(max_queue)
        if self._is_over:
            stream.finish()
        self._streams.add(stream)
        return stream

    def close_stream(self, stream: EventStream) -> None:
        """Cease to listen."""
        self._streams.discard(stream)

    async def wait_state(self, states: frozenset[ConnectionState]) -> ConnectionState:
        """Wait for one of some states, and tell which it was.

        A state passed through between two scheduler ticks counts.

        Raises:
            trio.ClosedResourceError: The guard ended without reaching one.
        """
        await trio.lowlevel.checkpoint()
        if self.state in states:
            return self.state
        if self._is_over:
            raise trio.ClosedResourceError("the guard is closed")
        waiter = _Waiter(states)
        self._waiters.add(waiter)
        try:
            await waiter.woken.wait()
        finally:
            self._waiters.discard(waiter)
        if waiter.reached is None:
            raise trio.ClosedResourceError("the guard was closed")
        return waiter.reached

    def finish(self) -> None:
        """Note that nothing will happen any more; wake all who wait."""
        self._is_over = True
        for stream in self._streams:
            stream.finish()
        for waiter in self._waiters:
            waiter.woken.set()
