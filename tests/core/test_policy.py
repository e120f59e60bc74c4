"""The settings."""

from __future__ import annotations

import itertools
import math
from random import Random
from typing import Any

import attrs
import pytest

from trio_wsguard._core.backoff import BackoffPolicy, LinearBackoff
from trio_wsguard._core.failure import FailureKind, FailureRules
from trio_wsguard._core.rules import DOCUMENTED_RULES
from trio_wsguard._errors import PolicyError
from trio_wsguard._policy import (
    AlertPolicy,
    FlappingPolicy,
    GuardPolicy,
    HeartbeatPolicy,
    WatchdogPolicy,
)

RULE = DOCUMENTED_RULES[0]
CODES: dict[str, object] = {
    "final_close_codes": {1000},
    "protocol_close_codes": {1002, 1003, 1007, 1008, 1009, 1010},
    "fatal_close_codes": set(),
    "fatal_statuses": {s for s in range(400, 500) if s not in (408, 425, 429)},
}
# The table of the design, written out again.
DEFAULTS: dict[Any, dict[str, object]] = {
    GuardPolicy: {
        "heartbeat": HeartbeatPolicy(),
        "backoff": BackoffPolicy(),
        "watchdog": WatchdogPolicy(),
        "flapping": FlappingPolicy(),
        "alerts": AlertPolicy(),
        "max_connection_failures": 5,
        "stable_after": 5,
        "failed_cooldown": None,
        "open_timeout": 20,
        "close_timeout": 5,
        "max_age": None,
        "max_queue": 1024,
        "max_queue_bytes": 2**22,
        "max_message_size": 1_048_576,
        "max_redirects": 5,
        **CODES,
    },
    HeartbeatPolicy: {
        "interval": 15,
        "send_timeout": 2,
        "response_timeout": 10,
        "slow_response": 5,
        "max_missed": 3,
        "adaptive": False,
        "max_interval": 60,
        "traffic_is_life": True,
    },
    BackoffPolicy: {
        "closed": LinearBackoff(step=3, cap=15),
        "network": LinearBackoff(step=10, cap=60),
        "other": LinearBackoff(step=5, cap=30),
        "max_retry_after": 300,
    },
    WatchdogPolicy: {
        "silence_timeout": 30,
        "send_timeout": 10,
        "stall_tolerance": 1,
        "stuck_timeout": 30,
        "cure_stuck": False,
    },
    AlertPolicy: {"rules": DOCUMENTED_RULES, "interval": 15, "window": 300},
    FlappingPolicy: {"limit": 5, "window": 300, "lifetime": 30, "fail": False},
    FailureRules: CODES,
}

NOT_NUMBERS: tuple[object, ...] = (
    math.nan,
    math.inf,
    -math.inf,
    10**400,
    -1,
    True,
    "5",
    [5],
    5j,
)
NOT_WHOLE: tuple[object, ...] = (math.nan, math.inf, 1.0, -1, True, False, "5", [5])
NOT_BOOLEAN: tuple[object, ...] = (0, 1, None, "yes")

