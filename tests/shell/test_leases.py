"""A body runs only while its lease is held, whatever becomes of the store."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_wsguard._core.lease import LeasePolicy
from trio_wsguard._errors import LeaseStoreError, PolicyError
from trio_wsguard._shell.leases import Lease, LeaseStore, hold_lease
from trio_wsguard.testing.leases import MemoryLeases

from ..clocks import in_virtual_time

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

POLICY = LeasePolicy(duration=10, margin=1)


async def test_the_body_runs_while_the_lease_is_renewed() -> None:
    """A lease is held for as long as the body takes, and free at once afterwards."""
    store = MemoryLeases()
    async with hold_lease(store, "a", policy=POLICY) as lease:
        for _ in range(100):
            await trio.sleep(1)
            assert lease.is_held
            assert store.holder("a") == (lease.owner, lease.token)
    assert not lease.is_lost
    assert store.holder("a") is None


async def test_another_waits_until_it_is_given_back() -> None:
    """Who comes second enters within the interval of tries after the first has left."""
    store, entered = MemoryLeases(), list[tuple[str, float, int]]()

    async def work(who: str, seconds: float) -> None:
        async with hold_lease(store, "a", policy=POLICY) as lease:
            entered.append((who, trio.current_time(), lease.token))
            await trio.sleep(seconds)

    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(work, "first", 100)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(work, "second", 1)
    [(_, _, token), (who, at, newer)] = entered
    assert who == "second"
    assert 100 <= at - start <= 100 + POLICY.retry_interval
    assert newer > token


async def test_names_do_not_meet() -> None:
    """Leases of other names are held at the same time."""
    store = MemoryLeases()
    async with hold_lease(store, "a") as first, hold_lease(store, "b") as second:
        assert first.is_held
        assert second.is_held


@pytest.mark.parametrize("trouble", ["is_failing", "is_losing_answers"])
async def test_the_body_stops_before_the_lease_runs_out(trouble: str) -> None:
    """Where the store gives no answer, the body ends a margin before the lease does."""
    store, errors = MemoryLeases(), list[LeaseStoreError]()
    async with hold_lease(store, "a", policy=POLICY, on_error=errors.append) as lease:
        await trio.sleep(50)
        setattr(store, trouble, True)
        last = lease.stop_at
        if trouble == "is_losing_answers":
            last += POLICY.renew_interval  # renewed there, and not known here
        try:
            await trio.sleep_forever()
        finally:
            ended_at = trio.current_time()
            assert store.holder("a") == (lease.owner, lease.token)
    assert lease.is_lost
    assert not lease.is_held
    assert ended_at <= last
    assert ended_at + POLICY.margin == lease.expires_at
    assert len(errors) >= 2
    assert {error.name for error in errors} == {"a"}


async def test_a_short_trouble_of_the_store_ends_nothing() -> None:
    """A store that is away for less than the lease lasts is not noticed by the body."""
    store = MemoryLeases()
    async with hold_lease(store, "a", policy=POLICY) as lease:
        for _ in range(10):
            store.is_failing = True
            await trio.sleep(4)
            store.is_failing = False
            await trio.sleep(4)
    assert not lease.is_lost


async def test_a_lease_that_is_anothers_ends_the_body_at_once() -> None:
    """Where the store has forgotten the lease, the body ends at the next renewal."""
    store = MemoryLeases()
    async with hold_lease(store, "a", policy=POLICY) as lease:
        taken_at = trio.current_time()
        await store.release("a", lease.owner)
        assert await store.acquire("a", "thief", 100)
        await trio.sleep_forever()
    assert lease.is_lost
    assert trio.current_time() - taken_at <= POLICY.renew_interval
    assert store.holder("a") == ("thief", 2)


async def test_an_answer_that_comes_too_late_is_asked_for_again() -> None:
    """A lease whose answer was lost is got by asking again: it is the same owner's."""
    store = MemoryLeases(is_losing_answers=True)

    async def recover() -> None:
        await trio.sleep(5)
        store.is_losing_answers = False

    async with trio.open_nursery() as nursery:
        nursery.start_soon(recover)
        start = trio.current_time()
        async with hold_lease(store, "a", policy=POLICY) as lease:
            assert trio.current_time() - start <= 5 + POLICY.retry_interval + POLICY.request_timeout
            assert lease.token > 1


async def test_a_late_answer_is_no_lease() -> None:
    """A grant that says so when the lease is over already is not believed."""

    class Late(MemoryLeases):
        async def acquire(self, name: str, owner: str, duration: float) -> int | None:
            token = await super().acquire(name, owner, duration)
            if token == 1:
                # As after a pause of the whole process: no deadline could end the wait.
                clock = trio.lowlevel.current_clock()
                assert isinstance(clock, trio.testing.MockClock)
                clock.jump(60)
            return token

    async with hold_lease(Late(), "a", policy=POLICY) as lease:
        assert lease.token == 2
        assert lease.is_held


async def test_a_pause_of_the_process_ends_the_body() -> None:
    """A process that was stopped beyond its lease ends its body, though it was never told."""
    store = MemoryLeases()
    async with hold_lease(store, "a", policy=POLICY) as lease:
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, trio.testing.MockClock)
        clock.jump(9.5)
        assert not lease.is_held
        await trio.lowlevel.checkpoint()
        await trio.sleep_forever()
    assert lease.is_lost


