"""Sends are paced by the generic cell rate algorithm."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from trio_wsguard._core.pace import Pacer, SendRate
from trio_wsguard._errors import InternalError, PolicyError

# Whole numbers of ticks and rates of powers of two: floats are exact here.
TICK = 1 / 64


class PacerMachine(RuleBasedStateMachine):
    """A pacer against a bucket of tokens, which is another algorithm for the same law."""

    @initialize(rate=st.sampled_from([0.5, 1.0, 2.0, 8.0]), burst=st.integers(1, 5))
    def open(self, rate: float, burst: int) -> None:
        self.rate, self.burst = rate, burst
        self.pacer = Pacer(SendRate(rate=rate, burst=burst))
        self.now = 100.0
        self.filled = (float(burst), self.now)
        self.before: tuple[float, float] | None = None

    def tokens(self) -> float:
        tokens, at = self.filled
        return min(self.burst, tokens + (self.now - at) * self.rate)

    @rule(ticks=st.integers(0, 300))
    def wait(self, ticks: int) -> None:
        self.now += ticks * TICK

    @rule()
    def take(self) -> None:
        """A turn is given exactly when a token is there, and the time told is the time it is."""
        tokens = self.tokens()
        wanting = max(0.0, 1 - tokens)
        assert max(self.pacer.ready_at(), self.now) == self.now + wanting / self.rate
        assert self.pacer.take(self.now) is (tokens >= 1)
        if tokens >= 1:
            self.before = self.filled
            self.filled = (tokens - 1, self.now)

    @rule()
    def give_back(self) -> None:
        """A turn given back leaves no debt: all is as if it had never been taken."""
        if self.before is not None:
            self.pacer.give_back()
            self.filled, self.before = self.before, None


TestPacer = PacerMachine.TestCase


@given(st.floats(1e-3, 1e6), st.integers(1, 100), st.floats(0, 1e9), st.integers(1, 200))
def test_who_waits_as_told_goes(rate: float, burst: int, start: float, count: int) -> None:
    """Waiting until the time told is enough; the pace is the rate, after a burst."""
    pacer, now = Pacer(SendRate(rate=rate, burst=burst)), start
    for _ in range(count):
        now = max(now, pacer.ready_at())
        assert pacer.take(now)
    due = start + max(0, count - burst) / rate
    assert now == pytest.approx(due, rel=1e-9, abs=count * 1e-9)


@given(
    st.lists(st.floats(0, 3) | st.just(0.0), min_size=1, max_size=100),
    st.floats(0.1, 20),
    st.integers(1, 5),
)
def test_no_window_has_more(steps: list[float], rate: float, burst: int) -> None:
    """In no stretch of time go more than the burst and what the rate allows."""
    pacer, now, gone = Pacer(SendRate(rate=rate, burst=burst)), 0.0, []
    for step in steps:
        now += step
        if pacer.take(now):
            gone.append(now)
    for first in range(len(gone)):
        for last in range(first, len(gone)):
            allowed = burst + (gone[last] - gone[first]) * rate
            assert last - first + 1 <= allowed + 1e-6


def test_called_too_early_it_does_nothing() -> None:
    """A turn asked for too early changes nothing, however often."""
    pacer = Pacer(SendRate(rate=2))
    assert pacer.take(1.0)
    assert not any(pacer.take(1.25) for _ in range(10))
    assert pacer.ready_at() == 1.5
    assert pacer.take(1.5)


def test_one_turn_is_given_back_once() -> None:
    """There is one turn to give back, that of the last send."""
    pacer = Pacer(SendRate(rate=1))
    with pytest.raises(InternalError, match="given back"):
        pacer.give_back()
    assert pacer.take(0.0)
    pacer.give_back()
    assert pacer.take(0.0)
    pacer.give_back()
    with pytest.raises(InternalError, match="given back"):
        pacer.give_back()


@pytest.mark.parametrize(
    ("setting", "value"), [("rate", 0), ("rate", float("inf")), ("burst", 0), ("burst", 1.5)]
)
def test_settings_are_checked(setting: str, value: object) -> None:
    """A rate that is none is refused."""
    settings: dict[str, Any] = {"rate": 1, setting: value}
    with pytest.raises(PolicyError, match=setting):
        SendRate(**settings)
