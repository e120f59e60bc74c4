"""What must hold of a transport: messages and pings.

How it opens is in `transport_opening`, how it ends in `transport_ending`, what
cancelling does in `transport_cancelling`. A transport is what
`open_guarded_websocket(transport=...)` takes: a function of a `WatchedStream`,
a `Handshake` and `on_pong`, which gives an async context manager of a
`Transport`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import trio
import trio.testing
from hypothesis import strategies as st

from trio_wsguard._core.failure import FailureKind
from trio_wsguard._shell.nursery import open_flat_nursery
from trio_wsguard.testing.conformance.property import Arm, property_of
from trio_wsguard.testing.conformance.transport_arms import Chopped, connected, examples, pause
from trio_wsguard.testing.conformance.transport_client import (
    AT_ONCE,
    ends,
    expect_same,
    is_within,
)
from trio_wsguard.testing.conformance.violation import expect
from trio_wsguard.testing.peer import (
    VIOLATIONS,
    Accept,
    Call,
    Close,
    Drop,
    IgnoreBeats,
    Push,
    Script,
    ScriptedPeer,
    SendRaw,
    Violate,
    Wait,
    frame,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_wsguard._shell.transport import Message
    from trio_wsguard.testing.conformance.parts import TransportPart
    from trio_wsguard.testing.conformance.run import Run
    from trio_wsguard.testing.peer import Conversation, Step

_TEXT, _BINARY, _PING, _PONG = 1, 2, 9, 10
_WHOLE: Final = 2**20  # bytes of a frame: more than any message here has
_LARGE: Final = 2**18 + 1  # bytes of a message: more than a network buffers
_POURED: Final = 200  # messages of 64 KiB
_MUCH: Final = 2**23  # bytes that a transport may have read ahead
_HOUR: Final = 3600.0

# Around the lengths at which a frame's head changes (RFC 6455, section 5.2).
_SIZES: Final = st.sampled_from([1, 125, 126, 127, 65535, 65536])


def _two_byte_text(size: int) -> str:
    return "é" * (size // 2) + "x" * (size % 2)


_MESSAGES: Final = st.one_of(
    st.text(max_size=10), st.binary(max_size=10), _SIZES.map(bytes), _SIZES.map(_two_byte_text)
)
_SHORT: Final = st.text(max_size=5) | st.binary(max_size=5)
_PAYLOADS: Final = st.binary(max_size=8) | st.just(bytes(125))


@attrs.frozen
class Fragmented:
    """A message in frames of so many bytes; text is cut within characters, too."""

    message: Message
    frame_size: int = _WHOLE

    @property
    def raw(self) -> bytes:
        """The frames."""
        is_text = isinstance(self.message, str)
        data = self.message.encode() if isinstance(self.message, str) else self.message
        starts = range(0, max(1, len(data)), self.frame_size)
        raw = b""
        for start in starts:
            opcode = 0 if start else _TEXT if is_text else _BINARY
            end = start + self.frame_size
            raw += frame(opcode, data[start:end], fin=end >= len(data))
        return raw


_FRAGMENTED: Final = st.builds(
    Fragmented, _MESSAGES, st.sampled_from([_WHOLE, 1, 2, 3, 1000])
).filter(lambda one: len(one.message) <= 100 * one.frame_size)


# --- messages -------------------------------------------------------------------------


@property_of("transport", rows=(26,), arms=Arm)
def messages_come_as_sent(run: Run) -> None:
    """Every message is received as it was sent, in order, none twice, however it was written."""

    async def check(transport: TransportPart, seed: int, batches: list[list[Fragmented]]) -> None:
        writes = [SendRaw(b"".join(one.raw for one in batch)) for batch in batches]
        steps = [step for write in writes for step in (write, pause(run))]
        peer = ScriptedPeer(Script(Accept(), *steps, Close()))
        async with connected(run, transport, seed, peer) as client:
            ending = await client.hear_out()
        sent = [one.message for batch in batches for one in batch]
        expect_same(ending.messages, sent, "the client")

    batches = st.lists(st.lists(_FRAGMENTED, min_size=1, max_size=5), max_size=4)
    run.for_all(examples(run, batches=batches), check, share=0.8)


@property_of("transport", rows=(26,), arms=Arm)
def sends_arrive_as_sent(run: Run) -> None:
    """Every message that is sent arrives as it is, in order, once, in frames a server accepts."""

    async def check(transport: TransportPart, seed: int, messages: list[Message]) -> None:
        async with (
            connected(run, transport, seed, ScriptedPeer()) as client,
            client.hearing(),
        ):
            for message in messages:
                await client.send(message)
            await client.aclose()
        expect(client.record.violation is None, f"the peer says: {client.record.violation}")
        expect_same(client.record.messages, messages, "the peer")

    messages = st.lists(_MESSAGES | st.just(bytes(_LARGE)), max_size=6)
    run.for_all(examples(run, messages=messages), check, share=0.6)


@property_of("transport", arms=Arm)
def the_largest_message_passes(run: Run) -> None:
    """A message of `max_message_size` bytes passes; one byte more is PROTOCOL, closed with 1009."""

    async def check(
        transport: TransportPart, seed: int, limit: int, over: bool, is_text: bool, whole: bool
    ) -> None:
        make = _two_byte_text if is_text else bytes
        large = Fragmented(make(limit + over), _WHOLE if whole else limit // 3 + 1)
        steps = [Push("before"), SendRaw(large.raw), *([] if over else [Close()])]
        peer = ScriptedPeer(Script(Accept(), *steps))
        async with connected(run, transport, seed, peer, max_message_size=limit) as client:
            ending = await client.hear_out(at_most=1 if over else 2)
        heard: list[Message] = ["before"] if over else ["before", large.message]
        expect_same(ending.messages, heard, "the client")
        if over:
            expect(ending.kind is FailureKind.PROTOCOL, f"it ends as {ending.kind}")
            code = client.record.close_code
            # In real time, a grace to leave may be too short for it to go out.
            is_told = code == 1009 or (code is None and run.arm is Arm.LOOPBACK)
            expect(is_told, f"the peer is told {code}")

    drawn = examples(
        run,
        limit=st.sampled_from([6, 126, 70_000]),
        over=st.booleans(),
        is_text=st.booleans(),
        whole=st.booleans(),
    )
    run.for_all(drawn, check, share=0.4)


@property_of("transport", rows=(39,), arms=Arm)
def segmentation_changes_nothing(run: Run) -> None:
    """However the network cuts the bytes, the messages, the pongs and the end are the same."""

    async def check(
        transport: TransportPart, seed: int, written: list[bytes], end: Step, sizes: list[int]
    ) -> None:
        async def hear(pieces: Iterable[int]) -> tuple[object, ...]:
            peer = ScriptedPeer(Script(Accept(), SendRaw(b"".join(written)), end))
            async with connected(
                run, transport, seed, peer, wrap=lambda stream: Chopped(stream, pieces)
            ) as client:
                ending = await client.hear_out()
            return (*ending.facts, client.pongs)

        whole, cut = await hear([_WHOLE]), await hear(sizes)
        expect(whole == cut, f"in one piece: {whole}\nin pieces: {cut}")

    controls = st.builds(frame, st.sampled_from([_PING, _PONG]), _PAYLOADS)
    short = st.builds(Fragmented, _SHORT, st.sampled_from([_WHOLE, 1])).map(lambda one: one.raw)
    ends_by = st.sampled_from([Close(), Close(4000, "é"), Drop(), *map(Violate, VIOLATIONS)])
    drawn = examples(
        run,
        written=st.lists(controls | short, max_size=6),
        end=ends_by,
        sizes=st.lists(st.sampled_from([1, 2, 3, 7, 60]), min_size=1, max_size=4),
    )
    run.for_all(drawn, check, share=0.6)


@property_of("transport", rows=(31,))
def a_slow_reader_holds_the_peer_back(run: Run) -> None:
    """While nobody receives, no more than 8 MiB are read from the stream, and none are lost."""

    async def pour(conversation: Conversation) -> None:
        for number in range(_POURED):
            await conversation.send(bytes((number,)) * 2**16)

    async def check(transport: TransportPart, seed: int) -> None:
        peer = ScriptedPeer(Script(Accept(), Call(pour)))
        async with connected(run, transport, seed, peer) as client:
            await trio.testing.wait_all_tasks_blocked()
            read = client.counters.bytes_received
            heard = [message[:1] for message in await client.hear(_POURED)]
            await client.aclose()
        expect(read <= _MUCH, f"{read:,} bytes were read")
        expect_same(heard, [bytes((number,)) for number in range(_POURED)], "the client")

    run.for_all(examples(run), check, share=0.03)


@property_of("transport")
def an_idle_connection_is_silent(run: Run) -> None:
    """An hour without traffic changes nothing: the transport neither beats nor gives up alone."""

    async def check(transport: TransportPart, seed: int) -> None:
        peer = ScriptedPeer(Script(Accept(), Wait(_HOUR), Push("after"), Close()))
        async with connected(run, transport, seed, peer) as client:
            ending = await client.hear_out()
        expect_same(ending.messages, ["after"], "the client")
        expect_same(client.record.beats + client.record.pongs, [], "the peer")

    run.for_all(examples(run), check, share=0.05)


@property_of("transport")
def a_blocked_send_does_not_stop_receiving(run: Run) -> None:
    """While a send waits for a peer that does not read, messages are received."""

    async def stop_and_push(conversation: Conversation) -> None:
        conversation.pause()
        await trio.sleep(1)
        await conversation.send("meanwhile")
        await trio.sleep(1)
        conversation.resume()

    async def check(transport: TransportPart, seed: int) -> None:
        peer = ScriptedPeer(Script(Accept(), Call(stop_and_push)))
        async with connected(run, transport, seed, peer) as client, open_flat_nursery() as nursery:
            await trio.sleep(0.5)
            nursery.start_soon(client.send, bytes(_LARGE))
            began_at = trio.current_time()
            await client.hear(1)
            waited = trio.current_time() - began_at
            expect(waited <= 0.5 + AT_ONCE, f"it is received {waited - 0.5:g} s late")
        expect_same([len(one) for one in client.record.messages], [_LARGE], "the peer")

    run.for_all(examples(run), check, share=0.1)


# --- pings ------------------------------------------------------------------------------


@property_of("transport", rows=(30,), arms=Arm)
def pongs_are_told_by_their_payload(run: Run) -> None:
    """A pong is told with its own payload, once it has come; no other but an earlier ping is.

    A peer may answer a ping and leave out those before it (RFC 6455, section
    5.5.3): they may be told with it. A pong that nobody asked for may be told
    or not, but never as another.
    """

    async def check(transport: TransportPart, seed: int, pings: int, pongs: list[bytes]) -> None:
        payloads = [b"%d" % number for number in range(pings)]

        async def answer(conversation: Conversation) -> None:
            for pong in pongs:
                await conversation.receive()
                await conversation.write(frame(_PONG, pong))
                await conversation.send("sent")

        peer = ScriptedPeer(Script(Accept(), IgnoreBeats(), Call(answer)))
        async with connected(run, transport, seed, peer) as client:
            for payload in payloads:
                await client.ping(payload)
            for pong in pongs:
                before = list(client.pongs)
                await client.send("next")
                await client.hear(1)
                await trio.testing.wait_all_tasks_blocked()
                _check_told(payloads, pong, before, client.pongs[len(before) :])
            await client.aclose()

    foreign = st.sampled_from([b"", b"?", b"00", b"99"])
    pongs = st.lists(st.integers(0, 4).map(lambda number: b"%d" % number) | foreign, max_size=6)
    run.for_all(examples(run, pings=st.integers(0, 5), pongs=pongs), check, share=0.6)


def _check_told(payloads: list[bytes], pong: bytes, before: list[bytes], now: list[bytes]) -> None:
    is_ours = pong in payloads
    earlier = payloads[: payloads.index(pong)] if is_ours else []
    wrong = [one for one in now if one != pong and (one not in earlier or one in before)]
    expect(not wrong, f"the pong {pong!r} came, and {now} is told")
    is_due = is_ours and pong not in before
    expect(now.count(pong) <= 1, f"the pong {pong!r} is told {now.count(pong)} times")
    expect(not is_due or pong in now, f"the pong {pong!r} came, and is not told")


@property_of("transport", arms=Arm)
def pings_return_once_written(run: Run) -> None:
    """`ping` sends what it is given and returns, though no pong ever comes."""

    async def check(transport: TransportPart, seed: int, payloads: list[bytes]) -> None:
        peer = ScriptedPeer(Script(Accept(), IgnoreBeats()))
        async with connected(run, transport, seed, peer) as client, client.hearing():
            for payload in payloads:
                with ends(run, "ping()", within=AT_ONCE):
                    await client.ping(payload)
            await client.send("after")
            await client.aclose()
        record = client.record
        expect_same([one.message for one in record.beats], payloads, "the peer")
        expect_same(record.messages, ["after"], "the peer")
        expect(not client.pongs, f"the pongs {client.pongs} are told, and none came")

    payloads = st.lists(_PAYLOADS, max_size=5, unique=True)
    run.for_all(examples(run, payloads=payloads), check, share=0.3)


@property_of("transport", arms=Arm)
def pings_are_answered(run: Run) -> None:
    """While we receive, the peer's pings are answered in order, at least the last of a batch."""

    async def check(transport: TransportPart, seed: int, batches: list[list[bytes]]) -> None:
        steps: list[Step] = []
        for batch in batches:
            steps += [SendRaw(b"".join(frame(_PING, one) for one in batch)), pause(run)]
        peer = ScriptedPeer(Script(Accept(), *steps, Push("done")))
        async with connected(run, transport, seed, peer) as client:
            await client.hear(1)
            async with client.hearing():
                await trio.testing.wait_all_tasks_blocked()
            pongs = [one.message for one in client.record.pongs]
            await client.aclose()
        pings = [one for batch in batches for one in batch]
        is_in_order = is_within(pongs, pings)
        is_complete = is_within([batch[-1] for batch in batches], pongs)
        expect(is_in_order and is_complete, f"the pings {batches} are answered by {pongs}")

    batches = st.lists(st.lists(_PAYLOADS, min_size=1, max_size=3), max_size=3)
    run.for_all(examples(run, batches=batches), check, share=0.3)
