"""What an outbox keeps is sent until it is acknowledged, in order, and never after."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from trio_wsguard._core.delivery import (
    ACKNOWLEDGED,
    FAILED,
    IN_FLIGHT,
    MAYBE_SENT,
    QUEUED,
    SENT,
    STORING,
    Delivery,
)
from trio_wsguard._core.outbox import Ledger, OutboxPolicy, UpTo
from trio_wsguard._errors import (
    BufferFullError,
    DuplicateKeyError,
    InternalError,
    OutboxError,
    PolicyError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

NOT_STORED = OutboxError("a.db", "the disk is full")


def read_keys(message: str | bytes) -> list[str]:
    assert isinstance(message, str)
    return message.split()


def policy(**changes: Any) -> OutboxPolicy:
    return OutboxPolicy(**{"key": lambda m: m, "acks": read_keys, **changes})


class OutboxMachine(RuleBasedStateMachine):
    """A ledger between a sender and a peer that forgets repeats; the model is plain lists."""

    @initialize(
        messages=st.integers(1, 6),
        window=st.none() | st.integers(1, 4),
        overflow=st.sampled_from(["block", "error", "drop_oldest"]),
    )
    def open(self, messages: int, window: int | None, overflow: Any) -> None:
        self.policy = policy(max_messages=messages, window=window, overflow=overflow)
        self.ledger = Ledger(self.policy)
        self.now = 0.0
        self.names = iter(f"m{n:04}" for n in range(10_000))
        self.accepted: list[Delivery] = []
        self.kept: list[Delivery] = []  # in order
        self.ended: list[Delivery] = []
        self.is_ready = False
        self.on_wire: list[Delivery] = []  # of this connection, in order
        self.in_flight: Delivery | None = None
        self.received: list[str] = []  # by the peer, ever; each once, in order
        self.resent = 0

    def expect_ended(self, *expected: Delivery) -> None:
        ended = self.ledger.take_ended()
        assert ended == list(expected)
        self.ended += ended
        self.kept = [d for d in self.kept if d not in ended]

    # --- the sender ------------------------------------------------------------

    @rule(is_stored=st.booleans(), seconds=st.integers(0, 3))
    def put(self, is_stored: bool, seconds: int) -> None:
        """What fits is accepted; what does not waits, is refused, or drops the oldest."""
        self.now += seconds
        message = next(self.names)
        is_full = len(self.kept) == self.policy.max_messages
        oldest = self.kept[0] if self.kept else None
        can_drop = oldest is not None and oldest.state is not STORING
        if is_full and self.policy.overflow == "error":
            with pytest.raises(BufferFullError):
                self.ledger.put(message, self.now, is_stored=is_stored)
            return
        delivery = self.ledger.put(message, self.now, is_stored=is_stored)
        if is_full and not (self.policy.overflow == "drop_oldest" and can_drop):
            assert delivery is None
            return
        assert delivery is not None
        self.expect_ended(*([oldest] if is_full and oldest is not None else []))
        self.accepted.append(delivery)
        self.kept.append(delivery)
        assert delivery.state is (QUEUED if is_stored else STORING)

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def put_again(self, data: st.DataObject) -> None:
        """A second message of a key that is kept is refused, and changes nothing."""
        twin = data.draw(st.sampled_from(self.kept))
        with pytest.raises(DuplicateKeyError, match=str(twin.key)):
            self.ledger.put(twin.message, self.now)

    def storing(self) -> list[Delivery]:
        return [d for d in self.kept if d.state is STORING]

    @precondition(lambda self: self.storing())
    @rule(data=st.data())
    def store(self, data: st.DataObject) -> None:
        """A commit stores some of what waits for it, the oldest first."""
        for delivery in self.storing()[: data.draw(st.integers(1, 3))]:
            self.ledger.stored(delivery)

    @precondition(lambda self: self.storing())
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        """A sender that gives up before the commit takes its message with it."""
        delivery = data.draw(st.sampled_from(self.storing()))
        self.ledger.withdraw(delivery, NOT_STORED)
        self.expect_ended(delivery)
        assert (delivery.state, delivery.error) == (FAILED, NOT_STORED)

    # --- the connection ----------------------------------------------------------

    @precondition(lambda self: not self.is_ready)
    @rule()
    def connect(self) -> None:
        self.ledger.ready()
        self.is_ready, self.on_wire = True, []

    @precondition(lambda self: self.in_flight is None)
    @rule()
    def begin(self) -> None:
        """The next is the oldest kept that was not on this connection yet; no newer one."""
        rest = [d for d in self.kept if d not in self.on_wire]
        unacknowledged = [d for d in self.kept if d in self.on_wire]
        window = self.policy.window
        may_go = self.is_ready and (window is None or len(unacknowledged) < window)
        may_go = may_go and bool(rest) and rest[0].state is QUEUED
        delivery = self.ledger.begin()
        assert delivery is (rest[0] if may_go else None)
        if delivery is not None:
            assert delivery.state is IN_FLIGHT
            self.in_flight = delivery
            self.resent += delivery.sends > 1
            self.on_wire.append(delivery)

    @precondition(lambda self: self.is_ready and self.in_flight is None)
    @rule(count=st.integers(1, 4))
    def pump(self, count: int) -> None:
        """Write several messages, as a flush does."""
        for _ in range(count):
            self.begin()
            if self.in_flight is not None:
                self.sent()

    def arrive(self, delivery: Delivery) -> None:
        if delivery.key not in self.received:
            self.received.append(str(delivery.key))

    @precondition(lambda self: self.in_flight is not None)
    @rule()
    def arrives_before_the_write_returns(self) -> None:
        assert self.in_flight is not None
        self.arrive(self.in_flight)

    @precondition(lambda self: self.in_flight is not None)
    @rule()
    def sent(self) -> None:
        assert self.in_flight is not None
        self.ledger.sent()
        assert self.in_flight.state in (SENT, ACKNOWLEDGED, FAILED)
        self.arrive(self.in_flight)
        self.in_flight = None

    @precondition(lambda self: self.in_flight and self.in_flight.key not in self.received)
    @rule()
    def not_begun(self) -> None:
        """What was not begun is next again."""
        delivery, self.in_flight = self.in_flight, None
        assert delivery is not None
        self.ledger.not_begun()
        if delivery in self.kept:
            assert delivery.state is QUEUED
            self.resent -= delivery.sends > 0
        self.on_wire.remove(delivery)

    @precondition(lambda self: self.is_ready)
    @rule(did_arrive=st.booleans())
    def lose(self, did_arrive: bool) -> None:
        """A loss puts all that is unacknowledged in doubt; the peer may have the last one."""
        if self.in_flight is not None and did_arrive:
            self.arrive(self.in_flight)
        self.ledger.lost()
        self.is_ready, self.in_flight = False, None
        assert all(d.state is MAYBE_SENT for d in self.kept if d in self.on_wire)
        self.on_wire = []

    # --- the peer ----------------------------------------------------------------

    @precondition(lambda self: self.received)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        """Any message that was sent can be acknowledged, at any time and again."""
        keys = data.draw(st.lists(st.sampled_from(self.received), max_size=4))
        self.ledger.incoming(" ".join(keys))
        found = [d for key in dict.fromkeys(keys) for d in self.kept if d.key == key]
        self.expect_ended(*found)
        assert all(d.state is ACKNOWLEDGED for d in found)

    @precondition(lambda self: self.received)
    @rule(data=st.data())
    def acknowledge_up_to(self, data: st.DataObject) -> None:
        """A cumulative acknowledgement takes all that were accepted before, too."""
        key = data.draw(st.sampled_from(self.received))
        self.ledger.acknowledge(UpTo(key))
        at = [n for n, d in enumerate(self.kept) if d.key == key]
        self.expect_ended(*(self.kept[: at[0] + 1] if at else []))

    @rule(key=st.sampled_from(["m9999", "", "x"]))
    def acknowledge_unknown(self, key: str) -> None:
        """An acknowledgement of what was never there is counted and changes nothing."""
        unknown = self.ledger.statistics(self.now).totals.unknown
        self.ledger.acknowledge([key])
        self.ledger.acknowledge(UpTo(key))
        assert self.ledger.statistics(self.now).totals.unknown == unknown + 2

    @rule(data=st.data())
    def acknowledge_unsent(self, data: st.DataObject) -> None:
        """An acknowledgement of what was never sent is not believed."""
        unsent = [d for d in self.kept if not d.sends]
        if unsent:
            delivery = data.draw(st.sampled_from(unsent))
            self.ledger.acknowledge((delivery.key,))
            self.ledger.acknowledge(UpTo(delivery.key))

    # --- laws --------------------------------------------------------------------

    @invariant()
    def each_accepted_message_is_in_one_place(self) -> None:
        """Accepted = kept + acknowledged + dropped + withdrawn, each message once."""
        figures = self.ledger.statistics(self.now)
        totals = figures.totals
        assert self.ledger.take_ended() == []
        assert len(self.ended) == len(set(map(id, self.ended)))
        assert [d for d in self.accepted if d not in self.ended] == self.kept
        assert figures.depth == len(self.kept) == len(self.ledger)
        assert figures.size == sum(d.size for d in self.kept)
        assert totals.accepted == len(self.accepted)
        assert totals.acknowledged == sum(d.state is ACKNOWLEDGED for d in self.ended)
        assert totals.dropped + totals.withdrawn == sum(d.state is FAILED for d in self.ended)
        assert totals.resent == self.resent
        oldest = self.kept[0].accepted_at if self.kept else self.now
        assert figures.oldest_age == self.now - oldest

    @invariant()
    def the_bounds_hold(self) -> None:
        """No more is kept than the limit, and no more unacknowledged than the window."""
        figures = self.ledger.statistics(self.now)
        assert figures.depth <= self.policy.max_messages
        assert figures.unacknowledged == len([d for d in self.kept if d in self.on_wire])
        assert figures.unacknowledged <= (self.policy.window or math.inf)
        assert len(self.ledger._line) <= 2 * self.policy.max_messages

    @invariant()
    def the_peer_has_each_once_in_order(self) -> None:
        """A peer that forgets repeats has the messages in the order they were accepted."""
        assert self.received == sorted(self.received)

    def teardown(self) -> None:
        """Once the network is sound and the peer answers, nothing is left; none is missing."""
        for waiting in self.storing():
            self.ledger.stored(waiting)
        self.ledger.lost()
        self.ledger.ready()
        while (delivery := self.ledger.begin()) is not None:
            self.ledger.sent()
            self.arrive(delivery)
            self.ledger.acknowledge([delivery.key])
        assert len(self.ledger) == 0
        assert self.received == sorted(self.received)
        gone = {d.key for d in self.accepted if d.state is FAILED}
        assert {d.key for d in self.accepted} - gone <= set(self.received)


OutboxMachine.TestCase.settings = settings(stateful_step_count=60)
TestOutbox = OutboxMachine.TestCase


def sending(*messages: str, **changes: Any) -> Ledger:
    """A ledger on a ready connection, with some messages sent and unacknowledged."""
    ledger = Ledger(policy(**changes))
    ledger.ready()
    for message in messages:
        assert ledger.put(message, 0.0) is not None
        assert ledger.begin() is not None
        ledger.sent()
    return ledger


@pytest.mark.parametrize("bad", ["ab", b"ab", 7, object()])
def test_what_is_no_acknowledgement(bad: object) -> None:
    """A bare key is no list of keys: a string would be taken for its letters."""
    acks: Callable[[object], Any] = lambda m: bad  # noqa: E731
    ledger = sending("a", "b", acks=acks)
    with pytest.raises(TypeError, match="a list, a tuple or a set"):
        ledger.incoming("m")
    assert len(ledger) == 2


def test_messages_that_acknowledge_nothing() -> None:
    """`None` and an empty list acknowledge nothing, and are not counted."""
    answers: dict[str, Any] = {"none": None, "empty": []}
    ledger = sending("a", acks=lambda m: answers[m])
    for message in answers:
        ledger.incoming(message)
    assert len(ledger) == 1
    assert ledger.statistics(0.0).totals.unknown == 0


def test_what_acks_raises_changes_nothing() -> None:
    """An error of the user's function leaves as itself, even halfway through its keys."""

    def acks(message: object) -> Any:
        yield "a"
        raise KeyError("id")

    ledger = sending("a", "b", acks=acks)
    with pytest.raises(KeyError):
        ledger.incoming("m")
    with pytest.raises(TypeError, match="unhashable"):
        ledger.acknowledge(["a", []])  # type: ignore[list-item]
    assert len(ledger) == 2


