"""What must hold of the messages that are sent: whole, in order, at most once, with one outcome."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import attrs
import trio
from hypothesis import strategies as st

import trio_wsguard as wsguard
from trio_wsguard.testing import strategies
from trio_wsguard.testing.conformance.guard_messages import brief, share_of
from trio_wsguard.testing.conformance.guard_states import Wish, grant, span, wishes, worlds
from trio_wsguard.testing.conformance.life import Life, World, open_life, policy_for
from trio_wsguard.testing.conformance.producers import (
    Order,
    Outcome,
    Sent,
    Treacherous,
    orders,
    produce,
    send,
)
from trio_wsguard.testing.conformance.property import Arm, property_of
from trio_wsguard.testing.conformance.stage import open_stage
from trio_wsguard.testing.conformance.steps import cancelled_at
from trio_wsguard.testing.conformance.violation import expect
from trio_wsguard.testing.faults import Bandwidth, Direction, ShortBuffer
from trio_wsguard.testing.peer import Accept, Drop, Script, StopReading, Wait

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_wsguard._shell.transport import Message
    from trio_wsguard.testing.conformance.run import Run
    from trio_wsguard.testing.peer import ConnectionRecord

_S: Final = wsguard.ConnectionState
_BOTH: Final = (Arm.SIMULATED, Arm.LOOPBACK)
_HELLO: Final = "hello "
_END: Final = "end:"


# A peer that has a message of these was sent what the caller was told is not sent.
_NEVER_SENT: Final = (Outcome.LOST, Outcome.FAILED, Outcome.CLOSED)


def crowded(run: Run) -> st.SearchStrategy[World]:
    """Draw a world; in half of them, a large message does not fit into the buffers."""
    if run.arm is Arm.LOOPBACK:
        return worlds(run)
    short = ShortBuffer(size=1000, direction=Direction.UP)
    return st.builds(
        lambda world, faults: attrs.evolve(world, faults=(*world.faults, *faults)),
        worlds(run),
        st.sampled_from([(), (short,)]),
    )


async def say_hello(connection: wsguard.Connection) -> None:
    """Tell the peer the generation: an `on_connect`."""
    await connection.send_message(f"{_HELLO}{connection.generation}")


def _by_generation(life: Life) -> dict[int, list[Message]]:
    """Tell what the peer received on which generation, the hello left out."""
    found: dict[int, list[Message]] = {}
    for record in life.peer.connections:
        if record.messages:
            hello = str(record.messages[0])
            expect(hello.startswith(_HELLO), f"{hello[:20]!r} came before on_connect's own message")
            found[int(hello.removeprefix(_HELLO))] = record.messages[1:]
    return found


def _all_messages(life: Life) -> list[Message]:
    return [message for record in life.peer.connections for message in record.messages]


# --- outcomes --------------------------------------------------------------------


@property_of("guard", rows=(32,), arms=_BOTH)
def a_send_has_one_outcome(run: Run) -> None:
    """The peer has no message twice, none told not to be sent, all that the connection outlived."""

    async def check(
        world: World, wanted: list[list[Order]], asked: list[Wish], limit: int | None
    ) -> None:
        log: list[Sent] = []
        policy = policy_for(run, max_connection_failures=limit)
        async with (
            open_life(run, world, policy, on_connect=say_hello) as life,
            trio.open_nursery() as nursery,
        ):
            for name, some in zip("abc", wanted, strict=False):
                nursery.start_soon(produce, life, name, some, log)
            nursery.start_soon(_grant, life, asked)
            await trio.sleep(span(run, 180))
            lived_on = await _settle(run, life)
            await life.ws.aclose()
        _expect_outcomes(life, log)
        if lived_on is not None:
            _expect_all_of(lived_on, life, log)

    wanted = st.lists(orders(run), min_size=1, max_size=3)
    run.for_all(
        {
            "world": crowded(run),
            "wanted": wanted,
            "asked": wishes(run),
            "limit": st.none() | st.integers(1, 3),
        },
        check,
        share=share_of(run, 0.4),
    )


async def _grant(life: Life, asked: list[Wish]) -> None:
    with suppress(trio.ClosedResourceError):  # it ended before all was asked for
        await grant(life, asked)


async def _settle(run: Run, life: Life) -> int | None:
    """Send a last message; tell the generation that it has surely gone out on."""
    generation = life.ws.generation
    if life.ws.state is not _S.CONNECTED:
        return None
    with trio.move_on_after(span(run, 30)) as scope:
        if await send(life.ws, _END) is not Outcome.SENT:
            return None
        while _END not in _all_messages(life):
            await life.peer.wait_received(len(_all_messages(life)) + 1)
    is_same = life.ws.state is _S.CONNECTED and life.ws.generation == generation
    return generation if is_same and not scope.cancelled_caught else None


def _expect_outcomes(life: Life, log: Sequence[Sent]) -> None:
    there = _all_messages(life)
    for sent in log:
        count = there.count(sent.message)
        name = brief([sent.message])
        expect(count <= 1, f"the peer has {name} {count} times: {sent.outcome.value}")
        if sent.outcome in _NEVER_SENT:
            expect(count == 0, f"the peer has {name}, and it was told: {sent.outcome.value}")
        if sent.outcome is Outcome.SENT:
            expect(sent.was_connected, f"{name} was sent while the guard was not CONNECTED")
    known = [sent.message for sent in log] + [_END]
    for message in there:
        is_hello = str(message).startswith(_HELLO)
        expect(is_hello or message in known, f"nobody sent {brief([message])}")


def _expect_all_of(generation: int, life: Life, log: Sequence[Sent]) -> None:
    there = _by_generation(life).get(generation, [])
    for sent in log:
        if sent.outcome is Outcome.SENT and sent.only_on == generation:
            name = brief([sent.message])
            expect(sent.message in there, f"{name} was sent, and never came; others came after it")


@property_of("guard", rows=(32,))
def a_doubtful_send_is_not_repeated(run: Run) -> None:
    """Where a stream breaks under a send, the caller is told, and nothing is repeated."""

    async def check(which: int, is_out: bool) -> None:
        async with open_stage(run, World()) as stage:

            async def dial(target: wsguard.Target) -> trio.abc.Stream:
                stream = await stage.dial(target)
                is_first = len(stage.streams) == 1
                return Treacherous(stream, which, is_out=is_out) if is_first else stream

            outcomes: list[Outcome] = []
            async with stage.open(dial=dial) as ws:
                for number in range(4):
                    outcome = await send(ws, str(number))
                    outcomes.append(outcome)
            there = [message for one in stage.peer.connections for message in one.messages]
        doubt = outcomes.index(Outcome.DOUBTFUL) if Outcome.DOUBTFUL in outcomes else None
        expect(doubt is not None, f"nobody was told of the doubt: {outcomes}")
        sure = [str(number) for number in range(4) if is_out or number != doubt]
        expect(there == sure, f"{sure} went out, and the peer has {there}")

    run.for_all({"which": st.integers(1, 4), "is_out": st.booleans()}, check, share=0.1)


@property_of("guard", rows=(26,), arms=_BOTH)
def sends_keep_their_order(run: Run) -> None:
    """On each connection a producer's messages arrive in their order, none left out between."""

    async def check(world: World, wanted: list[list[Order]]) -> None:
        logs: list[list[Sent]] = [[] for _ in wanted]
        async with (
            open_life(run, world, on_connect=say_hello) as life,
            trio.open_nursery() as nursery,
        ):
            for name, some, log in zip("abc", wanted, logs, strict=False):
                nursery.start_soon(produce, life, name, some, log)
            await trio.sleep(span(run, 180))
            await life.ws.aclose()
        for generation, there in _by_generation(life).items():
            for log in logs:
                _expect_prefix(generation, there, log)

    wanted = st.lists(orders(run, 8, rest=4), min_size=1, max_size=3)
    run.for_all({"world": crowded(run), "wanted": wanted}, check, share=share_of(run, 0.4))


