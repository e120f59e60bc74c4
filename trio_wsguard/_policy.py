"""The settings: frozen, keyword-only, validated when built.

Seconds carry no suffix; any other unit stands in the name. Every default is
the documented system's own number or has its source beside it.
"""

from __future__ import annotations

from typing import Final

import attrs

from trio_wsguard._core import checks
from trio_wsguard._core.alerts import EVALUATION_INTERVAL, Alerts
from trio_wsguard._core.backoff import (
    BackoffPolicy,
    ExponentialBackoff,
    JitteredBackoff,
)
from trio_wsguard._core.failure import DEFAULT_RULES, FailureRules, frozen_set
from trio_wsguard._core.rates import RATE_WINDOW
from trio_wsguard._core.rules import DOCUMENTED_RULES, AlertRule
from trio_wsguard._errors import PolicyError

# Four of the largest messages, as `max_message_size` has them: 1,024 of those would be
# a GiB, and no bound at all.
MAX_QUEUE_BYTES: Final = 2**22


@attrs.frozen(kw_only=True)
class HeartbeatPolicy:
    """When to beat, and when a beat has failed.

    Args:
        interval: Seconds from one beat to the next while all is well.
        send_timeout: Seconds in which a beat must be on its way; counted
            anew while another message ahead of it makes progress.
        response_timeout: Seconds from the beat's beginning to its answer;
            bounds the sending too.
        slow_response: Seconds after which a missing answer is an anomaly.
        max_missed: Beats failed in a row after which the peer is dead.
        adaptive: Whether the interval grows by half on every calm beat and
            the response timeout follows the measured times (RFC 6298).
        max_interval: How far an adaptive interval grows.
        traffic_is_life: Whether anything received after a beat began counts
            as its answer.
    """

    interval: float = attrs.field(default=15, validator=checks.positive)
    send_timeout: float = attrs.field(default=2, validator=checks.positive)
    response_timeout: float = attrs.field(default=10, validator=checks.positive)
    slow_response: float = attrs.field(default=5, validator=checks.positive)
    max_missed: int = attrs.field(default=3, validator=checks.count)
    adaptive: bool = attrs.field(default=False, validator=checks.boolean)
    max_interval: float = attrs.field(default=60, validator=checks.positive)
    traffic_is_life: bool = attrs.field(default=True, validator=checks.boolean)

    def __attrs_post_init__(self) -> None:
        if self.adaptive and self.max_interval < self.interval:
            raise PolicyError(
                "max_interval", self.max_interval, f"is below the interval of {self.interval}"
            )

    @property
    def detection_bound(self) -> float:
        """The longest time, in seconds, in which a dead peer goes unnoticed.

        It dies just after an answer; the next beat comes an interval later,
        and `max_missed` beats each use up their response timeout.
        """
        interval = self.max_interval if self.adaptive else self.interval
        if self.traffic_is_life:
            # A word just after a beat excuses its answer until the timeout is over.
            interval = max(interval, self.response_timeout)
        return interval + self.max_missed * self.response_timeout


@attrs.frozen(kw_only=True)
class WatchdogPolicy:
    """What the watchdog looks for besides lost beats.

    Args:
        silence_timeout: Seconds without a message after which the feed is
            reported silent; nothing is dropped for it.
        send_timeout: Seconds without progress after which a blocked send
            ends the connection.
        stall_tolerance: Seconds that the watchdog may wake late before the
            program's own loop is reported stalled, and no beat is judged.
        stuck_timeout: Seconds after which a state that should pass by itself is
            reported stuck: CONNECTING, RECONNECTING once its backoff is over,
            CONNECTED once its end is decided. It takes code that does not heed
            cancellation, or an `open_timeout` above it.
        cure_stuck: Whether a stuck attempt is then given up and begun anew, as
            `force_reconnect` does it.
    """

    silence_timeout: float = attrs.field(default=30, validator=checks.positive)
    send_timeout: float = attrs.field(default=10, validator=checks.positive)
    stall_tolerance: float = attrs.field(default=1, validator=checks.positive)
    stuck_timeout: float = attrs.field(default=30, validator=checks.positive)
    cure_stuck: bool = attrs.field(default=False, validator=checks.boolean)


@attrs.frozen(kw_only=True)
class FlappingPolicy:
    """When connections that come and go are reported.

    Args:
        limit: Losses of short-lived connections that make it flapping.
        window: Seconds within which they must fall.
        lifetime: Seconds that a connection must live to count as sound.
        fail: Whether flapping ends the guard in FAILED.
    """

    limit: int = attrs.field(default=5, validator=checks.count)
    window: float = attrs.field(default=300, validator=checks.positive)
    lifetime: float = attrs.field(default=30, validator=checks.positive)
    fail: bool = attrs.field(default=False, validator=checks.boolean)


@attrs.frozen(kw_only=True)
class AlertPolicy:
    """What is cause for an alert, and how often it is looked for.

    Args:
        rules: What to look for; ``()`` for nothing. Add to the documented ones:
            ``(*DOCUMENTED_RULES, AlertRule(...))``.
        interval: Seconds from one look at the figures to the next.
        window: Seconds that rates and means look back.
    """

    rules: tuple[AlertRule, ...] = attrs.field(
        default=DOCUMENTED_RULES, validator=checks.tuple_of(AlertRule)
    )
    interval: float = attrs.field(default=EVALUATION_INTERVAL, validator=checks.positive)
    window: float = attrs.field(default=RATE_WINDOW, validator=checks.positive)

    def __attrs_post_init__(self) -> None:
        Alerts(0.0, self.rules, self.interval)  # refuses two rules of one name


