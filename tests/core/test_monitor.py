"""The bookkeeping of one guard, against a naive model of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from trio_wsguard._core.backoff import BackoffPolicy, ExponentialBackoff, JitteredBackoff
from trio_wsguard._core.events import Anomaly, AnomalyKind, Recovery
from trio_wsguard._core.failure import Failure, FailureKind
from trio_wsguard._core.health import HealthStatus, ResponseTimes, Snapshot
from trio_wsguard._core.liveness import Raise
from trio_wsguard._core.monitor import Anomalies, ConnectionMonitor, Flapping, GiveUp, Retry
from trio_wsguard._core.state import (
    CLOSED,
    CONNECTED,
    CONNECTING,
    DISCONNECTED,
    FAILED,
    RECONNECTING,
    TRANSITIONS,
    ConnectionState,
)
from trio_wsguard._errors import IllegalTransitionError
from trio_wsguard._policy import FlappingPolicy, GuardPolicy

from .documents import STEP_AND_CAP, seeded

if TYPE_CHECKING:
    from collections.abc import Callable

EPOCH = 1_700_000_000.0
CLOSED_FAILURE = Failure(kind=FailureKind.CLOSED, message="reset")


def monitor(policy: GuardPolicy | None = None, now: float = 0.0) -> ConnectionMonitor:
    return ConnectionMonitor(policy or GuardPolicy(), now, EPOCH + now)


def snapshot(of: ConnectionMonitor, now: float) -> Snapshot:
    return of.snapshot(
        now,
        EPOCH + now,
        name="feed",
        generation=3,
        queue_depth=7,
        silence=None,
        open_delay=0.0,
    )


def move(guard: ConnectionMonitor, now: float, *states: ConnectionState) -> None:
    for state in states:
        guard.set_connection_state(state, now, EPOCH + now)


def figures(guard: ConnectionMonitor) -> tuple[object, ...]:
    """All that a move may change, but what the moment itself tells."""
    return (
        guard.connection_state,
        guard.connection_failures,
        guard.last_state_change_time,
        guard.last_successful_connection,
        guard.stable_at,
        guard.sound_at,
        attrs.astuple(guard.counters),
    )


class MonitorMachine(RuleBasedStateMachine):
    """Any run of a guard, beside a model made of plain variables.

    Times are multiples of a quarter of a second, so that all sums are exact.
    """

    @initialize(
        stable_after=st.sampled_from([0, 1, 5, 20]),
        limit=st.none() | st.integers(1, 6),
        flapping=st.integers(1, 3),
        fail=st.booleans(),
    )
    def begin(self, stable_after: int, limit: int | None, flapping: int, fail: bool) -> None:
        self.stable_after, self.limit, self.fail = stable_after, limit, fail
        self.flapping_limit = flapping
        self.policy = GuardPolicy(
            stable_after=stable_after,
            max_connection_failures=limit,
            flapping=FlappingPolicy(limit=flapping, window=60, lifetime=10, fail=fail),
        )
        self.now = self.began_at = 1000.0
        self.guard = monitor(self.policy, self.now)
        self.state = DISCONNECTED
        self.failures = 0
        self.connected_at: float | None = None  # while CONNECTED and not yet lost
        self.up_since: float | None = None
        self.up_seconds = 0.0
        self.changed_at = self.now
        self.succeeded_at: float | None = None
        self.connections = self.losses = self.attempts = 0
        self.short_losses: list[float] = []
        self.flaps = False
        self.moments = [EPOCH + self.now]

    def model_settle(self) -> None:
        if self.connected_at is not None and self.now - self.connected_at >= self.stable_after:
            self.failures = 0

    def model_move(self, state: ConnectionState) -> None:
        if self.state is CONNECTED:
            self.model_settle()
            self.connected_at = None
            self.up_seconds += self.now - (self.up_since or 0)
            self.up_since = None
        if state is CONNECTED:
            self.connected_at = self.up_since = self.now
            self.succeeded_at = self.now
            self.connections += 1
        self.state, self.changed_at = state, self.now

    @rule(quarters=st.sampled_from([0, 1, 3, 4, 19, 20, 21, 40, 80, 400]))
    def pass_time(self, quarters: int) -> None:
        self.now += quarters / 4

    @rule(state=st.sampled_from(ConnectionState), text=st.sampled_from(["", "why"]))
    def move_anywhere(self, state: ConnectionState, text: str) -> None:
        before = figures(self.guard)
        if state is not self.state and (self.state, state) not in TRANSITIONS:
            with pytest.raises(IllegalTransitionError):
                self.guard.set_connection_state(state, self.now, EPOCH + self.now)
            assert figures(self.guard) == before
            return
        change = self.guard.set_connection_state(
            state,
            self.now,
            EPOCH + self.now,
            reason=text,
            failure=CLOSED_FAILURE,
            generation=4,
            retry_in=2.0,
        )
        if state is self.state:
            assert change is None
            assert figures(self.guard) == before
            return
        assert change is not None
        assert (change.previous, change.state) == (self.state, state)
        assert (change.at, change.time) == (self.now, EPOCH + self.now)
        assert (change.reason, change.failure) == (text, CLOSED_FAILURE)
        assert (change.generation, change.retry_in) == (4, 2.0)
        self.moments.append(change.time)
        self.model_move(state)

    @precondition(lambda self: self.state in (DISCONNECTED, RECONNECTING))
    @rule()
    def connect(self) -> None:
        move(self.guard, self.now, CONNECTING, CONNECTED)
        self.model_move(CONNECTING)
        self.model_move(CONNECTED)

    @precondition(lambda self: self.state is CONNECTING)
    @rule()
    def fail_an_attempt(self) -> None:
        self.guard.counters.attempts += 1
        self.guard.failed(0.0)
        move(self.guard, self.now, RECONNECTING)
        self.attempts += 1
        self.failures += 1
        self.model_move(RECONNECTING)

    @precondition(lambda self: self.state is CONNECTED)
    @rule(moves_first=st.booleans(), wait=st.sampled_from([0, 1, 30]))
    def lose_the_connection(self, moves_first: bool, wait: int) -> None:
        lifetime = self.now - (self.connected_at or 0)
        if moves_first:
            move(self.guard, self.now, RECONNECTING)
        flaps = self.guard.lost(self.now)
        self.model_settle()
        self.failures += 1
        self.losses += 1
        self.connected_at = None
        if lifetime >= 10:
            self.short_losses = []
        else:
            self.short_losses.append(self.now)
        last = self.short_losses[-self.flapping_limit :]
        self.flaps = len(last) == self.flapping_limit and last[-1] - last[0] <= 60
        assert flaps is self.flaps
        self.now += wait
        move(self.guard, self.now, RECONNECTING)
        if not moves_first:
            self.model_move(RECONNECTING)
        else:
            self.up_seconds += self.now - wait - (self.up_since or 0)
            self.up_since = None
            self.state, self.changed_at = RECONNECTING, self.now - wait

    @rule()
    def settle(self) -> None:
        self.guard.settle(self.now)
        self.model_settle()

    @precondition(lambda self: self.state in (FAILED, RECONNECTING))
    @rule()
    def reset(self) -> None:
        self.guard.reset()
        self.failures, self.flaps = 0, False
        self.short_losses = []

    @rule(kind=st.sampled_from(FailureKind), transient=st.sampled_from([True, True, False]))
    def decide(self, kind: FailureKind, transient: bool) -> None:
        failure = Failure(kind=kind, message="m", transient=transient)
        decision = self.guard.decide(failure, seeded(1))
        reached = self.limit is not None and self.failures >= self.limit
        if not transient or reached or (self.flaps and self.fail):
            assert isinstance(decision, GiveUp)
            assert str(failure) in decision.reason
        else:
            step, cap = STEP_AND_CAP[kind]
            assert decision == Retry(min(step * self.failures, cap))

    @rule(delay=st.sampled_from([0.0, 2.5, 40.0]))
    def read_the_figures(self, delay: float) -> None:
        self.model_settle()
        health = self.guard.health(self.now, None, delay)
        assert health.score == max(0, 100 - 10 * self.failures - 2 * delay)
        assert (health.status is HealthStatus.DOWN) is (self.state is not CONNECTED)
        read = snapshot(self.guard, self.now)
        up = self.up_seconds + (0 if self.up_since is None else self.now - self.up_since)
        elapsed = self.now - self.began_at
        assert read.connection_state is self.state
        assert read.connection_failures == self.failures
        assert read.max_connection_failures == self.limit
        assert read.last_state_change_time == EPOCH + self.changed_at
        succeeded = 0.0 if self.succeeded_at is None else EPOCH + self.succeeded_at
        assert read.last_successful_connection == succeeded
        assert read.attempts == self.attempts
        assert read.losses == self.losses
        assert read.reconnects == max(0, self.connections - 1)
        assert read.uptime_ratio == (up / elapsed if elapsed else 0.0)
        assert read.mean_time_between_failures == (up / self.losses if self.losses else None)

    @invariant()
    def state_is_the_model_s(self) -> None:
        assert self.guard.connection_state is self.state
        assert self.guard.last_state_change_time == EPOCH + self.changed_at

    @invariant()
    def times_never_go_back(self) -> None:
        assert self.moments == sorted(self.moments)
        assert self.guard.last_successful_connection <= self.guard.last_state_change_time


def test_any_run() -> None:
    """No run of a guard leaves the table, and all figures are those of a naive model."""
    few = settings(max_examples=150, stateful_step_count=40, deadline=None)
    run_state_machine_as_test(MonitorMachine, settings=few)


def test_defaults_of_a_new_guard() -> None:
    """A new guard's figures are the documented defaults."""
    read = snapshot(monitor(now=50.0), 50.0)
    assert read.connection_state is DISCONNECTED
    assert read.connection_failures == 0
    assert read.max_connection_failures == 5
    assert read.last_message_received_time == 0.0
    assert read.last_heartbeat_time == 0.0
    assert read.last_heartbeat_response == 0.0
    assert read.last_successful_connection == 0.0
    assert read.last_state_change_time == EPOCH + 50
    assert read.response_time == ResponseTimes()
    assert read.mean_time_between_failures is None
    assert (read.uptime_ratio, read.score) == (0.0, 100.0)
    assert read.status is HealthStatus.DOWN


