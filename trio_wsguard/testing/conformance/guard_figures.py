"""What must hold of what a guard tells: figures, times, and the same run from the same seed."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final
from unittest import mock

import trio
from hypothesis import strategies as st

import trio_wsguard as wsguard
from trio_wsguard.testing import strategies
from trio_wsguard.testing.conformance.guard_states import Wish, grant, wishes, worlds
from trio_wsguard.testing.conformance.life import Life, World, open_life
from trio_wsguard.testing.conformance.property import property_of
from trio_wsguard.testing.conformance.violation import expect
from trio_wsguard.testing.faults import Latency
from trio_wsguard.testing.peer import Accept, Script
from trio_wsguard.testing.simulation import run_simulation

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_wsguard.testing.conformance.run import Run
    from trio_wsguard.testing.trace import Trace

_S: Final = wsguard.ConnectionState
_EPS: Final = 1e-6
_Timed = wsguard.StateChange | wsguard.Anomaly | wsguard.Recovery


@property_of("guard", rows=(33,))
def time_runs_forward(run: Run) -> None:
    """Events are told in the order of their times, and connected and other time add up."""

    async def check(world: World, asked: list[Wish]) -> None:
        async with open_life(run, world) as life:
            began_at = trio.current_time()
            await grant(life, asked)
            await trio.sleep(180)
            ratio = life.ws.snapshot().uptime_ratio
            elapsed = trio.current_time() - began_at
            connected = _connected_seconds(life, trio.current_time())
        times = [event.at for event in life.events if isinstance(event, _Timed)]
        for one, two in pairwise(times):
            expect(one <= two, f"an event of {two:g} s after one of {one:g} s")
        expect(
            abs(ratio * elapsed - connected) < _EPS * elapsed,
            f"connected for {connected:g} of {elapsed:g} s, told is a ratio of {ratio:g}",
        )

    run.for_all({"world": worlds(run), "asked": wishes(run)}, check, share=0.5)


def _connected_seconds(life: Life, now: float) -> float:
    total, since = 0.0, None
    for change in life.changes:
        if change.state is _S.CONNECTED:
            since = change.at
        elif since is not None:
            total, since = total + change.at - since, None
    return total if since is None else total + now - since


@property_of("guard", rows=(34,))
def figures_add_up(run: Run) -> None:
    """Attempts, connections, reconnects and losses are as many as the states that were passed."""

    async def check(world: World, asked: list[Wish]) -> None:
        async with open_life(run, world) as life:
            await grant(life, asked)
            await trio.sleep(180)
            await life.settle()
            figures, changes = life.ws.snapshot(), list(life.changes)
            sent = sum(record.is_accepted for record in life.peer.connections)
        attempts = sum(change.state is _S.CONNECTING for change in changes)
        connected = sum(change.state is _S.CONNECTED for change in changes)
        lost = sum(c.previous is _S.CONNECTED and c.failure is not None for c in changes)
        expect(figures.attempts == attempts, f"{figures.attempts} attempts, not {attempts}")
        expect(figures.generation == attempts, f"generation {figures.generation}, not {attempts}")
        reconnects = max(0, connected - 1)
        expect(figures.reconnects == reconnects, f"{figures.reconnects} reconnects, {reconnects}")
        expect(figures.losses == lost, f"{figures.losses} losses, not {lost}")
        expect(connected <= sent, f"{connected} connections, {sent} were accepted")
        expect(figures.beats_answered <= figures.beats_sent, "more answers than beats")

    run.for_all({"world": worlds(run), "asked": wishes(run)}, check, share=0.5)


@property_of("guard", rows=(35,))
def asking_changes_nothing(run: Run) -> None:
    """`health` and `snapshot` give the same twice in one instant, and the score is its formula."""

    async def check(world: World, at: float) -> None:
        async with open_life(run, world) as life:
            await trio.sleep(at)
            with mock.patch("time.time", return_value=1e9):
                one, two = life.ws.snapshot(), life.ws.snapshot()
            health, again = life.ws.health(), life.ws.health()
            state = life.ws.state
        expect(one == two, "two snapshots differ")
        expect(health == again, "two answers of health() differ")
        expect(one.score == health.score, f"scores {one.score:g} and {health.score:g}")
        score = min(100.0, max(0.0, 100 - 10 * health.connection_failures - 2 * health.delay))
        expect(abs(health.score - score) < _EPS, f"the score is {health.score:g}, not {score:g}")
        status = _status(score, state)
        expect(health.status is status, f"the status is {health.status.name}, not {status.name}")

    run.for_all({"world": worlds(run), "at": strategies.seconds(0, 120)}, check, share=0.5)


def _status(score: float, state: wsguard.ConnectionState) -> wsguard.HealthStatus:
    if state is not _S.CONNECTED:
        return wsguard.HealthStatus.DOWN
    if score >= 80:
        return wsguard.HealthStatus.HEALTHY
    return wsguard.HealthStatus.DEGRADED if score >= 50 else wsguard.HealthStatus.UNHEALTHY


@property_of("guard")
def gaps_are_told(run: Run) -> None:
    """Each time without a connection is one gap, from the loss to the next CONNECTED."""

    async def check(world: World) -> None:
        async with open_life(run, world) as life:
            await trio.sleep(240)
        wanted: list[tuple[float, float]] = []
        lost_at: float | None = None
        for change in life.changes:
            if change.previous is _S.CONNECTED:
                lost_at = change.at
            if change.state is _S.CONNECTED and lost_at is not None:
                wanted.append((lost_at, change.at))
        told = [(gap.lost_at, gap.ready_at) for gap in life.told(wsguard.Gap)]
        expect(told == wanted, f"told {told}, there were {wanted}")

    run.for_all({"world": worlds(run)}, check, share=0.5)


@property_of("guard", rows=(38,))
def same_seed_same_trace(run: Run) -> None:
    """The same seed and world give the same frames, faults and state changes at the same times."""

    def check(world: World, asked: list[Wish]) -> None:
        one, two = (_trace(run, world, asked) for _ in range(2))
        expect(len(one) > 0, "nothing happened")
        expect(one == two, f"two runs part at {one.difference(two)}")

    run.for_all({"world": worlds(run), "asked": wishes(run)}, check, share=0.3)


def _trace(run: Run, world: World, asked: list[Wish]) -> Trace:
    async def live() -> Trace:
        async with open_life(run, world) as life, trio.open_nursery() as nursery:
            nursery.start_soon(life.consume, 1)
            await grant(life, asked)
            await trio.sleep(120)
            nursery.cancel_scope.cancel()
        run.count(virtual_seconds=trio.current_time())
        assert life.network is not None  # noqa: S101 - on the simulated arm there is one
        return life.network.trace()

    return run_simulation(live, seed=world.seed)


@property_of("guard", rows=(33,))
def the_wall_clock_decides_nothing(run: Run) -> None:
    """A wall clock that jumps by days changes no state, no deadline and no wait."""

    def check(world: World, jump: float) -> None:
        plain = _trace(run, world, [])
        with mock.patch("time.time", _jumping(jump)):
            jumping = _trace(run, world, [])
        expect(plain == jumping, f"with a jump of {jump:g} s: {plain.difference(jumping)}")

    jumps = st.sampled_from([86_400.0, -86_400.0, 0.5, -1e9])
    run.for_all({"world": worlds(run), "jump": jumps}, check, share=0.5)


def _jumping(jump: float) -> Callable[[], float]:
    calls = [0]

    def now() -> float:
        calls[0] += 1
        return 1e9 + jump * (calls[0] // 3)

    return now


@property_of("guard", rows=(40,))
def latency_only_shifts(run: Run) -> None:
    """A constant latency shifts what happens, and changes nothing of what happens."""

    async def check(scripts: list[Script], latency: float) -> None:
        told: list[list[object]] = []
        for faults in ((), (Latency(delay=latency),)):
            world = World(scripts=(*scripts, Script(Accept())), faults=faults)
            async with open_life(run, world) as life:
                with trio.move_on_after(120 * (len(scripts) + 1)):
                    await life.peer.wait_connections(len(scripts) + 1)
                    await life.ws.wait_state(_S.CONNECTED)
                    await life.settle()
                kinds: list[object] = [
                    (c.state.name, c.failure and c.failure.kind.name) for c in life.changes
                ]
            told.append(kinds)
        expect(told[0] == told[1], f"without latency {told[0]}, with it {told[1]}")

    scripts = st.lists(strategies.lost_connections(10), max_size=3)
    run.for_all({"scripts": scripts, "latency": strategies.seconds(0.25, 2)}, check, share=0.3)
