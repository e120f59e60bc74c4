"""What must hold of messages that are accepted for sending: each has one end, and it is true."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

import attrs
import trio
from hypothesis import strategies as st

import trio_wsguard as wsguard
from trio_wsguard.testing import strategies
from trio_wsguard.testing.conformance.guard_messages import brief, share_of
from trio_wsguard.testing.conformance.guard_sending import crowded, say_hello
from trio_wsguard.testing.conformance.guard_states import Wish, grant, span, wishes, worlds
from trio_wsguard.testing.conformance.life import Life, World, open_life, policy_for
from trio_wsguard.testing.conformance.producers import Order, orders
from trio_wsguard.testing.conformance.property import Arm, property_of
from trio_wsguard.testing.conformance.stage import open_stage
from trio_wsguard.testing.conformance.steps import at_step
from trio_wsguard.testing.conformance.violation import expect
from trio_wsguard.testing.peer import Accept, Drop, Reject, Script, Silence, Wait

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_wsguard._shell.transport import Message
    from trio_wsguard.testing.conformance.run import Run

_S: Final = wsguard.ConnectionState
_D: Final = wsguard.DeliveryState
_BOTH: Final = (Arm.SIMULATED, Arm.LOOPBACK)
_ENDS: Final = (_D.SENT, _D.FAILED, _D.EXPIRED)
_HELLO: Final = "hello "


@attrs.frozen
class Accepted:
    """A message that was accepted.

    Attributes:
        message: The message.
        receipt: What tells what becomes of it.
    """

    message: str
    receipt: wsguard.Receipt


def receipt_of(found: wsguard.Receipt | None) -> wsguard.Receipt:
    """Expect a receipt."""
    expect(found is not None, "a send in buffer mode gave no receipt")
    return cast("wsguard.Receipt", found)


async def produce(life: Life, name: str, wanted: Sequence[Order], log: list[Accepted]) -> None:
    """Send messages one after another in buffer mode; note those that are accepted."""
    for number, order in enumerate(wanted):
        await trio.sleep(order.after)
        message = f"{name}.{number}:".ljust(order.size, "x")
        with trio.move_on_after(float("inf") if order.patience is None else order.patience):
            with suppress(wsguard.WSGuardError, trio.ClosedResourceError):
                log.append(Accepted(message, receipt_of(await life.ws.send_message(message))))


def _there(life: Life) -> list[Message]:
    found = [message for record in life.peer.connections for message in record.messages]
    return [one for one in found if not str(one).startswith(_HELLO)]


def _buffers() -> st.SearchStrategy[wsguard.BufferPolicy]:
    return st.builds(
        wsguard.BufferPolicy,
        max_messages=st.integers(1, 6),
        max_bytes=st.sampled_from([2**24, 12_000]),
        max_age=st.none() | strategies.seconds(0.25, 60),
        overflow=st.sampled_from(["block", "error", "drop_oldest"]),
    )


def _producers(run: Run) -> st.SearchStrategy[list[list[Order]]]:
    return st.lists(orders(run), min_size=1, max_size=3)


# --- every message ---------------------------------------------------------------


def _expect_sums(life: Life) -> None:
    """State that what was accepted is what has ended and what has not."""
    found = life.ws.snapshot().outgoing
    expect(isinstance(found, wsguard.BufferStatistics), f"the figures are {found}")
    found = cast("wsguard.BufferStatistics", found)
    totals = found.totals
    ended = totals.sent + totals.failed + totals.expired
    rest = found.depth + found.in_flight
    expect(
        totals.accepted == ended + rest, f"{totals.accepted} accepted: {ended} ended, {rest} not"
    )
    expect(totals.dropped + totals.maybe_sent <= totals.failed, f"{totals}")


@property_of("guard", rows=(29,), arms=_BOTH)
def every_message_is_accounted_for(run: Run) -> None:
    """At every step, accepted is ended, in flight or waiting; each has one end, and it is true."""

    async def check(
        world: World,
        policy: wsguard.BufferPolicy,
        wanted: list[list[Order]],
        asked: list[Wish],
        limit: int | None,
        step: int,
    ) -> None:
        log: list[Accepted] = []
        ended: dict[str, wsguard.DeliveryState] = {}
        async with (
            open_life(
                run,
                world,
                policy_for(run, max_connection_failures=limit),
                on_connect=say_hello,
                send_mode="buffer",
                buffer=policy,
            ) as life,
            trio.open_nursery() as nursery,
        ):
            for name, some in zip("abc", wanted, strict=False):
                nursery.start_soon(produce, life, name, some, log)
            nursery.start_soon(_grant, life, asked)
            with at_step(step, lambda: _note(life, log, ended)):
                await trio.sleep(span(run, 180))
            _note(life, log, ended)
            await life.ws.aclose()
        _expect_sums(life)
        for one in log:
            _expect_end(life, one, ended.get(one.message))

    run.for_all(
        {
            "world": crowded(run),
            "policy": _buffers(),
            "wanted": _producers(run),
            "asked": wishes(run),
            "limit": st.none() | st.integers(1, 3),
            "step": st.integers(1, 1000),
        },
        check,
        share=share_of(run),
    )


async def _grant(life: Life, asked: list[Wish]) -> None:
    with suppress(trio.ClosedResourceError):  # it ended before all was asked for
        await grant(life, asked)


def _note(life: Life, log: Sequence[Accepted], ended: dict[str, wsguard.DeliveryState]) -> None:
    """Look at all there is, and note which messages have ended."""
    _expect_sums(life)
    ended.update({one.message: one.receipt.state for one in log if one.receipt.state in _ENDS})


def _expect_end(life: Life, one: Accepted, before: wsguard.DeliveryState | None) -> None:
    state, error = one.receipt.state, one.receipt.error
    name, count = brief([one.message]), _there(life).count(one.message)
    expect(state in _ENDS, f"{name} was left {state.value}")
    expect(before in (None, state), f"{name} had ended as {before}, and now as {state}")
    expect((error is not None) == (state is _D.FAILED), f"{name} {state.value}: {error!r}")
    expect(count <= 1, f"the peer has {name} {count} times")
    maybe_sent = isinstance(error, wsguard.ConnectionLostError) and error.maybe_sent
    if state is not _D.SENT and not maybe_sent:
        expect(count == 0, f"the peer has {name}, and it was told: {state.value}, {error!r}")


# --- order -----------------------------------------------------------------------


@property_of("guard", rows=(26,), arms=_BOTH)
def nothing_newer_passes_the_flush(run: Run) -> None:
    """In buffer mode a producer's messages arrive in their order, over all connections."""

    async def check(world: World, sizes: list[list[int]], waiting: int) -> None:
        log: list[Accepted] = []

        async def send(name: str, some: list[int]) -> None:
            orders = [Order(0, size) for size in some]
            await produce(life, f"{name}1", orders[:waiting], log)
            with suppress(wsguard.WSGuardError, trio.ClosedResourceError):
                await life.ws.wait_connected()  # what waits is on its way from now on
            await produce(life, f"{name}2", orders[waiting:], log)

        async with (
            open_life(run, world, on_connect=say_hello, send_mode="buffer") as life,
            trio.open_nursery() as nursery,
        ):
            for name, some in zip("abc", sizes, strict=False):
                nursery.start_soon(send, name, some)
            await trio.sleep(span(run, 180))
            await life.ws.aclose()
        there = _there(life)
        for name in "abc":
            mine = [one.message for one in log if one.message.startswith(name)]
            came = [str(one) for one in there if str(one).startswith(name)]
            in_order = [one for one in mine if one in came]
            expect(came == in_order, f"accepted {brief(mine)}, and {brief(came)} came")

    sizes = st.lists(st.sampled_from([1, 100, 5_000]), max_size=8)
    run.for_all(
        {
            "world": crowded(run),
            "sizes": st.lists(sizes, min_size=1, max_size=3),
            "waiting": st.integers(0, 6),
        },
        check,
        share=share_of(run, 0.6),
    )