def test_snapshot_carries_what_was_counted() -> None:
    """A snapshot has the totals, the times and what the caller alone knows."""
    guard = monitor()
    fields = attrs.fields_dict(type(guard.counters))
    names = [name for name, field in fields.items() if field.default == 0]
    guard.counters.failures[FailureKind.TLS] += 2
    guard.counters.anomalies[AnomalyKind.STUCK] += 3
    for value, name in enumerate(names, 10):
        setattr(guard.counters, name, value)
    guard.last_message_received_time = 1.0
    guard.last_heartbeat_time = 2.0
    guard.last_heartbeat_response = 3.0
    guard.response_times.add(0.25)
    read = snapshot(guard, 1.0)
    for value, name in enumerate(names, 10):
        assert getattr(read, name) == value
    assert (read.failures, read.anomalies) == ({FailureKind.TLS: 2}, {AnomalyKind.STUCK: 3})
    assert read.reconnects == guard.counters.connections - 1
    assert read.last_message_received_time == 1.0
    assert read.last_heartbeat_time == 2.0
    assert read.last_heartbeat_response == 3.0
    assert read.response_time.last == 0.25
    assert (read.name, read.generation, read.queue_depth) == ("feed", 3, 7)
    assert (read.time, read.silence) == (EPOCH + 1, None)


