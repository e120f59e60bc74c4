"""What a guard tells besides its state changes: gaps and anomalies.

Anomalies come in pairs: what was raised once is recovered once, and is not
raised again in between.
"""

from __future__ import annotations

import enum

import attrs


class AnomalyKind(enum.Enum):
    """What looked wrong, short of a lost connection."""

    SLOW_RESPONSE = "slow_response"
    HEARTBEAT_LOST = "heartbeat_lost"
    HEARTBEAT_REJECTED = "heartbeat_rejected"
    SILENCE = "silence"
    FLAPPING = "flapping"
    SLOW_CONSUMER = "slow_consumer"
    LOCAL_STALL = "local_stall"
    STUCK = "stuck"


@attrs.frozen(kw_only=True)
class Anomaly:
    """Something looked wrong.

    Attributes:
        kind: What.
        message: One line for a person.
        value: The figure behind it: seconds for times, a count for the rest.
        at: When, in monotonic seconds.
        time: When, in Unix seconds.
        generation: The connection it was seen on.
    """

    kind: AnomalyKind
    message: str
    value: float
    at: float
    time: float
    generation: int


@attrs.frozen(kw_only=True)
class Recovery:
    """An anomaly is over.

    Attributes:
        kind: Which.
        duration: Seconds that it lasted.
        at: When, in monotonic seconds.
        time: When, in Unix seconds.
        generation: The connection it ended on.
    """

    kind: AnomalyKind
    duration: float
    at: float
    time: float
    generation: int


@attrs.frozen(kw_only=True)
class Gap:
    """A time without a connection is over; messages of it may be missing.

    Attributes:
        lost_at: When the old connection was lost, in monotonic seconds.
        ready_at: When the new one was ready, in monotonic seconds.
        time: When the new one was ready, in Unix seconds.
        lost_generation: The old connection.
        ready_generation: The new one.
    """

    lost_at: float
    ready_at: float
    time: float
    lost_generation: int
    ready_generation: int

    @property
    def duration(self) -> float:
        """Seconds without a connection."""
        return self.ready_at - self.lost_at


@attrs.frozen(kw_only=True)
class EventsDropped:
    """A reader of events was too slow; the oldest were dropped in its favour.

    Attributes:
        count: How many, since the reader last took one.
    """

    count: int
