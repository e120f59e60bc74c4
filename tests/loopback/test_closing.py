"""Close codes, broken frames and the close handshake on real sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio_websocket

import trio_wsguard as wsguard
from trio_wsguard import ConnectionState, FailureKind

from .servers import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    accept,
    accept_key,
    close_with,
    echo,
    eventually,
    frame,
    greet,
    next_change,
    next_event,
    open_guard,
    quick,
    switching,
)

if TYPE_CHECKING:
    from .servers import Peer, Server


async def test_1000_from_the_server_is_final(server: Server) -> None:
    """A close with 1000 ends the guard as CLOSED: iteration ends, get_message() raises."""
    server.script(accept(greet("one", "two", then=close_with(1000, "done"))))
    async with open_guard(server.url) as ws:
        assert [message async for message in ws] == ["one", "two"]
        assert ws.state is ConnectionState.CLOSED
        assert ws.closed == wsguard.CloseReason(1000, "done")
        with pytest.raises(wsguard.ConnectionClosedError) as caught:
            await ws.get_message()
        assert (caught.value.code, caught.value.reason) == (1000, "done")
        with pytest.raises(wsguard.ConnectionClosedError):
            await ws.send_message("too late")
    assert len(server.accepted_at) == 1


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1001, FailureKind.CLOSED),
        (1011, FailureKind.CLOSED),
        (1012, FailureKind.CLOSED),
        (1013, FailureKind.CLOSED),
        (4000, FailureKind.CLOSED),
        (4999, FailureKind.CLOSED),
        (1002, FailureKind.PROTOCOL),
        (1003, FailureKind.PROTOCOL),
        (1007, FailureKind.PROTOCOL),
        (1008, FailureKind.PROTOCOL),
        (1009, FailureKind.PROTOCOL),
        (1010, FailureKind.PROTOCOL),
    ],
)
async def test_other_codes_are_retried(server: Server, code: int, kind: FailureKind) -> None:
    """Every other code is retried as the kind that the table says, after what came before it."""
    server.script(accept(greet("before", then=close_with(code, "why"))), accept(greet("after")))
    async with open_guard(server.url) as ws, ws.events() as events:
        lost = await next_change(events, ConnectionState.RECONNECTING)
        assert lost.failure is not None
        assert (lost.failure.kind, lost.failure.close_code) == (kind, code)
        assert "why" in lost.failure.message
        assert await ws.get_message() == "before"
        assert await ws.get_message() == "after"


async def test_a_close_frame_without_a_code_is_retried(server: Server) -> None:
    """A close frame without a code (1005) is CLOSED and retried."""

    async def close(peer: Peer) -> None:
        await peer.shake()
        await peer.send_all(frame(CLOSE))
        await peer.read_frame()

    server.script(close, accept(echo))
    async with open_guard(server.url) as ws, ws.events() as events:
        lost = await next_change(events, ConnectionState.RECONNECTING)
        assert lost.failure is not None
        assert (lost.failure.kind, lost.failure.close_code) == (FailureKind.CLOSED, 1005)
        await ws.wait_connected()


async def test_a_server_that_keeps_the_socket_after_closing_does_not_hold_the_guard(
    server: Server,
) -> None:
    """The guard does not wait for a FIN that never comes after the close frames."""

    async def linger(peer: Peer) -> None:
        await peer.shake()
        await peer.send_all(frame(CLOSE, (1001).to_bytes(2)))
        await peer.read_frame()
        await trio.sleep_forever()

    server.script(linger, accept(greet("next")))
    async with open_guard(server.url) as ws:
        assert await ws.get_message() == "next"


async def test_control_characters_of_a_close_reason_are_escaped(server: Server) -> None:
    """A reason with control characters reaches no log or terminal as it is."""
    server.script(accept(close_with(1011, "\x1b[31mred\r\nline")), accept(echo))
    async with open_guard(server.url) as ws, ws.events() as events:
        lost = await next_change(events, ConnectionState.RECONNECTING)
        assert lost.failure is not None
        assert lost.failure.message.isprintable()
        assert lost.reason.isprintable()


BROKEN = {
    "oversize": (frame(BINARY, bytes(3000)), 1009),
    "oversize in pieces": (
        frame(BINARY, bytes(1500), first=0) + frame(CONTINUATION, bytes(1500)),
        1009,
    ),
    "invalid UTF-8": (frame(TEXT, b"\xc3\x28"), 1007),
    "UTF-8 cut at the end": (frame(TEXT, b"\xe2\x82"), 1007),
    "masked": (frame(TEXT, b"masked", mask=True), 1002),
    "reserved opcode": (frame(3, b"x"), 1002),
    "reserved bits": (frame(TEXT, b"x", first=0xC0), 1002),
    "a continuation of nothing": (frame(CONTINUATION, b"x"), 1002),
    "a ping in pieces": (frame(PING, b"x", first=0), 1002),
    "a long ping": (frame(PING, bytes(200)), 1002),
    "a close code of one byte": (frame(CLOSE, b"x"), 1002),
    "garbage": (bytes(range(128, 256)), 1002),
}


@pytest.mark.parametrize(("raw", "code"), BROKEN.values(), ids=BROKEN.keys())
async def test_broken_frames_are_protocol_failures(server: Server, raw: bytes, code: int) -> None:
    """A frame that breaks the protocol is PROTOCOL, with the code that names it; we come back."""

    async def broken(peer: Peer) -> None:
        await peer.shake()
        await peer.send_all(raw)
        await peer.mute()

    server.script(broken, accept(greet("next")))
    policy = quick(max_message_size=2000)
    async with open_guard(server.url, policy=policy) as ws, ws.events() as events:
        lost = await next_change(events, ConnectionState.RECONNECTING)
        assert lost.failure is not None
        assert (lost.failure.kind, lost.failure.close_code) == (FailureKind.PROTOCOL, code)
        assert lost.failure.transient
        assert lost.failure.message.isprintable()
        assert await ws.get_message() == "next"


@pytest.mark.parametrize("name", ["invalid UTF-8", "masked"])
async def test_messages_before_a_broken_frame_are_delivered(server: Server, name: str) -> None:
    """What is whole before a broken frame is delivered, even if all came in one piece."""
    good = b"".join(frame(TEXT, b"%d" % n) for n in range(20))

    async def broken(peer: Peer) -> None:
        head = await peer.read_request()
        await peer.send_all(switching(accept_key(head)) + good + BROKEN[name][0])
        await peer.mute()

    server.script(broken, accept(greet("next")))
    async with open_guard(server.url, policy=quick(max_message_size=2000)) as ws:
        received = [await ws.get_message()]
        while received[-1] != "next":
            received.append(await ws.get_message())
        assert received == [*map(str, range(20)), "next"]


async def test_an_oversized_message_costs_none_that_was_read(server: Server) -> None:
    """Before an oversized message, what was read comes in order, without a hole.

    trio-websocket throws away what it holds at that moment (at most its queue
    of 64 messages); what the receive task had read is not touched.
    """

    async def oversize(peer: Peer) -> None:
        await peer.shake()
        await peer.send_all(b"".join(frame(TEXT, b"%d" % n) for n in range(500)))
        await peer.send_all(frame(BINARY, bytes(3000)))
        await peer.mute()

    server.script(oversize, accept(greet("next")))
    policy = quick(max_message_size=2000, max_queue=16)
    async with open_guard(server.url, policy=policy) as ws, ws.events() as events:
        await next_event(events, wsguard.Anomaly)  # the slow consumer: this one
        received = [await ws.get_message()]
        while received[-1] != "next":
            received.append(await ws.get_message())
        whole = received[:-1]
        assert whole == [*map(str, range(len(whole)))]
        assert len(whole) >= 500 - 65


async def test_the_server_is_told_of_an_oversized_message(server: Server) -> None:
    """A message over max_message_size is answered with a close frame of 1009."""
    told: list[tuple[int, bytes]] = []

    async def oversize(peer: Peer) -> None:
        await peer.shake()
        await peer.send_all(frame(BINARY, bytes(3000)))
        told.append(await peer.read_frame())

    server.script(oversize, accept(greet("next")))
    async with open_guard(server.url, policy=quick(max_message_size=2000)) as ws:
        assert await ws.get_message() == "next"
        await eventually(lambda: bool(told))
    ((opcode, payload),) = told
    assert (opcode, int.from_bytes(payload[:2])) == (CLOSE, 1009)


async def test_a_flood_of_pings_is_answered(server: Server) -> None:
    """Pings of the server are answered in order while nothing else is said."""
    answered: list[bytes] = []

    async def ping(peer: Peer) -> None:
        await peer.shake()
        for n in range(100):
            await peer.send_all(frame(PING, b"%d" % n))
            opcode, payload = await peer.read_frame()
            assert opcode == PONG
            answered.append(payload)
        await peer.send_all(frame(TEXT, b"all answered"))
        await peer.read_frame()

    server.script(ping)
    async with open_guard(server.url) as ws:
        assert await ws.get_message() == "all answered"
    assert answered == [b"%d" % n for n in range(100)]


async def test_aclose_tells_the_server_code_and_reason(server: Server) -> None:
    """aclose() does the close handshake; the server sees its code and reason."""
    seen: list[trio_websocket.CloseReason | None] = []

    async def listen(ws: trio_websocket.WebSocketConnection) -> None:
        try:
            await ws.get_message()
        except trio_websocket.ConnectionClosed:
            seen.append(ws.closed)

    server.script(accept(listen))
    async with open_guard(server.url, policy=quick(close_timeout=5)) as ws:
        await ws.aclose(4001, "enough")
        assert ws.state is ConnectionState.CLOSED
        assert ws.closed == wsguard.CloseReason(4001, "enough")
        with pytest.raises(trio.ClosedResourceError):
            await ws.send_message("x")
        with pytest.raises(trio.ClosedResourceError):
            await ws.get_message()
        await ws.aclose()  # once more does nothing
    await eventually(lambda: bool(seen))
    assert seen[0] is not None
    assert (seen[0].code, seen[0].reason) == (4001, "enough")


async def test_leaving_the_block_closes_normally(server: Server) -> None:
    """Leaving the block does the close handshake with 1000, after all that was sent."""
    seen: list[tuple[int, bytes]] = []

    async def listen(peer: Peer) -> None:
        await peer.shake()
        while True:
            seen.append(await peer.read_frame())
            if seen[-1][0] == CLOSE:
                await peer.send_all(frame(CLOSE, seen[-1][1]))
                return

    server.script(listen)
    async with open_guard(server.url, policy=quick(close_timeout=5)) as ws:
        await ws.send_message("last word")
    assert ws.state is ConnectionState.CLOSED
    assert seen == [(TEXT, b"last word"), (CLOSE, (1000).to_bytes(2))]


@pytest.mark.parametrize("is_reading", [True, False])
async def test_a_server_that_never_answers_the_close_is_not_waited_for(
    server: Server, is_reading: bool
) -> None:
    """The close handshake is bounded by close_timeout, and the guard is CLOSED after it."""

    async def never(peer: Peer) -> None:
        await peer.shake()
        if is_reading:
            await peer.mute()
        await trio.sleep_forever()

    server.script(never)
    async with open_guard(server.url, policy=quick(close_timeout=0.2)) as ws:
        started = trio.current_time()
        await ws.aclose()
        assert trio.current_time() - started >= 0.2
        assert ws.state is ConnectionState.CLOSED


async def test_a_ping_after_our_close_breaks_nothing(server: Server) -> None:
    """A ping that crosses our close frame, a trap of trio-websocket's, harms nobody."""

    async def ping_late(peer: Peer) -> None:
        await peer.shake()
        opcode, payload = await peer.read_frame()
        assert opcode == CLOSE
        await peer.send_all(frame(PING, b"late") * 5 + frame(CLOSE, payload))
        await peer.mute()

    server.script(ping_late)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)  # a sibling that a stray Cancelled would end
        async with open_guard(server.url) as ws:
            pass
        assert ws.state is ConnectionState.CLOSED
        assert len(nursery.child_tasks) == 1
        nursery.cancel_scope.cancel()
