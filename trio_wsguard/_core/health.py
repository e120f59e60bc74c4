"""Figures: what has been counted and measured, and the score made of it.

All history is bounded: response times are kept for the last 1,000 answers,
and percentiles are exact over those.
"""

from __future__ import annotations

import bisect
import enum
import math
from array import array
from collections import Counter
from collections.abc import Mapping  # noqa: TC003 - rules read the fields' types
from typing import Final

import attrs

from trio_wsguard._core.buffer import BufferStatistics  # noqa: TC001 - likewise
from trio_wsguard._core.events import AnomalyKind  # noqa: TC001 - likewise
from trio_wsguard._core.failure import FailureKind  # noqa: TC001 - likewise
from trio_wsguard._core.outbox import OutboxStatistics  # noqa: TC001 - likewise
from trio_wsguard._core.rates import Rates  # noqa: TC001 - rules read the fields' types
from trio_wsguard._core.state import CONNECTED, ConnectionState

WINDOW: Final = 1000  # answers

FULL_SCORE: Final = 100.0
FAILURE_WEIGHT: Final = 10.0  # points for each consecutive failure
DELAY_WEIGHT: Final = 2.0  # points for each second of response delay


class HealthStatus(enum.Enum):
    """A score put into a word."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    DOWN = "down"


@attrs.frozen(kw_only=True)
class Health:
    """How a guard fares.

    Attributes:
        score: 0 to 100.
        status: The score in a word; `DOWN` while not CONNECTED.
        connection_failures: Consecutive failures, as they went into the score.
        delay: Response delay in seconds, as it went into the score.
        silence: Seconds since the last message; ``None`` while not CONNECTED.
    """

    score: float
    status: HealthStatus
    connection_failures: int
    delay: float
    silence: float | None


def health_score(connection_failures: int, delay: float) -> float:
    """Tell the score, from 0 to 100.

    Args:
        connection_failures: Consecutive failures; 10 points each.
        delay: Response delay in seconds; 2 points each.

    Source: the documents' formula, kept within its bounds.
    """
    score = FULL_SCORE - FAILURE_WEIGHT * connection_failures - DELAY_WEIGHT * delay
    return min(FULL_SCORE, max(0.0, score))


def health_status(score: float, state: ConnectionState) -> HealthStatus:
    """Put a score into a word: 80 and 50 are the borders."""
    if state is not CONNECTED:
        return HealthStatus.DOWN
    if score >= 80:
        return HealthStatus.HEALTHY
    return HealthStatus.DEGRADED if score >= 50 else HealthStatus.UNHEALTHY


RESPONSE_TIME_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histogram's buckets, in seconds; Prometheus' own default but
for what no round trip to an application can be below, and with the documented 5 s."""


@attrs.frozen(kw_only=True)
class ResponseTimes:
    """Response times, in seconds.

    Attributes:
        last: Of the last answer; ``None`` before the first, as in those below.
        mean: Over the last 1,000 answers.
        p50: The median of the last 1,000 answers; percentiles are exact.
        p95: The 95th percentile of them.
        p99: The 99th percentile of them.
        count: Answers measured, in all.
        sum: Seconds of them, in all.
        buckets: How many of all took at most so long, for each bound of
            `RESPONSE_TIME_BUCKETS`.
    """

    last: float | None = None
    mean: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    count: int = 0
    sum: float = 0.0
    buckets: tuple[int, ...] = (0,) * len(RESPONSE_TIME_BUCKETS)


class ResponseTimeWindow:
    """The last answers, in a ring: O(1) to add, sorted only when figures are asked for."""

    def __init__(self) -> None:
        # An array: a thousand floats as objects would take 40 KiB of every guard.
        self._ring = array("d")
        self._next = 0  # the place of the oldest, once the ring is full
        self._total = 0.0
        # How many fell into each bucket alone; the last is for all beyond the bounds.
        self._counts = [0] * (len(RESPONSE_TIME_BUCKETS) + 1)

    @property
    def last(self) -> float | None:
        """The last response time, in seconds."""
        return self._ring[self._next - 1] if self._ring else None

    def add(self, seconds: float) -> None:
        """Take one measured response time in."""
        if len(self._ring) < WINDOW:
            self._ring.append(seconds)
        else:
            self._ring[self._next] = seconds
        self._next = (self._next + 1) % WINDOW
        self._total += seconds
        self._counts[bisect.bisect_left(RESPONSE_TIME_BUCKETS, seconds)] += 1

    def figures(self) -> ResponseTimes:
        """Sum the window up."""
        if not self._ring:
            return ResponseTimes()
        ordered = sorted(self._ring)
        return ResponseTimes(
            last=self.last,
            mean=math.fsum(ordered) / len(ordered),
            p50=_percentile(ordered, 50),
            p95=_percentile(ordered, 95),
            p99=_percentile(ordered, 99),
            count=sum(self._counts),
            sum=self._total,
            buckets=self._buckets(),
        )

    def _buckets(self) -> tuple[int, ...]:
        total, buckets = 0, list[int]()
        for count in self._counts[:-1]:
            total += count
            buckets.append(total)
        return tuple(buckets)