def test_what_key_raises_changes_nothing() -> None:
    """An error of the user's function leaves as itself; nothing was accepted or dropped."""

    def key(message: str | bytes) -> Any:
        return {"good": "g"}[str(message)]

    ledger = Ledger(policy(key=key, max_messages=1, overflow="drop_oldest"))
    ledger.put("good", 0.0)
    with pytest.raises(KeyError):
        ledger.put("bad", 0.0)
    assert len(ledger) == 1
    assert ledger.take_ended() == []


def test_a_message_without_a_key() -> None:
    """A message that nobody could acknowledge is refused."""
    with pytest.raises(TypeError, match="without a key"):
        Ledger(policy(key=lambda m: None)).put("m", 0.0)


def test_a_message_that_never_fits() -> None:
    """A message larger than the whole outbox is refused at once, however it overflows."""
    ledger = Ledger(policy(max_bytes=3))
    with pytest.raises(BufferFullError, match="max_bytes"):
        ledger.put("long", 0.0)


def test_bytes_are_bounded() -> None:
    """Older messages make room until a large one fits."""
    ledger = Ledger(policy(max_bytes=4, overflow="drop_oldest"))
    for message in ("a", "b", "c"):
        ledger.put(message, 0.0)
    ledger.put("dddd", 0.0)
    assert [d.message for d in ledger.take_ended()] == ["a", "b", "c"]


