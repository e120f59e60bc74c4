"""What must hold of the messages that were read and not yet taken."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import trio
from hypothesis import strategies as st

import trio_wsguard as wsguard
from trio_wsguard._shell.transports import find_transport
from trio_wsguard.testing import strategies
from trio_wsguard.testing.conformance.guard_messages import (
    brief,
    expect_equal,
    firm_policy,
    pauses,
    pushed,
    scripts_of,
    share_of,
    talks,
)
from trio_wsguard.testing.conformance.life import World, open_life, policy_for
from trio_wsguard.testing.conformance.property import Arm, property_of
from trio_wsguard.testing.conformance.violation import expect
from trio_wsguard.testing.peer import Accept, Close, Drop, Push, Script, Wait

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from trio_wsguard._shell.transport import Message
    from trio_wsguard.testing.conformance.run import Run
_BOTH: Final = (Arm.SIMULATED, Arm.LOOPBACK)
_AT_ONCE: Final = st.just(0.0)


@property_of("guard", rows=(30,))
def what_was_read_is_never_lost(run: Run) -> None:
    """However slow the application, all that was read before a loss comes out, in order, once."""

    async def check(scripts: tuple[Script, ...], pause: float, limit: int) -> None:
        policy = firm_policy(run, max_queue=limit)
        async with open_life(run, World(scripts=scripts), policy) as life:
            await life.consume(pause)
            read = life.ws.snapshot().messages_received
        expect(len(life.received) == read, f"read {read} messages, {len(life.received)} came out")
        _expect_in_order(life.received, pushed(scripts))

    run.for_all(
        {
            "scripts": talks(run, at_most=40),
            "pause": strategies.seconds(0, 20),
            "limit": st.integers(1, 20),
        },
        check,
        share=0.3,
    )


def _expect_in_order(received: Sequence[Message], sent: Sequence[Message]) -> None:
    rest = iter(sent)
    for message in received:
        expect(message in rest, f"{message!r} is twice, or not in order: {brief(received)}")


@property_of("guard", arms=_BOTH)
def a_batch_is_all_at_hand(run: Run) -> None:
    """`get_messages` gives one message at least, and leaves none that was at hand."""

    async def check(scripts: tuple[Script, ...], pause: float) -> None:
        async with open_life(run, World(scripts=scripts), firm_policy(run)) as life:
            while True:
                at_hand = life.ws.snapshot().queue_depth
                try:
                    batch = await life.ws.get_messages()
                except wsguard.ConnectionClosedError:
                    break
                left = life.ws.snapshot().queue_depth
                expect(len(batch) >= max(1, at_hand), f"{len(batch)} of {at_hand} messages")
                expect(left == 0, f"{left} messages were left")
                life.received += batch
                await trio.sleep(pause)
        expect_equal(life.received, pushed(scripts))

    run.for_all({"scripts": talks(run), "pause": pauses(run, 3)}, check, share=share_of(run, 0.3))


@property_of("guard", rows=(31,))
def the_queue_is_bounded(run: Run) -> None:
    """Unread messages exceed twice `max_queue` by one batch at most, across reconnects too.

    On a sound connection once `max_queue` is the limit. One whose writes fail is
    read on, for its end, up to twice that.
    """

    async def check(scripts: tuple[Script, ...], limit: int, login: float, app: str) -> None:
        batches = _Batches(run)
        async with open_life(
            run,
            World(scripts=scripts),
            policy_for(run, max_queue=limit),
            transport=batches.open,
            on_connect=partial(_login, login),
        ) as life:
            for _ in range(20):
                await _APPS[app](life.ws)
                await trio.sleep(4)
                depth = life.ws.snapshot().queue_depth
                most = 2 * limit + batches.longest
                expect(depth <= most, f"{depth} unread messages, max_queue is {limit}")

    floods = st.tuples(st.integers(1, 300), _AT_ONCE, st.sampled_from([Drop(), Wait(1000)]))
    run.for_all(
        {
            "scripts": st.lists(floods, min_size=1, max_size=4).map(scripts_of),
            "limit": st.integers(1, 50),
            "login": st.sampled_from([0.0, 1.0]),
            "app": st.sampled_from(list(_APPS)),
        },
        check,
        share=0.3,
    )


async def _login(seconds: float, connection: wsguard.Connection) -> None:  # noqa: ARG001 - says nothing
    await trio.sleep(seconds)


async def _rests(ws: wsguard.GuardedWebSocket) -> None:  # noqa: ARG001 - it does not read
    await trio.lowlevel.checkpoint()


async def _sends(ws: wsguard.GuardedWebSocket) -> None:
    with trio.move_on_after(1):
        with suppress(wsguard.ConnectionLostError):
            await ws.send_message("x")


async def _wants_another(ws: wsguard.GuardedWebSocket) -> None:
    await trio.lowlevel.checkpoint()
    ws.force_reconnect()


_APPS: Final = {"rests": _rests, "sends": _sends, "wants another": _wants_another}


class _Batches:
    """A transport that notes how long its batches are."""

    def __init__(self, run: Run) -> None:
        self.longest = 1
        self._open: Any = find_transport(run.parts.transport)

    @asynccontextmanager
    async def open(self, *args: Any) -> AsyncIterator[Any]:
        async with self._open(*args) as transport:
            receive = transport.receive

            async def note() -> list[Message]:
                batch: list[Message] = await receive()
                self.longest = max(self.longest, len(batch))
                return batch

            transport.receive = note
            yield transport


@property_of("guard", rows=(9,))
def a_slow_consumer_loses_no_connection(run: Run) -> None:
    """However long the application rests, a sound connection is kept, and nothing is lost on it."""

    async def check(rests: list[float], limit: int, count: int, size: int) -> None:
        messages = [f"{number}:".ljust(size, "x") for number in range(count)]
        policy = firm_policy(run, max_queue=limit)
        world = World(scripts=(Script(Accept(), Push(*messages), Close(1000)),))
        async with open_life(run, world, policy) as life:
            for rest in rests:
                await trio.sleep(rest)
                life.received.append(await life.ws.get_message())
            await life.consume()
        expect(not life.losses, f"{life.losses and life.losses[0].failure}")
        expect_equal(life.received, messages)

    run.for_all(
        {
            "rests": st.lists(strategies.seconds(0, 500), min_size=1, max_size=4),
            "limit": st.integers(1, 100),
            "count": st.integers(4, 300),
            "size": st.sampled_from([5, 2000]),
        },
        check,
        share=0.3,
    )
