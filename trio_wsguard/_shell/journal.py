"""What a guard knows and tells: its monitor, its events, its log, who waits for a state."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from trio_wsguard._core.events import Gap
from trio_wsguard._core.liveness import Raise, Recover
from trio_wsguard._core.monitor import Anomalies, ConnectionMonitor
from trio_wsguard._core.state import CONNECTED, FAILED, RECONNECTING, ConnectionState, StateChange
from trio_wsguard._core.steady import SteadyStatus
from trio_wsguard._shell.listeners import Event, Listeners

if TYPE_CHECKING:
    from trio_wsguard._core.buffer import BufferStatistics
    from trio_wsguard._core.events import AnomalyKind
    from trio_wsguard._core.failure import Failure
    from trio_wsguard._core.health import Health, Snapshot
    from trio_wsguard._core.outbox import OutboxStatistics
    from trio_wsguard._policy import GuardPolicy
    from trio_wsguard._shell.vitals import Vitals

_LEVELS: Final = {FAILED: logging.ERROR, RECONNECTING: logging.WARNING}


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

    Attributes:
        generation: The number of the present or last connection.
        endpoint: Where it goes, fit to be shown; empty until that is known.
        vitals: Those of the connection that is CONNECTED; ``None`` without one.
        listeners: Who is told what happens.
    """

    def __init__(self, name: str, policy: GuardPolicy) -> None:
        self.name = name
        self.monitor = ConnectionMonitor(policy, trio.current_time(), time.time())
        self.generation = 0
        self.endpoint = ""
        self.vitals: Vitals | None = None
        self.listeners = Listeners()
        # A dot would make it a logger below another guard's.
        self._logger = logging.getLogger(f"trio_wsguard.guard.{name.replace('.', '_')}")
        self._anomalies = Anomalies()
        self._steady = SteadyStatus()
        self._waiters: dict[_Waiter, None] = {}  # in the order in which they came
        self._lost: tuple[float, int] | None = None
        self._is_over = False

    @property
    def state(self) -> ConnectionState:
        """Where the guard stands."""
        return self.monitor.connection_state

    def health(self) -> Health:
        """Tell how the guard fares now."""
        return self.monitor.health(trio.current_time(), *self._signs())

    def snapshot(
        self, queue_depth: int, outgoing: BufferStatistics | OutboxStatistics | None = None
    ) -> Snapshot:
        """Freeze all figures.

        Args:
            queue_depth: Messages waiting for the application.
            outgoing: What waits to be sent, or acknowledged.
        """
        silence, open_delay = self._signs()
        return self.monitor.snapshot(
            trio.current_time(),
            time.time(),
            name=self.name,
            generation=self.generation,
            queue_depth=queue_depth,
            silence=silence,
            open_delay=open_delay,
            open_anomalies=self._anomalies.open,
            outgoing=outgoing,
        )

    def _signs(self) -> tuple[float | None, float]:
        """Tell the silence, and how long the open beat has waited, in seconds."""
        vitals = self.vitals
        return (None, 0.0) if vitals is None else (vitals.silence, vitals.open_delay)

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
            endpoint=self.endpoint,
            retry_in=retry_in,
        )
        if change is None:
            return
        self._log_change(change)
        self.publish(change)
        if change.previous is CONNECTED:
            self.vitals = None
            self._lost = (now, self.generation)
        for recovery in self._anomalies.end_state(change.previous, now, unix, self.generation):
            self.publish(recovery)
        if state is CONNECTED:
            self._tell_gap(now, unix)
        self.assess()
        for waiter in [waiter for waiter in self._waiters if state in waiter.states]:
            self._waiters.pop(waiter, None)
            waiter.reached = state
            waiter.woken.set()

    def gap_until(self, now: float, unix: float) -> Gap | None:
        """Tell the gap that a connection ready now would end; ``None`` if there is none."""
        if self._lost is None:
            return None
        lost_at, lost_generation = self._lost
        return Gap(
            lost_at=lost_at,
            ready_at=now,
            time=unix,
            lost_generation=lost_generation,
            ready_generation=self.generation,
        )

    def _tell_gap(self, now: float, unix: float) -> None:
        gap = self.gap_until(now, unix)
        self._lost = None
        if gap is not None:
            self.publish(gap)

    def assess(self) -> None:
        """Look at the health, and tell it if the status changed."""
        health = self.health()
        now, unix = trio.current_time(), time.time()
        change = self._steady.update(health.score, self.state, now, unix)
        if change is not None:
            self.publish(change)

    def note(self, verdict: Raise | Recover) -> None:
        """Open or close an anomaly, and tell it if that is news."""
        if isinstance(verdict, Recover) and not self.is_open(verdict.kind):
            return  # the usual case: nothing is wrong, and nothing was
        now, unix = trio.current_time(), time.time()
        if isinstance(verdict, Raise):
            anomaly = self._anomalies.begin(verdict, now, unix, self.generation)
            if anomaly is not None:
                kind = anomaly.kind.value
                self.monitor.counters.anomalies[anomaly.kind] += 1
                self._log(logging.WARNING, "%s: %s", kind, anomaly.message, anomaly=kind)
                self.publish(anomaly)
        else:
            recovery = self._anomalies.end(verdict.kind, now, unix, self.generation)
            if recovery is not None:
                kind, lasted = recovery.kind.value, recovery.duration
                self._log(logging.INFO, "%s over after %.1f s", kind, lasted, anomaly=kind)
                self.publish(recovery)
        self.assess()

    def is_open(self, kind: AnomalyKind) -> bool:
        """Tell whether an anomaly is open."""
        return self._anomalies.is_open(kind)

    def publish(self, event: Event) -> None:
        """Tell an event to all who listen."""
        self.listeners.publish(event)

    # --- the log -----------------------------------------------------------------

    def _log_change(self, change: StateChange) -> None:
        retry = "" if change.retry_in is None else f", retrying in {change.retry_in:g} s"
        failure = change.failure
        level = _LEVELS.get(change.state, logging.INFO)
        self._log(
            level if failure is None else max(level, failure.log_level),
            "%s -> %s after %.3g s (%s%s)",
            change.previous.name,
            change.state.name,
            change.duration,
            change.reason,
            retry,
            state=change.state.name,
            previous=change.previous.name,
            failure=None if failure is None else failure.kind.name,
        )

    def debug(self, text: str, *args: object) -> None:
        """Log what happens all the time."""
        if self._logger.isEnabledFor(logging.DEBUG):
            self._log(logging.DEBUG, text, *args)

    def _log(self, level: int, text: str, *args: object, **fields: Any) -> None:
        if not self._logger.isEnabledFor(level):
            return
        # Prefixed, since `logging` refuses fields of a record's own, such as "name".
        fields.update(guard=self.name, generation=self.generation)
        extra = {f"wsguard_{name}": value for name, value in fields.items()}
        self._logger.log(level, f"%s: {text}", self.name, *args, extra=extra)

    # --- waiting -----------------------------------------------------------------

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
        self._waiters[waiter] = None
        try:
            await waiter.woken.wait()
        finally:
            self._waiters.pop(waiter, None)
        if waiter.reached is None:
            raise trio.ClosedResourceError("the guard was closed")
        return waiter.reached

    def finish(self) -> None:
        """Note that nothing will happen any more; wake all who wait."""
        self._is_over = True
        self.listeners.finish()
        for waiter in self._waiters:
            waiter.woken.set()