def _percentile(ordered: list[float], percent: int) -> float:
    # Nearest rank: always a time that was really measured.
    rank = -(-percent * len(ordered) // 100)
    return ordered[rank - 1]


@attrs.define
class Counters:
    """Totals since the guard was opened."""

    attempts: int = 0
    failed_attempts: int = 0
    connections: int = 0
    losses: int = 0
    messages_received: int = 0
    duplicates_dropped: int = 0
    messages_sent: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0
    beats_sent: int = 0
    beats_answered: int = 0
    beats_missed: int = 0
    failures: Counter[FailureKind] = attrs.field(factory=Counter)
    anomalies: Counter[AnomalyKind] = attrs.field(factory=Counter)

    @property
    def reconnects(self) -> int:
        """Connections made ready after the first."""
        return max(0, self.connections - 1)


class Uptime:
    """How long the guard was CONNECTED, of the time since it was opened.

    Args:
        now: Monotonic seconds.
    """

    def __init__(self, now: float) -> None:
        self._opened_at = now
        self._up_since: float | None = None
        self._connected = 0.0

    def up(self, now: float) -> None:
        """Note that the guard became CONNECTED."""
        self._up_since = now

    def down(self, now: float) -> None:
        """Note that it no longer is."""
        if self._up_since is not None:
            self._connected += now - self._up_since
            self._up_since = None

    def connected_seconds(self, now: float) -> float:
        """Tell for how many seconds it was CONNECTED."""
        return self._connected + (0.0 if self._up_since is None else now - self._up_since)

    def elapsed(self, now: float) -> float:
        """Tell for how many seconds it has been open."""
        return now - self._opened_at


@attrs.frozen(kw_only=True)
class Snapshot:
    """All figures of a guard at one moment.

    Times are Unix seconds, 0.0 for never; durations are seconds.

    Attributes:
        name: The guard's name.
        time: The moment itself.
        connection_state: The state.
        connection_failures: Consecutive failures.
        max_connection_failures: How many end in FAILED; ``None`` for never.
        last_message_received_time: When a message last arrived.
        last_heartbeat_time: When a beat was last sent.
        last_heartbeat_response: When a beat was last answered well.
        last_successful_connection: When a connection last became ready.
        last_state_change_time: When the state last changed.
        generation: The number of the present or last connection.
        attempts: Attempts to connect, in all.
        failed_attempts: Those that failed; one given up by us did not.
        connections: Those that made a connection ready.
        reconnects: Connections made ready after the first.
        losses: Connections lost.
        failures: How many attempts failed and connections were lost, by the kind of failure.
        anomalies: How many were raised, by kind.
        open_anomalies: Those not yet recovered, in the order they were raised.
        messages_received: Messages read, in all.
        duplicates_dropped: Those of them that were repeats, and were dropped.
        messages_sent: Messages written, in all.
        bytes_received: Bytes read from the streams, in all.
        bytes_sent: Bytes written to the streams, in all.
        beats_sent: Beats sent.
        beats_answered: Beats answered well.
        beats_missed: Beats failed.
        response_time: Response times of the last answers.
        silence: Seconds since the last message; ``None`` while not CONNECTED.
        mean_time_between_failures: Connected seconds per loss; ``None`` before the first.
        queue_depth: Messages waiting for the application.
        uptime_ratio: Connected seconds per second, 0 to 1.
        rates: Rates and means over the last minutes, as the alerts see them.
        score: The health score, 0 to 100.
        status: The score in a word.
        outgoing: What waits to be sent, or acknowledged; ``None`` where nothing is kept.
    """

    name: str
    time: float
    connection_state: ConnectionState
    connection_failures: int
    max_connection_failures: int | None
    last_message_received_time: float
    last_heartbeat_time: float
    last_heartbeat_response: float
    last_successful_connection: float
    last_state_change_time: float
    generation: int
    attempts: int
    failed_attempts: int
    connections: int
    reconnects: int
    losses: int
    failures: Mapping[FailureKind, int]
    anomalies: Mapping[AnomalyKind, int]
    open_anomalies: tuple[AnomalyKind, ...]
    messages_received: int
    duplicates_dropped: int
    messages_sent: int
    bytes_received: int
    bytes_sent: int
    beats_sent: int
    beats_answered: int
    beats_missed: int
    response_time: ResponseTimes
    silence: float | None
    mean_time_between_failures: float | None
    queue_depth: int
    uptime_ratio: float
    rates: Rates
    score: float
    status: HealthStatus
    outgoing: BufferStatistics | OutboxStatistics | None = None
