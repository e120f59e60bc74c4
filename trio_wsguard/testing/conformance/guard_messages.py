"""What must hold of the messages that a guard receives: all, once, in order."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import trio
from hypothesis import strategies as st
from wsproto.frame_protocol import Opcode

import trio_wsguard as wsguard
from trio_wsguard.testing import strategies
from trio_wsguard.testing.conformance.guard_states import span
from trio_wsguard.testing.conformance.life import Life, World, open_life, policy_for
from trio_wsguard.testing.conformance.property import Arm, property_of
from trio_wsguard.testing.conformance.steps import cancelled_at, in_time
from trio_wsguard.testing.conformance.violation import expect
from trio_wsguard.testing.faults import Slicer
from trio_wsguard.testing.peer import (
    Accept,
    Close,
    Drop,
    Push,
    Reject,
    Reset,
    Script,
    SendRaw,
    Wait,
    frame,
)
from trio_wsguard.testing.simulation import run_simulation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_wsguard._shell.transport import Message
    from trio_wsguard.testing.conformance.run import Run
    from trio_wsguard.testing.peer import Step

_S: Final = wsguard.ConnectionState
_BOTH: Final = (Arm.SIMULATED, Arm.LOOPBACK)


# --- what is received ------------------------------------------------------------


def pauses(run: Run, at_most: float) -> st.SearchStrategy[float]:
    """Draw a pause; in milliseconds on real sockets."""
    if run.arm is Arm.LOOPBACK:
        return st.integers(0, 2).map(lambda pause: pause / 1000)
    return strategies.seconds(0, at_most)


def _endings(run: Run) -> st.SearchStrategy[Step]:
    """Draw how a connection ends; a real kernel loses what a reset finds unsent."""
    if run.arm is Arm.LOOPBACK:
        return strategies.endings().filter(lambda end: end != Reset())
    return strategies.endings()


def talks(run: Run, at_most: int = 8) -> st.SearchStrategy[tuple[Script, ...]]:
    """Draw connections that send named messages and end; the last one ends for good.

    Args:
        run: On which arm.
        at_most: How many messages a connection sends at most.
    """
    one = st.tuples(st.integers(0, at_most), pauses(run, 2), _endings(run))
    lost = st.lists(one, max_size=3)
    last = st.tuples(st.integers(0, at_most), pauses(run, 2), st.just(Close(1000)))
    return st.builds(lambda some, end: scripts_of([*some, end]), lost, last)


def scripts_of(found: Sequence[tuple[int, float, Step]]) -> tuple[Script, ...]:
    """Make scripts: how many messages, the pause between two, and the end."""
    return tuple(
        Script(Accept(), *push(number, count, pause), end)
        for number, (count, pause, end) in enumerate(found, 1)
    )


def push(number: int, count: int, pause: float = 0) -> tuple[Push, ...]:
    """Send messages that tell on which connection they were sent, and which they are."""
    messages = [f"{number}.{one}" for one in range(1, count + 1)]
    return (Push(*messages, interval=pause),) if count else ()


def pushed(scripts: Sequence[Script]) -> list[Message]:
    """Tell what peers with these scripts send."""
    steps = [step for script in scripts for step in script.steps]
    return [message for step in steps if isinstance(step, Push) for message in step.messages]


def firm_policy(run: Run, **settings: Any) -> wsguard.GuardPolicy:
    """Give a policy that outlasts what `talks` draws, and not a server that is never reached."""
    return policy_for(run, **{"max_connection_failures": 10, **settings})


def share_of(run: Run, simulated: float = 1.0) -> float:
    """Tell how many examples to try, as a share; few on real sockets."""
    return 0.05 if run.arm is Arm.LOOPBACK else simulated


@property_of("guard", rows=(26, 30), arms=_BOTH)
def received_is_what_was_sent(run: Run) -> None:
    """All that peers send before they end comes out: in order, across reconnects, nothing twice."""

    async def check(scripts: tuple[Script, ...]) -> None:
        async with open_life(run, World(scripts=scripts), firm_policy(run)) as life:
            await life.consume()
        expect_equal(life.received, pushed(scripts))

    run.for_all({"scripts": talks(run)}, check, share=share_of(run))


def expect_equal(received: Sequence[Message], sent: Sequence[Message]) -> None:
    """State that what came out is what was sent."""
    expect(list(received) == list(sent), f"sent {brief(sent)}, received {brief(received)}")


def brief(messages: Sequence[Message]) -> str:
    """Show messages, the first ones of many."""
    shown = [repr(message[:20]) for message in messages[:30]]
    return f"[{', '.join(shown)}{', ...' if len(messages) > 30 else ''}]"


@property_of("guard")
def any_message_comes_out_whole(run: Run) -> None:
    """Text and bytes of any content and length come out as they were sent."""

    async def check(messages: list[Message], slicing: int) -> None:
        script = Script(Accept(), *([Push(*messages)] if messages else []), Close(1000))
        faults = (Slicer(size=slicing),) if slicing else ()
        async with open_life(
            run, World(scripts=(script,), faults=faults), firm_policy(run)
        ) as life:
            await life.consume()
        expect_equal(life.received, messages)

    slicing = st.sampled_from([0, 1000, 65536])
    run.for_all({"messages": strategies.message_streams(8), "slicing": slicing}, check, share=0.3)


@property_of("guard", rows=(30,), arms=_BOTH)
def what_was_read_outlives_the_guard(run: Run) -> None:
    """What was read comes out also after CLOSED and FAILED; then calls tell of the end."""

    async def check(count: int, end: Step, batches: bool) -> None:
        script = Script(Accept(), *push(1, count), end)
        policy = policy_for(run, max_connection_failures=1)
        async with open_life(run, World(scripts=(script,)), policy) as life:
            state = await life.ws.wait_state(_S.CLOSED, _S.FAILED)
            for _ in range(count if not batches else min(count, 1)):
                life.received += await (_batch(life.ws) if batches else _single(life.ws))
            expect_equal(life.received, pushed([script]))
            await _expect_end(life.ws, state)

    ends = st.sampled_from([Close(1000), Drop(), Close(1001)])
    run.for_all(
        {"count": st.integers(0, 9), "end": ends, "batches": st.booleans()},
        check,
        share=share_of(run, 0.3),
    )


async def _single(ws: wsguard.GuardedWebSocket) -> list[Message]:
    return [await ws.get_message()]


async def _batch(ws: wsguard.GuardedWebSocket) -> list[Message]:
    return await ws.get_messages()


async def _iterated(ws: wsguard.GuardedWebSocket) -> list[Message]:
    return [await anext(ws)]


async def _expect_end(ws: wsguard.GuardedWebSocket, state: wsguard.ConnectionState) -> None:
    is_closed = state is _S.CLOSED
    told = wsguard.ConnectionClosedError if is_closed else wsguard.GuardFailedError
    for receive, error in (
        (_single, told),
        (_batch, told),
        (_iterated, StopAsyncIteration if is_closed else told),
    ):
        try:
            await receive(ws)
        except error:
            continue
        raise AssertionError(f"{receive.__name__} in {state.name} gave a message")


@property_of("guard", rows=(24,), arms=_BOTH)
def a_cancelled_receive_loses_nothing(run: Run) -> None:
    """Cancelling `get_message`, `get_messages` or `async for` at any step loses nothing."""

    async def check(scripts: tuple[Script, ...], calls: list[tuple[str, int]]) -> None:
        async with open_life(run, World(scripts=scripts), firm_policy(run)) as life:
            for receive, step in calls:
                try:
                    await cancelled_at(step, _take, life, receive)
                except (wsguard.ConnectionClosedError, StopAsyncIteration):
                    break
            await life.consume()
        expect_equal(life.received, pushed(scripts))

    calls = st.tuples(st.sampled_from(list(_RECEIVE)), st.integers(0, 12))
    run.for_all(
        {"scripts": talks(run), "calls": st.lists(calls, min_size=1, max_size=40)},
        check,
        share=share_of(run),
    )


_RECEIVE: Final = {"get_message": _single, "get_messages": _batch, "anext": _iterated}


async def _take(life: Life, receive: str) -> None:
    life.received += await _RECEIVE[receive](life.ws)


@property_of("guard", rows=(39,))
def segments_do_not_matter(run: Run) -> None:
    """However TCP cuts what the server sends, the same messages come out and the same happens."""

    def check(scripts: tuple[Script, ...], size: int, schedule: int) -> None:
        whole = run_simulation(_lived, run, World(scripts=scripts), seed=schedule)
        sliced = World(scripts=scripts, faults=(Slicer(size=size),))
        cut = run_simulation(_lived, run, sliced, seed=schedule)
        expect(cut == whole, f"whole: {whole}\nin pieces of {size} bytes: {cut}")

    sizes = st.integers(1, 9) | st.integers(10, 300)
    run.for_all(
        {"scripts": talks(run, at_most=2), "size": sizes, "schedule": st.integers(0, 2**16)},
        check,
        share=0.4,
    )


@in_time
async def _lived(run: Run, world: World) -> list[object]:
    """Live to the end; tell the messages and the moves, without their times."""
    async with open_life(run, world, firm_policy(run)) as life:
        await life.consume()
    run.count(virtual_seconds=trio.current_time())
    moves = [f"{c.generation}: {c.state.name} ({c.reason})" for c in life.changes]
    return [*life.received, *moves]


# --- whose messages they are -----------------------------------------------------


@property_of("guard", rows=(5,), arms=_BOTH)
def only_ready_connections_are_heard(run: Run) -> None:
    """Messages are of connections that were CONNECTED, and come after it."""

    async def check(scripts: tuple[Script, ...], login: float, takes: int) -> None:
        taken: list[Message] = []
        on_connect = partial(_login, login, takes, taken)
        heard: list[tuple[float, Message]] = []
        world, policy = World(scripts=scripts), firm_policy(run, open_timeout=20)
        async with open_life(run, world, policy, on_connect=on_connect) as life:
            async for message in life.ws:
                heard.append((trio.current_time(), message))  # noqa: PERF401 - it is clearer
        if run.arm is Arm.LOOPBACK and len(life.peer.connections) > len(scripts):
            return  # a busy machine let the last one's time pass: it came again, numbered as before
        ready = {change.generation: change.at for change in life.entered(_S.CONNECTED)}
        for at, message in heard:
            number = int(str(message).partition(".")[0])
            expect(number in ready, f"{message!r} of a connection that never was CONNECTED")
            expect(at >= ready[number], f"{message!r} came before its connection was ready")
        expected = [one for one in pushed(scripts) if int(str(one)[0]) in ready]
        expected = [one for one in expected if one not in taken]
        expect_equal([message for _, message in heard], expected)

    run.for_all(
        {"scripts": _openings(run), "login": pauses(run, 3), "takes": st.integers(0, 2)},
        check,
        share=share_of(run, 0.6),
    )


def _openings(run: Run) -> st.SearchStrategy[tuple[Script, ...]]:
    """Draw connections of which some end or are refused while `on_connect` runs."""
    ends = st.sampled_from([(2, Drop()), (2, Close(1001)), (0, Drop()), (3, Drop())])
    forged = frame(Opcode.TEXT, b"9.9")
    refusals = st.sampled_from(
        [
            Script(Reject(503, body=forged)),
            Script(SendRaw(b"HTTP/1.1 200 OK\r\n\r\n" + forged), Drop()),
            Script(SendRaw(forged), Drop()),
        ]
    )
    one = st.tuples(pauses(run, 4), ends) | refusals
    life = span(run, 5)  # longer than any `on_connect`
    return st.lists(one, max_size=3).map(partial(_with_sound_end, life))


def _with_sound_end(longest: float, found: Sequence[Any]) -> tuple[Script, ...]:
    scripts: list[Script] = []
    for number, one in enumerate(found, 1):
        if isinstance(one, Script):
            scripts.append(one)
        else:
            life, (count, end) = one
            scripts.append(Script(Accept(), *push(number, count), Wait(life), end))
    number = len(found) + 1
    return (*scripts, Script(Accept(), *push(number, 3), Wait(longest), Close(1000)))


async def _login(
    seconds: float, takes: int, taken: list[Message], connection: wsguard.Connection
) -> None:
    for _ in range(takes):
        taken.append(await connection.get_message())  # noqa: PERF401 - it may be cancelled
    await trio.sleep(seconds)
