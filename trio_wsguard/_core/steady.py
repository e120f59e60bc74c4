"""A health status that does not waver with its score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from trio_wsguard._core.health import FULL_SCORE, HealthStatus, health_status
from trio_wsguard._core.state import CONNECTED
from trio_wsguard._errors import PolicyError

if TYPE_CHECKING:
    from trio_wsguard._core.state import ConnectionState

BAND: Final = 5.0  # points: half a failure, or two and a half seconds of delay

_RANK: Final = {
    HealthStatus.DOWN: 0,
    HealthStatus.UNHEALTHY: 1,
    HealthStatus.DEGRADED: 2,
    HealthStatus.HEALTHY: 3,
}


@attrs.frozen(kw_only=True)
class HealthChange:
    """A guard fares better or worse than before.

    Attributes:
        previous: The status before.
        status: The status now.
        score: The score behind it, 0 to 100.
        at: When, in monotonic seconds.
        time: When, in Unix seconds.
    """

    previous: HealthStatus
    status: HealthStatus
    score: float
    at: float
    time: float


class SteadyStatus:
    """The status of a guard, with a band above each border.

    It gets worse at the border, so that trouble is told by the documented
    numbers, and better only `band` points above it. DOWN comes and goes with
    the connection; the first status of a connection is that of its score.

    Args:
        band: Points above a border that a score must reach to count as better.

    Attributes:
        status: The present one; a new guard is DOWN.
    """

    def __init__(self, band: float = BAND) -> None:
        if not band >= 0 or health_status(FULL_SCORE - band, CONNECTED) is not HealthStatus.HEALTHY:
            raise PolicyError("band", band, "must be from 0 on, and let a full score be HEALTHY")
        self._band = band
        self.status = HealthStatus.DOWN

    def update(
        self, score: float, state: ConnectionState, now: float, time: float
    ) -> HealthChange | None:
        """Take a score in; tell whether the status changed."""
        previous, status = self.status, health_status(score, state)
        if previous is not HealthStatus.DOWN and _RANK[status] > _RANK[previous]:
            # Never worse than before: the borders are further apart than the widest band.
            status = health_status(score - self._band, state)
        if status is previous:
            return None
        self.status = status
        return HealthChange(previous=previous, status=status, score=score, at=now, time=time)