# --- modes -----------------------------------------------------------------------


@property_of("guard", rows=(32,))
def each_mode_does_what_it_says(run: Run) -> None:
    """While not CONNECTED a send fails at once, is accepted at once, or waits; as its mode says."""

    async def check(world: World, mode: str, at: list[float], limit: int | None) -> None:
        policy = policy_for(run, max_connection_failures=limit)
        async with open_life(run, world, policy, send_mode=mode) as life:
            began_at = trio.current_time()
            for moment in sorted(at):
                await trio.sleep_until(began_at + moment)
                before = life.ws.state
                told, took = await _try(life)
                expected = _EXPECTED[mode].get(before, _EXPECTED[mode][None])
                what = f"{mode}, {before.name}: {told} after {took:g} s"
                expect(told in expected, what)
                expect(took == 0 or before is _S.CONNECTED or mode == "wait", what)

    times = st.lists(strategies.seconds(0, 120), min_size=1, max_size=5)
    run.for_all(
        {
            "world": worlds(run),
            "mode": st.sampled_from(["fail", "buffer", "wait"]),
            "at": times,
            "limit": st.none() | st.integers(1, 2),
        },
        check,
        share=0.8,
    )


_PATIENCE: Final = 2.0  # seconds
_ONLINE: Final = ("sent", "lost", "patience", "refused", "failed", "closed")
_EXPECTED: Final[dict[str, dict[wsguard.ConnectionState | None, tuple[str, ...]]]] = {
    "fail": {
        _S.CONNECTED: _ONLINE,
        _S.FAILED: ("failed",),
        _S.CLOSED: ("closed",),
        None: ("refused",),
    },
    "buffer": {
        _S.CONNECTED: ("accepted", "lost", "patience", "failed", "closed"),
        _S.FAILED: ("failed",),
        _S.CLOSED: ("closed",),
        None: ("accepted",),
    },
    "wait": {
        _S.FAILED: ("failed",),
        _S.CLOSED: ("closed",),
        None: ("sent", "lost", "patience", "failed", "closed"),
    },
}


