"""The law of a stream: whatever faults come and go, no byte is lost, repeated, moved or altered."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_wsguard.testing import (
    Bandwidth,
    Blackhole,
    Coalesce,
    Direction,
    Fault,
    HalfClose,
    HalfOpen,
    HandshakeDelay,
    Hold,
    Latency,
    LimitData,
    Link,
    Loss,
    NatTimeout,
    Partition,
    Quota,
    ResetPeer,
    ShortBuffer,
    SimulatedConnection,
    Slicer,
    SlowClose,
    StallRead,
    Timeout,
)
from trio_wsguard.testing.flow import Flow
from trio_wsguard.testing.segment import Kind, retransmission_after

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

    from trio_wsguard.testing import SimulatedStream

CAPACITY = 50
NEVER = 1e12


class FakeClock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self._calls: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def call_at(self, at: float, fn: Callable[[], None]) -> None:
        heapq.heappush(self._calls, (at, next(self._numbers), fn))

    def advance(self, seconds: float) -> None:
        """Let time pass, with the calls that fall into it."""
        self.advance_to(self.now + seconds)

    def advance_to(self, until: float) -> None:
        """Let time pass up to a moment; exactly, where a sum of differences is rounded."""
        while self._calls and self._calls[0][0] <= until:
            at, _, fn = heapq.heappop(self._calls)
            self.now = max(self.now, at)
            fn()
        self.now = until


@attrs.define
class FakeEnd:
    """Counts what it is told."""

    told: list[str] = attrs.field(factory=list)

    def on_readable(self) -> None:
        self.told.append("readable")

    def on_writable(self) -> None:
        self.told.append("writable")

    def on_reset(self, error: OSError) -> None:
        self.told.append(type(error).__name__)


def make_flow(give_up_after: float = NEVER) -> tuple[Flow, FakeClock]:
    clock = FakeClock()
    flow = Flow(clock, CAPACITY, give_up_after)
    flow.sender, flow.receiver = FakeEnd(), FakeEnd()
    return flow, clock


# --- one flow ---------------------------------------------------------------------


def test_retransmissions_double_up_to_two_minutes() -> None:
    """TCP tries again 0.2, 0.6, 1.4 ... seconds after the first time, in the end every 120 s."""
    times = [0.0]
    for _ in range(14):
        times.append(retransmission_after(0, times[-1]))
    pauses = [b - a for a, b in itertools.pairwise(times)]
    assert pauses == pytest.approx([min(0.2 * 2**n, 120) for n in range(14)])


def test_without_faults_bytes_arrive_at_once() -> None:
    """Sending is arriving, and room is what is not taken."""
    flow, _ = make_flow()
    flow.put(b"abc")
    assert (bytes(flow.unread), flow.room, flow.sent) == (b"abc", CAPACITY - 3, 3)
    assert (flow.take(2), flow.take(10), flow.room) == (b"ab", b"c", CAPACITY)


def test_each_end_is_told() -> None:
    """The receiver is told of bytes and the end, the sender of room, and of a refusal by RST."""
    flow, _ = make_flow()
    flow.put(b"a")
    flow.take(1)
    flow.finish()
    assert isinstance(flow.receiver, FakeEnd)
    assert isinstance(flow.sender, FakeEnd)
    assert flow.receiver.told == ["readable", "readable"]
    assert flow.sender.told == ["writable"]
    other, _ = make_flow()
    other.refuse(is_gone=False)
    other.finish()
    assert other.sender == FakeEnd()
    other.put(b"x")
    assert other.sender == FakeEnd(["ConnectionResetError"])


def test_a_kernel_that_forgot_refuses_even_the_end() -> None:
    """Where the receiver's kernel has forgotten the connection, FIN too is answered with RST."""
    flow, _ = make_flow()
    flow.refuse(is_gone=True)
    flow.finish()
    assert flow.sender == FakeEnd(["ConnectionResetError"])