def test_snapshot_cannot_be_altered() -> None:
    """A snapshot is frozen, and later changes do not reach it."""
    guard = monitor()
    read = snapshot(guard, 1.0)
    guard.counters.attempts += 1
    guard.counters.failures[FailureKind.TLS] += 1
    assert read.attempts == 0
    assert read.failures == {}
    with pytest.raises(AttributeError):
        read.attempts = 5  # type: ignore[misc]


def test_each_failure_is_counted_once_by_kind() -> None:
    """A failure counts when it leads to RECONNECTING; that FAILED tells it again counts no more."""
    guard = monitor()
    for state in (CONNECTING, RECONNECTING, CONNECTING, RECONNECTING, FAILED):
        failure = None if state is CONNECTING else CLOSED_FAILURE
        guard.set_connection_state(state, 0.0, EPOCH, failure=failure)
    assert snapshot(guard, 1.0).failures == {FailureKind.CLOSED: 2}
    move(guard, 2.0, RECONNECTING)  # reset(): by no failure
    assert snapshot(guard, 2.0).failures == {FailureKind.CLOSED: 2}


@pytest.mark.parametrize("kind", FailureKind)
def test_documented_delays(kind: FailureKind) -> None:
    """After n failures the next attempt waits exactly as long as documented."""
    guard = monitor(GuardPolicy(max_connection_failures=None))
    step, cap = STEP_AND_CAP[kind]
    for failures in range(1, 40):
        guard.failed(0.0)
        failure = Failure(kind=kind, message="m")
        assert guard.decide(failure, None) == Retry(min(step * failures, cap))


