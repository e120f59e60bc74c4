"""What both transports owe, found by the conformance suite, in a few lines each."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio

import trio_wsguard as wsguard
from trio_wsguard._core.health import Counters
from trio_wsguard._shell.dial import parse_url
from trio_wsguard._shell.transport import Handshake
from trio_wsguard._shell.transports import find_transport
from trio_wsguard._shell.watched import WatchedStream
from trio_wsguard.testing import SimulatedNetwork
from trio_wsguard.testing.peer import (
    Accept,
    Close,
    Drop,
    Push,
    Script,
    ScriptedPeer,
    SendRaw,
    StopReading,
    frame,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio_wsguard._shell.transport import Message, Transport

TEXT, PING = 1, 9


@pytest.fixture(params=["trio-websocket", "websockets"])
def name(request: pytest.FixtureRequest) -> str:
    """Both transports."""
    return str(request.param)


@asynccontextmanager
async def opened(
    name: str, peer: ScriptedPeer, buffer_size: int = 2**17, **asked: Any
) -> AsyncIterator[tuple[Transport, WatchedStream]]:
    """Open a bare transport to a peer."""
    async with SimulatedNetwork(buffer_size=buffer_size) as network:
        network.listen("peer.example:80", peer)
        target = parse_url("ws://peer.example/")
        stream = WatchedStream(await network.dial(target), Counters())
        handshake = Handshake(target=target, **asked)
        async with find_transport(name)(stream, handshake, lambda _: None) as transport:
            yield transport, stream
        await trio.aclose_forcefully(stream)
        await peer.wait_ended(1)


async def drained(transport: Transport) -> tuple[list[Message], wsguard.TransportError]:
    """Receive to the end."""
    heard: list[Message] = []
    while True:
        try:
            heard += await transport.receive()
        except wsguard.TransportError as exc:
            return heard, exc


async def test_messages_behind_pings_are_not_lost_with_the_peer(name: str) -> None:
    """A message that arrived behind pings comes out, though nobody takes the pongs any more."""
    raw = frame(PING) * 2 + frame(TEXT, b"x")
    async with opened(name, ScriptedPeer(Script(Accept(), SendRaw(raw), Drop()))) as (one, _):
        heard, error = await drained(one)
    assert heard == ["x"]
    assert (error.kind, error.close_code) == (wsguard.FailureKind.CLOSED, 1006)


async def test_the_size_limit_counts_bytes(name: str) -> None:
    """Six characters of two bytes each exceed a limit of eleven bytes, and not one of twelve."""
    peer = ScriptedPeer(Script(Accept(), Push("é" * 6)))
    async with opened(name, peer, max_message_size=12) as (one, _):
        assert await one.receive() == ["é" * 6]
    peer = ScriptedPeer(Script(Accept(), Push("é" * 6)))
    async with opened(name, peer, max_message_size=11) as (one, _):
        heard, error = await drained(one)
    assert heard == []
    assert (error.kind, error.close_code) == (wsguard.FailureKind.PROTOCOL, 1009)
    assert peer.connections[0].close_code == 1009


async def test_ping_after_the_end_raises(name: str) -> None:
    """A ping on a connection that has ended raises, as every other call does."""
    async with opened(name, ScriptedPeer(Script(Accept(), Close(1001)))) as (one, _):
        await drained(one)
        with pytest.raises(wsguard.TransportError):
            await one.ping(b"x")


async def test_nothing_follows_a_cut_frame(name: str) -> None:
    """After a send was cancelled midway not even a pong is written: it would be in the frame."""
    pings = SendRaw(frame(PING, b"a") * 3)
    peer = ScriptedPeer(Script(Accept(), pings, StopReading(1), pings))
    async with (
        opened(name, peer, buffer_size=1000) as (one, stream),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(drained, one)
        with trio.move_on_after(0.5):
            await one.send(bytes(2000))
        assert stream.is_cut
        await trio.sleep(3)
        nursery.cancel_scope.cancel()
    (record,) = peer.connections
    assert record.violation is None
    assert record.messages == []
    assert record.is_cut


async def test_an_upgrade_and_its_end_in_one_read_is_a_connection(name: str) -> None:
    """A whole 101 with FIN right behind it opens; the loss comes after it, not instead."""
    async with opened(name, ScriptedPeer(Script(Accept(), Drop()))) as (one, _):
        heard, error = await drained(one)
    assert (heard, error.close_code) == ([], 1006)
