"""What must hold of a transport's end: by the peer, by loss, by us, by cancellation."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from trio_wsguard._core.failure import FailureKind, printable
from trio_wsguard._errors import TransportError
from trio_wsguard.testing.conformance.property import Arm, property_of
from trio_wsguard.testing.conformance.transport_arms import (
    connected,
    examples,
    for_each,
)
from trio_wsguard.testing.conformance.transport_client import AT_ONCE, Client, ends
from trio_wsguard.testing.conformance.violation import expect
from trio_wsguard.testing.peer import (
    VIOLATIONS,
    Accept,
    Close,
    CutFrame,
    Drop,
    Feed,
    HoldOpen,
    IgnoreClose,
    Push,
    Receive,
    Reset,
    Script,
    ScriptedPeer,
    SendRaw,
    Silence,
    StopReading,
    Violate,
    Wait,
    close_frame,
    frame,
)
from trio_wsguard.testing.peer.frames import message_frame

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_wsguard._shell.transport import Message
    from trio_wsguard.testing.conformance.parts import TransportPart
    from trio_wsguard.testing.conformance.run import Run
    from trio_wsguard.testing.conformance.transport_client import Ending
    from trio_wsguard.testing.peer import Step

_PING: Final = 9
_MANY: Final = 1000
_TOO_LONG: Final = "impossible length"  # which may be taken for a large message, too
# What may be sent (RFC 6455, section 7.4.2, and the registry it founds): not
# 1004 to 1006, nor 1015.
_CODES: Final = st.sampled_from([*range(1000, 1004), *range(1007, 1015)]) | st.integers(3000, 4999)
_LATE: Final = 1014  # registered after the RFC: some libraries take it for a breach
_REASONS: Final = st.text(max_size=12) | st.sampled_from(["x" * 123, "\n\x1b[31m", "é" * 61])
_MESSAGES: Final = st.lists(st.text(max_size=5) | st.binary(max_size=5), max_size=6)
_LOSSES: Final = st.sampled_from([Drop(), Reset()])

# How a connection may end, besides by us: for what must hold after any end.
_ENDS: Final[dict[str, tuple[Step, ...]]] = {
    "closed": (Close(1001),),
    "closed without a code": (SendRaw(close_frame()), Silence()),
    "FIN": (Drop(),),
    "RST": (Reset(),),
    "a cut frame": (CutFrame(), Drop()),
    "a broken frame": (Violate("reserved bit"),),
    "invalid UTF-8": (Violate("invalid UTF-8"),),
    "an oversized message": (Push(bytes(2001)),),
}


def _expect_told(ending: Ending, kind: FailureKind, code: int | None = None) -> None:
    told = ending.error
    expect(ending.kind is kind, f"it is told as {ending.kind} ({told})")
    expect(code is None or told.close_code == code, f"the code {told.close_code} is told")


def _expect_heard(ending: Ending, sent: list[Message]) -> None:
    heard = ending.messages
    expect(heard == sent, f"{sent} was sent before; the client has {heard}")


# --- by the peer ------------------------------------------------------------------------


@property_of("transport", arms=Arm)
def close_codes_are_told(run: Run) -> None:
    """The peer's close code and reason are told as sent, what came before is received, we answer.

    The reason is escaped, and may be cut.
    """

    async def check(
        transport: TransportPart, seed: int, messages: list[Message], code: int, reason: str
    ) -> None:
        data = b"".join([*map(message_frame, messages), close_frame(code, reason)])
        peer = ScriptedPeer(Script(Accept(), SendRaw(data)))
        async with connected(run, transport, seed, peer) as client:
            with ends(run, "the end", within=AT_ONCE):
                ending = await client.hear_out()
        _expect_heard(ending, messages)
        told, record = ending.error, client.record
        if code == _LATE and told.close_code == 1002:
            return
        expect(told.close_code == code, f"the code {told.close_code} is told")
        expect(told.close_reason == printable(reason), f"the reason {told.close_reason!r} is told")
        # How long a transport may take to leave is measured in real time there.
        is_answered = record.close_code is not None or run.arm is Arm.LOOPBACK
        expect(is_answered, "our close frame does not come")
        expect(record.violation is None, f"the peer says: {record.violation}")

    drawn = examples(run, messages=_MESSAGES, code=_CODES, reason=_REASONS.filter(_fits))
    run.for_all(drawn, check, share=0.7)


def _fits(reason: str) -> bool:
    return len(reason.encode()) <= 123


@property_of("transport", arms=Arm)
def a_loss_is_told_as_1006(run: Run) -> None:
    """FIN or RST without a close frame is CLOSED with 1006, at once; what came before is received.

    Pings among it, which cannot be answered any more, change nothing.
    """

    async def check(
        transport: TransportPart, seed: int, written: list[Message | None], loss: Step
    ) -> None:
        run.count(faults=1)
        raw = [frame(_PING) if one is None else message_frame(one) for one in written]
        script = Script(Accept(), SendRaw(b"".join(raw)), loss)
        async with connected(run, transport, seed, ScriptedPeer(script)) as client:
            with ends(run, "the end", within=AT_ONCE):
                ending = await client.hear_out()
        _expect_heard(ending, [one for one in written if one is not None])
        _expect_told(ending, FailureKind.CLOSED, 1006)

    written = st.lists(st.none() | st.text(max_size=5) | st.binary(max_size=5), max_size=8)
    run.for_all(examples(run, written=written, loss=_LOSSES), check)


@property_of("transport", arms=Arm)
def a_cut_frame_is_a_loss(run: Run) -> None:
    """A stream that ends within a frame is a loss like any other: CLOSED with 1006."""

    async def check(transport: TransportPart, seed: int, size: int, loss: Step) -> None:
        run.count(faults=1)
        script = Script(Accept(), Push("before"), CutFrame(size, "x" * 300), loss)
        async with connected(run, transport, seed, ScriptedPeer(script)) as client:
            with ends(run, "the end", within=AT_ONCE):
                ending = await client.hear_out()
        _expect_heard(ending, ["before"])
        _expect_told(ending, FailureKind.CLOSED, 1006)

    run.for_all(examples(run, size=st.integers(1, 300), loss=_LOSSES), check, share=0.2)


@property_of("transport", arms=Arm)
def broken_frames_are_protocol(run: Run) -> None:
    """What a server must not send is PROTOCOL, at once; what comes before it is received.

    The peer need not be told (RFC 6455, section 7.1.7); if it is, then by 1002,
    or 1007 for what is no UTF-8.
    """

    async def check(transport: TransportPart, seed: int, rule: str) -> None:
        run.count(faults=1)
        script = Script(Accept(), Push("before"), Violate(rule))
        async with connected(run, transport, seed, ScriptedPeer(script)) as client:
            with ends(run, "the end", within=AT_ONCE):
                ending = await client.hear_out()
        _expect_heard(ending, ["before"])
        _expect_told(ending, FailureKind.PROTOCOL)
        code = client.record.close_code
        is_right = code in (None, VIOLATIONS[rule].code) or (code == 1009 and rule == _TOO_LONG)
        expect(is_right, f"the peer is told {code}")

    for_each(run, check, rule=VIOLATIONS)


@property_of("transport", rows=(22,), arms=Arm)
def after_the_end_every_call_raises(run: Run) -> None:
    """After the end `receive`, `send` and `ping` raise each time, at once; `aclose` returns."""

    async def check(transport: TransportPart, seed: int, end: str) -> None:
        run.count(faults=1)
        script = Script(Accept(), *_ENDS[end])
        options: dict[str, Any] = {"max_message_size": 2000}
        async with connected(run, transport, seed, ScriptedPeer(script), **options) as client:
            await client.hear_out()
            for _ in range(2):
                await _expect_over(run, client)
            with ends(run, "aclose()", within=AT_ONCE):
                await client.aclose()
            await _expect_over(run, client)

    for_each(run, check, end=_ENDS)


async def _expect_over(run: Run, client: Client) -> None:
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "receive": client.receive,
        "send": partial(client.send, "x"),
        "ping": partial(client.ping, b"x"),
    }
    for name, call in calls.items():
        with ends(run, f"{name}()", within=AT_ONCE):
            try:
                await call()
            except TransportError:
                continue
        raise AssertionError(f"{name}() returns, though the connection has ended")


@property_of("transport", rows=(22,), arms=Arm)
def a_send_under_a_loss_raises(run: Run) -> None:
    """A sender learns of a loss by TransportError, at once, even one whose send is blocked."""

    async def check(transport: TransportPart, seed: int, size: int, loss: Step) -> None:
        run.count(faults=1)
        first: Step = StopReading(_pause(run)) if size > 1 else Receive(3)
        script = Script(Accept(), first, loss)
        async with connected(run, transport, seed, ScriptedPeer(script)) as client:
            async with client.hearing():
                with ends(run, "sending", within=_pause(run) + AT_ONCE):
                    await _send_until_it_fails(client, bytes(size))
            ending = await client.hear_out()
        _expect_told(ending, FailureKind.CLOSED)

    drawn = examples(run, size=st.sampled_from([1, 2**20]), loss=_LOSSES)
    run.for_all(drawn, check, share=0.2)


def _pause(run: Run) -> float:
    return 1 if run.arm is Arm.SIMULATED else 0.01


async def _send_until_it_fails(client: Client, message: Message) -> None:
    for _ in range(_MANY):
        try:
            await client.send(message)
        except TransportError:
            return
    raise AssertionError(f"{_MANY} sends succeed, though the connection is lost")


# --- by us ------------------------------------------------------------------------------


@property_of("transport", arms=Arm)
def aclose_does_the_close_handshake(run: Run) -> None:
    """`aclose` sends code and reason, awaits the peer's close frame, and returns at once then.

    A peer that goes on sending meanwhile does not disturb it, nor one that
    keeps the stream open after it.
    """

    async def check(
        transport: TransportPart, seed: int, code: int, reason: str, meanwhile: tuple[Step, ...]
    ) -> None:
        peer = ScriptedPeer(Script(Accept(), *meanwhile))
        async with connected(run, transport, seed, peer) as client:
            with ends(run, "aclose()", within=AT_ONCE):
                await client.aclose(code, reason)
        record = client.record
        told = (record.close_code, record.close_reason)
        # Where both close at once, ours may be the answer to theirs.
        is_sent = told == (code, reason) or (meanwhile == (Close(),) and told[0] == 1000)
        expect(is_sent, f"the peer is told {told}")
        expect(record.violation is None, f"the peer says: {record.violation}")

    meanwhile = st.sampled_from([(), (Push(*"abc"),), (Feed(30, 0),), (HoldOpen(),), (Close(),)])
    drawn = examples(run, code=_CODES, reason=_REASONS.filter(_fits), meanwhile=meanwhile)
    run.for_all(drawn, check, share=0.3)


@property_of("transport")
def pings_do_not_disturb_aclose(run: Run) -> None:
    """A peer that pings while we close does no harm: `aclose` returns and raises nothing."""

    async def check(transport: TransportPart, seed: int, pings: list[int]) -> None:
        steps = [step for ping in pings for step in (Wait(ping / 10), SendRaw(frame(_PING)))]
        peer = ScriptedPeer(Script(Accept(), IgnoreClose(), *steps, Close()))
        async with connected(run, transport, seed, peer) as client:
            with ends(run, "aclose()", within=sum(pings) / 10 + AT_ONCE):
                await client.aclose(4000, "bye")
        code = client.record.close_code
        expect(code in (4000, 1000), f"the peer is told {code}")  # 1000 is the answer to its own

    run.for_all(examples(run, pings=st.lists(st.integers(0, 2), max_size=4)), check, share=0.2)


@property_of("transport", arms=Arm)
def errors_of_the_block_come_out(run: Run) -> None:
    """An exception of the program's own leaves the transport's block as itself, in no group."""

    async def check(transport: TransportPart, seed: int, end: str | None) -> None:
        own = AssertionError("of the program's own")
        script = Script(Accept(), *(_ENDS[end] if end else ()))
        options: dict[str, Any] = {"max_message_size": 2000}
        try:
            async with connected(run, transport, seed, ScriptedPeer(script), **options) as client:
                if end:
                    await client.hear_out()
                raise own
        except AssertionError as exc:
            if exc is not own:
                raise

    for_each(run, check, end=[None, *_ENDS])
