"""What must hold of a guard's end: it is prompt, and nothing is left of it."""

from __future__ import annotations

import gc
from collections import Counter
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Final

import trio
from hypothesis import strategies as st

import trio_wsguard as wsguard
from trio_wsguard.testing import strategies
from trio_wsguard.testing.conformance.guard_messages import (
    expect_equal,
    firm_policy,
    pauses,
    pushed,
    share_of,
    talks,
)
from trio_wsguard.testing.conformance.guard_states import span, worlds
from trio_wsguard.testing.conformance.life import HOST, URL, World, open_life, policy_for
from trio_wsguard.testing.conformance.property import Arm, property_of
from trio_wsguard.testing.conformance.stage import GRACE, Stage, open_stage
from trio_wsguard.testing.conformance.steps import at_step, in_time
from trio_wsguard.testing.conformance.violation import expect
from trio_wsguard.testing.faults import Latency
from trio_wsguard.testing.network import SimulatedNetwork
from trio_wsguard.testing.peer import (
    Accept,
    Drop,
    Echo,
    Push,
    Reject,
    Script,
    ScriptedPeer,
    Wait,
)
from trio_wsguard.testing.simulation import run_simulation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_wsguard._shell.transport import Message
    from trio_wsguard.testing.conformance.run import Run

_S: Final = wsguard.ConnectionState
_BOTH: Final = (Arm.SIMULATED, Arm.LOOPBACK)


# --- cancelling and closing at every step ------------------------------------------


_WAYS: Final = {
    "at once": World(scripts=(Script(Accept(), Push("welcome", "news"), Echo()),)),
    "after a refusal": World(
        scripts=(Script(Reject(503)), Script(Accept(), Push("welcome", "news"), Echo()))
    ),
    "after a loss": World(
        scripts=(
            Script(Accept(), Push("welcome"), Drop()),
            Script(Accept(), Push("welcome", "news"), Echo()),
        )
    ),
    "from afar": World(
        scripts=(Script(Accept(), Push("welcome", "news"), Echo()),), faults=(Latency(delay=0.25),)
    ),
}


_CLOSE_TIMEOUT: Final = 0.25  # seconds; shorter than anything else "from afar"


async def _log_in(connection: wsguard.Connection) -> None:
    await connection.send_message("login")
    await connection.get_message()
    connection.start_soon(trio.sleep_forever)


async def _live(stage: Stage, *, wait: bool) -> None:
    """Do all that a program does with a guard."""
    is_done, policy = False, firm_policy(stage.run, close_timeout=_CLOSE_TIMEOUT)
    async with stage.open(policy=policy, on_connect=_log_in, wait=wait) as ws, ws.events():
        stage.guards.append(ws)
        for message in ("a", "b"):
            with suppress(wsguard.ConnectionLostError):
                await ws.send_message(message)
            await ws.get_message()
        ws.force_reconnect()
        await ws.wait_connected()
        await ws.get_messages()
        ws.disconnect()
        await ws.wait_state(_S.DISCONNECTED)
        ws.connect()
        await ws.get_message()
        is_done = True
        await ws.aclose()
    expect(is_done, "the guard kept in what was to leave its block")


@in_time
async def _steps_of(run: Run, way: str) -> int:
    """Tell how many steps of all tasks a program takes."""
    async with open_stage(run, _WAYS[way]) as stage:
        with at_step(0, lambda: None) as counted:
            await _live(stage, wait=True)
    return counted.seen


def _moments(run: Run) -> st.SearchStrategy[tuple[str, int]]:
    """Draw a way, and a step on it."""
    start = run_simulation if run.arm is Arm.SIMULATED else trio.run
    ends = {way: start(_steps_of, run, way) for way in _ways(run)}
    return st.sampled_from(sorted(ends)).flatmap(
        lambda way: st.tuples(st.just(way), st.integers(1, ends[way]))
    )


def _ways(run: Run) -> Iterable[str]:
    return ["at once"] if run.arm is Arm.LOOPBACK else _WAYS


@property_of("guard", rows=(19, 21), arms=_BOTH)
def cancelling_ends_all_at_once(run: Run) -> None:
    """Cancelled at any step, a guard ends in no time, leaves nothing, and catches nothing."""

    async def check(moment: tuple[str, int], wait: bool) -> None:
        way, step = moment
        cancelled_at: list[float] = []
        async with open_stage(run, _WAYS[way]) as stage:
            with trio.CancelScope() as outer, trio.CancelScope() as scope:

                def cancel() -> None:
                    cancelled_at.append(trio.current_time())
                    scope.cancel()

                with at_step(step, cancel), trio.CancelScope() as inner:
                    await _live(stage, wait=wait)
            over_at = trio.current_time()
            expect(not inner.cancelled_caught, "a scope caught what was not its own")
            expect(not outer.cancelled_caught, "a scope caught what was not its own")
            for at in cancelled_at:
                took = over_at - at
                expect(took <= span(run, 0), f"it took {took:g} s")
            stage.expect_clean()

    run.for_all({"moment": _moments(run), "wait": st.booleans()}, check, share=share_of(run, 1.5))