def _expect_prefix(generation: int, there: Sequence[Message], log: Sequence[Sent]) -> None:
    mine = {sent.message for sent in log}
    came = [message for message in there if message in mine]
    begun = [sent.message for sent in log if sent.message in came]
    expect(came == begun, f"sent {brief(begun)}, and {brief(came)} came")
    sure = [s.message for s in log if s.only_on == generation and s.outcome is Outcome.SENT]
    came = [message for message in came if message in sure]
    gap = f"sent {brief(sure)} on connection {generation}, and {brief(came)} came"
    expect(came == sure[: len(came)], gap)


@property_of("guard", arms=_BOTH)
def on_connect_sends_first(run: Run) -> None:
    """What `on_connect` sends comes first on each connection, whoever else is sending."""

    async def check(world: World, logins: int, login: float, wanted: list[Order]) -> None:
        async def on_connect(connection: wsguard.Connection) -> None:
            for number in range(logins):
                await connection.send_message(f"{_HELLO}{number}")
                await trio.sleep(login)

        async with (
            open_life(run, world, on_connect=on_connect) as life,
            trio.open_nursery() as nursery,
        ):
            for name in "ab":
                nursery.start_soon(produce, life, name, wanted, [])
            await trio.sleep(span(run, 120))
            await life.ws.aclose()
        for record in life.peer.connections:
            _expect_logins(record, logins)

    login = strategies.seconds(0, 3) if run.arm is Arm.SIMULATED else st.just(0.001)
    run.for_all(
        {
            "world": crowded(run),
            "logins": st.integers(1, 3),
            "login": login,
            "wanted": orders(run, rest=2),
        },
        check,
        share=share_of(run, 0.5),
    )