def test_gives_up_at_the_fifth_failure() -> None:
    """By default the fifth failure in a row is the last."""
    guard = monitor()
    for _ in range(4):
        guard.failed(0.0)
        assert isinstance(guard.decide(CLOSED_FAILURE, None), Retry)
    guard.failed(0.0)
    assert guard.decide(CLOSED_FAILURE, None) == GiveUp(
        "5 failures in a row, the last: CLOSED: reset"
    )


def test_gives_up_at_once_on_a_fatal_failure() -> None:
    """What is not worth retrying ends the guard at the first failure."""
    guard = monitor(GuardPolicy(max_connection_failures=None))
    guard.failed(0.0)
    fatal = Failure(kind=FailureKind.OTHER, message="account closed", transient=False)
    decision = guard.decide(fatal, None)
    assert decision == GiveUp("not worth retrying: OTHER: account closed")


def test_honours_retry_after() -> None:
    """A server's Retry-After lengthens the delay."""
    guard = monitor()
    guard.failed(0.0)
    asked = Failure(kind=FailureKind.REJECTED, message="HTTP 503", retry_after=42.0)
    assert guard.decide(asked, None) == Retry(42.0)


@given(st.integers(0, 2**32))
def test_jitter_is_drawn_from_the_given_source(seed: int) -> None:
    """The same source of randomness gives the same delay, within the law of the policy."""
    spread = JitteredBackoff(ExponentialBackoff(initial=8, cap=60), "full")
    guard = monitor(GuardPolicy(backoff=BackoffPolicy(closed=spread)))
    guard.failed(0.0)
    decision = guard.decide(CLOSED_FAILURE, seeded(seed))
    assert decision == guard.decide(CLOSED_FAILURE, seeded(seed))
    assert isinstance(decision, Retry)
    assert 0 <= decision.delay <= 8


@pytest.mark.parametrize("connected_for", [0.0, 4.9])
def test_a_handshake_is_not_health(connected_for: float) -> None:
    """A connection shorter than stable_after leaves the failures as they were."""
    guard = monitor()
    guard.failed(0.0)
    move(guard, 0.0, CONNECTING, CONNECTED)
    guard.settle(connected_for)
    assert snapshot(guard, connected_for).connection_failures == 1
    guard.lost(connected_for)
    move(guard, connected_for, RECONNECTING)
    assert guard.connection_failures == 2


@pytest.mark.parametrize("moves_first", [True, False])
def test_the_loss_of_a_stable_connection_is_the_first_failure(moves_first: bool) -> None:
    """A stable connection clears what was before it, and its own loss counts."""
    guard = monitor()
    for _ in range(3):
        guard.failed(0.0)
    move(guard, 0.0, CONNECTING, CONNECTED)
    if moves_first:
        move(guard, 5.0, RECONNECTING)
    guard.lost(5.0)
    move(guard, 5.0, RECONNECTING)
    assert guard.connection_failures == 1


def test_time_without_a_connection_proves_nothing() -> None:
    """Failures are not forgotten by waiting: only by a connection."""
    guard = monitor()
    guard.failed(0.0)
    guard.settle(1000.0)
    assert guard.connection_failures == 1
    move(guard, 1000.0, CONNECTING, CONNECTED, RECONNECTING)
    guard.settle(2000.0)
    assert guard.connection_failures == 1


