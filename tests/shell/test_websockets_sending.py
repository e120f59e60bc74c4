"""The transport over `websockets`: sending, cancelling and closing, in virtual time."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

pytest.importorskip("websockets")

from websockets.frames import BINARY, CLOSE, CONT, PING, PONG, TEXT

from trio_wsguard._errors import TransportError
from trio_wsguard._shell.transports.websockets import FRAGMENT_SIZE

from ..loopback.servers import frame
from .conftest import Net, accept, idle
from .sansio import Peer, opened, receive_until_end
from .test_cancellation import CountedStream, cancelled_at, check_frames, counted

if TYPE_CHECKING:
    from trio_wsguard._shell.transports.websockets import WebSocketsTransport


# --- sending ------------------------------------------------------------------


async def test_pongs_leave_between_the_fragments_of_a_large_message() -> None:
    """A large message goes out in fragments, and does not hold up the answer to a ping."""
    streams = trio.testing.lockstep_stream_pair()
    message = "é" * FRAGMENT_SIZE
    async with opened(streams=streams) as (transport, peer, _), trio.open_nursery() as nursery:
        nursery.start_soon(transport.send, message)
        nursery.start_soon(receive_until_end, transport)
        await peer.read(1000)  # it is on its way, and blocked
        await peer.say(frame(PING, b"quick"))
        got = [await peer.read_frame()]
        while not got[-1].fin or got[-1].opcode is PONG:
            got.append(await peer.read_frame())
        opcodes = [found.opcode for found in got]
        assert opcodes == [TEXT, PONG, CONT]
        assert b"".join(f.data for f in got if f.opcode is not PONG).decode() == message
        nursery.cancel_scope.cancel()


async def test_senders_take_turns() -> None:
    """Messages, pings and answers of many tasks come out whole; each message in one piece."""
    streams = trio.testing.lockstep_stream_pair()
    async with opened(streams=streams) as (transport, peer, _), trio.open_nursery() as nursery:
        nursery.start_soon(receive_until_end, transport)
        nursery.start_soon(peer.say, frame(PING, b"p"))
        for n in range(5):
            nursery.start_soon(transport.send, bytes([n]) * (FRAGMENT_SIZE + 1))
            nursery.start_soon(transport.ping, b"%d" % n)
        got = [await peer.read_frame() for _ in range(5 * 3 + 1)]
        data = [found for found in got if found.opcode in (BINARY, CONT)]
        assert [found.opcode for found in data] == [BINARY, CONT] * 5
        assert all(a.data[0] == b.data[0] for a, b in zip(data[::2], data[1::2], strict=True))
        assert sorted(bytes(f.data) for f in got if f.opcode is PING) == [
            b"%d" % n for n in range(5)
        ]
        nursery.cancel_scope.cancel()


async def test_a_peer_that_takes_no_bytes_does_not_stop_receiving() -> None:
    """Its pings wait for their answers, up to a number; its messages are received meanwhile."""
    streams = trio.testing.lockstep_stream_pair()
    async with opened(streams=streams) as (transport, peer, _), trio.open_nursery() as nursery:
        for n in range(10):
            nursery.start_soon(peer.say, frame(PING, b"%d" % n) + frame(TEXT, b"%d" % n))
            assert await transport.receive() == [str(n)]
        nursery.start_soon(peer.say, frame(PING) * 2000 + frame(TEXT, b"x"))
        assert await transport.receive() == ["x"]
        nursery.start_soon(peer.say, frame(TEXT, b"y"))
        with trio.move_on_after(1) as patience:
            await transport.receive()
        assert patience.cancelled_caught
        nursery.start_soon(peer.read_on)  # it takes them at last
        assert await transport.receive() == ["y"]
        nursery.cancel_scope.cancel()


# --- cancelling ---------------------------------------------------------------


async def test_a_receive_cancelled_at_any_step_loses_nothing() -> None:
    """However often it is cancelled, all messages come, in order."""
    async with opened(then=frame(TEXT, b"0") + frame(PING)) as (transport, peer, _):
        received: list[Any] = []

        async def receive() -> None:
            received.extend(await transport.receive())

        for n in range(1, 40):
            raw = frame(TEXT, b"%d" % n, first=0) + frame(PING, b"x") + frame(CONT) + frame(PONG)
            await peer.say(raw[: n % len(raw)])
            for step in (1, 2, 3):
                with trio.move_on_after(1):
                    await cancelled_at(step, receive)
            await peer.say(raw[n % len(raw) :])
        while len(received) < 40:
            await receive()
        assert received == [*map(str, range(40))]


async def test_a_send_cancelled_at_any_step_is_whole_or_not_begun() -> None:
    """On a stream that takes bytes, a cancelled send leaves whole frames and no trace else."""
    client, server = trio.testing.memory_stream_pair()
    counted = CountedStream(client)
    async with opened(streams=(counted, server)) as (transport, peer, watched):
        for step in range(1, 8):
            await cancelled_at(step, lambda: transport.send("whole"))
            await cancelled_at(step, lambda: transport.ping(b"ping"))
        with trio.CancelScope() as scope:
            scope.cancel()
            await transport.send("never begun")
        assert not watched.is_cut
        check_frames(bytes(counted.sent))
        await transport.send("last")
        while (await peer.read_frame()).data != b"last":
            pass


async def test_a_message_cut_between_its_fragments_ends_the_connection() -> None:
    """Cancelled after a whole fragment, the message is cut: nothing may follow it."""
    client, server = trio.testing.memory_stream_pair()
    counted = CountedStream(client)
    async with opened(streams=(counted, server)) as (transport, peer, watched):
        with trio.CancelScope() as scope:
            watched.on_sent = lambda _: scope.cancel()
            await transport.send(bytes(3 * FRAGMENT_SIZE))
        watched.on_sent = None
        assert watched.is_cut
        sent = len(counted.sent)
        with pytest.raises(TransportError):
            await transport.send("next")
        with pytest.raises(TransportError):
            await transport.ping(b"next")
        await peer.say(frame(PING) + frame(TEXT, b"x"))
        assert await transport.receive() == ["x"]
        await transport.aclose(1000, "")
        await trio.testing.wait_all_tasks_blocked()
        assert len(counted.sent) == sent


async def test_the_handshake_cancelled_at_any_step_closes(net: Net) -> None:
    """Cancelled anywhere in it, the handshake leaves no task and no open stream."""
    net.script(accept(idle))
    streams: list[CountedStream] = []
    living = trio.lowlevel.current_statistics().tasks_living

    async def enter() -> None:
        async with net.open(transport="websockets", dial=counted(net, streams)):
            pass

    for step in range(1, 60):
        async with trio.open_nursery() as net.nursery:
            await cancelled_at(step, enter)
            net.nursery.cancel_scope.cancel()
        assert all(stream.is_closed for stream in streams)
        assert trio.lowlevel.current_statistics().tasks_living == living


# --- closing ------------------------------------------------------------------


async def test_aclose_beside_a_receive() -> None:
    """aclose() does its handshake while another task receives; both end by it."""
    ends: list[int | None] = []

    async def receive(transport: WebSocketsTransport) -> None:
        ends.append((await receive_until_end(transport))[1].close_code)

    async with opened() as (transport, peer, _), trio.open_nursery() as nursery:
        nursery.start_soon(receive, transport)
        nursery.start_soon(transport.aclose, 4001, "bye")
        told = await peer.read_frame()
        assert bytes(told.data) == (4001).to_bytes(2) + b"bye"
        await peer.flush()
    assert ends == [4001]


async def test_aclose_waits_for_the_message_being_sent() -> None:
    """The close frame comes after a message that is on its way, and never within it."""
    streams = trio.testing.lockstep_stream_pair()
    async with opened(streams=streams) as (transport, peer, _), trio.open_nursery() as nursery:
        nursery.start_soon(transport.send, bytes(3 * FRAGMENT_SIZE))
        await peer.read(1000)
        nursery.start_soon(transport.aclose, 1000, "")
        got = [await peer.read_frame() for _ in range(4)]
        assert [found.opcode for found in got] == [BINARY, CONT, CONT, CLOSE]
        await peer.flush()


@pytest.mark.parametrize("talks", [False, True])
async def test_the_peer_may_close_first_but_not_for_long(talks: bool) -> None:
    """After the close frames a peer that keeps the stream open is left after 50 ms."""
    async with trio.open_nursery() as nursery:
        async with opened() as (transport, peer, _):
            await peer.say(frame(CLOSE, (1001).to_bytes(2)))
            _, end = await receive_until_end(transport)
            assert end.close_code == 1001
            began = trio.current_time()
            if talks:
                nursery.start_soon(chatter, peer)
        assert trio.current_time() - began == pytest.approx(0.05)
        nursery.cancel_scope.cancel()
    assert (await peer.read_frame()).opcode is CLOSE


async def test_our_close_frame_goes_out_to_a_peer_that_reads_late() -> None:
    """A peer that broke the protocol and half-closed is told so within the 50 ms."""
    client, server = trio.testing.lockstep_stream_pair()

    async def read_late(peer: Peer) -> None:
        await trio.sleep(0.02)
        with suppress(trio.BrokenResourceError):  # by force, once it has been told
            await peer.read_on()

    async def break_it(peer: Peer) -> None:
        await peer.say(frame(3))
        await server.send_eof()

    async with (
        trio.open_nursery() as nursery,
        opened(streams=(client, server)) as (transport, peer, _),
    ):
        nursery.start_soon(break_it, peer)
        await receive_until_end(transport)
        nursery.start_soon(read_late, peer)
    assert int.from_bytes(bytes((await peer.read_frame()).data[:2])) == 1002


async def chatter(peer: Peer) -> None:
    """Talk on."""
    while True:
        await peer.say(frame(TEXT, b"on"))
        await trio.sleep(0.001)