def test_a_key_may_come_again() -> None:
    """Once a message is acknowledged, its key is free for another."""
    ledger = sending("a")
    ledger.acknowledge(["a"])
    assert ledger.put("a", 0.0) is not None
    assert ledger.begin() is not None


def test_a_message_of_an_earlier_run() -> None:
    """What was found in a file goes first, counts as sent again, and can be acknowledged."""
    ledger = Ledger(policy())
    for key in ("a", "b"):
        ledger.restore(Delivery(f"payload {key}", 0.0, key, sequence=7))
    with pytest.raises(DuplicateKeyError):
        ledger.restore(Delivery("other", 0.0, "a"))
    ledger.acknowledge(["a"])
    ledger.put("c", 0.0)
    ledger.ready()
    first = ledger.begin()
    assert first is not None
    assert (first.key, first.sequence) == ("b", 7)
    assert ledger.statistics(0.0).totals.resent == 1


def drain(ledger: Ledger) -> list[object]:
    """Write all that may go; tell the keys."""
    keys: list[object] = []
    while (delivery := ledger.begin()) is not None:
        keys.append(delivery.key)
        ledger.sent()
    return keys


def test_the_window() -> None:
    """So many are sent and unacknowledged, and with each acknowledgement one more goes."""
    ledger = sending("a", "b", window=2)
    for message in ("c", "d"):
        ledger.put(message, 0.0)
    assert drain(ledger) == []
    ledger.acknowledge(["b"])
    assert drain(ledger) == ["c"]
    ledger.lost()
    ledger.ready()
    assert drain(ledger) == ["a", "c"]


