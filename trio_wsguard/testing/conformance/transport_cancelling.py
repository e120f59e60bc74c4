"""What must hold of a transport that is cancelled: in a call, or in the midst of its life."""

from __future__ import annotations

from contextlib import suppress
from itertools import cycle
from typing import TYPE_CHECKING, Final

import trio
from hypothesis import strategies as st

from trio_wsguard._errors import TransportError
from trio_wsguard._shell.transport import Handshake
from trio_wsguard.testing.conformance.property import Arm, property_of
from trio_wsguard.testing.conformance.transport_arms import (
    cancelled_at,
    connected,
    dialed,
    examples,
    for_each,
    opened,
    pause,
)
from trio_wsguard.testing.conformance.transport_client import (
    Client,
    check_at_once,
    expect_same,
    is_within,
)
from trio_wsguard.testing.conformance.violation import expect
from trio_wsguard.testing.peer import (
    Accept,
    Close,
    Drop,
    Echo,
    IgnoreClose,
    Push,
    Reject,
    Script,
    ScriptedPeer,
    SendRaw,
    Silence,
    StopReading,
    Wait,
    frame,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trio_wsguard._shell.transport import Message
    from trio_wsguard.testing.conformance.parts import TransportPart
    from trio_wsguard.testing.conformance.run import Run
    from trio_wsguard.testing.peer import Step

_SMALL_BUFFER: Final = 1000  # bytes
_PINGS: Final = SendRaw(frame(9, b"a") * 3)

# What the peer does in the life that is cancelled at every step.
_LIVES: Final = {
    "closed by us": Script(Accept(), Push("b"), Echo(1), Push("c")),
    "closed by the peer": Script(Accept(), Push("b"), Echo(1), Close()),
    "refused": Script(Reject(503)),
}


@property_of("transport", rows=(24,), arms=Arm)
def cancelled_receive_loses_nothing(run: Run) -> None:
    """Cancelling `receive` at any moment loses no message, gives none twice and keeps the order."""

    async def check(transport: TransportPart, seed: int, messages: int, steps: list[int]) -> None:
        sent = [str(number) for number in range(messages)]
        peer = ScriptedPeer(Script(Accept(), *_written_in_turns(run, sent), Close()))
        heard: list[Message] = []
        async with connected(run, transport, seed, peer) as client:
            # Now and then it must come through, for whatever the steps are.
            for step in cycle([*steps, 1000]):
                try:
                    with cancelled_at(step):
                        heard += await client.receive()
                except TransportError:
                    break
        expect_same(heard, sent, "the client")

    steps = st.lists(st.integers(0, 25), min_size=1, max_size=12)
    run.for_all(examples(run, messages=st.integers(1, 30), steps=steps), check)


def _written_in_turns(run: Run, messages: Sequence[Message]) -> list[Step]:
    """Write one message, then two, then three, with pauses between."""
    steps: list[Step] = []
    rest, count = list(messages), 1
    while rest:
        turn, rest = rest[:count], rest[count:]
        steps += [Push(*turn), pause(run)]
        count = count % 3 + 1
    return steps


@property_of("transport", rows=(25,))
def cancelled_send_leaves_whole_frames(run: Run) -> None:
    """A cancelled `send` leaves no trace or a whole message, or `is_cut` and not a byte after it.

    The peer pings, so that the transport has something to write of its own.
    """

    async def check(
        transport: TransportPart, seed: int, sends: list[tuple[int, int | float]]
    ) -> None:
        run.count(faults=1)
        peer = ScriptedPeer(Script(Accept(), _PINGS, StopReading(1), _PINGS))
        async with (
            connected(run, transport, seed, peer, buffer_size=_SMALL_BUFFER) as client,
            client.hearing(),
        ):
            done, begun = await _send_all(client, sends)
            await trio.sleep(3)  # while a transport that goes on gives itself away
            if not client.stream.is_cut:
                await client.aclose()
        record = client.record
        expect(record.violation is None, f"the peer says: {record.violation}")
        expect(client.stream.is_cut or not record.is_cut, "a frame is cut, and is_cut is not set")
        arrived = [len(message) for message in record.messages]
        expect(is_within(arrived, begun), f"{begun} were begun; the peer has {arrived}")
        if not client.stream.is_cut:
            expect(is_within(done, arrived), f"{done} were sent; the peer has {arrived}")

    # Each of a size of its own, by which it is known, some cut near their end, so
    # that a pong would fill them up; and after how many steps, or seconds, it is
    # cancelled.
    sizes = st.integers(0, 3000) | st.integers(960, 995)
    send = st.tuples(sizes, st.sampled_from([0.5, 2.0]) | st.integers(0, 30))
    sends = st.lists(send, min_size=1, max_size=6, unique_by=lambda one: one[0])
    run.for_all(examples(run, sends=sends), check, share=1.5)


async def _send_all(
    client: Client, sends: Iterable[tuple[int, int | float]]
) -> tuple[list[int], list[int]]:
    """Send messages, each cancelled at a step or after seconds; tell which were done and begun."""
    done: list[int] = []
    begun: list[int] = []
    for size, moment in sends:
        begun.append(size)
        if isinstance(moment, int):
            with cancelled_at(moment) as instrument:
                await client.send(bytes(size))
            is_cancelled = instrument.scope.cancelled_caught
        else:
            with trio.move_on_after(moment) as scope:
                await client.send(bytes(size))
            is_cancelled = scope.cancelled_caught
        if not is_cancelled:
            done.append(size)
        if client.stream.is_cut:
            break
    return done, begun


@property_of("transport", rows=(10, 21))
def a_bounded_aclose_ends_by_its_bound(run: Run) -> None:
    """Where the peer answers no close frame, or reads nothing at all, `aclose` can be cancelled."""

    async def check(transport: TransportPart, seed: int, manner: Step, size: int) -> None:
        run.count(faults=1)
        peer = ScriptedPeer(Script(Accept(), manner, Wait(9), Drop()))
        async with connected(run, transport, seed, peer, buffer_size=_SMALL_BUFFER) as client:
            await trio.sleep(1)
            with trio.move_on_after(1):
                await client.send(bytes(size))
            began_at = trio.current_time()
            with trio.move_on_after(5):
                await client.aclose()
            took = trio.current_time() - began_at
            expect(took <= 5, f"it is cancelled after 5 s, and ends after {took:g} s")

    manners = st.sampled_from([IgnoreClose(), Silence(9), StopReading(9)])
    drawn = examples(run, manner=manners, size=st.sampled_from([1, 2000]))
    run.for_all(drawn, check, share=0.2)


@property_of("transport", rows=(10, 19, 21))
def cancelling_at_any_step_ends_all(run: Run) -> None:
    """Cancelled at any step of its life, it ends at once; no task is left, nor a cut frame unknown.

    Every step there is is tried.
    """

    async def check(transport: TransportPart, seed: int, life: str) -> None:
        step, got_there = 0, True
        while got_there:
            step += 1
            got_there = await _live_until(run, transport, seed, _LIVES[life], step)

    for_each(run, check, life=_LIVES)


async def _live_until(
    run: Run, transport: TransportPart, seed: int, script: Script, step: int
) -> bool:
    """Live a whole life, cancelled at a step; tell whether it got there."""
    peer = ScriptedPeer(script)
    async with dialed(run, seed, peer) as (raw, target):
        client = Client(run, peer, raw)
        began_at = trio.current_time()
        with cancelled_at(step) as instrument, suppress(TransportError):
            async with opened(run, transport, client, Handshake(target=target)):
                await client.send("a")
                await client.ping(b"1")
                await client.hear(3)
                await client.aclose()
        check_at_once(run, f"a life cancelled at step {step}", began_at)
    is_known = client.stream.is_cut or not client.record.is_cut
    expect(is_known, f"cancelled at step {step}, a frame is cut and is_cut is not set")
    violation = client.record.violation if client.record.path else None
    expect(violation is None, f"cancelled at step {step}, the peer says: {violation}")
    return instrument.seen >= step
