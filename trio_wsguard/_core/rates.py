"""Rates and means over the last minutes, bounded in time and in number.

Sums are made anew each time and rounded once, so that nothing drifts however
long a guard runs, and a rate that stands exactly at a threshold is seen to stand
there. Samples are two numbers in arrays: as objects they would take seven times
the memory, of every guard.
"""

from __future__ import annotations

import math
from array import array
from typing import Final

import attrs

from trio_wsguard._core import checks

RATE_WINDOW: Final = 300.0  # seconds; the documented alerts look this far back
MAX_SAMPLES: Final = 1000  # three a second over the window; a guard makes far fewer


def _numbers() -> array[float]:
    return array("d")


@attrs.define(eq=False)
class _Window:
    window: float = attrs.field(default=RATE_WINDOW, validator=checks.positive)
    max_samples: int = attrs.field(default=MAX_SAMPLES, validator=checks.count)
    _times: array[float] = attrs.field(init=False, factory=_numbers)
    _amounts: array[float] = attrs.field(init=False, factory=_numbers)

    def _put(self, now: float, amount: float) -> None:
        # Told late, a sample waits behind those told before: time is not turned back.
        self._expire(now)
        if len(self._times) == self.max_samples:
            self._forget(1)
        self._times.append(now)
        self._amounts.append(amount)

    def _expire(self, now: float) -> None:
        # Open on the left, as Prometheus' range selectors are since 3.0: of two
        # samples a whole window apart, only one is ever in it.
        kept_from = 0
        for at in self._times:
            if now < at + self.window:
                break
            kept_from += 1
        if kept_from:
            self._forget(kept_from)

    def _forget(self, count: int) -> None:
        del self._times[:count], self._amounts[:count]

    def samples(self, now: float) -> int:
        """Tell how many samples the window holds."""
        self._expire(now)
        return len(self._times)

    def _sum(self) -> float:
        return math.fsum(self._amounts)


@attrs.define(eq=False)
class RateWindow(_Window):
    """What went well and what did not, over a sliding window.

    To add is O(1), but for one short move of memory when old samples go; a rate is
    summed when it is asked for. Where more samples fall into the window than it may
    hold, the oldest make room.

    Args:
        window: Seconds that a sample counts.
        max_samples: How many are kept.
    """

    def add(self, now: float, is_good: bool) -> None:
        """Take one outcome in."""
        self._put(now, is_good)

    def good_rate(self, now: float) -> float | None:
        """Tell which part went well, 0 to 1; ``None`` without a sample."""
        count = self.samples(now)
        return self._sum() / count if count else None

    def bad_rate(self, now: float) -> float | None:
        """Tell which part did not, 0 to 1; ``None`` without a sample."""
        # Not 1 less the good rate: 3 of 10 must be 0.3 to the last bit.
        count = self.samples(now)
        return (count - self._sum()) / count if count else None


@attrs.define(eq=False)
class MeanWindow(_Window):
    """The mean of measured times over a sliding window.

    Args:
        window: Seconds that a sample counts.
        max_samples: How many are kept.
    """

    def add(self, now: float, seconds: float) -> None:
        """Take one measured time in; one that is no finite number is no sample."""
        if math.isfinite(seconds):
            self._put(now, seconds)

    def mean(self, now: float) -> float | None:
        """Tell the mean in seconds; ``None`` without a sample."""
        count = self.samples(now)
        return self._sum() / count if count else None


@attrs.frozen(kw_only=True)
class Rates:
    """The windowed figures of a guard at one moment; ``None`` without a sample.

    Attributes:
        connection_failure_rate: Attempts to connect that failed, 0 to 1.
        connection_success_rate: Attempts that succeeded, 0 to 1.
        heartbeat_timeout_rate: Beats that failed, 0 to 1.
        mean_response_time: Seconds.
        attempt_samples: Attempts in the window.
        beat_samples: Beats answered or failed in the window.
        response_samples: Response times in the window.
    """

    connection_failure_rate: float | None = None
    connection_success_rate: float | None = None
    heartbeat_timeout_rate: float | None = None
    mean_response_time: float | None = None
    attempt_samples: int = 0
    beat_samples: int = 0
    response_samples: int = 0


class RateWindows:
    """The three windows of a guard; they outlive its connections.

    Args:
        window: Seconds that a sample counts.
        max_samples: How many are kept in each.
    """

    def __init__(self, window: float = RATE_WINDOW, max_samples: int = MAX_SAMPLES) -> None:
        self._attempts = RateWindow(window, max_samples)
        self._beats = RateWindow(window, max_samples)
        self._responses = MeanWindow(window, max_samples)

    def attempted(self, now: float, is_good: bool) -> None:
        """Note how an attempt to connect ended; one abandoned by us is none."""
        self._attempts.add(now, is_good)

    def beat(self, now: float, is_good: bool) -> None:
        """Note that a beat was answered, or failed; one given up unjudged is none."""
        self._beats.add(now, is_good)

    def responded(self, now: float, seconds: float) -> None:
        """Note a measured response time."""
        self._responses.add(now, seconds)

    def rates(self, now: float) -> Rates:
        """Sum the windows up."""
        return Rates(
            connection_failure_rate=self._attempts.bad_rate(now),
            connection_success_rate=self._attempts.good_rate(now),
            heartbeat_timeout_rate=self._beats.bad_rate(now),
            mean_response_time=self._responses.mean(now),
            attempt_samples=self._attempts.samples(now),
            beat_samples=self._beats.samples(now),
            response_samples=self._responses.samples(now),
        )
