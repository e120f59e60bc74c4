"""What waits in a send buffer ends once, in order, and within its bounds."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from trio_wsguard._core.buffer import BufferPolicy, SendBuffer
from trio_wsguard._core.delivery import EXPIRED, FAILED, IN_FLIGHT, QUEUED, SENT, Delivery
from trio_wsguard._errors import (
    BufferFullError,
    ConnectionLostError,
    GuardFailedError,
    InternalError,
    PolicyError,
)

LOST = ConnectionLostError(None, 1, maybe_sent=True)
OVER = GuardFailedError(())
MAX_AGE = 10.0


class BufferMachine(RuleBasedStateMachine):
    """A send buffer against two lists: what was accepted, and what of it waits."""

    @initialize(
        messages=st.integers(1, 4),
        size=st.integers(5, 20),
        max_age=st.sampled_from([None, MAX_AGE]),
        overflow=st.sampled_from(["block", "error", "drop_oldest"]),
    )
    def open(self, messages: int, size: int, max_age: float | None, overflow: Any) -> None:
        self.policy = BufferPolicy(
            max_messages=messages, max_bytes=size, max_age=max_age, overflow=overflow
        )
        self.buffer = SendBuffer(self.policy)
        self.now = 0.0
        self.accepted: list[Delivery] = []
        self.waiting: list[Delivery] = []
        self.in_flight: Delivery | None = None
        self.ended: list[Delivery] = []
        self.begun: list[Delivery] = []

    def expect_ended(self, *expected: Delivery) -> None:
        ended = self.buffer.take_ended()
        assert ended == list(expected)
        self.ended += ended
        for delivery in expected:
            if delivery in self.waiting:
                self.waiting.remove(delivery)

    def outdated(self) -> list[Delivery]:
        max_age = self.policy.max_age
        if max_age is None:
            return []
        return [d for d in self.waiting if self.now >= d.accepted_at + max_age]

    def fits(self, waiting: list[Delivery], size: int) -> bool:
        total = sum(d.size for d in waiting) + size
        return len(waiting) < self.policy.max_messages and total <= self.policy.max_bytes

    @rule(seconds=st.sampled_from([0.0, 1.0, 5.0, 10.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(size=st.integers(0, 12))
    def put(self, size: int) -> None:
        """What fits is accepted; what does not waits, is refused, or drops the oldest."""
        if size > self.policy.max_bytes:
            with pytest.raises(BufferFullError, match="max_bytes"):
                self.buffer.put("x" * size, self.now)
            return
        outdated = self.outdated()
        waiting = [d for d in self.waiting if d not in outdated]
        dropped: list[Delivery] = []
        if self.policy.overflow == "drop_oldest":
            while not self.fits(waiting, size):
                dropped.append(waiting.pop(0))
        if self.fits(waiting, size):
            delivery = self.buffer.put("x" * size, self.now)
            assert delivery is not None
            self.accepted.append(delivery)
            self.waiting.append(delivery)
        elif self.policy.overflow == "block":
            assert self.buffer.put("x" * size, self.now) is None
        else:
            with pytest.raises(BufferFullError):
                self.buffer.put("x" * size, self.now)
        self.expect_ended(*outdated, *dropped)
        assert all(d.state is EXPIRED for d in outdated)
        assert all(isinstance(d.error, BufferFullError) for d in dropped)

    @rule()
    def tick(self) -> None:
        """Exactly what is too old expires, and at the time that was told."""
        outdated = self.outdated()
        assert (self.buffer.next_deadline() <= self.now) is bool(outdated)
        self.buffer.tick(self.now)
        self.expect_ended(*outdated)

    @precondition(lambda self: self.in_flight is None)
    @rule()
    def begin(self) -> None:
        """The oldest goes first, and none that is too old."""
        outdated = self.outdated()
        waiting = [d for d in self.waiting if d not in outdated]
        delivery = self.buffer.begin(self.now)
        self.expect_ended(*outdated)
        assert delivery is (waiting[0] if waiting else None)
        if delivery is not None:
            assert delivery.state is IN_FLIGHT
            self.waiting.remove(delivery)
            self.in_flight = delivery
            self.begun.append(delivery)

    @precondition(lambda self: self.in_flight is not None)
    @rule()
    def sent(self) -> None:
        self.buffer.sent()
        self.land(SENT)

    @precondition(lambda self: self.in_flight is not None)
    @rule()
    def lost(self) -> None:
        self.buffer.lost(LOST)
        self.land(FAILED)

    def land(self, state: Any) -> None:
        delivery, self.in_flight = self.in_flight, None
        assert delivery is not None
        self.expect_ended(delivery)
        assert delivery.state is state
        assert delivery.error is (LOST if state is FAILED else None)

    @precondition(lambda self: self.in_flight is not None)
    @rule()
    def not_begun(self) -> None:
        """What was not begun is the oldest again."""
        delivery, self.in_flight = self.in_flight, None
        assert delivery is not None
        self.buffer.not_begun()
        self.expect_ended()
        self.begun.remove(delivery)
        self.waiting.insert(0, delivery)
        assert (delivery.state, delivery.sends) == (QUEUED, 0)

    @rule()
    def fail_all(self) -> None:
        """All that waits fails with the error given, none forgotten."""
        waiting = list(self.waiting)
        self.buffer.fail_all(OVER)
        self.expect_ended(*waiting)
        assert all(d.error is OVER for d in waiting)

    @invariant()
    def each_accepted_message_is_in_one_place(self) -> None:
        """Accepted = sent + failed + expired + in flight + waiting, each message once."""
        figures = self.buffer.statistics(self.now)
        totals = figures.totals
        assert len(self.ended) == len(set(map(id, self.ended)))
        ends = [d.state for d in self.ended]
        assert totals.sent == ends.count(SENT)
        assert totals.failed == ends.count(FAILED)
        assert totals.expired == ends.count(EXPIRED)
        assert totals.accepted == len(self.accepted)
        assert totals.accepted == len(ends) + figures.in_flight + figures.depth
        assert totals.maybe_sent == sum(d.error is LOST for d in self.ended)
        assert totals.dropped == sum(isinstance(d.error, BufferFullError) for d in self.ended)

    @invariant()
    def the_bounds_hold(self) -> None:
        """What waits stays within the limits, but for one that came back unsent."""
        figures = self.buffer.statistics(self.now)
        assert figures.depth == len(self.waiting) == len(self.buffer)
        assert figures.size == sum(d.size for d in self.waiting)
        rest = self.waiting[1:]
        assert len(rest) <= self.policy.max_messages
        assert sum(d.size for d in rest) <= self.policy.max_bytes
        oldest = self.waiting[0].accepted_at if self.waiting else self.now
        assert figures.oldest_age == self.now - oldest

    @invariant()
    def order_is_kept_and_nothing_goes_twice(self) -> None:
        """Messages are written in the order they were accepted, each once at the most."""
        places = [self.accepted.index(d) for d in self.begun]
        assert places == sorted(set(places))


TestBuffer = BufferMachine.TestCase


def test_drop_oldest_keeps_the_newest() -> None:
    """Of many messages, exactly the last that fit are left."""
    buffer = SendBuffer(BufferPolicy(max_messages=3, overflow="drop_oldest"))
    for n in range(10):
        assert buffer.put(str(n), 0.0) is not None
    left = [buffer.begin(0.0)]
    while len(buffer):
        buffer.sent()
        left.append(buffer.begin(0.0))
    assert [d.message for d in left if d is not None] == ["7", "8", "9"]


def test_all_that_is_too_old_expires_at_once() -> None:
    """Messages of one age expire together, and the younger one stays."""
    buffer = SendBuffer(BufferPolicy(max_age=10))
    for message, at in [("a", 0.0), ("b", 0.0), ("c", 1.0)]:
        buffer.put(message, at)
    buffer.tick(10.0)
    assert [d.message for d in buffer.take_ended()] == ["a", "b"]
    assert buffer.next_deadline() == 11.0


def test_nothing_expires_without_a_max_age() -> None:
    """Without a maximum age there is no deadline."""
    buffer = SendBuffer(BufferPolicy())
    buffer.put("m", 0.0)
    assert buffer.next_deadline() == math.inf
    assert buffer.begin(1e9) is not None


def test_one_message_is_in_flight_at_a_time() -> None:
    """A second message in flight, or the end of none, is refused."""
    buffer = SendBuffer(BufferPolicy())
    with pytest.raises(InternalError, match="in flight"):
        buffer.sent()
    buffer.put("a", 0.0)
    buffer.put("b", 0.0)
    buffer.begin(0.0)
    with pytest.raises(InternalError, match="in flight"):
        buffer.begin(0.0)


@pytest.mark.parametrize("value", [0, -1, math.nan])
def test_max_age_is_checked(value: float) -> None:
    """An age that no message could reach is refused."""
    with pytest.raises(PolicyError, match="max_age"):
        BufferPolicy(max_age=value)
