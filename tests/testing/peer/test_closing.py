"""Close frames of both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from trio_wsguard.testing.peer import (
    Accept,
    Call,
    Close,
    End,
    Feed,
    HoldOpen,
    IgnoreClose,
    Push,
    Script,
    ScriptedPeer,
    Silence,
    StopReading,
    Wait,
)

from .conftest import CLOSE, PING, TEXT, open_guard, talk

if TYPE_CHECKING:
    from trio_wsguard.testing.peer import Conversation, Step

    from .conftest import Memory


async def test_close_awaits_the_answer(memory: Memory) -> None:
    """The peer closes with a code and ends once the client has answered; pings are not."""
    peer = talk(Close(1012, "restart"))
    client = await memory.connect(peer)
    assert await client.read() == (CLOSE, b"\x03\xf4restart")
    await client.send(PING, b"1")
    assert await client.hears_nothing(5)
    await client.send(CLOSE, b"\x03\xf4")
    assert await client.read() is None
    assert (peer.connections[0].close_code, peer.connections[0].end) == (1012, End.CLOSED)


async def test_close_without_waiting(memory: Memory) -> None:
    """The peer ends right after its close frame."""
    client = await memory.connect(talk(Close(4000, wait=False)))
    assert await client.read() == (CLOSE, b"\x0f\xa0")
    assert await client.read() is None


@pytest.mark.parametrize(
    ("payload", "code", "reason"),
    [(b"", 1005, ""), (b"\x03\xe9", 1001, ""), (b"\x0f\xa0gr\xc3\xbcn", 4000, "grün")],
)
async def test_a_close_of_the_client_is_answered(
    memory: Memory, payload: bytes, code: int, reason: str
) -> None:
    """The client's code is noted and sent back, and the stream ended."""
    peer = talk(Feed(interval=100))
    client = await memory.connect(peer)
    assert await client.read() == (TEXT, b"1")
    await client.send(CLOSE, payload)
    assert await client.read() == (CLOSE, payload[:2])
    assert await client.read() is None
    record = peer.connections[0]
    assert (record.close_code, record.close_reason, record.end) == (code, reason, End.CLOSED)


async def test_a_close_can_be_ignored(memory: Memory) -> None:
    """The peer goes on as if no close frame had come, and can close itself later."""
    peer = talk(IgnoreClose(), Wait(5), Push("still here"), Close(1001, wait=False))
    client = await memory.connect(peer)
    await client.send(CLOSE, b"\x03\xe8")
    assert await client.hears_nothing(4)
    assert await client.read() == (TEXT, b"still here")
    assert await client.read() == (CLOSE, b"\x03\xe9")
    assert await client.read() is None


async def test_closing_after_an_ignored_close_ends_at_once(memory: Memory) -> None:
    """Where the client has closed already, its close frame is not awaited again."""
    peer = talk(IgnoreClose(), Wait(5), Close())
    client = await memory.connect(peer)
    await client.send(CLOSE, b"\x03\xe8")
    assert await client.read() == (CLOSE, b"\x03\xe8")
    assert await client.read() is None


async def test_the_stream_can_be_held_after_the_close(memory: Memory) -> None:
    """The close frame is answered and the stream not ended; no message follows."""
    peer = talk(HoldOpen(), Wait(5), Push("never"))
    client = await memory.connect(peer)
    await client.send(CLOSE, b"\x03\xe8")
    assert await client.read() == (CLOSE, b"\x03\xe8")
    assert await client.hears_nothing(1000)
    await client.stream.aclose()
    await peer.wait_ended(1)
    assert peer.connections[0].end is End.LEFT


async def test_a_function_may_close_after_the_client_did(memory: Memory) -> None:
    """Nothing is sent twice, and the stream is held as it was told to be."""

    async def close_late(conversation: Conversation) -> None:
        await trio.sleep(5)
        await conversation.close()

    client = await memory.connect(talk(HoldOpen(), Call(close_late)))
    await client.send(CLOSE, b"\x03\xe8")
    assert await client.read() == (CLOSE, b"\x03\xe8")
    assert await client.hears_nothing(1000)


@pytest.mark.parametrize("steps", [(IgnoreClose(),), (HoldOpen(),), (Silence(),), (StopReading(),)])
async def test_the_guard_leaves_a_peer_that_does_not_close(
    memory: Memory, steps: tuple[Step, ...]
) -> None:
    """Leaving the guard's block is bounded, whatever the peer does about its close frame."""
    began = trio.current_time()
    async with open_guard(memory, ScriptedPeer(Script(Accept(), *steps))):
        pass
    assert trio.current_time() - began <= 5.1
