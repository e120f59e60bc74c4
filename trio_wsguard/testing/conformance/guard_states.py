"""What must hold of a guard's states: which moves there are, and what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import trio
from hypothesis import strategies as st

import trio_wsguard as wsguard
from trio_wsguard.testing import strategies
from trio_wsguard.testing.conformance.life import Life, World, open_life, policy_for
from trio_wsguard.testing.conformance.property import Arm, property_of
from trio_wsguard.testing.conformance.violation import expect
from trio_wsguard.testing.peer import Accept, Close, Drop, Script, Silence

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_wsguard.testing.conformance.run import Run
    from trio_wsguard.testing.faults import FaultPlan

_S: Final = wsguard.ConnectionState
_BOTH: Final = (Arm.SIMULATED, Arm.LOOPBACK)
_EPS: Final = 1e-6
_GRACE: Final = 0.1  # seconds; an adapter may wait a moment for the peer's FIN
_WISHES: Final = ("reconnect_now", "force_reconnect", "reset", "disconnect", "connect")


@attrs.frozen
class Wish:
    """Something that a user asks of a guard.

    Attributes:
        at: When, in seconds after it was opened.
        call: The method.
    """

    at: float
    call: str


def wishes(run: Run, at_most: float = 60) -> st.SearchStrategy[list[Wish]]:
    """Draw what a user asks for, in order; in milliseconds on real sockets."""
    times = strategies.seconds(0, at_most)
    if run.arm is Arm.LOOPBACK:
        times = times.map(lambda at: at / 1000)
    one = st.builds(Wish, times, st.sampled_from(_WISHES))
    return st.lists(one, max_size=4).map(lambda found: sorted(found, key=lambda wish: wish.at))


async def grant(life: Life, asked: list[Wish]) -> None:
    """Ask a guard for all that, in time."""
    began_at = trio.current_time()
    for wish in asked:
        await trio.sleep_until(began_at + wish.at)
        if wish.call == "connect" and life.ws.state is _S.FAILED:
            continue  # refused by design: a FAILED guard is reset
        getattr(life.ws, wish.call)()


def worlds(run: Run) -> st.SearchStrategy[World]:
    """Draw what a guard meets; on real sockets, only what ends by itself at once."""
    if run.arm is Arm.LOOPBACK:
        ends = st.lists(strategies.lost_connections(at_most=0), max_size=3)
        return ends.map(lambda bad: World(scripts=(*bad, Script(Accept()))))
    return st.builds(
        World,
        scripts=strategies.servers(),
        faults=strategies.fault_plans().map(tuple),
        seed=st.integers(0, 2**16),
    )


def span(run: Run, simulated: float) -> float:
    """Tell how long to look: some seconds of virtual time, or a moment of real time."""
    return 0.05 if run.arm is Arm.LOOPBACK else simulated


@property_of("guard", rows=(1, 2, 3), arms=_BOTH)
def only_the_ten_edges(run: Run) -> None:
    """Every move is one of the ten edges, begins where the last one ended, and leads elsewhere."""

    async def check(world: World, asked: list[Wish]) -> None:
        async with open_life(run, world) as life:
            await grant(life, asked)
            await trio.sleep(span(run, 180))
        state = _S.DISCONNECTED
        for change in life.changes:
            expect(change.previous is state, f"{state.name}, but then {_move(change)}")
            expect((change.previous, change.state) in wsguard.TRANSITIONS, _move(change))
            state = change.state

    run.for_all({"world": worlds(run), "asked": wishes(run)}, check, share=_share(run) / 2)


def _move(change: wsguard.StateChange) -> str:
    return f"{change.previous.name} -> {change.state.name} ({change.reason})"


def _share(run: Run) -> float:
    return 0.1 if run.arm is Arm.LOOPBACK else 1


@property_of("guard", rows=(2,))
def told_is_what_is(run: Run) -> None:
    """Whoever waits for a state, or is told of it, finds the guard in it or in a later one."""

    async def check(world: World) -> None:
        async with open_life(run, world) as life:
            reached = await life.ws.wait_state(_S.CONNECTED, _S.RECONNECTING, _S.FAILED, _S.CLOSED)
            await life.settle()
            told = [change.state for change in life.changes]
            expect(reached in told, f"wait_state gave {reached.name}, told were {told}")
            expect(life.ws.state is told[-1], f"{life.ws.state.name}, told was {told[-1].name}")

    run.for_all({"world": worlds(run)}, check, share=0.3)


@property_of("guard", rows=(4,), arms=_BOTH)
def nothing_after_the_end(run: Run) -> None:
    """After `aclose` there is no dial, no event and no open stream, and every call says closed."""

    async def check(world: World, asked: list[Wish]) -> None:
        async with open_life(run, world) as life:
            await grant(life, asked)
            await life.ws.aclose()
            before = len(life.dialed_at)
            state = life.ws.state
            final = (_S.CLOSED, _S.DISCONNECTED)
            expect(state in final, f"closed, and the state is {state.name}")
            expect(not life.open_streams, f"{len(life.open_streams)} streams are open")
            await trio.sleep(span(run, 120))
            expect(life.ws.state is state, f"it moved on to {life.ws.state.name}")
            expect(len(life.dialed_at) == before, "it dialed after its end")
            await _all_calls_are_refused(life.ws)

    run.for_all({"world": worlds(run), "asked": wishes(run)}, check, share=_share(run) / 2)


async def _all_calls_are_refused(ws: wsguard.GuardedWebSocket) -> None:
    is_closed_by_peer = ws.closed is not None
    for call in (ws.reconnect_now, ws.force_reconnect, ws.reset, ws.disconnect, ws.connect):
        try:
            call()
        except trio.ClosedResourceError:
            continue
        raise AssertionError(f"{call.__name__} did nothing, and said nothing")
    for ask in (ws.get_message, ws.wait_connected):
        try:
            await ask()
        except trio.ClosedResourceError:
            continue
        except wsguard.ConnectionClosedError:
            expect(is_closed_by_peer, "the peer did not close it")
            continue
        raise AssertionError(f"{ask.__name__} returned")


@property_of("guard", rows=(4, 10))
def close_wins_every_race(run: Run) -> None:
    """`aclose` at any moment ends in a terminal state within `close_timeout`, whatever goes on."""

    async def check(world: World, policy: wsguard.GuardPolicy, at: float) -> None:
        async with open_life(run, world, policy) as life:
            await trio.sleep(at)
            before = life.ws.state
            began_at = trio.current_time()
            with trio.move_on_after(60):
                await life.ws.aclose()
            took = trio.current_time() - began_at
            bound = policy.close_timeout if before is _S.CONNECTED else 0
            expect(took <= bound + _GRACE, f"from {before.name} it took {took:g} s")
            final = (_S.CLOSED, _S.DISCONNECTED)
            expect(life.ws.state in final, f"it ended in {life.ws.state.name}")

    # Half of the time it is caught in an attempt that leads nowhere.
    stuck = st.just(World(scripts=(Script(Silence()),)))
    times = strategies.seconds(0, 10) | strategies.seconds(0, 120)
    run.for_all(
        {"world": worlds(run) | stuck, "policy": strategies.policies(), "at": times},
        check,
        share=0.6,
    )


@property_of("guard", rows=(5,))
def connected_means_ready(run: Run) -> None:
    """CONNECTED comes after the peer's 101 and after `on_connect`, and messages come after it."""

    async def check(world: World, login: float) -> None:
        async with open_life(run, world, on_connect=_slow(login)) as life:
            with trio.move_on_after(150):
                await life.consume()
        for change in life.entered(_S.CONNECTED):
            began = [c.at for c in life.entered(_S.CONNECTING) if c.at <= change.at][-1]
            took = change.at - began
            expect(
                took >= login - _EPS,
                f"CONNECTED {took:g} s after the dial; on_connect takes {login:g}",
            )
        accepted = sum(record.is_accepted for record in life.peer.connections)
        connected = len(life.entered(_S.CONNECTED))
        expect(connected <= accepted, f"CONNECTED {connected} times, accepted {accepted} times")

    run.for_all({"world": worlds(run), "login": strategies.seconds(0, 10)}, check, share=0.5)


