"""Whatever guards, sinks and cancellations do: who is well is told all, once, in order, in time.

What is to be told, the core's own notifier says, played without any sink. All
times are exact: things are done at whole seconds, looked at by odd multiples of
1/128 s, and cancelled at odd multiples of 1/256 s, so that no two coincide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

import trio_wsguard as wsguard
from trio_wsguard.instrumentation import SinkError, SinkPolicy, open_notifier
from trio_wsguard.testing import run_simulation

from .kit import Recorder, guard_named, names, raised, resolved

if TYPE_CHECKING:
    from collections.abc import Sequence

GUARDS = ("one", "two")
LINGER = 3.0
Step = tuple[int, str, str]  # seconds to wait before it, what, and of which guard
Told = tuple[float, str, str, str]


@attrs.frozen
class World:
    """What happens in one run."""

    steps: list[Step]
    grouping: wsguard.Grouping
    bad: list[Recorder]
    place: int
    slowness: float
    cancel_at: float


def brief(at: float, told: wsguard.Notification) -> Told:
    return at, told.reason.value, names(told.firing), names(told.resolved)


class Reference:
    """Guards and notifier without sinks, and without trio."""

    def __init__(self, grouping: wsguard.Grouping) -> None:
        self.notifier = wsguard.Notifier(grouping)
        self.told: list[Told] = []
        self.open: dict[str, list[str]] = {guard: [] for guard in GUARDS}
        self.watched: set[str] = set(GUARDS)

    def advance(self, now: float) -> None:
        while (due := self.notifier.next_deadline()) < now:
            self.told += [brief(due, told) for told in self.notifier.tick(due, due)]

    def _tell(self, now: float, guard: str, rules: Sequence[str], *, is_raised: bool) -> None:
        make = raised if is_raised else resolved
        for rule in rules:
            self.notifier.add(now, make(rule, guard, now))

    def do(self, now: float, what: str, guard: str) -> None:
        is_open, is_watched = self.open[guard], guard in self.watched
        if what == "remove":
            self.watched.discard(guard)
            self._tell(now, guard, is_open if is_watched else (), is_raised=False)
        elif what == "add":
            self.watched.add(guard)
            self._tell(now, guard, () if is_watched else is_open, is_raised=True)
        elif what.isupper() and what not in is_open:
            is_open.append(what)
            self._tell(now, guard, what if is_watched else "", is_raised=True)
        elif what.islower() and what.upper() in is_open:
            is_open.remove(what.upper())
            self._tell(now, guard, what.upper() if is_watched else "", is_raised=False)

    def finish(self, now: float) -> None:
        for guard in GUARDS:
            self.do(now, "remove", guard)
        self.told += [brief(now, told) for told in self.notifier.finish(now, now)]


def expected(world: World) -> list[Told]:
    """Tell what is to be told, up to the cancellation."""
    reference, now = Reference(world.grouping), 0.0
    for wait, what, guard in world.steps:
        now += wait
        reference.advance(now)
        reference.do(now, what, guard)
    reference.advance(now + 1)
    reference.finish(now + 1)
    return [told for told in reference.told if told[0] < world.cancel_at]


def do(notifier: Any, guard: Any, what: str) -> None:
    if what in ("add", "remove"):
        getattr(notifier, what)(guard)
    elif what.isupper():
        guard.begin(what)
    else:
        guard.end(what.upper())


async def play(world: World, good: Recorder) -> tuple[float, Any]:
    """Run it with trio; tell when it was over, and the figures of the sinks."""
    guards = {name: guard_named(name) for name in GUARDS}
    sinks = [*world.bad[: world.place], good, *world.bad[world.place :]]
    notifier: Any = None
    with trio.CancelScope(deadline=world.cancel_at):
        async with open_notifier(
            *guards.values(), sinks=sinks, grouping=world.grouping, linger=LINGER
        ) as notifier:
            await trio.testing.wait_all_tasks_blocked()
            at = 0.0
            for wait, what, guard in world.steps:
                at += wait
                await trio.sleep_until(at)
                assert trio.current_time() == at  # no sink holds up the program
                do(notifier, guards[guard], what)
            await trio.sleep_until(at + 1)
    assert not any(guard.listeners._streams for guard in guards.values())
    return trio.current_time(), notifier.sinks


TROUBLES = st.one_of(
    st.none(),
    st.sampled_from([0.25, 1.0, 2.0, 5.0, 20.0, float("inf")]),
    st.builds(SinkError, st.just("no"), st.booleans(), st.sampled_from([None, 1.0, 9.0])),
    st.builds(ValueError, st.just("no")),
)
BAD_SINKS = st.builds(
    Recorder,
    policy=st.builds(
        SinkPolicy,
        timeout=st.sampled_from([None, 1.0, 3.0]),
        max_attempts=st.integers(1, 4),
        max_queue=st.integers(1, 4),
        max_retry_after=st.sampled_from([0.0, 5.0]),
    ),
    troubles=st.lists(TROUBLES, max_size=12),
)
GROUPINGS = st.builds(
    wsguard.Grouping,
    by=st.sampled_from([(), ("guard",), ("guard", "alert")]),
    group_wait=st.integers(0, 9).map(lambda seconds: seconds + 1 / 128),
    group_interval=st.integers(1, 9).map(lambda seconds: seconds + 1 / 64),
    repeat_interval=st.integers(1, 30) | st.none(),
)
STEPS = st.lists(
    st.tuples(
        st.integers(1, 12), st.sampled_from([*"AaBbCc", "add", "remove"]), st.sampled_from(GUARDS)
    ),
    max_size=25,
)
WORLDS = st.builds(
    World,
    steps=STEPS,
    grouping=GROUPINGS,
    bad=st.lists(BAD_SINKS, max_size=3),
    place=st.integers(0, 3),
    slowness=st.sampled_from([3.0, 15.0, 50.0]),
    cancel_at=st.just(float("inf")) | st.integers(0, 200).map(lambda seconds: seconds + 1 / 256),
)


@given(WORLDS, st.integers(0, 2**16))
@settings(deadline=None, max_examples=200)
def test_who_is_well_is_told_all(world: World, seed: int) -> None:
    """A good sink gets each notification once, in order, at the very moment it is due."""
    told, good = expected(world), Recorder("good", policy=SinkPolicy())
    patient = SinkPolicy(timeout=None)
    slow = Recorder("slow", policy=patient, troubles=[world.slowness] * 100)
    world.bad.append(slow)
    over_at, figures = run_simulation(play, world, good, seed=seed)
    assert [brief(*taken) for taken in good.taken] == told
    # Who is slow is told the same, as far as it came.
    in_order = [notification for _, notification in good.taken]
    assert [taken for _, taken in slow.taken] == in_order[: len(slow.taken)]
    over = sum(wait for wait, *_ in world.steps) + 1
    # A cancelled program ends then and there, and any other when its time is up.
    assert min(over, world.cancel_at) <= over_at <= min(over + LINGER, world.cancel_at)
    for sink in figures:
        assert sink.queued == 0
        assert sink.sent + sink.failed + sink.dropped == len(told)
    for bad in world.bad:
        taken = [notification.at for _, notification in bad.taken]
        assert taken == sorted(taken)
        assert len({id(notification) for _, notification in bad.taken}) == len(taken)
