"""The bookkeeping of one guard, with the documents' own names.

`ConnectionMonitor` knows the state, the consecutive failures and when things
last happened; it decides what follows a failure and whether connections flap.
It is told facts with their time and answers with records; it waits for
nothing and speaks to nobody.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from trio_wsguard._core.events import Anomaly, AnomalyKind, Recovery
from trio_wsguard._core.health import (
    Counters,
    Health,
    ResponseTimeWindow,
    Snapshot,
    Uptime,
    health_score,
    health_status,
)
from trio_wsguard._core.rates import RateWindows
from trio_wsguard._core.state import (
    CONNECTED,
    CONNECTING,
    DISCONNECTED,
    RECONNECTING,
    ConnectionState,
    StateChange,
    check_transition,
)

if TYPE_CHECKING:
    from random import Random

    from trio_wsguard._core.buffer import BufferStatistics
    from trio_wsguard._core.failure import Failure
    from trio_wsguard._core.liveness import Raise
    from trio_wsguard._core.outbox import OutboxStatistics
    from trio_wsguard._policy import FlappingPolicy, GuardPolicy


def _passes_from(state: ConnectionState, now: float, retry_in: float | None) -> float | None:
    """Tell from when on a state should pass by itself; ``None`` for one to rest in."""
    if state is CONNECTING:
        return now
    return now + (retry_in or 0.0) if state is RECONNECTING else None


@attrs.frozen
class Retry:
    """Try again after so many seconds."""

    delay: float


@attrs.frozen
class GiveUp:
    """Do not try again; why, in one line."""

    reason: str


class Flapping:
    """Losses of short-lived connections, within a window.

    Args:
        policy: What is short, and how many in what time are too many.
    """

    def __init__(self, policy: FlappingPolicy) -> None:
        self._policy = policy
        self._losses: list[float] = []

    def lost(self, now: float, lifetime: float) -> bool:
        """Note a loss; tell whether the guard flaps."""
        if lifetime >= self._policy.lifetime:
            self._losses.clear()
            return False
        self._losses.append(now)
        del self._losses[: -self._policy.limit]
        is_full = len(self._losses) == self._policy.limit
        return is_full and now - self._losses[0] <= self._policy.window

    def sound_at(self, connected_at: float) -> float:
        """Tell when a connection counts as sound, in monotonic seconds."""
        return connected_at + self._policy.lifetime


class Anomalies:
    """Which anomalies are open, so that each is raised once and recovered once."""

    _OF_A_STATE = frozenset({AnomalyKind.STUCK})
    # What is known of a connection ends with it; silence and flapping outlive it.
    _OF_A_CONNECTION = frozenset(AnomalyKind) - {AnomalyKind.SILENCE, AnomalyKind.FLAPPING}

    def __init__(self) -> None:
        self._since: dict[AnomalyKind, float] = {}

    @property
    def open(self) -> tuple[AnomalyKind, ...]:
        """Those raised and not yet recovered, in the order they were raised."""
        return tuple(self._since)

    def is_open(self, kind: AnomalyKind) -> bool:
        """Tell whether an anomaly was raised and not yet recovered."""
        return kind in self._since

    def begin(self, what: Raise, now: float, time: float, generation: int) -> Anomaly | None:
        """Open an anomaly; nothing if it is open already."""
        if what.kind in self._since:
            return None
        self._since[what.kind] = now
        return Anomaly(
            kind=what.kind,
            message=what.message,
            value=what.value,
            at=now,
            time=time,
            generation=generation,
        )

    def end(self, kind: AnomalyKind, now: float, time: float, generation: int) -> Recovery | None:
        """Close an anomaly; nothing if it is not open."""
        since = self._since.pop(kind, None)
        if since is None:
            return None
        return Recovery(kind=kind, duration=now - since, at=now, time=time, generation=generation)

    def end_state(
        self, state: ConnectionState, now: float, time: float, generation: int
    ) -> list[Recovery]:
        """Close what belonged to a state that is left, or to its connection."""
        bound = self._OF_A_CONNECTION if state is CONNECTED else self._OF_A_STATE
        ended = [
            self.end(kind, now, time, generation) for kind in list(self._since) if kind in bound
        ]
        return [recovery for recovery in ended if recovery is not None]


class ConnectionMonitor:
    """The record of one guard.

    Args:
        policy: The settings.
        now: Monotonic seconds.
        time: Unix seconds.

    Attributes:
        connection_state: The present state.
        connection_failures: Consecutive failures.
        max_connection_failures: How many end in FAILED; ``None`` for never.
        last_state_change_time: Unix seconds.
        last_successful_connection: Unix seconds; 0.0 for never, as in all below.
        last_message_received_time: Unix seconds.
        last_heartbeat_time: Unix seconds.
        last_heartbeat_response: Unix seconds.
        counters: Totals.
        response_times: The last response times.
        rates: What went well of late, and what did not.

    Source: the documents' ``ConnectionMonitor`` and its table of figures.
    """

    def __init__(self, policy: GuardPolicy, now: float, time: float) -> None:
        self._policy = policy
        self.connection_state = DISCONNECTED
        self.connection_failures = 0
        self.max_connection_failures = policy.max_connection_failures
        self.last_state_change_time = time
        self.last_successful_connection = 0.0
        self.last_message_received_time = 0.0
        self.last_heartbeat_time = 0.0
        self.last_heartbeat_response = 0.0
        self.counters = Counters()
        self.response_times = ResponseTimeWindow()
        self.rates = RateWindows(policy.alerts.window)
        self._uptime = Uptime(now)
        self._flapping = Flapping(policy.flapping)
        self._changed_at = self._connected_at = now
        self._passing_since: float | None = None
        self._is_on_trial = False
        self._is_flapping = False

    def set_connection_state(
        self,
        state: ConnectionState,
        now: float,
        time: float,
        *,
        reason: str = "",
        failure: Failure | None = None,
        generation: int = 0,
        endpoint: str = "",
        retry_in: float | None = None,
    ) -> StateChange | None:
        """Move to a state.

        Returns:
            The record of the move; ``None``, and nothing changed, if the guard
            was there already.

        Raises:
            IllegalTransitionError: The table has no such move; nothing changed.
        """
        previous = self.connection_state
        if state is previous:
            return None
        check_transition(previous, state)
        if state is RECONNECTING and failure is not None:
            # Each failure makes this move once; FAILED only tells the last one again.
            self.counters.failures[failure.kind] += 1
        duration = now - self._changed_at
        self.connection_state = state
        self.last_state_change_time = time
        self._changed_at = now
        self._passing_since = _passes_from(state, now, retry_in)
        if state is CONNECTED:
            self.counters.connections += 1
            self.last_successful_connection = time
            self._connected_at = now
            self._is_on_trial = True
            self._uptime.up(now)
            self.rates.attempted(now, is_good=True)
        elif previous is CONNECTED:
            self._uptime.down(now)
            self._end_trial(now)
        return StateChange(
            previous=previous,
            state=state,
            at=now,
            time=time,
            duration=duration,
            reason=reason,
            failure=failure,
            generation=generation,
            endpoint=endpoint,
            retry_in=retry_in,
        )

    def settle(self, now: float) -> None:
        """Forget the failures once a connection has proved itself; else nothing."""
        if self._is_on_trial and now >= self.stable_at:
            self.connection_failures = 0

    def _end_trial(self, now: float) -> None:
        # Once, at the loss or the move, whichever is told first: what a connection
        # proved comes before its own loss and must not wipe that out.
        self.settle(now)
        self._is_on_trial = False

    @property
    def stable_at(self) -> float:
        """When the present connection has proved itself, in monotonic seconds."""
        return self._connected_at + self._policy.stable_after

    @property
    def sound_at(self) -> float:
        """When the present connection no longer counts as flapping, in monotonic seconds."""
        return self._flapping.sound_at(self._connected_at)

    def ended(self, now: float) -> None:
        """Note that the present connection is to end: CONNECTED is about to pass."""
        if self.connection_state is CONNECTED:
            self._passing_since = now

    @property
    def stuck_at(self) -> float:
        """When the present state has lasted too long, in monotonic seconds.

        Infinite for a state in which a guard may rest: CONNECTED until its end
        is decided, RECONNECTING until the backoff is over, and those in which
        it waits for the user.
        """
        since, timeout = self._passing_since, self._policy.watchdog.stuck_timeout
        return math.inf if since is None else since + timeout

    def failed(self, now: float) -> None:
        """Count a failed attempt."""
        self.counters.failed_attempts += 1
        self.connection_failures += 1
        self.rates.attempted(now, is_good=False)

    def lost(self, now: float) -> bool:
        """Count a lost connection; tell whether the guard flaps."""
        self._end_trial(now)
        self.counters.losses += 1
        self.connection_failures += 1
        self._is_flapping = self._flapping.lost(now, now - self._connected_at)
        return self._is_flapping

    def decide(self, failure: Failure, rng: Random | None) -> Retry | GiveUp:
        """Tell what follows a failure that was counted already.

        Args:
            failure: The failure.
            rng: Where jitter is drawn from.
        """
        if not failure.transient:
            return GiveUp(f"not worth retrying: {failure}")
        limit = self.max_connection_failures
        if limit is not None and self.connection_failures >= limit:
            many = "s" if self.connection_failures > 1 else ""
            return GiveUp(f"{self.connection_failures} failure{many} in a row, the last: {failure}")
        if self._is_flapping and self._policy.flapping.fail:
            return GiveUp(f"flapping: {failure}")
        delay = self._policy.backoff.delay(
            failure.kind, self.connection_failures, rng, retry_after=failure.retry_after
        )
        return Retry(delay)

    def reset(self) -> None:
        """Forget the failures."""
        self.connection_failures = 0
        self._is_flapping = False
        self._flapping = Flapping(self._policy.flapping)

    def health(self, now: float, silence: float | None, open_delay: float) -> Health:
        """Tell how the guard fares.

        Args:
            now: Monotonic seconds.
            silence: Seconds since the last message; ``None`` while not CONNECTED.
            open_delay: Seconds that the open beat has waited for its answer.
        """
        if self.connection_state is CONNECTED:
            self.settle(now)
        delay = max(self.response_times.last or 0.0, open_delay)
        score = health_score(self.connection_failures, delay)
        return Health(
            score=score,
            status=health_status(score, self.connection_state),
            connection_failures=self.connection_failures,
            delay=delay,
            silence=silence,
        )

    def snapshot(
        self,
        now: float,
        time: float,
        *,
        name: str,
        generation: int,
        queue_depth: int,
        silence: float | None,
        open_delay: float,
        open_anomalies: tuple[AnomalyKind, ...] = (),
        outgoing: BufferStatistics | OutboxStatistics | None = None,
    ) -> Snapshot:
        """Freeze all figures; see `Snapshot`."""
        health = self.health(now, silence, open_delay)
        counters = self.counters
        connected = self._uptime.connected_seconds(now)
        elapsed = self._uptime.elapsed(now)
        return Snapshot(
            name=name,
            time=time,
            connection_state=self.connection_state,
            connection_failures=self.connection_failures,
            max_connection_failures=self.max_connection_failures,
            last_message_received_time=self.last_message_received_time,
            last_heartbeat_time=self.last_heartbeat_time,
            last_heartbeat_response=self.last_heartbeat_response,
            last_successful_connection=self.last_successful_connection,
            last_state_change_time=self.last_state_change_time,
            generation=generation,
            attempts=counters.attempts,
            failed_attempts=counters.failed_attempts,
            connections=counters.connections,
            reconnects=counters.reconnects,
            losses=counters.losses,
            failures=dict(counters.failures),
            anomalies=dict(counters.anomalies),
            open_anomalies=open_anomalies,
            messages_received=counters.messages_received,
            duplicates_dropped=counters.duplicates_dropped,
            messages_sent=counters.messages_sent,
            bytes_received=counters.bytes_received,
            bytes_sent=counters.bytes_sent,
            beats_sent=counters.beats_sent,
            beats_answered=counters.beats_answered,
            beats_missed=counters.beats_missed,
            response_time=self.response_times.figures(),
            silence=silence,
            mean_time_between_failures=connected / counters.losses if counters.losses else None,
            queue_depth=queue_depth,
            uptime_ratio=connected / elapsed if elapsed > 0 else 0.0,
            rates=self.rates.rates(now),
            score=health.score,
            status=health.status,
            outgoing=outgoing,
        )