def _slow(login: float) -> Callable[[wsguard.Connection], Awaitable[object]]:
    async def on_connect(_connection: wsguard.Connection) -> None:
        await trio.sleep(login)

    return on_connect


@property_of("guard", rows=(6, 20), arms=_BOTH)
def one_connection_at_a_time(run: Run) -> None:
    """There is one dial for each CONNECTING, and a stream is closed before the next is dialed."""

    async def check(world: World, asked: list[Wish]) -> None:
        async with open_life(run, world) as life:
            stop = trio.current_time() + span(run, 180)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(grant, life, asked)
                await _watch_streams(life, stop)
        dials, attempts = len(life.dialed_at), len(life.entered(_S.CONNECTING))
        expect(dials <= attempts, f"{dials} dials in {attempts} attempts")
        expect(not life.open_streams, "a stream is left open")

    scripts = worlds(run).map(without_redirects)
    run.for_all({"world": scripts, "asked": wishes(run)}, check, share=_share(run) / 2)


def without_redirects(world: World) -> World:
    """Leave out scripts that redirect: each redirect is a dial of its own."""
    kept = [script for script in world.scripts if "Redirect" not in repr(script)]
    return attrs.evolve(world, scripts=tuple(kept))


async def _watch_streams(life: Life, stop: float) -> None:
    """Look at every change of state whether more than one stream is open."""
    while trio.current_time() < stop:
        count = len(life.open_streams)
        expect(count <= 1, f"{count} streams are open at once")
        states = [state for state in _S if state is not life.ws.state]
        with trio.move_on_at(stop):
            await life.ws.wait_state(*states)


