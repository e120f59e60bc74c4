"""The steps of a well-behaved talk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
import trio_websocket
from wsproto.frame_protocol import Opcode

from trio_wsguard.testing.peer import (
    Call,
    Close,
    Drop,
    Echo,
    End,
    Feed,
    Push,
    PushFragmented,
    Receive,
    Wait,
)

from .conftest import BINARY, CLOSE, REQUEST, TEXT, Client, open_guard, talk

if TYPE_CHECKING:
    from trio_wsguard.testing.peer import Conversation

    from .conftest import Memory


async def test_pushes(memory: Memory) -> None:
    """Text and bytes of any size go out as they are, at their interval."""
    client = await memory.connect(talk(Push("é", bytes(70_000), b"z" * 300, interval=2), Drop()))
    began = trio.current_time()
    assert await client.read() == (TEXT, "é".encode())
    assert await client.read() == (BINARY, bytes(70_000))
    assert await client.read() == (BINARY, b"z" * 300)
    assert trio.current_time() - began == 4
    assert await client.read() is None


async def test_feeds_count(memory: Memory) -> None:
    """A feed sends numbers, filled up to a size, once a second or as told."""
    client = await memory.connect(talk(Feed(2, interval=0, size=3), Feed()))
    said = [await client.read() for _ in range(4)]
    assert said == [(TEXT, b"001"), (TEXT, b"002"), (TEXT, b"1"), (TEXT, b"2")]
    assert trio.current_time() - 0 >= 1


async def test_fragments_are_one_message_with_a_ping_between(memory: Memory) -> None:
    """A client gets one message of several frames, and answers the ping between them."""
    peer = talk(PushFragmented("Grü", "ße", "!", ping=True), PushFragmented(b"a", b"b"))
    async with open_guard(memory, peer) as ws:
        assert await ws.get_message() == "Grüße!"
        assert await ws.get_message() == b"ab"
        await trio.testing.wait_all_tasks_blocked()
        assert [pong.message for pong in peer.connections[0].pongs] == [b"between"] * 2


async def test_messages_are_noted_and_echoed(memory: Memory) -> None:
    """Messages of text and bytes, whole or in fragments, are noted with their times."""
    peer = talk(Receive(), Echo(1), Wait(10), Echo())
    client = await memory.connect(peer)
    await client.send(TEXT, b"taken")
    await client.send(BINARY, b"a", fin=False)
    await client.send(Opcode.CONTINUATION, b"b")
    assert await client.read() == (BINARY, b"ab")
    await trio.sleep(1)
    await client.send(TEXT, b"x" * 70_000)
    assert await client.read() == (TEXT, b"x" * 70_000)
    (record,) = peer.connections
    assert record.messages == ["taken", b"ab", "x" * 70_000]
    assert [one.at - record.opened_at for one in record.received] == [0, 0, 1]


async def test_functions_talk(memory: Memory) -> None:
    """A function is given the conversation, and can send, receive and close."""
    seen: list[Any] = []

    async def log_in(conversation: Conversation) -> None:
        seen.extend((conversation.number, conversation.path, conversation.headers["host"]))
        await conversation.send("who?")
        seen.append(await conversation.receive())
        await conversation.close(4001, "not you")

    client = await memory.connect(talk(Call(log_in)))
    assert await client.read() == (TEXT, b"who?")
    await client.send(TEXT, b"me")
    assert await client.read() == (CLOSE, b"\x0f\xa1not you")
    await client.send(CLOSE, b"\x0f\xa1")
    assert await client.read() is None
    assert seen == [1, "/feed?a=1", "peer.example", "me"]


async def test_receiving_can_be_cancelled(memory: Memory) -> None:
    """A receive that was given up has taken nothing."""
    got: list[Any] = []

    async def impatient(conversation: Conversation) -> None:
        with trio.move_on_after(1):
            await conversation.receive()
        got.append(await conversation.receive())

    client = await memory.connect(talk(Call(impatient)))
    await trio.sleep(2)
    await client.send(TEXT, b"late")
    await trio.testing.wait_all_tasks_blocked()
    assert got == ["late"]


async def test_errors_of_functions_come_out_as_themselves() -> None:
    """What a user's function raises leaves the peer unwrapped, and the stream is closed."""

    async def fail(conversation: Conversation) -> None:
        raise LookupError("mine")

    peer = talk(Call(fail))
    stream, server = trio.testing.memory_stream_pair()
    await stream.send_all(REQUEST)
    with pytest.raises(LookupError, match="mine"):
        await peer(server)
    assert peer.connections[0].end is End.ABANDONED
    assert await Client(stream).body() != b""


async def test_functions_are_cancelled_when_the_client_leaves(memory: Memory) -> None:
    """No step sees an error of the stream; it is cancelled where it waits."""
    ended: list[str] = []

    async def listen(conversation: Conversation) -> None:
        try:
            await conversation.receive()
        except trio.Cancelled:
            ended.append("cancelled")
            raise

    peer = talk(Call(listen))
    client = await memory.connect(peer)
    await client.stream.aclose()
    await peer.wait_ended(1)
    assert peer.connections[0].end is End.LEFT
    await trio.testing.wait_all_tasks_blocked()
    assert ended == ["cancelled"]


# --- other clients -----------------------------------------------------------------------


async def test_trio_websocket_talks_to_it(memory: Memory) -> None:
    """A plain trio-websocket client sees a plain WebSocket server."""
    peer = talk(Echo(1), Close(4000, "enough"))
    stream = memory.dial(peer).stream
    async with trio.open_nursery() as nursery:
        ws = await trio_websocket.wrap_client_stream(nursery, stream, "peer.example", "/")  # type: ignore[arg-type]
        await ws.send_message("hi")
        assert await ws.get_message() == "hi"
        with pytest.raises(trio_websocket.ConnectionClosed) as caught:
            await ws.get_message()
        assert caught.value.reason is not None
        assert (caught.value.reason.code, caught.value.reason.reason) == (4000, "enough")
        nursery.cancel_scope.cancel()
