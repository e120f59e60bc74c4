"""Messages of many members are taken in turn."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from trio_wsguard._core.turns import Turns
from trio_wsguard._errors import PolicyError

NAMES = "abcd"


class Queue:
    """A member's queue: bounded, oldest first."""

    def __init__(self, limit: int = 1000) -> None:
        self.items: deque[int] = deque()
        self.limit = limit

    def __len__(self) -> int:
        return len(self.items)

    def pop(self) -> int:
        return self.items.popleft()

    def put(self, item: int) -> bool:
        """Put a message if there is room; tell whether there was."""
        if len(self.items) == self.limit:
            return False
        self.items.append(item)
        return True


class TurnsMachine(RuleBasedStateMachine):
    """Any order of putting, taking, adding and removing."""

    @initialize(quantum=st.integers(1, 3))
    def open(self, quantum: int) -> None:
        self.quantum = quantum
        self.turns: Turns[int] = Turns(quantum)
        self.queues: dict[str, Queue] = {}
        self.number = 0
        # Of each member that has messages: how many others were taken of since its own turn.
        self.passed: dict[str, dict[str, int]] = {}

    @rule(name=st.sampled_from(NAMES), held=st.integers(0, 2))
    def add(self, name: str, held: int) -> None:
        queue = Queue()
        if name in self.queues:
            with pytest.raises(ValueError, match="already"):
                self.turns.add(name, queue)
            return
        for _ in range(held):
            self.number += 1
            queue.put(self.number)
        self.queues[name] = queue
        self.turns.add(name, queue)
        if held:
            self.passed[name] = {}

    @rule(name=st.sampled_from(NAMES))
    def remove(self, name: str) -> None:
        if name not in self.queues:
            with pytest.raises(KeyError):
                self.turns.remove(name)
            return
        self.turns.remove(name)
        del self.queues[name]
        self.passed.pop(name, None)

    @precondition(lambda self: self.queues)
    @rule(data=st.data(), count=st.integers(1, 5))
    def put(self, data: st.DataObject, count: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.queues)))
        for _ in range(count):
            self.number += 1
            self.queues[name].put(self.number)
        self.turns.ready(name)
        self.passed.setdefault(name, {})

    @precondition(lambda self: self.queues)
    @rule(data=st.data())
    def take_directly(self, data: st.DataObject) -> None:
        """The user may take from a member itself."""
        name = data.draw(st.sampled_from(sorted(self.queues)))
        if len(self.queues[name]):
            self.queues[name].pop()
        if not len(self.queues[name]):
            self.passed.pop(name, None)

    @rule()
    def take(self) -> None:
        """The oldest of a member, and no member is passed over for longer than a quantum each."""
        oldest = {name: queue.items[0] for name, queue in self.queues.items() if queue.items}
        taken = self.turns.take()
        if taken is None:
            assert not oldest
            return
        name, number = taken
        assert oldest[name] == number
        self.passed.pop(name, None)
        if len(self.queues[name]):
            self.passed[name] = {}
        for other, counts in self.passed.items():
            if other != name:
                counts[name] = counts.get(name, 0) + 1
                # Twice: the turn that went on when it came, and one before its own.
                assert counts[name] <= 2 * self.quantum

    def teardown(self) -> None:
        """All that is there comes out."""
        if hasattr(self, "turns"):
            left = sum(map(len, self.queues.values()))
            assert len(self.turns.take_all(10_000)) == left


TestTurns = TurnsMachine.TestCase
TestTurns.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)


def test_a_loud_member_does_not_starve_a_quiet_one() -> None:
    """One message of a quiet member waits for one of a loud one, and not for thousands."""
    turns: Turns[int] = Turns()
    loud, quiet = Queue(10_000), Queue()
    turns.add("loud", loud)
    turns.add("quiet", quiet)
    for number in range(10_000):
        loud.put(number)
        turns.ready("loud")
    assert turns.take() == ("loud", 0)
    quiet.put(-1)
    turns.ready("quiet")
    assert turns.take_all(3) == [("loud", 1), ("quiet", -1), ("loud", 2)]


def test_a_full_member_leaves_room_to_others() -> None:
    """Each member is bounded by its own queue: one that is full takes no other's place."""
    turns: Turns[int] = Turns()
    queues = {name: Queue(limit=2) for name in NAMES}
    for name, queue in queues.items():
        turns.add(name, queue)
    assert [queues["a"].put(n) for n in range(3)] == [True, True, False]
    turns.ready("a")
    assert queues["b"].put(7)
    turns.ready("b")
    assert turns.take_all(10) == [("a", 0), ("b", 7), ("a", 1)]


def test_a_name_can_come_back() -> None:
    """A member added again under the name of one removed starts with its own queue."""
    turns: Turns[int] = Turns()
    before, after = Queue(), Queue()
    before.put(1)
    turns.add("a", before)
    turns.remove("a")
    after.put(2)
    turns.add("a", after)
    assert turns.take_all(10) == [("a", 2)]
    assert len(before) == 1


def test_a_quantum_is_a_turn() -> None:
    """Where a turn is several messages, they come in a row."""
    turns: Turns[int] = Turns(quantum=2)
    for name in "ab":
        queue = Queue()
        for number in range(3):
            queue.put(number)
        turns.add(name, queue)
    taken = turns.take_all(10)
    assert [name for name, _ in taken] == ["a", "a", "b", "b", "a", "b"]


def test_the_quantum_is_checked() -> None:
    """A turn without a message is none."""
    settings: dict[str, Any] = {"quantum": 0}
    with pytest.raises(PolicyError, match="quantum"):
        Turns(**settings)