POSITIVE = (*NOT_NUMBERS, None, 0, 0.0)
NOT_NEGATIVE = (*NOT_NUMBERS, None, False)
OPTIONAL_POSITIVE = (*NOT_NUMBERS, 0)
COUNT = (*NOT_WHOLE, None, 0)
OPTIONAL_COUNT = (*NOT_WHOLE, 0)
REFUSED: list[tuple[Any, str, tuple[object, ...]]] = [
    (HeartbeatPolicy, "interval", POSITIVE),
    (HeartbeatPolicy, "send_timeout", POSITIVE),
    (HeartbeatPolicy, "response_timeout", POSITIVE),
    (HeartbeatPolicy, "slow_response", POSITIVE),
    (HeartbeatPolicy, "max_missed", COUNT),
    (HeartbeatPolicy, "adaptive", NOT_BOOLEAN),
    (HeartbeatPolicy, "max_interval", POSITIVE),
    (HeartbeatPolicy, "traffic_is_life", NOT_BOOLEAN),
    (WatchdogPolicy, "silence_timeout", POSITIVE),
    (WatchdogPolicy, "send_timeout", POSITIVE),
    (WatchdogPolicy, "stall_tolerance", POSITIVE),
    (WatchdogPolicy, "stuck_timeout", POSITIVE),
    (WatchdogPolicy, "cure_stuck", NOT_BOOLEAN),
    (AlertPolicy, "interval", POSITIVE),
    (AlertPolicy, "window", POSITIVE),
    (AlertPolicy, "rules", (None, "rules", [RULE])),
    (GuardPolicy, "alerts", (None, (), HeartbeatPolicy())),
    (FlappingPolicy, "limit", COUNT),
    (FlappingPolicy, "window", POSITIVE),
    (FlappingPolicy, "lifetime", POSITIVE),
    (FlappingPolicy, "fail", NOT_BOOLEAN),
    (BackoffPolicy, "closed", (3, None, "3", object())),
    (BackoffPolicy, "network", (3, None, "3", object())),
    (BackoffPolicy, "other", (3, None, "3", object())),
    (BackoffPolicy, "max_retry_after", NOT_NEGATIVE),
    (GuardPolicy, "heartbeat", (None, 15, WatchdogPolicy())),
    (GuardPolicy, "backoff", (None, 3, LinearBackoff(step=3, cap=15))),
    (GuardPolicy, "watchdog", (None, 30, HeartbeatPolicy())),
    (GuardPolicy, "flapping", (None, True, HeartbeatPolicy())),
    (GuardPolicy, "max_connection_failures", OPTIONAL_COUNT),
    (GuardPolicy, "stable_after", NOT_NEGATIVE),
    (GuardPolicy, "failed_cooldown", NOT_NUMBERS),
    (GuardPolicy, "open_timeout", POSITIVE),
    (GuardPolicy, "close_timeout", NOT_NEGATIVE),
    (GuardPolicy, "max_age", OPTIONAL_POSITIVE),
    (GuardPolicy, "max_queue", COUNT),
    (GuardPolicy, "max_queue_bytes", COUNT),
    (GuardPolicy, "max_message_size", COUNT),
    (GuardPolicy, "max_redirects", (*NOT_WHOLE, None)),
    *((cls, name, (1000, None, "1000")) for cls in (GuardPolicy, FailureRules) for name in CODES),
]


def short(value: object) -> str:
    """Name a parameter: a number of four hundred digits is no name."""
    return value.__name__ if isinstance(value, type) else repr(value)[:20]


@pytest.mark.parametrize(("policy", "defaults"), DEFAULTS.items())
def test_defaults(policy: Any, defaults: dict[str, object]) -> None:
    """A policy built without arguments has exactly the documented fields and numbers."""
    built = policy()
    assert {field.name: getattr(built, field.name) for field in attrs.fields(policy)} == defaults


@pytest.mark.parametrize(
    ("policy", "field", "value"),
    [(policy, field, value) for policy, field, values in REFUSED for value in values],
    ids=short,
)
def test_bad_values_are_refused(policy: Any, field: str, value: object) -> None:
    """A bad value is refused when the policy is built, by an error naming field and value."""
    with pytest.raises(PolicyError) as caught:
        policy(**{field: value})
    assert caught.value.field == field
    assert caught.value.value == value or value != value
    assert f"{field}={value!r}: " in str(caught.value)


def test_every_field_is_checked() -> None:
    """No setting of any policy is left unchecked."""
    fields = {(policy, field) for policy, names in DEFAULTS.items() for field in names}
    assert {(policy, field) for policy, field, _ in REFUSED} == fields


@pytest.mark.parametrize("cls", [GuardPolicy, FailureRules])
@pytest.mark.parametrize("field", CODES)
@pytest.mark.parametrize("code", [0, 99, 5000, -1, True, 1000.5, "1000"])
def test_bad_codes_are_refused(cls: Any, field: str, code: object) -> None:
    """A code or status outside its range is refused, by an error naming field and code."""
    with pytest.raises(PolicyError) as caught:
        cls(**{field: {code}})
    assert f"{field}={code!r}: " in str(caught.value)


@pytest.mark.parametrize("kind", [set, frozenset, list, tuple])
def test_codes_may_come_in_any_collection(kind: Any) -> None:
    """Codes may be given as any collection, and are kept in a frozen set."""
    policy = GuardPolicy(final_close_codes=kind([1000, 4000]))
    rules = policy.rules
    assert policy.final_close_codes == rules.final_close_codes == frozenset({1000, 4000})
    assert isinstance(rules.final_close_codes, frozenset)