def test_what_was_not_begun_goes_first() -> None:
    """A message whose write was not begun keeps its place before newer ones."""
    ledger = sending()
    for message in ("a", "b"):
        ledger.put(message, 0.0)
    ledger.begin()
    ledger.not_begun()
    assert drain(ledger) == ["a", "b"]


def test_what_was_dropped_does_not_come_back() -> None:
    """A message dropped while its write waits is gone, even if the write was not begun."""
    ledger = Ledger(policy(max_messages=1, overflow="drop_oldest"))
    ledger.ready()
    ledger.put("a", 0.0)
    ledger.begin()
    ledger.put("b", 0.0)
    ledger.not_begun()
    assert drain(ledger) == ["b"]


def test_late_acknowledgements_leave_no_hole() -> None:
    """What is acknowledged while it waits to be sent again is passed over, its key reused."""
    ledger = sending("a", "b", "c")
    ledger.lost()
    ledger.ready()
    ledger.acknowledge(["b"])
    ledger.put("b", 0.0)
    assert drain(ledger) == ["a", "c", "b"]


def test_what_is_dropped_does_not_pile_up() -> None:
    """Without a connection, messages dropped for newer ones leave nothing behind."""
    ledger = Ledger(policy(max_messages=3, overflow="drop_oldest"))
    for n in range(1000):
        ledger.put(str(n), 0.0)
    assert len(ledger) == 3
    assert len(ledger._line) <= 6


def test_one_message_is_in_flight_at_a_time() -> None:
    """A second message in flight, or the end of none, is refused."""
    ledger = sending("a")
    with pytest.raises(InternalError, match="in flight"):
        ledger.sent()
    ledger.put("b", 0.0)
    ledger.begin()
    with pytest.raises(InternalError, match="in flight"):
        ledger.begin()


@pytest.mark.parametrize(("setting", "value"), [("key", None), ("acks", "id"), ("window", 0)])
def test_settings_are_checked(setting: str, value: object) -> None:
    """An outbox that could not know what the peer has is refused."""
    with pytest.raises(PolicyError, match=setting):
        policy(**{setting: value})
