"""What must hold of a backoff, and of a policy of backoffs.

Most properties count up to a thousand failures. Far beyond, a naive backoff
does not merely fail: ``2**n`` takes all memory, a loop all time. So huge
counts have a property of their own, which climbs there step by step and stops
at the first that is too slow.

Every example has a fresh copy of the part: one that keeps state cannot hide it
by having come to rest in the examples before.
"""

from __future__ import annotations

import copy
import math
import time
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Final, TypeVar

from hypothesis import strategies as st

import trio_wsguard as wsguard
from trio_wsguard.testing.conformance.parts import JITTERS
from trio_wsguard.testing.conformance.property import property_of
from trio_wsguard.testing.conformance.violation import expect

if TYPE_CHECKING:
    from trio_wsguard.testing.conformance.run import Run

_FIRST: Final = range(31)  # counts that are met every day: none is left to chance
_FAILURES: Final = st.integers(0, 20) | st.integers(0, 900)
_T = TypeVar("_T")

_SEEDS: Final = st.integers(0, 2**32 - 1)
_LADDER: Final = (*(10**power for power in range(1, 10)), 10**400)
_MAX_CPU: Final = 0.25  # seconds of one call, which takes microseconds if done well

_CLIENTS: Final = 50
_HERD: Final = 10  # clients at one instant: whole seconds are coarse, but spread over more

_PATIENCE: Final = 10  # attempts without a wait that nobody minds
_OUTAGE: Final = 50  # failures in a row

# The documents' three strategies: step and cap.
_DOCUMENTED: Final = {
    wsguard.FailureKind.CLOSED: (3, 15),
    wsguard.FailureKind.HEARTBEAT: (3, 15),
    wsguard.FailureKind.NETWORK: (10, 60),
    wsguard.FailureKind.TIMEOUT: (10, 60),
    wsguard.FailureKind.REJECTED: (5, 30),
    wsguard.FailureKind.TLS: (5, 30),
    wsguard.FailureKind.PROTOCOL: (5, 30),
    wsguard.FailureKind.OTHER: (5, 30),
}


