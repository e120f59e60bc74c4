"""Repeats are found, within bounds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from trio_wsguard._core.duplicates import DuplicateFilter, SeenKeys
from trio_wsguard._errors import PolicyError

TTL = 10.0


class FilterMachine(RuleBasedStateMachine):
    """A filter against a list of all it ever let through."""

    @initialize(max_size=st.integers(1, 6))
    def open(self, max_size: int) -> None:
        self.max_size = max_size
        self.now = 0.0
        self.passed: list[tuple[str, float]] = []
        self.repeats = 0
        self.filter = DuplicateFilter(key=lambda m: m or None, max_size=max_size, ttl=TTL)

    @rule(seconds=st.sampled_from([0.0, 0.1, 4.9, 5.0, 9.9, 10.0]) | st.floats(0, 25))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(key=st.sampled_from("abcdefgh"))
    def receive(self, key: str) -> None:
        """What is dropped is a repeat; what is a repeat, and not pushed out, is dropped."""
        is_dropped = self.filter.is_duplicate(key, self.now)
        seen = [n for n, (k, at) in enumerate(self.passed) if k == key and self.now < at + TTL]
        if is_dropped:
            assert seen, "a message was dropped that is no repeat"
            self.repeats += 1
            return
        if seen:
            assert len(self.passed) - seen[-1] > self.max_size, "a repeat came through"
        self.passed.append((key, self.now))

    @rule()
    def receive_unfiltered(self) -> None:
        """A message without a key is never a repeat, and nothing is remembered of it."""
        before = len(self.filter)
        assert not self.filter.is_duplicate("", self.now)
        assert len(self.filter) == before

    @invariant()
    def is_bounded(self) -> None:
        assert len(self.filter) <= self.max_size
        assert self.filter.dropped == self.repeats


TestFilter = FilterMachine.TestCase


def test_a_repeat_is_not_remembered_for_longer() -> None:
    """A message that comes regularly is let through once in every ttl, not once for ever."""
    dedup = DuplicateFilter(key=lambda m: m, ttl=10)
    passed = [now for now in range(0, 30, 5) if not dedup.is_duplicate("m", float(now))]
    assert passed == [0, 10, 20]


def test_a_key_that_comes_back_is_young_again() -> None:
    """A key let through a second time is the last to make room, not the first."""
    seen = SeenKeys(max_size=4, ttl=10)
    assert all(seen.add(key, at) for key, at in [("x", 0), ("y", 0), ("a", 0), ("b", 5)])
    assert all(seen.add(key, 10) for key in "acde")
    assert not seen.add("a", 10)
    assert seen.add("b", 10)


def test_size_is_kept_exactly() -> None:
    """The last `max_size` keys are remembered, and the one before them is not."""
    seen = SeenKeys(max_size=3, ttl=10)
    assert all(seen.add(key, 0.0) for key in "abcd")
    assert not any(seen.add(key, 0.0) for key in "dcb")
    assert seen.add("a", 0.0)


def test_no_call_sweeps() -> None:
    """Of 1,000 keys outdated at once a call forgets two: no message waits for a sweep."""
    seen = SeenKeys(max_size=1000, ttl=10)
    for key in range(1000):
        seen.add(key, 0.0)
    sizes = [len(seen) for key in range(1000) if seen.add(-1 - key, 10.0)]
    assert sizes[:3] == [999, 998, 997]
    assert min(sizes) == 500
    assert sizes[-1] == 1000


def test_two_filters_share_one_budget() -> None:
    """Filters that put a name before their keys can keep them in one memory."""
    seen = SeenKeys(max_size=2, ttl=10)
    assert [seen.add((name, "k"), 0.0) for name in "abab"] == [True, True, False, False]
    assert len(seen) == 2


@pytest.mark.parametrize("error", [KeyError("id"), ValueError()])
def test_what_key_raises_comes_out(error: Exception) -> None:
    """An error of the user's function leaves as itself, and nothing is remembered."""

    def key(message: object) -> object:
        raise error

    dedup = DuplicateFilter(key=key)
    with pytest.raises(type(error)):
        dedup.is_duplicate("m", 0.0)
    assert (len(dedup), dedup.dropped) == (0, 0)


def test_a_key_that_cannot_be_hashed() -> None:
    """A list as a key is a TypeError at the first message."""
    dedup: Any = DuplicateFilter(key=lambda m: [m])  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="unhashable"):
        dedup.is_duplicate("m", 0.0)


@pytest.mark.parametrize(
    ("setting", "value"), [("key", "id"), ("max_size", 0), ("ttl", 0), ("ttl", float("inf"))]
)
def test_settings_are_checked(setting: str, value: object) -> None:
    """A filter that could not be bounded, or remember nothing, is refused."""
    settings: dict[str, Any] = {"key": len, setting: value}
    with pytest.raises(PolicyError, match=setting):
        DuplicateFilter(**settings)


def test_what_is_remembered_is_a_repeat_when_it_comes() -> None:
    """A key that was only remembered is a repeat from then on, and no longer than any other."""
    dedup = DuplicateFilter(key=str, ttl=TTL)
    dedup.remember("a", 0.0)
    dedup.remember("a", 5.0)
    dedup.remember(None, 5.0)
    assert (len(dedup), dedup.dropped) == (1, 0)
    assert dedup.is_repeat("a", 9.9)
    assert not dedup.is_repeat("a", 10.0)