def test_policy_error_is_a_value_error() -> None:
    """A caller that knows nothing of us catches ValueError."""
    with pytest.raises(ValueError, match=r"^interval=-1: must be above 0$"):
        HeartbeatPolicy(interval=-1)


@pytest.mark.parametrize("policy", DEFAULTS)
def test_policies_are_frozen(policy: Any) -> None:
    """No field of a policy can be set once it is built."""
    built = policy()
    for field in attrs.fields(policy):
        with pytest.raises(AttributeError):
            setattr(built, field.name, getattr(built, field.name))


@pytest.mark.parametrize("policy", DEFAULTS)
def test_policies_are_keyword_only(policy: Any) -> None:
    """A setting is always named where it is given."""
    with pytest.raises(TypeError):
        policy(1)


def test_adaptive_interval_must_have_room() -> None:
    """An adaptive interval that begins above its limit is refused, a fixed one is not."""
    with pytest.raises(PolicyError, match=r"^max_interval=10: "):
        HeartbeatPolicy(adaptive=True, interval=15, max_interval=10)
    assert HeartbeatPolicy(interval=15, max_interval=10).max_interval == 10


def test_detection_bound() -> None:
    """The bound is an interval and the response timeout of every beat that may be missed."""
    assert GuardPolicy().detection_bound == 45
    assert HeartbeatPolicy(interval=1, response_timeout=1, max_missed=2).detection_bound == 3
    assert HeartbeatPolicy(adaptive=True).detection_bound == 90


def test_low_latency_retries_a_lost_connection_at_once() -> None:
    """With low_latency() the first retry after a loss waits for nothing."""
    backoff = GuardPolicy.low_latency().backoff
    assert backoff.delay(FailureKind.CLOSED, 1, Random(1)) == 0
    assert backoff.delay(FailureKind.HEARTBEAT, 1, Random(1)) == 0


@pytest.mark.parametrize("kind", FailureKind)
def test_low_latency_grows_to_twenty_seconds(kind: FailureKind) -> None:
    """With low_latency() delays double up to 20 s and are spread from 0 on."""
    backoff = GuardPolicy.low_latency().backoff
    plain = [backoff.delay(kind, n) for n in range(2, 100)]
    assert plain[-1] == max(plain) == 20
    assert all(b in (2 * a, 20) for a, b in itertools.pairwise(plain))
    drawn = [backoff.delay(kind, 50, Random(seed)) for seed in range(200)]
    assert 0 <= min(drawn) < 2
    assert 18 < max(drawn) <= 20


@pytest.mark.parametrize("kind", FailureKind)
def test_fleet_never_retries_in_step(kind: FailureKind) -> None:
    """With fleet() a thousand clients that fail together come back at a thousand moments."""
    backoff = GuardPolicy.fleet().backoff
    for failures, longest in ((1, 2), (2, 4), (5, 32), (6, 60), (1000, 60)):
        drawn = [backoff.delay(kind, failures, Random(n)) for n in range(1000)]
        assert len(set(drawn)) == 1000
        assert min(drawn) < longest * 0.05
        assert longest * 0.95 < max(drawn) <= longest


@pytest.mark.parametrize("policy", [GuardPolicy.low_latency(), GuardPolicy.fleet()])
def test_ready_made_policies_never_give_up(policy: GuardPolicy) -> None:
    """The ready-made policies retry transient failures for ever."""
    assert policy.max_connection_failures is None


def test_low_latency_finds_a_dead_peer_sooner() -> None:
    """A dead peer goes unnoticed for less than half as long with low_latency()."""
    assert GuardPolicy.low_latency().detection_bound == 20
    assert GuardPolicy.fleet().detection_bound == 45


@pytest.mark.parametrize("wrong", [None, "deep", HeartbeatPolicy()])
def test_rules_that_are_none_are_refused(wrong: Any) -> None:
    """What is no rule is named itself, not the tuple it stands in."""
    with pytest.raises(PolicyError) as refused:
        AlertPolicy(rules=(RULE, wrong))
    assert (refused.value.field, refused.value.value) == ("rules", wrong)


def test_rules_have_names_of_their_own() -> None:
    """Two rules of one name could not be told apart."""
    with pytest.raises(PolicyError, match="connection_failure_rate"):
        AlertPolicy(rules=(RULE, attrs.evolve(RULE, threshold=0.5)))
