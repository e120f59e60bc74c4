"""What must hold of an outbox: all arrives, in order, and no more is repeated than need be."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import attrs
import trio
from hypothesis import strategies as st

import trio_wsguard as wsguard
from trio_wsguard.testing.conformance.fragile import Break, breaks, fragile
from trio_wsguard.testing.conformance.guard_messages import brief, expect_equal, share_of
from trio_wsguard.testing.conformance.guard_sending import say_hello
from trio_wsguard.testing.conformance.life import World
from trio_wsguard.testing.conformance.property import Arm, property_of
from trio_wsguard.testing.conformance.stage import Stage, open_stage
from trio_wsguard.testing.conformance.violation import expect
from trio_wsguard.testing.peer import Accept, Acknowledge, Receive, Script

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from trio_wsguard._shell.transport import Message
    from trio_wsguard.testing.conformance.run import Run
    from trio_wsguard.testing.peer import ConnectionRecord

_BOTH: Final = (Arm.SIMULATED, Arm.LOOPBACK)
_HELLO: Final = "hello "
_ACKNOWLEDGED: Final = wsguard.DeliveryState.ACKNOWLEDGED


@attrs.frozen
class Traffic:
    """What goes through an outbox.

    Attributes:
        sizes: Characters of each message, at least.
        room: Messages that the outbox keeps.
        window: Messages that may be unacknowledged.
    """

    sizes: tuple[int, ...]
    room: int
    window: int | None

    @property
    def messages(self) -> list[str]:
        """The messages, each with a key of its own."""
        return [f"{number}:".ljust(size, "x") for number, size in enumerate(self.sizes)]

    def outbox(self) -> wsguard.Outbox:
        """Make the outbox."""
        return wsguard.Outbox(
            key=Acknowledge.key_of,
            acks=Acknowledge.keys_in,
            max_messages=self.room,
            window=self.window,
        )


def _traffic() -> st.SearchStrategy[Traffic]:
    sizes = st.lists(st.sampled_from([1, 30, 200, 5_000]), min_size=1, max_size=12).map(tuple)
    return st.builds(Traffic, sizes, st.integers(1, 12), st.none() | st.integers(1, 4))


def _acknowledging(run: Run) -> st.SearchStrategy[Acknowledge]:
    """Draw how the peer acknowledges: at once, late or twice."""
    late = st.just(0.0) if run.arm is Arm.LOOPBACK else st.sampled_from([0.0, 0.5])
    return st.builds(
        lambda delay, times: Acknowledge(delay=delay, times=times), late, st.integers(1, 2)
    )


@asynccontextmanager
async def _open(
    run: Run, traffic: Traffic, found: Sequence[Break], answer: Acknowledge
) -> AsyncIterator[tuple[Stage, wsguard.GuardedWebSocket, _Reader]]:
    """Open a guard with an outbox whose first connections break, and read all it receives."""
    # The first message on each connection is the hello, which nobody acknowledges.
    reader = _Reader()
    async with (
        open_stage(run, World(scripts=(Script(Accept(), Receive(), answer),))) as stage,
        stage.open(
            dial=fragile(stage, found),
            outbox=traffic.outbox(),
            on_connect=reader.on_connect,
            wait=False,
        ) as ws,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(reader.read, ws)
        yield stage, ws, reader
        nursery.cancel_scope.cancel()
    run.count(faults=min(len(found), len(stage.streams)))


@attrs.define(eq=False)
class _Reader:
    """Takes what a guard receives.

    Attributes:
        acknowledged: The keys that are acknowledged, as far as the application knows.
        known: Those known before each generation.
    """

    acknowledged: set[str] = attrs.field(factory=set)
    known: dict[int, frozenset[str]] = attrs.field(factory=dict)

    async def read(self, ws: wsguard.GuardedWebSocket) -> None:
        """Read to the end."""
        async for message in ws:
            self.acknowledged.update(Acknowledge.keys_in(message) or ())

    async def on_connect(self, connection: wsguard.Connection) -> None:
        """Note what is known, and tell the peer the generation."""
        self.known[connection.generation] = frozenset(self.acknowledged)
        await say_hello(connection)


async def _send_all(ws: wsguard.GuardedWebSocket, messages: Iterable[str]) -> None:
    """Send messages, and wait until all are acknowledged."""
    receipts = [await ws.send_message(message) for message in messages]
    for receipt in receipts:
        state = None if receipt is None else await receipt.wait()
        expect(state is _ACKNOWLEDGED, f"a receipt ended as {state}")


def _payload(record: ConnectionRecord) -> list[Message]:
    """Tell what came beside the hello."""
    return [one for one in record.messages if not str(one).startswith(_HELLO)]


@property_of("guard", rows=(27,), arms=_BOTH)
def an_outbox_delivers_all_once_in_order(run: Run) -> None:
    """Whatever breaks at whichever byte, the peer gets all: in order, repeats by key left out."""

    async def check(traffic: Traffic, found: list[Break], answer: Acknowledge) -> None:
        async with _open(run, traffic, found, answer) as (stage, ws, _):
            await _send_all(ws, traffic.messages)
            totals = ws.snapshot().outgoing
        there = [one for record in stage.peer.connections for one in _payload(record)]
        once = list({Acknowledge.key_of(one): one for one in reversed(there)}.values())[::-1]
        first = list(dict.fromkeys(map(Acknowledge.key_of, there)))
        expect(first == [Acknowledge.key_of(one) for one in traffic.messages], f"came: {first}")
        expect(sorted(once) == sorted(traffic.messages), f"altered on the way: {brief(once)}")
        is_empty = isinstance(totals, wsguard.OutboxStatistics) and totals.depth == 0
        expect(is_empty, f"all is acknowledged, and the outbox says {totals}")

    run.for_all(
        {
            "traffic": _traffic(),
            "found": st.lists(breaks(), max_size=8),
            "answer": _acknowledging(run),
        },
        check,
        share=share_of(run),
    )


@property_of("guard", rows=(28,), arms=_BOTH)
def only_what_is_unacknowledged_goes_again(run: Run) -> None:
    """A connection carries what is not acknowledged, from the oldest on, and nothing else."""

    async def check(traffic: Traffic, found: list[Break], answer: Acknowledge) -> None:
        async with _open(run, traffic, found, answer) as (stage, ws, reader):
            await _send_all(ws, traffic.messages)
        for record in stage.peer.connections:
            if not record.messages:
                continue
            generation = int(str(record.messages[0]).removeprefix(_HELLO))
            known = reader.known[generation]
            left = [one for one in traffic.messages if Acknowledge.key_of(one) not in known]
            came = _payload(record)
            expect_equal(came, left[: len(came)])

    run.for_all(
        {
            "traffic": _traffic(),
            "found": st.lists(breaks(), min_size=1, max_size=8),
            "answer": _acknowledging(run),
        },
        check,
        share=share_of(run),
    )
