"""How long to wait before the next attempt.

A backoff is a function of the number of consecutive failures. Laws, proved by
property tests for every shipped one: 0 <= delay <= cap; without jitter the
delay never falls as failures rise; full and equal jitter never exceed the
delay without it; decorrelated jitter stays between the first delay and the
cap; the same seed gives the same delays; no number of failures overflows.

Jitter is drawn *inside* the cap and never clipped at it: clipping puts a
share of all clients on the cap itself, and they come back as one herd.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, runtime_checkable

import attrs

from trio_wsguard._core import checks
from trio_wsguard._core.failure import FailureKind
from trio_wsguard._errors import PolicyError

if TYPE_CHECKING:
    from random import Random

Jitter = Literal["none", "full", "equal", "decorrelated"]

# A decorrelated chain forgets where it began long before this many steps.
_MAX_STEPS: Final = 64
_MANY: Final = 2**1023  # the highest power of two that is a float


@runtime_checkable
class Backoff(Protocol):
    """Anything that tells a delay for a number of consecutive failures."""

    @property
    def cap(self) -> float:
        """The longest delay, in seconds."""
        ...

    def delay(self, failures: int, rng: Random | None = None) -> float:
        """Tell how many seconds to wait after so many failures, counted from 1.

        Args:
            failures: Consecutive failures; 0 means none, and no delay.
            rng: Where jitter is drawn from; ``None`` for the delay without it.
        """
        ...


def _as_backoff(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, Backoff):
        raise PolicyError(attribute.name, value, "must be a backoff: an object with delay and cap")


@attrs.frozen
class LinearBackoff:
    """Wait ``step`` seconds more after each failure: min(step * n, cap).

    Args:
        step: Seconds added by each failure.
        cap: The longest delay, in seconds.

    Source: the documents' retry policy, in its three variants.
    """

    step: float = attrs.field(validator=checks.not_negative)
    cap: float = attrs.field(validator=checks.not_negative)

    def delay(self, failures: int, rng: Random | None = None) -> float:  # noqa: ARG002 - protocol
        """Tell the delay in seconds; exact, `rng` is not used."""
        # Bounded before multiplied: an int beyond the range of float must not overflow.
        return float(min(self.cap, self.step * min(max(failures, 0), _MANY)))


@attrs.frozen
class ExponentialBackoff:
    """Wait ``factor`` times longer after each failure, from ``initial`` up to ``cap``.

    Args:
        initial: The delay after the first failure, in seconds.
        factor: The growth per failure, at least 1.
        cap: The longest delay, in seconds.
        immediate: Whether the first retry comes at once; the second failure
            then waits `initial`.

    Source: gRPC's connection backoff (1 s, 1.6, 120 s) has the same shape.
    """

    initial: float = attrs.field(default=0.5, validator=checks.positive)
    factor: float = attrs.field(default=2.0, validator=checks.positive)
    cap: float = attrs.field(default=60.0, validator=checks.positive)
    immediate: bool = attrs.field(default=False, validator=checks.boolean)

    def __attrs_post_init__(self) -> None:
        if self.factor < 1:
            raise PolicyError("factor", self.factor, "must be at least 1")
        if self.initial > self.cap:
            raise PolicyError("initial", self.initial, f"must not exceed the cap of {self.cap}")

    def delay(self, failures: int, rng: Random | None = None) -> float:  # noqa: ARG002 - protocol
        """Tell the delay in seconds; exact, `rng` is not used."""
        step = failures - 1 - self.immediate
        if step < 0:
            return 0.0
        if self.factor == 1:
            return float(self.initial)
        # Solved for the step at which the cap is reached, so that no power overflows.
        if step >= math.log(self.cap / self.initial) / math.log(self.factor):
            return float(self.cap)
        return float(min(self.cap, self.initial * self.factor**step))


@attrs.frozen
class JitteredBackoff:
    """Spread the delays of another backoff, so that clients do not return in step.

    Args:
        backoff: The delays to spread.
        jitter: ``"full"`` draws from 0 to the delay, ``"equal"`` from half of
            it to the whole, ``"decorrelated"`` from the first delay to three
            times the delay before, within the cap; ``"none"`` draws nothing.

    Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture
    Blog; there decorrelated jitter is clipped at the cap, here it is drawn
    below it.
    """

    backoff: Backoff = attrs.field(validator=_as_backoff)
    jitter: Jitter = "full"

    def __attrs_post_init__(self) -> None:
        if self.jitter not in ("none", "full", "equal", "decorrelated"):
            raise PolicyError("jitter", self.jitter, "must be none, full, equal or decorrelated")

    @property
    def cap(self) -> float:
        """The longest delay, in seconds: that of the backoff beneath."""
        return self.backoff.cap

    def delay(self, failures: int, rng: Random | None = None) -> float:
        """Draw a delay in seconds; without `rng`, the one before jitter."""
        delay = self.backoff.delay(failures, rng)
        if rng is None or self.jitter == "none" or failures <= 0:
            return delay
        if self.jitter == "full":
            return rng.uniform(0.0, delay)
        if self.jitter == "equal":
            return rng.uniform(delay / 2, delay)
        return self._decorrelated(failures, rng)

    def _decorrelated(self, failures: int, rng: Random) -> float:
        # The chain of delays is drawn anew each time, so that a delay depends on
        # nothing but its arguments and two guards can share one policy.
        first = min(self.backoff.delay(1), self.cap)
        delay = first
        for _ in range(min(failures - 1, _MAX_STEPS)):
            delay = rng.uniform(first, max(first, min(self.cap, 3 * delay or self.cap)))
        return delay


@attrs.frozen(kw_only=True)
class BackoffPolicy:
    """Which backoff follows which kind of failure.

    Args:
        closed: After `CLOSED` and `HEARTBEAT`: the server is there, come back soon.
        network: After `NETWORK` and `TIMEOUT`: give the network time.
        other: After `REJECTED`, `TLS`, `PROTOCOL` and `OTHER`.
        max_retry_after: The longest wait, in seconds, that a server can ask
            for by Retry-After.

    Source: the documents' three retry strategies, to the number.
    """

    closed: Backoff = attrs.field(default=LinearBackoff(step=3, cap=15), validator=_as_backoff)
    network: Backoff = attrs.field(default=LinearBackoff(step=10, cap=60), validator=_as_backoff)
    other: Backoff = attrs.field(default=LinearBackoff(step=5, cap=30), validator=_as_backoff)
    max_retry_after: float = attrs.field(default=300, validator=checks.not_negative)

    def backoff(self, kind: FailureKind) -> Backoff:
        """Tell which backoff follows a kind of failure."""
        if kind in (FailureKind.CLOSED, FailureKind.HEARTBEAT):
            return self.closed
        if kind in (FailureKind.NETWORK, FailureKind.TIMEOUT):
            return self.network
        return self.other

    def delay(
        self,
        kind: FailureKind,
        failures: int,
        rng: Random | None = None,
        *,
        retry_after: float | None = None,
    ) -> float:
        """Tell how many seconds to wait before the next attempt.

        Args:
            kind: The kind of the last failure.
            failures: Consecutive failures, counted from 1.
            rng: Where jitter is drawn from; ``None`` for the delay without it.
            retry_after: Seconds the server asked for; capped, and never
                shorter than the backoff's own delay.
        """
        delay = self.backoff(kind).delay(failures, rng)
        return max(delay, min(retry_after or 0.0, self.max_retry_after))