def _expect_logins(record: ConnectionRecord, logins: int) -> None:
    came = record.messages
    first = [f"{_HELLO}{number}" for number in range(logins)][: len(came)]
    expect(came[:logins] == first, f"connection {record.number} began with {brief(came[:logins])}")


# --- cancelling ------------------------------------------------------------------


@attrs.frozen
class Cancelled:
    """A send that is cancelled.

    Attributes:
        size: Characters, at least.
        step: Before which step of any task.
        rest: Seconds until the next one.
    """

    size: int
    step: int
    rest: float


@property_of("guard", rows=(25,), arms=_BOTH)
def a_cancelled_send_is_whole_or_nothing(run: Run) -> None:
    """A send cancelled at any step, buffers full or not, ends at once and leaves no half frame."""

    async def check(world: World, sends: list[Cancelled]) -> None:
        tried: list[Message] = []
        async with open_life(run, world) as life:
            for number, send in enumerate(sends):
                message = f"{number}:".ljust(send.size, "x")
                tried.append(message)
                took = await _cancel_send(life, message, send.step)
                expect(took <= span(run, 0), f"cancelling a send took {took:g} s")
                await trio.sleep(send.rest)
        for record in life.peer.connections:
            expect(record.violation is None, f"the peer was sent {record.violation}")
            for came in record.messages:
                expect(came in tried, f"the peer has {brief([came])}, which nobody sent")
        there = _all_messages(life)
        expect(len(there) == len(set(there)), f"the peer has one twice: {brief(there)}")
        # Without losses, what the peer has is in the order in which it was sent.
        expect(there == [one for one in tried if one in there], f"out of order: {brief(there)}")

    run.for_all(
        {"world": _tight_worlds(run), "sends": _cancelled_sends(run)},
        check,
        share=share_of(run),
    )


async def _cancel_send(life: Life, message: str, step: int) -> float:
    """Cancel a send at a step, or after two seconds; tell how long it went on after these."""
    with trio.move_on_after(2) as late:
        with suppress(wsguard.ConnectionLostError):
            await cancelled_at(step, life.ws.send_message, message)
    return trio.current_time() - late.deadline


def _cancelled_sends(run: Run) -> st.SearchStrategy[list[Cancelled]]:
    rests = strategies.seconds(0, 8) if run.arm is Arm.SIMULATED else st.just(0.001)
    sizes = st.sampled_from([1, 100, 126, 1000, 70_000])
    one = st.builds(Cancelled, sizes, st.integers(0, 12) | st.integers(13, 40), rests)
    return st.lists(one, min_size=1, max_size=6)


def _tight_worlds(run: Run) -> st.SearchStrategy[World]:
    """Draw a peer that takes bytes slowly, not at all, or for a while not."""
    if run.arm is Arm.LOOPBACK:
        stops = st.sampled_from([Script(Accept()), Script(Accept(), StopReading(0.05))])
        return stops.map(lambda script: World(scripts=(script,)))
    talks = st.one_of(
        st.just((Wait(1000),)),
        strategies.seconds(0.25, 20).map(lambda pause: (StopReading(pause), Wait(1000))),
        strategies.seconds(0, 20).map(lambda life: (Wait(life), Drop())),
        st.just((StopReading(),)),
    )
    scripts = st.lists(talks.map(lambda talk: Script(Accept(), *talk)), min_size=1, max_size=3)
    short = st.integers(1, 3000).map(lambda size: ShortBuffer(size=size, direction=Direction.UP))
    slow = st.integers(20, 5000).map(lambda rate: Bandwidth(rate=rate, direction=Direction.UP))
    faults = st.tuples(short) | st.tuples(short, slow) | st.just(())
    return st.builds(
        lambda scripts, faults: World(scripts=tuple(scripts), faults=faults), scripts, faults
    )