def test_bytes_behind_an_injected_end_go_nowhere() -> None:
    """They are accepted, they do not arrive, and they take up no room."""
    flow, _ = make_flow()
    flow.inject(Kind.FIN)
    flow.put(b"x" * CAPACITY)
    assert (flow.has_ended, bytes(flow.unread), flow.room) == (True, b"", CAPACITY)


# --- both ways, under faults --------------------------------------------------------

seconds = st.sampled_from([0.01, 0.1, 0.5, 1, 3, 10, 40])
directions = st.sampled_from(list(Direction))


def on_any_way(kind: type[Fault], **fields: SearchStrategy[Any]) -> SearchStrategy[Fault]:
    return st.builds(kind, direction=directions, **fields)


def jittered(delay: float, part: float) -> Fault:
    return Latency(delay=delay, jitter=delay * part)


def sliced(size: int, part: float, delay: float) -> Fault:
    return Slicer(size=size, variation=int(size * part), delay=delay)


LAWFUL = st.one_of(
    on_any_way(Latency, delay=seconds),
    st.builds(jittered, seconds, st.floats(0, 1)),
    on_any_way(Bandwidth, rate=st.sampled_from([0.5, 10, 1000])),
    st.builds(sliced, st.integers(1, 20), st.floats(0, 0.9), st.just(0) | seconds),
    on_any_way(Coalesce, window=seconds),
    on_any_way(SlowClose, delay=seconds),
    st.builds(HandshakeDelay, delay=seconds),
    on_any_way(Loss, rate=st.sampled_from([0.1, 0.9])),
    on_any_way(Blackhole),
    on_any_way(Hold),
    on_any_way(StallRead),
    on_any_way(ShortBuffer, size=st.integers(1, 20)),
    on_any_way(Quota, size=st.integers(0, 60)),
    st.builds(NatTimeout, idle=seconds),
    st.builds(Partition),
)
ENDING = st.one_of(
    on_any_way(LimitData, size=st.integers(0, 60)),
    on_any_way(Timeout, after=st.just(0) | seconds),
    on_any_way(HalfClose, after=st.just(0) | seconds),
    st.builds(ResetPeer, after=st.just(0) | seconds),
    st.builds(HalfOpen, after=st.just(0) | seconds),
    st.builds(NatTimeout, idle=seconds, reset=st.just(True)),
)


def steps(faults: SearchStrategy[Fault]) -> SearchStrategy[list[tuple[Any, ...]]]:
    way = st.sampled_from([Direction.UP, Direction.DOWN])
    return st.lists(
        st.one_of(
            st.tuples(st.just("send"), way, st.integers(1, 60)),
            st.tuples(st.just("take"), way, st.integers(1, 60)),
            st.tuples(st.just("advance"), seconds),
            st.tuples(st.just("begin"), faults),
            st.tuples(st.just("end"), st.integers(0, 3)),
            st.tuples(st.just("finish"), way),
        ),
        max_size=40,
    )


class Talk:
    """Two flows under the faults of a link, and what a stream owes its users."""

    def __init__(self, capacity: int = CAPACITY, give_up_after: float = NEVER) -> None:
        self.clock = FakeClock()
        self.link = Link("link", "seed", self.clock, lambda *_: None)
        self.connection = SimulatedConnection(1, self.clock, capacity, give_up_after)
        self.link.carry(self.connection)
        self.capacity = capacity
        self.sent = {Direction.UP: b"", Direction.DOWN: b""}
        self.taken = {Direction.UP: b"", Direction.DOWN: b""}
        self.finished: set[Direction] = set()

    def do(self, step: tuple[Any, ...]) -> None:
        kind, *arguments = step
        getattr(self, kind)(*arguments)
        for way in (Direction.UP, Direction.DOWN):
            self.check(way)

    def send(self, way: Direction, size: int) -> None:
        flow = self.connection.flow(way)
        start = len(self.sent[way])
        data = bytes((start + n) % 251 for n in range(min(size, flow.room)))
        if data and way not in self.finished and is_sound(self.sender(way)):
            self.sent[way] += data
            flow.put(data)

    def take(self, way: Direction, size: int) -> None:
        self.taken[way] += self.connection.flow(way).take(size)

    def advance(self, duration: float) -> None:
        self.clock.advance(duration)

    def begin(self, fault: Fault) -> None:
        self.link.add(fault)

    def end(self, index: int) -> None:
        if index < len(self.link.faults):
            self.link.remove(self.link.faults[index])

    def finish(self, way: Direction) -> None:
        if way not in self.finished and is_sound(self.sender(way)):
            self.finished.add(way)
            self.connection.flow(way).finish()

    def sender(self, way: Direction) -> SimulatedStream:
        return self.connection.client if way is Direction.UP else self.connection.server

    def check(self, way: Direction) -> None:
        """At any moment the receiver has a prefix, and no more is held than fits."""
        arrived = self.taken[way] + self.connection.flow(way).unread
        assert self.sent[way].startswith(arrived)
        assert len(self.connection.flow(way).unread) <= self.capacity

    def heal(self) -> None:
        """End all faults, and let TCP send again what it has to; take all that comes."""
        self.link.heal()
        for _ in range(3):
            self.clock.advance(200)
            for way in (Direction.UP, Direction.DOWN):
                while self.connection.flow(way).unread:
                    self.take(way, 60)


