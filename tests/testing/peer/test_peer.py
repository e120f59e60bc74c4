"""A scripted peer: scripts, waits, broadcasts, and how connections end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from trio_wsguard.testing.peer import (
    Accept,
    Call,
    Close,
    Drop,
    End,
    HoldOpen,
    Push,
    Receive,
    Reject,
    Script,
    ScriptedPeer,
    Silence,
    Wait,
)

from .conftest import CLOSE, REQUEST, TEXT, Client, talk

if TYPE_CHECKING:
    from trio_wsguard.testing.peer import Conversation

    from .conftest import Memory


async def test_each_connection_takes_the_next_script(memory: Memory) -> None:
    """The last script is for all others; `script` replaces what coming ones meet."""
    peer = ScriptedPeer(Script(Accept(), Push("first")), Script(Accept(), Push("then")))
    for said in (b"first", b"then", b"then"):
        assert await (await memory.connect(peer)).read() == (TEXT, said)
    peer.script(Script(Reject(503)))
    assert b" 503 " in await memory.dial(peer).request()
    assert [record.number for record in peer.connections] == [1, 2, 3, 4]


async def test_waits(memory: Memory) -> None:
    """A test can wait for connections, messages and ends, and is not woken early."""
    peer = ScriptedPeer(Script(Accept(), Receive(3), Drop()))
    done: list[str] = []

    async def watch() -> None:
        await peer.wait_connections(1)
        done.append("connections")
        await peer.wait_received(3)
        done.append("received")
        await peer.wait_ended(1)
        done.append("ended")

    memory.nursery.start_soon(watch)
    client = await memory.connect(peer)
    await client.send(TEXT, b"1")
    await client.send(TEXT, b"2")
    await trio.sleep(1)
    assert done == ["connections"]
    await client.send(TEXT, b"3")
    await trio.sleep(1)
    assert done == ["connections", "received", "ended"]
    await peer.wait_ended(1)


async def test_broadcasts_reach_open_connections(memory: Memory) -> None:
    """A broadcast goes to every connection that is accepted and not closing."""
    peer = ScriptedPeer(Script(Accept()), Script(Accept(), Close()), Script(Silence()))
    first, closing = await memory.connect(peer), await memory.connect(peer)
    await memory.dial(peer).stream.send_all(REQUEST)
    await trio.testing.wait_all_tasks_blocked()
    await peer.broadcast("all")
    assert await first.read() == (TEXT, b"all")
    assert await closing.read() == (CLOSE, b"\x03\xe8")
    assert await closing.hears_nothing(1)


async def test_a_broken_stream_ends_a_connection_quietly(memory: Memory) -> None:
    """An error in sending or receiving is noted, not raised."""
    stream, server = trio.testing.memory_stream_pair()

    async def break_stream(*_: Any) -> None:
        raise trio.BrokenResourceError

    peer = talk(Wait(5), Push("a"))
    await stream.send_all(REQUEST)
    memory.nursery.start_soon(peer, server)
    await trio.sleep(1)
    server.send_stream.send_all_hook = break_stream
    await peer.wait_ended(1)
    assert peer.connections[0].end is End.LOST
    await trio.testing.wait_all_tasks_blocked()

    stream, server = trio.testing.memory_stream_pair()
    server.receive_stream.receive_some_hook = break_stream
    await peer(server)
    assert peer.connections[1].end is End.LOST


async def test_a_stream_that_cannot_be_ended_gently_is_closed_by_force(memory: Memory) -> None:
    """An error in closing stays within."""
    stream, server = trio.testing.memory_stream_pair()
    closed: list[str] = []

    async def aclose() -> None:
        closed.append("tried")
        if len(closed) == 1:
            raise trio.BrokenResourceError

    server.aclose = aclose  # type: ignore[method-assign]
    await stream.send_all(REQUEST)
    await talk(Drop())(server)
    assert closed == ["tried", "tried"]


async def test_cancelling_a_peer_closes_its_streams(memory: Memory) -> None:
    """A cancelled peer leaves closed streams and a record that says so."""
    stream, server = trio.testing.memory_stream_pair()
    peer = talk(Wait(100))
    with trio.move_on_after(1):
        await stream.send_all(REQUEST)
        await peer(server)
    assert peer.connections[0].end is End.ABANDONED
    with pytest.raises(trio.ClosedResourceError):
        await server.receive_some()


async def test_a_send_that_is_given_up_ends_the_connection() -> None:
    """A frame is never left half-written on a connection that lives on."""
    stream, server = trio.testing.lockstep_stream_pair()

    async def impatient(conversation: Conversation) -> None:
        with trio.move_on_after(1):
            await conversation.send("a")

    peer = talk(Call(impatient), Wait(100))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer, server)
        await Client(stream).request()
        await peer.wait_ended(1)
    assert peer.connections[0].ended_at == peer.connections[0].opened_at + 1
    assert peer.connections[0].end is End.ABANDONED


async def test_no_message_is_sent_after_the_close_frame(memory: Memory) -> None:
    """A function that goes on after the client's close is cancelled with the connection."""
    sent: list[int] = []

    async def insist(conversation: Conversation) -> None:
        await trio.sleep(1)
        while True:
            await conversation.send("x")
            sent.append(1)

    client = await memory.connect(talk(HoldOpen(), Call(insist)))
    await client.send(CLOSE)
    assert await client.read() == (CLOSE, b"")
    assert await client.hears_nothing(10)
    assert sent == []
