"""The delays before the next attempt."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_wsguard._core.backoff import (
    Backoff,
    BackoffPolicy,
    ExponentialBackoff,
    Jitter,
    JitteredBackoff,
    LinearBackoff,
)
from trio_wsguard._core.failure import FailureKind
from trio_wsguard._errors import PolicyError

from .documents import STEP_AND_CAP, seeded

if TYPE_CHECKING:
    from random import Random

JITTERS: list[Jitter] = ["full", "equal", "decorrelated"]
HUGE = (10**6, 10**9, 10**400)


def short(value: object) -> str:
    """Name a parameter: a number of four hundred digits is no name."""
    return value.__name__ if isinstance(value, type) else repr(value)[:20]


def linear() -> st.SearchStrategy[Backoff]:
    return st.builds(
        LinearBackoff,
        step=st.just(0) | st.integers(1, 100) | st.floats(0, 1e3),
        cap=st.just(0) | st.integers(1, 1000) | st.floats(0, 1e6),
    )


@st.composite
def exponential(draw: st.DrawFn) -> Backoff:
    cap = draw(st.integers(1, 1000) | st.floats(1e-3, 1e6))
    return ExponentialBackoff(
        initial=draw(st.floats(1e-3, cap)),
        factor=draw(st.just(1) | st.just(2) | st.floats(1, 100)),
        cap=cap,
        immediate=draw(st.booleans()),
    )


PLAIN = linear() | exponential()
FAILURES = st.integers(0, 200) | st.integers(0, 10**12) | st.sampled_from(HUGE)
SEEDS = st.integers(0, 2**32)


@pytest.mark.parametrize("kind", FailureKind)
def test_documented_delays(kind: FailureKind) -> None:
    """Each kind of failure waits exactly as documented, for 1 to 100 failures."""
    step, cap = STEP_AND_CAP[kind]
    policy = BackoffPolicy()
    delays = [policy.delay(kind, n) for n in range(1, 101)]
    assert delays == [min(step * n, cap) for n in range(1, 101)]
    assert delays == [policy.delay(kind, n, seeded(n)) for n in range(1, 101)]


@pytest.mark.parametrize("kind", FailureKind)
def test_policy_maps_kinds_to_its_three_backoffs(kind: FailureKind) -> None:
    """Lost connections, network trouble and all else each have a backoff of their own."""
    by_step = {3: "closed", 10: "network", 5: "other"}
    fields = {"closed": 1.0, "network": 2.0, "other": 3.0}
    policy = BackoffPolicy(
        closed=LinearBackoff(step=1, cap=1),
        network=LinearBackoff(step=2, cap=2),
        other=LinearBackoff(step=3, cap=3),
    )
    assert policy.delay(kind, 1) == fields[by_step[STEP_AND_CAP[kind][0]]]


@given(PLAIN, FAILURES)
def test_delay_stays_within_the_cap(backoff: Backoff, failures: int) -> None:
    """A delay is a float from 0 to the cap."""
    delay = backoff.delay(failures)
    assert isinstance(delay, float)
    assert 0 <= delay <= backoff.cap


@given(PLAIN, FAILURES, st.integers(0, 100))
def test_delay_never_falls(backoff: Backoff, failures: int, more: int) -> None:
    """Without jitter, more failures never mean a shorter delay."""
    assert backoff.delay(failures) <= backoff.delay(failures + more)


@given(PLAIN, SEEDS)
def test_plain_backoff_draws_nothing(backoff: Backoff, seed: int) -> None:
    """Without jitter a delay does not depend on the seed."""
    assert backoff.delay(3, seeded(seed)) == backoff.delay(3)


@given(PLAIN, st.sampled_from(JITTERS))
def test_no_failure_no_delay(backoff: Backoff, jitter: Jitter) -> None:
    """Without a failure there is nothing to wait for."""
    assert backoff.delay(0) == 0
    assert JitteredBackoff(backoff, jitter).delay(0, seeded(1)) == 0


@given(linear(), st.integers(1, 10**6))
def test_linear_is_its_formula(backoff: LinearBackoff, failures: int) -> None:
    """A linear delay is min(step * n, cap)."""
    assert backoff.delay(failures) == min(backoff.step * failures, backoff.cap)


def test_exponential_is_its_formula() -> None:
    """An exponential delay begins at initial and doubles up to the cap."""
    backoff = ExponentialBackoff(initial=0.5, cap=20)
    assert [backoff.delay(n) for n in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 20, 20]


def test_factor_of_one_never_grows() -> None:
    """With a factor of 1 every delay is the first."""
    backoff = ExponentialBackoff(initial=2, factor=1, cap=60)
    assert [backoff.delay(n) for n in (1, 2, 10**9)] == [2, 2, 2]


def test_immediate() -> None:
    """With immediate=True the first retry comes at once, and the second waits initial."""
    backoff = ExponentialBackoff(initial=0.5, cap=20, immediate=True)
    assert [backoff.delay(n) for n in range(5)] == [0, 0, 0.5, 1, 2]


@pytest.mark.parametrize("jitter", ["none", *JITTERS])
def test_immediate_with_jitter(jitter: Jitter) -> None:
    """With immediate=True the first retry comes at once whatever the jitter."""
    backoff = JitteredBackoff(ExponentialBackoff(initial=0.5, immediate=True), jitter)
    assert [backoff.delay(1, seeded(seed)) for seed in range(20)] == [0] * 20


@given(PLAIN, FAILURES, SEEDS)
def test_full_jitter(backoff: Backoff, failures: int, seed: int) -> None:
    """Full jitter stays between 0 and the delay without it."""
    delay = JitteredBackoff(backoff, "full").delay(failures, seeded(seed))
    assert 0 <= delay <= backoff.delay(failures)


@given(PLAIN, FAILURES, SEEDS)
def test_equal_jitter(backoff: Backoff, failures: int, seed: int) -> None:
    """Equal jitter stays between half the delay without it and the whole."""
    delay = JitteredBackoff(backoff, "equal").delay(failures, seeded(seed))
    assert backoff.delay(failures) / 2 <= delay <= backoff.delay(failures)


@given(PLAIN, st.integers(1, 10**6) | st.sampled_from(HUGE), SEEDS)
def test_decorrelated_jitter(backoff: Backoff, failures: int, seed: int) -> None:
    """Decorrelated jitter stays between the first delay and the cap."""
    delay = JitteredBackoff(backoff, "decorrelated").delay(failures, seeded(seed))
    assert backoff.delay(1) <= delay <= backoff.cap


@given(PLAIN, st.sampled_from(JITTERS), FAILURES, SEEDS)
def test_same_seed_same_delays(backoff: Backoff, jitter: Jitter, failures: int, seed: int) -> None:
    """The same seed gives the same delays."""
    jittered = JitteredBackoff(backoff, jitter)
    one, two = seeded(seed), seeded(seed)
    first = [jittered.delay(n, one) for n in (1, 2, failures)]
    assert first == [jittered.delay(n, two) for n in (1, 2, failures)]


@given(PLAIN, FAILURES)
def test_jitter_without_randomness(backoff: Backoff, failures: int) -> None:
    """Without a source of randomness, and with jitter "none", the plain delay is told."""
    for jitter in JITTERS:
        assert JitteredBackoff(backoff, jitter).delay(failures) == backoff.delay(failures)
    assert JitteredBackoff(backoff, "none").delay(failures, seeded(1)) == backoff.delay(failures)


@pytest.mark.parametrize("jitter", JITTERS)
@pytest.mark.parametrize(
    "backoff", [LinearBackoff(step=3, cap=15), ExponentialBackoff(initial=0.5, cap=15)]
)
def test_spread_at_the_cap(backoff: Backoff, jitter: Jitter) -> None:
    """At the cap clients are spread out, and none is clipped to the cap itself."""
    jittered = JitteredBackoff(backoff, jitter)
    delays = [jittered.delay(1000, seeded(seed)) for seed in range(500)]
    assert jittered.cap == 15
    assert len(set(delays)) == 500
    assert max(delays) < 15
    assert max(delays) - min(delays) > 5


@pytest.mark.parametrize("failures", HUGE, ids=short)
@pytest.mark.parametrize("jitter", ["none", *JITTERS])
@pytest.mark.parametrize(
    "backoff",
    [
        LinearBackoff(step=3, cap=15),
        LinearBackoff(step=5e-324, cap=15),
        ExponentialBackoff(initial=0.5, factor=2, cap=60),
        ExponentialBackoff(initial=1e-3, factor=math.nextafter(1.0, 2.0), cap=60),
    ],
)
def test_huge_counts_do_not_overflow(backoff: Backoff, jitter: Jitter, failures: int) -> None:
    """No number of failures overflows, be it beyond the range of float."""
    assert 0 <= backoff.delay(failures) <= backoff.cap
    assert 0 <= JitteredBackoff(backoff, jitter).delay(failures, seeded(1)) <= backoff.cap


@given(st.sampled_from(FailureKind), st.integers(1, 10**6), st.floats(0, 1e9))
def test_retry_after(kind: FailureKind, failures: int, retry_after: float) -> None:
    """Retry-After lengthens the delay as far as max_retry_after and never shortens it."""
    policy = BackoffPolicy(max_retry_after=120)
    own = policy.delay(kind, failures)
    asked = policy.delay(kind, failures, retry_after=retry_after)
    assert asked == max(own, min(retry_after, 120))


def test_retry_after_with_jitter() -> None:
    """A jittered delay is never drawn below what the server asked for."""
    spread = JitteredBackoff(ExponentialBackoff(initial=2, cap=60), "full")
    policy = BackoffPolicy(other=spread)
    delays = [
        policy.delay(FailureKind.REJECTED, 4, seeded(seed), retry_after=9) for seed in range(100)
    ]
    assert min(delays) == 9
    assert max(delays) > 9


def test_retry_after_is_capped_at_five_minutes_by_default() -> None:
    """By default a server can ask for five minutes at the most."""
    assert BackoffPolicy().delay(FailureKind.REJECTED, 1, retry_after=86400) == 300


BAD_NUMBERS: tuple[object, ...] = (math.nan, math.inf, -1, True, "3", None, 10**400)


@pytest.mark.parametrize(
    ("cls", "field", "value"),
    [
        *((LinearBackoff, field, bad) for field in ("step", "cap") for bad in BAD_NUMBERS),
        *(
            (ExponentialBackoff, field, bad)
            for field in ("initial", "factor", "cap")
            for bad in (*BAD_NUMBERS, 0)
        ),
        (ExponentialBackoff, "factor", 0.5),
        (ExponentialBackoff, "initial", 61),
        (ExponentialBackoff, "immediate", 1),
        (JitteredBackoff, "jitter", "some"),
        (JitteredBackoff, "jitter", None),
        (JitteredBackoff, "backoff", 5),
        (JitteredBackoff, "backoff", None),
    ],
    ids=short,
)
def test_bad_settings_are_refused(cls: type[Any], field: str, value: object) -> None:
    """A bad setting is refused when built, by an error naming field and value."""
    good: dict[type[Any], dict[str, object]] = {
        LinearBackoff: {"step": 1, "cap": 60},
        ExponentialBackoff: {},
        JitteredBackoff: {"backoff": LinearBackoff(step=1, cap=60)},
    }
    with pytest.raises(PolicyError) as caught:
        cls(**{**good[cls], field: value})
    assert f"{field}={value!r}: " in str(caught.value)


class Fibonacci:
    """A backoff of a user's own, sharing no base with ours."""

    cap = 8.0

    def delay(self, failures: int, rng: Random | None = None) -> float:
        a, b = 0.0, 1.0
        for _ in range(min(failures, 6)):
            a, b = b, a + b
        return a


def test_a_backoff_of_ones_own() -> None:
    """Any object with a cap and a delay serves, with and without jitter."""
    policy = BackoffPolicy(closed=Fibonacci(), other=JitteredBackoff(Fibonacci(), "equal"))
    assert [policy.delay(FailureKind.CLOSED, n) for n in range(1, 9)] == [1, 1, 2, 3, 5, 8, 8, 8]
    assert 4 <= policy.delay(FailureKind.OTHER, 9, seeded(1)) <= 8