def is_sound(end: SimulatedStream) -> bool:
    return end._error is None


@settings(deadline=None, max_examples=400)
@given(steps(LAWFUL))
def test_nothing_is_lost_repeated_moved_or_altered(todo: list[tuple[Any, ...]]) -> None:
    """Whatever lawful faults come and go, healed, all that was sent has arrived, in order."""
    talk = Talk()
    for step in todo:
        talk.do(step)
        for way in (Direction.UP, Direction.DOWN):
            flow = talk.connection.flow(way)
            assert len(talk.sent[way]) - len(talk.taken[way]) <= CAPACITY
            if flow.has_ended:  # the end is behind all bytes
                assert way in talk.finished
                assert talk.taken[way] + flow.unread == talk.sent[way]
    talk.heal()
    assert talk.taken == talk.sent
    for way in (Direction.UP, Direction.DOWN):
        assert talk.connection.flow(way).has_ended is (way in talk.finished)
        assert talk.connection.flow(way).room == CAPACITY
        assert is_sound(talk.sender(way))


@settings(deadline=None, max_examples=300)
@given(steps(LAWFUL | ENDING))
def test_a_reader_never_gets_more_than_a_prefix(todo: list[tuple[Any, ...]]) -> None:
    """Under faults that end connections a reader has a prefix of what was sent, at any moment."""
    talk = Talk()
    for step in todo:
        talk.do(step)
    talk.heal()


@settings(deadline=None, max_examples=200)
@given(steps(LAWFUL | ENDING))
def test_a_kernel_that_gives_up_leaves_a_prefix(todo: list[tuple[Any, ...]]) -> None:
    """Where a kernel gives up after 5 s, the other end still has a prefix."""
    talk = Talk(give_up_after=5)
    for step in todo:
        talk.do(step)
    talk.heal()


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(seconds, st.integers(1, 9)), max_size=20), seconds)
def test_latency_only_shifts_times(sent: list[tuple[float, int]], delay: float) -> None:
    """With a constant latency every byte arrives exactly that much later."""
    times: list[list[float]] = []
    for late in (0, delay):
        talk = Talk(capacity=1000)
        if late:
            talk.begin(Latency(delay=late))
        flow, arrived, clock = talk.connection.up, [], talk.clock
        moments = sorted({*itertools.accumulate(pause for pause, _ in sent)})
        sizes = dict.fromkeys(moments, 0)
        for at, (_, size) in zip(itertools.accumulate(p for p, _ in sent), sent, strict=True):
            sizes[at] += size
        watched = sorted({*moments, *(at + late for at in moments)})
        for at in watched:
            clock.advance_to(at)
            arrived += [at - late] * len(flow.take(1000))
            if at in sizes:
                flow.put(b"x" * sizes[at])
                arrived += [at - late] * len(flow.take(1000))
        times.append(arrived)
    assert times[1] == pytest.approx(times[0])
