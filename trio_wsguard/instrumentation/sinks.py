"""What a sink of alerts is, how it is served, and what is told of it.

A sink takes one notification at a time. It may be slow, fail or hang: each has
a queue and a task of its own, so that it delays neither a guard nor another
sink. What it did not take in the end is counted, logged and shown by
`AlertNotifier.sinks`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

import attrs

import trio_wsguard as wsguard
from trio_wsguard._core import checks

if TYPE_CHECKING:
    from random import Random

_BACKOFF: Final = wsguard.JitteredBackoff(wsguard.ExponentialBackoff(initial=1, cap=60), "equal")


class SinkError(wsguard.WSGuardError):
    """A sink could not take a notification.

    A sink may raise anything; this one says more.

    Attributes:
        message: What happened, in one line without secrets.
        is_transient: Whether it is worth trying again.
        retry_after: Seconds that the other end asked for before that, if it did.
    """

    def __init__(
        self, message: str, is_transient: bool = True, retry_after: float | None = None
    ) -> None:
        super().__init__(message, is_transient, retry_after)
        self.message = message
        self.is_transient = is_transient
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.message


@attrs.frozen(kw_only=True)
class SinkPolicy:
    """How a sink is served.

    Args:
        grouping: Which alerts it is told together, and how often; ``None`` for
            the notifier's own.
        timeout: Seconds that one try may take; ``None`` for no limit.
        max_attempts: Tries of one notification, the first included.
        backoff: How long to wait between them. Later notifications wait, too,
            so that the order is kept.
        max_retry_after: The longest wait, in seconds, that the other end can
            ask for.
        max_queue: Notifications held for it; beyond them the oldest is dropped.
            All groups may be told at one moment, so it should hold that many.
    """

    grouping: wsguard.Grouping | None = attrs.field(
        default=None, validator=checks.optional(checks.instance_of(wsguard.Grouping))
    )
    timeout: float | None = attrs.field(default=10, validator=checks.optional(checks.positive))
    max_attempts: int = attrs.field(default=5, validator=checks.count)
    backoff: wsguard.Backoff = attrs.field(
        default=_BACKOFF, validator=checks.instance_of(wsguard.Backoff)
    )
    max_retry_after: float = attrs.field(default=300, validator=checks.not_negative)
    max_queue: int = attrs.field(default=1024, validator=checks.count)

    def delay(self, attempts: int, error: Exception, rng: Random) -> float | None:
        """Tell how long to wait before the next try, in seconds.

        Args:
            attempts: How often it was tried, counted from 1.
            error: What the last try ended with.
            rng: Where jitter is drawn from.

        Returns:
            ``None`` if there is to be no other try.
        """
        asked_for = 0.0
        if isinstance(error, SinkError):
            if not error.is_transient:
                return None
            asked_for = min(error.retry_after or 0.0, self.max_retry_after)
        if attempts >= self.max_attempts:
            return None
        return max(self.backoff.delay(attempts, rng), asked_for)


@runtime_checkable
class Sink(Protocol):
    """Anything that takes notifications."""

    @property
    def name(self) -> str:
        """What it is called in logs and figures; without secrets."""
        ...

    @property
    def policy(self) -> SinkPolicy:
        """How it is to be served."""
        ...

    async def send(self, notification: wsguard.Notification) -> None:
        """Take one notification; return once it is safe there.

        One call at a time. It is cancelled when its time is up or the notifier
        ends. To fail, raise: `SinkError` to say whether a second try helps, or
        anything else, which counts as transient.
        """
        ...


@attrs.frozen(kw_only=True)
class SinkFailure:
    """A notification that a sink did not take.

    Attributes:
        sink: The name of the sink.
        notification: What was not delivered.
        error: What the last try ended with.
        attempts: How often it was tried.
        at: When it was given up, in monotonic seconds.
        time: When, in Unix seconds.
    """

    sink: str
    notification: wsguard.Notification
    error: Exception
    attempts: int
    at: float
    time: float

    @property
    def message(self) -> str:
        """One line for a person."""
        is_ours = isinstance(self.error, SinkError)
        why = str(self.error) if is_ours else wsguard.classify(self.error).message
        many = "s" if self.attempts > 1 else ""
        return f"{self.sink} did not take a notification in {self.attempts} attempt{many}: {why}"


@attrs.frozen(kw_only=True)
class SinkFigures:
    """How a sink fares.

    Attributes:
        name: The name of the sink.
        sent: Notifications that it took.
        retries: Tries beyond the first.
        failed: Notifications that it did not take.
        dropped: Notifications given up before it could: its queue was full, or
            the notifier ended.
        queued: Notifications that wait for it, the one at work included.
        last_failure: The last one that failed; ``None`` for none.
    """

    name: str
    sent: int = 0
    retries: int = 0
    failed: int = 0
    dropped: int = 0
    queued: int = 0
    last_failure: SinkFailure | None = None