@property_of("guard", rows=(10, 20), arms=_BOTH)
def closing_at_any_step_ends_all(run: Run) -> None:
    """`aclose` by a second task at any step ends within `close_timeout`; calls say closed."""

    async def check(moment: tuple[str, int]) -> None:
        way, step = moment
        async with open_stage(run, _WAYS[way]) as stage, trio.open_nursery() as nursery:
            due = trio.Event()
            nursery.start_soon(_close_when, stage, due)
            with at_step(step, due.set), suppress(trio.ClosedResourceError):
                await _live(stage, wait=False)
            nursery.cancel_scope.cancel()
            stage.expect_clean()

    run.for_all({"moment": _moments(run)}, check, share=share_of(run))


async def _close_when(stage: Stage, due: trio.Event) -> None:
    await due.wait()
    began_at = trio.current_time()
    for ws in stage.guards:
        before = ws.state
        await ws.aclose()
        took = trio.current_time() - began_at
        # While `on_connect` runs there is a peer to close with, too.
        has_peer = before in (_S.CONNECTED, _S.CONNECTING)
        bound = _CLOSE_TIMEOUT if has_peer else 0
        expect(took <= bound + GRACE, f"aclose took {took:g} s in {before.name}")
        stage.expect_clean()


# --- leaving by whatever way -----------------------------------------------------


@property_of("guard", rows=(19, 20), arms=_BOTH)
def leaving_leaves_nothing(run: Run) -> None:
    """Left at any time and in any way, a guard leaves no task and no stream, in `close_timeout`."""

    async def check(world: World, at: float, way: str) -> None:
        async with open_stage(run, world) as stage:
            began_at = 0.0
            with trio.CancelScope() as scope, suppress(KeyError):
                async with stage.open(wait=False) as ws:
                    stage.guards.append(ws)
                    await trio.sleep(at)
                    began_at = trio.current_time()
                    if way == "cancel":
                        scope.cancel()
                        await trio.sleep_forever()
                    if way == "raise":
                        raise KeyError(way)
            took = trio.current_time() - began_at
            bound = 0 if way == "cancel" else policy_for(run).close_timeout + GRACE
            expect(took <= bound + span(run, 0), f"leaving took {took:g} s")
            stage.expect_clean()

    few = worlds(run)
    if run.arm is Arm.SIMULATED:
        faults = strategies.fault_plans(max_size=1).map(tuple)
        # Dead ones most of all: they answer no close frame.
        scripts = strategies.dead_connections(at_most=5) | strategies.scripts()
        few = st.builds(World, scripts=st.tuples(scripts), faults=faults)
    run.for_all(
        {
            "world": few,
            "at": strategies.seconds(0, span(run, 40)),
            "way": st.sampled_from(["end", "raise", "cancel"]),
        },
        check,
        share=share_of(run, 0.6),
    )


@property_of("guard", rows=(8,))
def an_end_is_noticed_at_once(run: Run) -> None:
    """A connection that its peer ends, by FIN, RST, close frame or bad frame, is left at once."""

    async def check(scripts: tuple[Script, ...]) -> None:
        async with open_life(run, World(scripts=scripts), firm_policy(run)) as life:
            await life.consume()
        ended = [record.ended_at for record in life.peer.connections]
        states = (_S.RECONNECTING, _S.CLOSED)
        left = [c.at for c in life.changes if c.state in states and c.previous is _S.CONNECTED]
        expect(len(left) == len(ended), f"{len(ended)} connections, {len(left)} times left")
        for at, due in zip(left, ended, strict=True):
            expect(due is not None and at - due <= GRACE, f"ended at {due}, left at {at}")

    run.for_all({"scripts": talks(run)}, check, share=0.4)