async def _try(life: Life) -> tuple[str, float]:
    """Send a message; tell what came of it, and how long that took."""
    began_at, told = trio.current_time(), "patience"
    with trio.move_on_after(_PATIENCE):
        try:
            receipt = await life.ws.send_message("a")
            told = "sent" if receipt is None else "accepted"
        except wsguard.NotConnectedError:
            told = "refused"
        except wsguard.ConnectionLostError:
            told = "lost"
        except wsguard.GuardFailedError:
            told = "failed"
        except wsguard.ConnectionClosedError:
            told = "closed"
    return told, trio.current_time() - began_at


# --- the end ---------------------------------------------------------------------

_WAYS: Final = {
    "at once": (Script(Accept()),),
    "after a refusal": (Script(Reject(503)), Script(Accept())),
    "after a loss": (Script(Accept(), Wait(0.25), Drop()), Script(Accept())),
    "never": (Script(Silence()),),
    "refused": (Script(Reject(403)),),
}


@property_of("guard", rows=(17,))
def giving_up_leaves_no_receipt_open(run: Run) -> None:
    """FAILED, closed, left or cancelled at any step: all has ended, and nobody waits any more."""

    async def check(way: str, end: str, step: int, room: int) -> None:
        receipts: list[wsguard.Receipt] = []

        async def send(ws: wsguard.GuardedWebSocket, name: str) -> None:
            with suppress(wsguard.WSGuardError, trio.ClosedResourceError):
                for number in range(3):
                    receipt = receipt_of(await ws.send_message(f"{name}{number}"))
                    receipts.append(receipt)
            for receipt in receipts:
                await receipt.wait()

        async with open_stage(run, World(scripts=_WAYS[way])) as stage:
            policy = policy_for(run, max_connection_failures=2)
            buffer = wsguard.BufferPolicy(max_messages=room)
            due = trio.Event()
            async with trio.open_nursery() as senders:
                with trio.CancelScope() as scope:
                    options = {"policy": policy, "buffer": buffer, "send_mode": "buffer"}
                    async with stage.open(wait=False, **options) as ws:
                        senders.start_soon(send, ws, "a")
                        senders.start_soon(send, ws, "b")
                        with at_step(step, scope.cancel if end == "cancel" else due.set):
                            with trio.move_on_after(5):
                                await due.wait()
                            if end == "close":
                                await ws.aclose()
                left_at = trio.current_time()
            took = trio.current_time() - left_at
            expect(took == 0, f"somebody waited {took:g} s longer than there was a guard")
            for receipt in receipts:
                expect(receipt.state in _ENDS, f"a receipt was left {receipt.state.value}")

    run.for_all(
        {
            "way": st.sampled_from(sorted(_WAYS)),
            "end": st.sampled_from(["leave", "close", "cancel"]),
            "step": st.integers(1, 120),
            "room": st.integers(1, 3),
        },
        check,
    )