async def test_cancelling_gives_the_lease_back_at_once() -> None:
    """Cancelling takes no time, and the lease is free."""
    store = MemoryLeases()
    start = trio.current_time()
    with trio.move_on_after(3):
        async with hold_lease(store, "a", policy=POLICY):
            await trio.sleep_forever()
    assert trio.current_time() == start + 3
    assert store.holder("a") is None


@pytest.mark.parametrize("held", [True, False])
async def test_cancelling_waits_for_no_store(held: bool) -> None:
    """A store that answers nothing does not hold up who is cancelled."""
    store = MemoryLeases()
    if not held:
        await store.acquire("a", "other", 1000)
    start = trio.current_time()
    with trio.move_on_after(3.25):
        async with hold_lease(store, "a", policy=POLICY):
            store.answer_delay = 100
            await trio.sleep_forever()
    assert trio.current_time() == start + 3.25


@pytest.mark.parametrize("trouble", ["is_failing", "is_losing_answers"])
async def test_leaving_waits_for_no_store_for_long(trouble: str) -> None:
    """Leaving ends within a request's timeout, and raises nothing."""
    store = MemoryLeases()
    async with hold_lease(store, "a", policy=POLICY) as lease:
        setattr(store, trouble, True)
        left_at = trio.current_time()
    assert trio.current_time() - left_at <= POLICY.request_timeout
    assert not lease.is_lost


@pytest.mark.parametrize("where", ["body", "store"])
async def test_errors_come_out_as_themselves(where: str) -> None:
    """What the body raises, or a store that is broken, leaves the block as it is."""

    class Broken(MemoryLeases):
        async def renew(self, name: str, owner: str, token: int, duration: float) -> bool:
            raise KeyError("broken")

    store = Broken()

    async def work() -> None:
        async with hold_lease(store, "a", policy=POLICY):
            if where == "body":
                raise KeyError("body")
            await trio.sleep_forever()

    with pytest.raises(KeyError, match=where if where == "body" else "broken"):
        await work()
    assert store.holder("a") is None


@pytest.mark.parametrize(
    ("setting", "value"),
    [("duration", 0), ("margin", 0), ("margin", 8), ("retry_interval", 0)],
)
def test_settings_are_checked(setting: str, value: object) -> None:
    """Times that cannot be kept are refused by name."""
    changes: dict[str, Any] = {setting: value}
    with pytest.raises(PolicyError, match=setting):
        LeasePolicy(**changes)


# --- many holders, any trouble ---------------------------------------------------------


@attrs.define
class Held:
    """Who ran when, and with which token."""

    running: set[int] = attrs.field(factory=set)
    tokens: list[int] = attrs.field(factory=list)
    freed_at: float | None = None
    longest_gap: float = 0.0

    def enter(self, number: int, lease: Lease) -> None:
        assert not self.running, "held twice"
        assert not self.tokens or lease.token > self.tokens[-1]
        self.running.add(number)
        self.tokens.append(lease.token)
        if self.freed_at is not None:
            self.longest_gap = max(self.longest_gap, trio.current_time() - self.freed_at)

    def leave(self, number: int) -> None:
        self.running.remove(number)
        self.freed_at = trio.current_time()


async def process(number: int, store: LeaseStore, held: Held, rng: random.Random) -> None:
    """Take the lease again and again, and be killed now and then."""
    while True:
        with trio.CancelScope() as life:
            async with hold_lease(store, "a", policy=POLICY, rng=rng):
                held.enter(number, await _lease_of(store))
                try:
                    await trio.sleep(rng.uniform(0, 60))
                finally:
                    held.leave(number)
            if rng.random() < 0.3:
                life.cancel()
        await trio.sleep(rng.uniform(0, 2))


async def _lease_of(store: LeaseStore) -> Lease:
    assert isinstance(store, MemoryLeases)
    found = store.holder("a")
    assert found is not None, "the body runs, and the store knows of no holder"
    return Lease("a", *found, 0.0, 0.0)


TROUBLES = st.fixed_dictionaries(
    {
        "request_delay": st.sampled_from([0.0, 0.1, 1.0, 5.0]),
        "answer_delay": st.sampled_from([0.0, 0.1, 1.0, 5.0]),
        "is_failing": st.booleans(),
        "is_losing_answers": st.booleans(),
    }
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.1, 30), TROUBLES), max_size=12),
    st.floats(0.95, 1.05),
    st.integers(0, 1000),
)
def test_never_held_twice(
    story: list[tuple[float, dict[str, Any]]], clock_rate: float, seed: int
) -> None:
    """Three processes, a store with any trouble, its clock 5 % fast or slow: one at a time."""

    async def main() -> None:
        store, held = MemoryLeases(clock_rate=clock_rate), Held()
        async with trio.open_nursery() as nursery:
            for number in range(3):
                rng = random.Random(f"{seed}/{number}")
                nursery.start_soon(process, number, store, held, rng)
            for seconds, troubles in story:
                await trio.sleep(seconds)
                for name, value in troubles.items():
                    setattr(store, name, value)
            calm: dict[str, Any] = {"request_delay": 0.0, "answer_delay": 0.0}
            calm |= {"is_failing": False, "is_losing_answers": False}
            for name, value in calm.items():
                setattr(store, name, value)
            await trio.sleep(20)
            count, held.longest_gap = len(held.tokens), 0.0
            await trio.sleep(200)
            assert len(held.tokens) > count
            # A lease time, by the slower clock, and at most a second more.
            assert held.longest_gap <= POLICY.duration / 0.95 + 1
            nursery.cancel_scope.cancel()

    run: Callable[[Callable[[], Awaitable[None]]], None] = in_virtual_time
    run(main)