@property_of("guard", arms=_BOTH)
def leaving_a_loop_is_safe(run: Run) -> None:
    """`async for` left by `break`, an error or a timeout can be entered again; nothing is lost."""

    async def check(
        scripts: tuple[Script, ...], leaves: list[tuple[str, int]], rest: float
    ) -> None:
        async with open_life(run, World(scripts=scripts), firm_policy(run)) as life:
            for way, count in leaves:
                await trio.sleep(rest)
                with trio.move_on_after(span(run, 0.5)), suppress(KeyError):
                    await _loop(life.ws, life.received, way, count)
            await life.consume()
        expect_equal(life.received, pushed(scripts))

    ways = st.tuples(st.sampled_from(["break", "raise", "wait"]), st.integers(1, 4))
    run.for_all(
        {
            "scripts": talks(run),
            "leaves": st.lists(ways, max_size=6),
            "rest": pauses(run, 2),
        },
        check,
        share=share_of(run, 0.4),
    )


async def _loop(
    ws: wsguard.GuardedWebSocket, received: list[Message], way: str, count: int
) -> None:
    left = count
    async for message in ws:
        received.append(message)
        left -= 1
        if left <= 0:
            if way == "break":
                break
            if way == "raise":
                raise KeyError(way)


# --- listeners -------------------------------------------------------------------


@property_of("guard", rows=(37,))
def listeners_change_nothing(run: Run) -> None:
    """A listener that never reads, leaves early or is slow changes no time and no message."""

    def check(world: World, listener: str, schedule: int) -> None:
        alone = run_simulation(_listened, run, world, "nobody", seed=schedule)
        heard = run_simulation(_listened, run, world, listener, seed=schedule)
        expect(heard == alone, f"without a listener: {alone}\nwith one: {heard}")

    # No faults: what begins in the instant of another event is decided by the
    # schedule, and a listener's task is one more in it.
    run.for_all(
        {
            "world": st.builds(World, scripts=strategies.servers()),
            "listener": st.sampled_from(["mute", "early", "slow", "many"]),
            "schedule": st.integers(0, 2**16),
        },
        check,
        share=0.3,
    )


_CUT: Final = 90.13  # seconds; at no instant at which anything else happens
_BEAT: Final = wsguard.HeartbeatPolicy(interval=14.97)  # likewise: peers act at quarters of seconds


@in_time
async def _listened(run: Run, world: World, listener: str) -> list[object]:
    """Live under a listener; tell when connections came and went, and the messages."""
    received: list[object] = []
    async with (
        open_stage(run, world) as stage,
        stage.open(wait=False, policy=policy_for(run, heartbeat=_BEAT)) as ws,
        trio.open_nursery() as nursery,
    ):
        for _ in range({"nobody": 0, "many": 20}.get(listener, 1)):
            nursery.start_soon(_listen, ws, listener)
        with trio.move_on_after(_CUT):
            async for message in ws:
                received.append((trio.current_time(), message))  # noqa: PERF401 - cut off
        nursery.cancel_scope.cancel()
    run.count(virtual_seconds=trio.current_time())
    return [(one.opened_at, one.ended_at) for one in stage.peer.connections] + received


async def _listen(ws: wsguard.GuardedWebSocket, listener: str) -> None:
    async with ws.events(max_queue=1) as events:
        if listener == "mute":
            await trio.sleep_forever()
        async for _ in events:
            if listener == "early":
                break
            await trio.sleep(7)


# --- memory ----------------------------------------------------------------------

_SOON, _LATE = 100, 1000
_ALLOWED: Final = 200  # objects of one type; a leak of one a connection makes 900


@property_of("guard")
def memory_is_bounded(run: Run) -> None:
    """After 1,000 reconnects a guard holds no more than after 100."""
    # One run, and no example to find: what is left over each time adds up.
    run.examples += 1
    soon, late = run_simulation(_census_twice, run)
    grown = {kind: count for kind, count in (late - soon).items() if count > _ALLOWED}
    expect(not grown, f"more than after {_SOON} reconnects: {grown}")


async def _census_twice(run: Run) -> list[Counter[str]]:
    script = Script(Accept(), Push("x"), Wait(6), Drop())
    found: list[Counter[str]] = []
    dials = 0

    async def serve(stream: trio.abc.Stream) -> None:
        nonlocal dials
        dials += 1
        if dials in (_SOON, _LATE):
            found.append(_census())
        await ScriptedPeer(script)(stream)  # a peer for each: its record would grow

    async with SimulatedNetwork(1, record=False) as network:
        network.listen(f"{HOST}:80", serve)
        guard = run.parts.open_guard(
            URL,
            policy=policy_for(run),
            transport=run.parts.transport,
            dial=network.dial,
            rng=Random(0),  # noqa: S311 - a simulation
        )
        with trio.fail_after(20 * _LATE):
            async with guard as ws, ws.events(max_queue=16):
                while len(found) < 2:
                    await ws.get_messages()
    run.count(virtual_seconds=trio.current_time())
    return found


def _census() -> Counter[str]:
    """Count what is alive, by type."""
    gc.collect()
    return Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())