def test_reset_forgets_the_failures() -> None:
    """A reset sets the count to 0, so that a FAILED guard can begin anew."""
    guard = monitor()
    for _ in range(5):
        guard.failed(0.0)
    guard.reset()
    assert guard.connection_failures == 0
    guard.failed(0.0)
    assert guard.decide(CLOSED_FAILURE, None) == Retry(3.0)


def flap(guard: ConnectionMonitor, start: float, times: int, lifetime: float) -> list[bool]:
    """Connect and lose a connection so many times, ten seconds apart."""
    seen: list[bool] = []
    for turn in range(times):
        now = start + 10 * turn
        move(guard, now, CONNECTING, CONNECTED)
        seen.append(guard.lost(now + lifetime))
        move(guard, now + lifetime, RECONNECTING)
    return seen


def test_flapping_is_five_short_lives_in_five_minutes() -> None:
    """Five losses within the window of connections of less than 30 s are flapping."""
    assert flap(monitor(), 0.0, 6, 1.0) == [False] * 4 + [True] * 2


def test_flapping_needs_the_losses_within_the_window() -> None:
    """Short-lived connections far apart are not flapping."""
    policy = GuardPolicy(flapping=FlappingPolicy(limit=3, window=19))
    assert flap(monitor(policy), 0.0, 6, 1.0) == [False] * 6


def test_flapping_ends_with_a_sound_connection() -> None:
    """A connection that lived long enough clears what came before it."""
    losses = Flapping(FlappingPolicy(limit=2))
    assert [losses.lost(1, 1), losses.lost(2, 1)] == [False, True]
    assert not losses.lost(40, 30)
    assert not losses.lost(41, 1)
    assert losses.sound_at(100) == 130


@pytest.mark.parametrize("fail", [True, False])
def test_flapping_fails_the_guard_if_the_policy_says_so(fail: bool) -> None:
    """Flapping ends in FAILED exactly with fail=True."""
    policy = GuardPolicy(flapping=FlappingPolicy(limit=2, fail=fail), stable_after=0)
    guard = monitor(policy)
    flap(guard, 0.0, 1, 1.0)
    assert isinstance(guard.decide(CLOSED_FAILURE, None), Retry)
    flap(guard, 10.0, 1, 1.0)
    decision = guard.decide(CLOSED_FAILURE, None)
    assert decision == (GiveUp("flapping: CLOSED: reset") if fail else Retry(3.0))


def test_mean_time_between_failures_is_connected_time_per_loss() -> None:
    """Only connected seconds count, divided by the connections lost."""
    guard = monitor()
    move(guard, 0.0, CONNECTING)
    move(guard, 10.0, CONNECTED)
    guard.lost(40.0)
    move(guard, 40.0, RECONNECTING, CONNECTING)
    move(guard, 50.0, CONNECTED)
    read = snapshot(guard, 100.0)
    assert read.mean_time_between_failures == 80.0
    assert read.uptime_ratio == 0.8
    assert read.reconnects == 1


def test_delay_is_the_longer_of_last_answer_and_open_beat() -> None:
    """The score takes the last response time, or the open beat's where that is longer."""
    guard = monitor()
    move(guard, 0.0, CONNECTING, CONNECTED)
    guard.response_times.add(4.0)
    assert guard.health(1.0, 0.5, 1.0).delay == 4.0
    health = guard.health(1.0, 0.5, 11.0)
    assert (health.delay, health.score, health.silence) == (11.0, 78.0, 0.5)
    assert health.status is HealthStatus.DEGRADED


def test_closed_is_terminal() -> None:
    """No move leads out of CLOSED."""
    guard = monitor()
    move(guard, 0.0, CONNECTING, CONNECTED, CLOSED)
    for state in set(ConnectionState) - {CLOSED}:
        with pytest.raises(IllegalTransitionError):
            move(guard, 1.0, state)
    assert guard.last_state_change_time == EPOCH


KINDS = st.sampled_from(AnomalyKind)