def _rng(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - jitter is no secret


def _delay(backoff: wsguard.Backoff, failures: int, rng: Random | None = None) -> float:
    """Ask for a delay; what is not a number of seconds goes no further."""
    delay: object = backoff.delay(failures, rng)
    what = f"delay({_count(failures)}) is {delay!r}, not a number of seconds"
    if isinstance(delay, bool) or not isinstance(delay, int | float):
        raise AssertionError(what)  # noqa: TRY004 - as `expect` does
    expect(-math.inf < delay < math.inf, what)  # false for NaN; isfinite overflows
    return delay


def _count(failures: int) -> str:
    return str(failures) if failures < 10**6 else f"10**{len(str(failures)) - 1}"


def _backoffs(run: Run) -> st.SearchStrategy[wsguard.Backoff]:
    return st.sampled_from(run.parts.backoffs).map(_fresh)


def _fresh(part: _T) -> _T:
    try:
        return copy.deepcopy(part)
    except Exception:  # noqa: BLE001 - the user's own object, which holds what cannot be copied
        return part


@property_of("backoff", rows=(13, 18))
def delay_within_cap(run: Run) -> None:
    """A delay is a finite number from 0 to the cap, with jitter and without."""

    def check(backoff: wsguard.Backoff, failures: int, seed: int) -> None:
        cap = backoff.cap
        for n in (*_FIRST, failures):
            for rng in (None, _rng(seed)):
                delay = _delay(backoff, n, rng)
                how = "with jitter" if rng else "without jitter"
                expect(delay >= 0, f"delay({n}) is {delay} {how}: negative")
                expect(delay <= cap, f"delay({n}) is {delay} {how}, above the cap of {cap}")

    run.for_all({"backoff": _backoffs(run), "failures": _FAILURES, "seed": _SEEDS}, check)


@property_of("backoff", rows=(13,))
def huge_counts_do_no_harm(run: Run) -> None:
    """No number of failures, be it 10**400, overflows, blocks, or leaves the bounds."""

    def check(backoff: wsguard.Backoff, seed: int) -> None:
        before = 0.0
        for failures in _LADDER:
            delay = _delay_in_time(backoff, failures, None)
            what = f"delay({_count(failures)}) is {delay}, after {before} for fewer failures"
            expect(before <= delay, what)
            _delay_in_time(backoff, failures, _rng(seed))
            before = delay

    run.for_all({"backoff": _backoffs(run), "seed": _SEEDS}, check)


def _delay_in_time(backoff: wsguard.Backoff, failures: int, rng: Random | None) -> float:
    count = _count(failures)
    began_at = time.thread_time()  # not the wall clock: the machine may be busy
    try:
        delay = _delay(backoff, failures, rng)
    except AssertionError:
        raise
    except Exception as exc:
        raise AssertionError(f"delay({count}) raises {type(exc).__name__}: {exc}") from exc
    taken = time.thread_time() - began_at
    expect(taken <= _MAX_CPU, f"delay({count}) computes for {taken:.2f} s")
    within = 0 <= delay <= backoff.cap
    expect(within, f"delay({count}) is {delay}, not within 0 and {backoff.cap}")
    return delay


@property_of("backoff", rows=(13,))
def delay_never_falls(run: Run) -> None:
    """Without jitter, more failures never mean a shorter delay."""

    def check(backoff: wsguard.Backoff, failures: int, more: int) -> None:
        for n, m in (*((n, n + 1) for n in _FIRST), (failures, failures + more)):
            early, late = _delay(backoff, n), _delay(backoff, m)
            expect(early <= late, f"delay({n}) is {early}, but delay({m}) is {late}")

    more = st.integers(1, 3) | st.integers(1, 100)
    run.for_all({"backoff": _backoffs(run), "failures": _FAILURES, "more": more}, check)


@property_of("backoff", rows=(12,))
def no_failure_no_delay(run: Run) -> None:
    """Without a failure there is nothing to wait for."""

    def check(backoff: wsguard.Backoff, seed: int) -> None:
        for rng in (None, _rng(seed)):
            delay = _delay(backoff, 0, rng)
            expect(delay == 0, f"delay(0) is {delay}")

    run.for_all({"backoff": _backoffs(run), "seed": _SEEDS}, check)


@property_of("backoff", rows=(38,))
def same_seed_same_delays(run: Run) -> None:
    """The same seed gives the same delays: chance is drawn from the given source alone."""

    def check(backoff: wsguard.Backoff, failures: list[int], seed: int) -> None:
        one, two = _rng(seed), _rng(seed)
        first = [_delay(backoff, n, one) for n in failures]
        second = [_delay(backoff, n, two) for n in failures]
        expect(first == second, f"first {first}, then {second}")

    failures = st.lists(_FAILURES, min_size=1, max_size=5)
    run.for_all({"backoff": _backoffs(run), "failures": failures, "seed": _SEEDS}, check)


@property_of("backoff", rows=(12, 14))
def keeps_no_state(run: Run) -> None:
    """A delay depends on its arguments alone: guards share a backoff, failures are forgotten."""

    def check(backoff: wsguard.Backoff, failures: list[int], seed: int) -> None:
        for source in (lambda: None, lambda: _rng(seed)):
            first = {n: _delay(backoff, n, source()) for n in failures}
            for n in reversed(failures):
                again = _delay(backoff, n, source())
                expect(first[n] == again, f"delay({n}) is {first[n]}, and later {again}")

    failures = st.lists(_FAILURES, min_size=1, max_size=5)
    run.for_all({"backoff": _backoffs(run), "failures": failures, "seed": _SEEDS}, check)


@property_of("backoff", rows=(18,))
def jitter_within_its_bounds(run: Run) -> None:
    """Full and equal jitter never exceed the delay without; decorrelated keeps to the cap."""

    def check(backoff: wsguard.JitteredBackoff, failures: int, seed: int) -> None:
        for n in (*_FIRST[1:], failures):
            plain, delay = _delay(backoff, n), _delay(backoff, n, _rng(seed))
            lowest, highest = _jitter_bounds(backoff, plain)
            what = f"delay({n}) is {delay}, not within {lowest} and {highest}"
            expect(lowest <= delay <= highest, what)

    jittered, failures = st.sampled_from(_jittered(run)).map(_fresh), st.integers(1, 900)
    run.for_all({"backoff": jittered, "failures": failures, "seed": _SEEDS}, check)


def _jittered(run: Run) -> list[wsguard.JitteredBackoff]:
    """Give the parts that are jittered by us, and the others as they would be."""
    found: list[wsguard.JitteredBackoff] = []
    for backoff in run.parts.backoffs:
        if isinstance(backoff, wsguard.JitteredBackoff):
            found.append(backoff)
        else:
            found += [wsguard.JitteredBackoff(backoff, kind) for kind in JITTERS]
    return found


def _jitter_bounds(backoff: wsguard.JitteredBackoff, plain: float) -> tuple[float, float]:
    if backoff.jitter == "decorrelated":
        return min(_delay(backoff, 1), backoff.cap), backoff.cap
    return {"none": plain, "full": 0.0, "equal": plain / 2}[backoff.jitter], plain


@property_of("backoff", rows=(18,))
def clients_do_not_return_in_step(run: Run) -> None:
    """Where it jitters, clients with seeds of their own do not return at one instant."""

    def check(backoff: wsguard.Backoff, failures: int, more: int, seed: int) -> None:
        together = _in_step(backoff, failures, seed)
        if together == _CLIENTS:
            return  # there is no jitter, or not yet
        for n, herd in ((failures, together), (failures + more, 0)):
            herd = herd or _in_step(backoff, n, seed)
            what = f"after {n} failures, {herd} of {_CLIENTS} clients return at the same instant"
            expect(herd <= _HERD, what)

    counts = {"failures": st.integers(1, 20), "more": st.integers(0, 900)}
    run.for_all({"backoff": _backoffs(run), **counts, "seed": _SEEDS}, check)


def _in_step(backoff: wsguard.Backoff, failures: int, seed: int) -> int:
    delays = Counter(_delay(backoff, failures, _rng(seed + n)) for n in range(_CLIENTS))
    return max(delays.values())


@property_of("backoff", rows=(16,))
def dials_are_bounded(run: Run) -> None:
    """In a long outage it waits between attempts, and jitter does not do away with the waits."""

    def check(backoff: wsguard.Backoff, failures: int, seed: int) -> None:
        if backoff.cap == 0:
            return  # it was told not to wait
        rng, outage = _rng(seed), range(failures, failures + _OUTAGE)
        plain = math.fsum(_delay(backoff, n) for n in outage)
        spread = math.fsum(_delay(backoff, n, rng) for n in outage)
        dials = f"{_OUTAGE} attempts from failure {failures} on"
        expect(plain > 0, f"{dials} follow each other without a wait")
        what = f"{dials} take {spread:.3g} s with jitter, {plain:.3g} s without"
        # A hundredth: full jitter halves the waits, decorrelated may take more away.
        expect(spread >= plain / 100, what)

    failures = st.integers(_PATIENCE, 900)
    run.for_all({"backoff": _backoffs(run), "failures": failures, "seed": _SEEDS}, check)


@property_of("backoff", rows=(12,))
def every_kind_has_its_backoff(run: Run) -> None:
    """A policy's delay for a kind of failure is that of the backoff it names for the kind."""

    def check(policy: wsguard.BackoffPolicy, failures: int, seed: int) -> None:
        for kind in wsguard.FailureKind:
            backoff = policy.backoff(kind)
            for source in (lambda: None, lambda: _rng(seed)):
                told = policy.delay(kind, failures, source())
                own = _delay(backoff, failures, source())
                expect(told == own, f"{kind.name} waits {told}, its backoff says {own}")

    run.for_all(_policies(run), check)


@property_of("backoff", rows=(12, 13))
def documented_delays(run: Run) -> None:
    """The default policy waits min(3n, 15), min(10n, 60) and min(5n, 30) seconds."""
    default = wsguard.BackoffPolicy()
    if default not in run.parts.policies:
        run.skip("the default policy is not under test")

    def check(failures: int, seed: int) -> None:
        for kind, (step, cap) in _DOCUMENTED.items():
            for n in (*_FIRST, failures):
                delay, expected = default.delay(kind, n, _rng(seed)), min(step * n, cap)
                what = f"{kind.name} waits {delay} after {n} failures, not {expected}"
                expect(delay == expected, what)

    run.for_all({"failures": _FAILURES, "seed": _SEEDS}, check)


@property_of("backoff", rows=(15,))
def retry_after_is_heeded(run: Run) -> None:
    """Retry-After lengthens a delay as far as max_retry_after, and shortens none."""

    def check(policy: wsguard.BackoffPolicy, failures: int, seed: int, retry_after: float) -> None:
        asked = min(retry_after, policy.max_retry_after)
        for kind in wsguard.FailureKind:
            own = policy.delay(kind, failures, _rng(seed))
            delay = policy.delay(kind, failures, _rng(seed), retry_after=retry_after)
            what = f"{kind.name} waits {delay}"
            expect(delay >= asked, f"{what}, the server asked for {asked}")
            expect(delay >= own, f"{what}, without Retry-After {own}")
            highest = max(policy.backoff(kind).cap, policy.max_retry_after)
            expect(delay <= highest, f"{what}, longer than {highest}")

    asked = st.integers(0, 600) | st.floats(0, 1e12) | st.just(math.inf)
    run.for_all({**_policies(run), "retry_after": asked}, check, share=2)


@property_of("backoff", rows=(15,))
def malformed_retry_after_is_ignored(run: Run) -> None:
    """A Retry-After that is absent, negative or not a number changes nothing."""

    def check(
        policy: wsguard.BackoffPolicy, failures: int, seed: int, retry_after: float | None
    ) -> None:
        for kind in wsguard.FailureKind:
            own = policy.delay(kind, failures, _rng(seed))
            delay = policy.delay(kind, failures, _rng(seed), retry_after=retry_after)
            expect(delay == own, f"{kind.name} waits {delay}, without Retry-After {own}")

    asked = st.sampled_from((None, math.nan, -math.inf)) | st.floats(-1e12, 0)
    run.for_all({**_policies(run), "retry_after": asked}, check)


def _policies(run: Run) -> dict[str, st.SearchStrategy[object]]:
    return {
        "policy": st.sampled_from(run.parts.policies).map(_fresh),
        "failures": _FAILURES,
        "seed": _SEEDS,
    }
