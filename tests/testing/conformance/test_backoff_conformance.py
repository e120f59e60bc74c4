"""What the properties of backoffs accept, and what they catch."""

from __future__ import annotations

import math

import pytest

import trio_wsguard as wsguard
from trio_wsguard.testing.conformance import (
    PartError,
    Parts,
    PropertyViolatedError,
    all_properties,
    check_backoff,
    named_properties,
    run_properties,
)

from . import bad_parts

GROWING = wsguard.ExponentialBackoff(initial=0.1, factor=3, cap=20)


@pytest.mark.usefixtures("few_examples")
@pytest.mark.parametrize(
    "part",
    [
        wsguard.GuardPolicy.fleet().backoff,
        wsguard.JitteredBackoff(GROWING, "decorrelated"),
        wsguard.LinearBackoff(step=0, cap=0),
        wsguard.LinearBackoff(step=5e-324, cap=1),
        wsguard.ExponentialBackoff,
        lambda: bad_parts.GoodBackoff(),
    ],
    ids=lambda part: type(part).__name__,
)
def test_sound_parts_pass(part: object) -> None:
    """A sound backoff has every property: an object, a policy, a class, or what makes one."""
    report = check_backoff(part, seed=1)
    assert report.is_passed
    assert len(report.rows) == len(all_properties("backoff"))


@pytest.mark.usefixtures("few_examples")
def test_documented_delays_are_of_the_default_policy() -> None:
    """Only of the default policy it is demanded that its delays are the documented ones."""
    outcomes = {row.property: row.outcome for row in check_backoff(GROWING, seed=1).rows}
    assert outcomes.pop("documented_delays") == "skipped"
    assert set(outcomes.values()) == {"passed"}
    properties = named_properties(["documented_delays"])
    assert run_properties(properties, Parts.of(backoff=wsguard.BackoffPolicy()), seed=1).is_passed


@pytest.mark.parametrize(
    ("part", "caught_by"),
    [
        (bad_parts.AboveCap, "delay_within_cap"),
        (bad_parts.Negative, "delay_within_cap"),
        (bad_parts.NoNumber, "delay_within_cap"),
        (bad_parts.NoNumber, "huge_counts_do_no_harm"),
        (bad_parts.Overflowing, "huge_counts_do_no_harm"),
        (bad_parts.TakesAllMemory, "huge_counts_do_no_harm"),
        (bad_parts.TakesAllTime, "huge_counts_do_no_harm"),
        (bad_parts.Falling, "delay_never_falls"),
        (bad_parts.WaitsForNothing, "no_failure_no_delay"),
        (bad_parts.GlobalChance, "same_seed_same_delays"),
        (bad_parts.Stateful, "keeps_no_state"),
        (bad_parts.ClippedJitter, "clients_do_not_return_in_step"),
        (bad_parts.Hammering, "dials_are_bounded"),
        (bad_parts.JitterEatsWaits, "dials_are_bounded"),
        (bad_parts.OneForAll, "every_kind_has_its_backoff"),
        (bad_parts.ShrinksWaits, "retry_after_is_heeded"),
        (bad_parts.ShrinksWaits, "malformed_retry_after_is_ignored"),
    ],
)
def test_mistakes_are_caught(part: object, caught_by: str) -> None:
    """Each mistake is caught by the property that forbids it, in the quick profile."""
    report = run_properties(named_properties([caught_by]), Parts.of(backoff=part), seed=1)
    assert [row.outcome for row in report.rows] == ["failed"]


def test_our_jitter_is_tried_on_the_users_backoff() -> None:
    """A backoff that has no jitter is tried under ours, too."""
    properties = named_properties(["jitter_within_its_bounds"])
    report = run_properties(properties, Parts.of(backoff=bad_parts.Negative), seed=1)
    assert not report.is_passed


def test_the_smallest_example_is_told() -> None:
    """The error names the property, its statement, and an example that a person can read."""
    with pytest.raises(PropertyViolatedError) as caught:
        check_backoff(bad_parts.AboveCap, seed=1)
    error = caught.value
    assert error.name == "delay_within_cap"
    assert error.example.endswith("AboveCap>, failures=0, seed=0")
    assert error.observed == "delay(21) is 63.0 without jitter, above the cap of 60"
    assert isinstance(error.__cause__, AssertionError)
    assert "0x" not in str(error)


def test_the_count_that_does_harm_is_told() -> None:
    """Of huge counts, the error tells at which it went wrong, and how."""
    with pytest.raises(PropertyViolatedError, match=r"delay\(10000\) raises OverflowError"):
        check_backoff(bad_parts.Overflowing, seed=1)


class Uncopyable(bad_parts.GoodBackoff):
    """Cannot be copied."""

    def __deepcopy__(self, memo: object) -> Uncopyable:
        raise TypeError("no")


@pytest.mark.usefixtures("few_examples")
def test_what_cannot_be_copied_is_tried_as_it_is() -> None:
    """A backoff that cannot be copied is tried all the same."""
    assert check_backoff(Uncopyable(), seed=1).is_passed


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        (5, "has no delay and cap"),
        (object, "has no delay and cap"),
        (bad_parts.GoodHeartbeat, "has no delay and cap"),
        (wsguard.LinearBackoff, "calling it failed: TypeError"),
        (lambda: math.nan, "has no delay and cap"),
    ],
)
def test_what_is_no_backoff_is_refused(part: object, problem: str) -> None:
    """What is no backoff is not tried."""
    with pytest.raises(PartError, match=problem):
        check_backoff(part)