@given(st.lists(st.tuples(st.sampled_from(["begin", "end", "end_connection"]), KINDS)))
def test_anomalies_come_in_pairs(calls: list[tuple[str, AnomalyKind]]) -> None:
    """What was raised once is recovered once, and is not raised again in between."""
    anomalies, is_open = Anomalies(), dict[AnomalyKind, float]()
    for now, (call, kind) in enumerate(calls):
        if call == "begin":
            begun = anomalies.begin(Raise(kind, "m", 1.5), now, EPOCH + now, 2)
            expected = Anomaly(
                kind=kind, message="m", value=1.5, at=now, time=EPOCH + now, generation=2
            )
            assert begun == (None if kind in is_open else expected)
            is_open.setdefault(kind, now)
            continue
        if call == "end":
            ended = [anomalies.end(kind, now, EPOCH + now, 3)]
            over = [kind]
        else:
            ended = [*anomalies.end_state(CONNECTED, now, EPOCH + now, 3)]
            over = [k for k in is_open if k.name not in ("SILENCE", "FLAPPING")]
        recoveries = [
            Recovery(kind=k, duration=now - since, at=now, time=EPOCH + now, generation=3)
            for k in over
            if (since := is_open.pop(k, None)) is not None
        ]
        assert [recovery for recovery in ended if recovery] == recoveries


@pytest.mark.parametrize(
    "call", [lambda guard: guard.failed(0.0), lambda guard: guard.lost(math.inf)]
)
def test_every_failure_counts_one(call: Callable[[ConnectionMonitor], object]) -> None:
    """A failed attempt and a lost connection each count one."""
    guard = monitor()
    for failures in range(1, 10):
        call(guard)
        assert guard.connection_failures == failures


def stuck_at(state: ConnectionState, retry_in: float | None = None) -> float:
    """Bring a guard into a state at second 100, and ask."""
    guard = monitor()
    guard.connection_state = {
        CONNECTING: DISCONNECTED,
        CONNECTED: CONNECTING,
        RECONNECTING: CONNECTED,
        FAILED: RECONNECTING,
        DISCONNECTED: FAILED,
        CLOSED: CONNECTED,
    }[state]
    guard.set_connection_state(state, 100.0, EPOCH, retry_in=retry_in)
    return guard.stuck_at


@pytest.mark.parametrize(
    ("state", "retry_in", "at"),
    [
        (CONNECTING, None, 130.0),
        (RECONNECTING, 45.0, 175.0),
        (RECONNECTING, 0.0, 130.0),
        (RECONNECTING, None, 130.0),
        (CONNECTED, None, math.inf),
        (FAILED, None, math.inf),
        (DISCONNECTED, None, math.inf),
        (CLOSED, None, math.inf),
    ],
)
def test_stuck_is_what_should_have_passed(
    state: ConnectionState, retry_in: float | None, at: float
) -> None:
    """An attempt is stuck after 30 s, a backoff 30 s after its end; to rest is no fault."""
    assert stuck_at(state, retry_in) == at


def test_a_connection_is_stuck_once_its_end_is_decided() -> None:
    """CONNECTED may last for ever, but not when it was ended."""
    guard = monitor()
    guard.set_connection_state(CONNECTING, 100.0, EPOCH)
    guard.ended(105.0)
    assert guard.stuck_at == 130.0, "of an attempt the beginning counts"
    guard.set_connection_state(CONNECTED, 110.0, EPOCH)
    assert guard.stuck_at == math.inf
    guard.ended(200.0)
    assert guard.stuck_at == 230.0


def test_a_change_tells_how_long_the_state_left_had_lasted() -> None:
    """The time in the old state is that of the monotonic clock."""
    guard = monitor()
    guard.set_connection_state(CONNECTING, 103.0, EPOCH)
    change = guard.set_connection_state(CONNECTED, 107.5, EPOCH)
    assert change is not None
    assert change.duration == 4.5


def test_attempts_are_counted_by_outcome() -> None:
    """A connection made is a success, an attempt failed a failure, a loss neither."""
    guard = monitor()
    guard.failed(1.0)
    guard.set_connection_state(CONNECTING, 2.0, EPOCH)
    guard.set_connection_state(CONNECTED, 3.0, EPOCH)
    guard.lost(4.0)
    rates = guard.rates.rates(5.0)
    assert (rates.connection_failure_rate, rates.attempt_samples) == (0.5, 2)