@attrs.frozen(kw_only=True)
class GuardPolicy:
    """All settings of a guard; the defaults are the documented system.

    Args:
        heartbeat: When to beat.
        backoff: How long to wait between attempts.
        watchdog: What else to watch.
        flapping: When connections that come and go are reported.
        alerts: What is cause for an alert.
        final_close_codes: The peer is done with us: CLOSED, not retried.
        protocol_close_codes: Retried, but as `PROTOCOL` (the slower backoff).
        fatal_close_codes: FAILED, not retried.
        fatal_statuses: HTTP statuses that are not retried; see `FailureRules`.
        max_connection_failures: Consecutive failures that end in FAILED;
            ``None`` for never.
        stable_after: Seconds of CONNECTED that set the failure count to 0. A
            handshake is not health: a server that accepts and closes at once
            must not be hammered.
        failed_cooldown: Seconds in FAILED after which to try again; ``None``
            for never.
        open_timeout: Seconds for dial, TLS, handshake and `on_connect`
            together. 20 is gRPC's minimum.
        close_timeout: Seconds for the close handshake.
        max_age: Seconds after which a connection is renewed; ``None`` for never.
        max_queue: Messages held for the application before reading stops.
        max_queue_bytes: Bytes of messages at which it stops too, whichever comes
            first; a text counts its characters. Exceeded by what one read brings.
        max_message_size: Bytes; a larger message ends the connection.
        max_redirects: Redirects followed within one attempt.
    """

    heartbeat: HeartbeatPolicy = attrs.field(
        factory=HeartbeatPolicy, validator=checks.instance_of(HeartbeatPolicy)
    )
    backoff: BackoffPolicy = attrs.field(
        factory=BackoffPolicy, validator=checks.instance_of(BackoffPolicy)
    )
    watchdog: WatchdogPolicy = attrs.field(
        factory=WatchdogPolicy, validator=checks.instance_of(WatchdogPolicy)
    )
    flapping: FlappingPolicy = attrs.field(
        factory=FlappingPolicy, validator=checks.instance_of(FlappingPolicy)
    )
    alerts: AlertPolicy = attrs.field(
        factory=AlertPolicy, validator=checks.instance_of(AlertPolicy)
    )
    max_connection_failures: int | None = attrs.field(
        default=5, validator=checks.optional(checks.count)
    )
    stable_after: float = attrs.field(default=5, validator=checks.not_negative)
    failed_cooldown: float | None = attrs.field(
        default=None, validator=checks.optional(checks.not_negative)
    )
    open_timeout: float = attrs.field(default=20, validator=checks.positive)
    close_timeout: float = attrs.field(default=5, validator=checks.not_negative)
    max_age: float | None = attrs.field(default=None, validator=checks.optional(checks.positive))
    max_queue: int = attrs.field(default=1024, validator=checks.count)
    max_queue_bytes: int = attrs.field(default=MAX_QUEUE_BYTES, validator=checks.count)
    max_message_size: int = attrs.field(default=2**20, validator=checks.count)
    final_close_codes: frozenset[int] = attrs.field(
        default=DEFAULT_RULES.final_close_codes, converter=frozen_set
    )
    protocol_close_codes: frozenset[int] = attrs.field(
        default=DEFAULT_RULES.protocol_close_codes, converter=frozen_set
    )
    fatal_close_codes: frozenset[int] = attrs.field(
        default=DEFAULT_RULES.fatal_close_codes, converter=frozen_set
    )
    fatal_statuses: frozenset[int] = attrs.field(
        default=DEFAULT_RULES.fatal_statuses, converter=frozen_set
    )
    max_redirects: int = attrs.field(default=5, validator=checks.whole)

    def __attrs_post_init__(self) -> None:
        _ = self.rules  # refuses bad codes now, under the same names

    @property
    def rules(self) -> FailureRules:
        """Which close codes and statuses end what, as `classify` takes them."""
        return FailureRules(
            final_close_codes=self.final_close_codes,
            protocol_close_codes=self.protocol_close_codes,
            fatal_close_codes=self.fatal_close_codes,
            fatal_statuses=self.fatal_statuses,
        )

    @classmethod
    def low_latency(cls) -> GuardPolicy:
        """For feeds where every second counts, against servers of one's own.

        A lost connection is retried at once, then exponentially with full
        jitter up to 20 s; it never gives up on transient failures.
        """
        growing = JitteredBackoff(ExponentialBackoff(initial=0.5, cap=20), "full")
        at_once = JitteredBackoff(ExponentialBackoff(initial=0.5, cap=20, immediate=True), "full")
        return cls(
            backoff=BackoffPolicy(closed=at_once, network=growing, other=growing),
            heartbeat=HeartbeatPolicy(interval=5, response_timeout=5, slow_response=2),
            max_connection_failures=None,
        )

    @classmethod
    def fleet(cls) -> GuardPolicy:
        """For many clients of one server: never retries in step with others.

        Every delay is drawn from 0 on, over a range that doubles from 2 s up
        to 60 s; it never gives up on transient failures.
        """
        spread = JitteredBackoff(ExponentialBackoff(initial=2, cap=60), "full")
        return cls(
            backoff=BackoffPolicy(closed=spread, network=spread, other=spread),
            max_connection_failures=None,
        )

    @property
    def detection_bound(self) -> float:
        """The longest time, in seconds, in which a dead peer goes unnoticed."""
        return self.heartbeat.detection_bound