@property_of("guard", rows=(7,))
def it_comes_back(run: Run) -> None:
    """Once server and network are sound it is CONNECTED within the longest delay and attempt."""

    async def check(plan: FaultPlan, bad: list[Script], seed: int) -> None:
        policy = policy_for(run)
        scripts = (*bad, Script(Accept()))
        async with open_life(run, World(scripts=scripts, faults=tuple(plan), seed=seed)) as life:
            await trio.sleep(plan.quiet_from if plan else 0)
            # From here on, each bad connection costs a detection, a delay and an attempt.
            longest = policy.detection_bound + 60 + policy.open_timeout + 60
            with trio.move_on_after(longest * (len(bad) + 2)):
                while len(life.peer.connections) <= len(bad) or life.ws.state is not _S.CONNECTED:
                    await life.ws.wait_state(*[s for s in _S if s is not life.ws.state])
            expect(life.ws.state is _S.CONNECTED, f"it is {life.ws.state.name}")

    bad = st.lists(strategies.scripts(), max_size=3)
    run.for_all(
        {"plan": strategies.fault_plans(), "bad": bad, "seed": st.integers(0, 2**16)},
        check,
        share=0.5,
    )


@property_of("guard", rows=(10, 17))
def disconnect_rests(run: Run) -> None:
    """`disconnect` leads to DISCONNECTED without another dial, and `connect` leaves it at once."""

    async def check(world: World, at: float) -> None:
        async with open_life(run, world) as life:
            await trio.sleep(at)
            life.ws.disconnect()
            with trio.move_on_after(policy_for(run).close_timeout + _GRACE):
                await life.ws.wait_state(_S.DISCONNECTED, _S.CLOSED)
            if (
                life.ws.state is _S.CLOSED
            ):  # a final close by the peer came first, or from CONNECTED
                return
            expect(life.ws.state is _S.DISCONNECTED, f"it is {life.ws.state.name}")
            dials = len(life.dialed_at)
            await trio.sleep(120)
            expect(len(life.dialed_at) == dials, "it dialed while DISCONNECTED")
            life.ws.connect()
            await life.ws.wait_state(_S.CONNECTING)
            await life.settle()
            expect(life.entered(_S.CONNECTING)[-1].at == trio.current_time(), "connect waited")

    run.for_all({"world": worlds(run), "at": strategies.seconds(0, 120)}, check, share=0.5)


@property_of("guard", arms=_BOTH)
def a_final_close_is_final(run: Run) -> None:
    """The peer's close with 1000 leads to CLOSED with its code and reason, and to no other dial."""

    async def check(reason: str) -> None:
        world = World(scripts=(Script(Accept(), Close(1000, reason)), Script(Accept())))
        async with open_life(run, world) as life:
            await life.ws.wait_state(_S.CLOSED, _S.RECONNECTING)
            expect(life.ws.state is _S.CLOSED, f"it is {life.ws.state.name}")
            closed = life.ws.closed
            expect(closed is not None and closed.code == 1000, f"closed is {closed}")
            expect(closed is not None and closed.reason == reason, f"closed is {closed}")
            await trio.sleep(span(run, 60))
        expect(len(life.dialed_at) == 1, f"{len(life.dialed_at)} dials")

    reasons = st.text("abc XYZ-", max_size=30).map(str.strip)
    run.for_all({"reason": reasons}, check, share=_share(run) / 2)


@property_of("guard", rows=(11,))
def it_fails_at_the_limit(run: Run) -> None:
    """It is FAILED after exactly `max_connection_failures` failures in a row, and never without."""

    async def check(limit: int, script: Script) -> None:
        policy = policy_for(run, max_connection_failures=limit)
        async with open_life(run, World(scripts=(script,)), policy) as life:
            with trio.move_on_after(limit * (policy.open_timeout + 301)):
                await life.ws.wait_state(_S.FAILED)
            await life.settle()
            expect(life.ws.state is _S.FAILED, f"it is {life.ws.state.name}")
            expect(len(life.losses) == limit, f"{len(life.losses)} failures, the limit is {limit}")
            dials = len(life.dialed_at)
            await trio.sleep(1000)
            expect(len(life.dialed_at) == dials, "it dialed while FAILED")
            life.ws.reset()
            await life.ws.wait_state(_S.CONNECTING)
            expect(life.ws.snapshot().connection_failures == 0, "reset did not reset the count")

    scripts = strategies.refusals() | st.just(Script(Accept(), Drop()))
    run.for_all({"limit": st.integers(1, 7), "script": scripts}, check, share=0.5)
