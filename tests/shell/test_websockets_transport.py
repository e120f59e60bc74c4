"""The transport over `websockets`: receiving, compression, settings, in virtual time."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("websockets")

import websockets.version
from websockets.frames import BINARY, CLOSE, CONT, PING, PONG, TEXT

import trio_wsguard as wsguard
from trio_wsguard import ConnectionState, FailureKind
from trio_wsguard._errors import TransportError
from trio_wsguard._shell.transports.websockets import FRAGMENT_SIZE

from ..loopback.servers import frame
from .conftest import Net, accept, echo, idle, quick
from .sansio import Peer, opened, receive_until_end

if TYPE_CHECKING:
    import trio


# --- receiving ----------------------------------------------------------------


async def test_a_chunk_is_a_batch() -> None:
    """All messages of one piece come in one call, with pings and fragments among them."""
    pongs: list[bytes] = []
    async with opened(on_pong=pongs.append) as (transport, peer, _):
        await peer.say(
            frame(TEXT, b"a")
            + frame(TEXT, b"fr", first=0)
            + frame(PING, b"ping")
            + frame(PONG, b"pong")
            + frame(CONT, b"ag")
            + frame(BINARY, b"z")
        )
        assert await transport.receive() == ["a", "frag", b"z"]
        assert pongs == [b"pong"]
        answer = await peer.read_frame()
        assert (answer.opcode, bytes(answer.data)) == (PONG, b"ping")


async def test_small_messages_do_not_swamp_the_queue() -> None:
    """A batch of small messages stays below a queue of the default size; large ones fill theirs."""
    async with opened() as (transport, peer, _):
        await peer.say(frame(BINARY, bytes(64)) * 5000)
        sizes: list[int] = []
        while sum(sizes) < 5000:
            sizes.append(len(await transport.receive()))
        assert max(sizes) < wsguard.GuardPolicy().max_queue
        await peer.say(frame(BINARY, bytes(2**16)) * 16)
        sizes.clear()
        while sum(sizes) < 16:
            sizes.append(len(await transport.receive()))
        assert max(sizes) >= 3


async def test_what_comes_with_the_answer_is_received() -> None:
    """Messages and pings in the same piece as the 101 are not lost."""
    async with opened(then=frame(TEXT, b"early") + frame(PING, b"p")) as (transport, peer, _):
        assert await transport.receive() == ["early"]
        assert (await peer.read_frame()).opcode is PONG


async def test_an_unasked_pong_with_the_answer_harms_nothing(net: Net) -> None:
    """A pong before any ping, as early as can be, is nobody's."""

    async def server(stream: trio.abc.Stream) -> None:
        peer = Peer(stream)
        await peer.shake(frame(PONG, b"1.1") + frame(TEXT, b"hello"))
        await peer.read_on()

    net.script(server)
    async with net.open(transport="websockets") as ws:
        assert await ws.get_message() == "hello"
        assert (ws.generation, ws.snapshot().beats_answered) == (1, 0)


BROKEN = {
    "invalid UTF-8": (frame(TEXT, b"\xc3\x28"), 1007),
    "invalid UTF-8 over fragments": (frame(TEXT, b"\xe2", first=0) + frame(CONT, b"x"), 1007),
    "invalid close reason": (frame(CLOSE, b"\x03\xe9\xff"), 1007),
    "reserved opcode": (frame(3), 1002),
    "masked": (frame(TEXT, b"x", mask=True), 1002),
    "close code 1005": (frame(CLOSE, (1005).to_bytes(2)), 1002),
    "too big": (frame(BINARY, bytes(101)), 1009),
    "too big by its head": (frame(BINARY, bytes(101))[:2], 1009),
    "too big over fragments": (frame(TEXT, bytes(60), first=0) + frame(CONT, bytes(41)), 1009),
}


@pytest.mark.parametrize(("raw", "code"), BROKEN.values(), ids=BROKEN.keys())
async def test_the_peer_is_told_what_it_broke(raw: bytes, code: int) -> None:
    """What came before is received; then the peer gets the close frame, though it talks on."""
    async with opened(max_message_size=100) as (transport, peer, _):
        await peer.say(frame(TEXT, b"good") + raw + frame(TEXT, b"more") * 100)
        received, end = await receive_until_end(transport)
        assert received == ["good"]
        assert (end.kind, end.close_code) == (FailureKind.PROTOCOL, code)
    told = await peer.read_frame()
    assert (told.opcode, int.from_bytes(bytes(told.data[:2]))) == (CLOSE, code)


async def test_a_message_of_the_limit_is_received() -> None:
    """max_message_size itself is allowed, whole and in fragments."""
    async with opened(max_message_size=100) as (transport, peer, _):
        await peer.say(frame(BINARY, bytes(100)))
        await peer.say(frame(BINARY, bytes(60), first=0) + frame(CONT, bytes(40)))
        assert await transport.receive() == [bytes(100)] * 2


@pytest.mark.parametrize("code", [1000, 1001, 1014, 3000, 4999])
async def test_a_close_within_a_message_tells_its_code(code: int) -> None:
    """A peer may close before it ended its message; what it says counts."""
    async with opened() as (transport, peer, _):
        await peer.say(frame(TEXT, b"x", first=0) + frame(CLOSE, code.to_bytes(2)))
        received, end = await receive_until_end(transport)
        assert received == []
        assert (end.kind, end.close_code) == (FailureKind.CLOSED, code)
        with pytest.raises(TransportError):
            await transport.receive()  # and so it stays
        with pytest.raises(TransportError):
            await transport.send("late")
        with pytest.raises(TransportError):
            await transport.ping(b"late")


# --- deflate ------------------------------------------------------------------


async def test_deflate_is_agreed_on_and_works_both_ways() -> None:
    """With compression="deflate" messages shrink on the wire and arrive as they were."""
    text = "the same again, " * 1000
    async with opened(compression="deflate") as (transport, peer, watched):
        before = watched._counters.bytes_sent
        for message in (text, text.encode(), "x" * (FRAGMENT_SIZE + 1)):
            await transport.send(message)
        assert watched._counters.bytes_sent - before < len(text)
        for opcode, payload in ((TEXT, text.encode()), (BINARY, text.encode())):
            got = await peer.read_frame()
            assert (got.opcode, bytes(got.data)) == (opcode, payload)
            peer.protocol.send_text(got.data)
        await peer.flush()
        received: list[Any] = []
        while len(received) < 2:
            received += await transport.receive()
        assert received == [text, text]


async def test_deflate_is_not_offered_unless_asked_for() -> None:
    """Without compression the peer that could does not."""
    async with opened() as (_, peer, _):
        assert peer.protocol.extensions == []


async def test_a_bomb_is_cut() -> None:
    """A small frame that inflates beyond max_message_size ends with 1009, and not in memory."""
    async with opened(compression="deflate", max_message_size=2**20) as (transport, peer, _):
        peer.protocol.send_binary(bytes(2**20))
        peer.protocol.send_binary(bytes(2**26))
        await peer.flush()
        received, end = await receive_until_end(transport)
        assert received == [bytes(2**20)]
        assert (end.kind, end.close_code) == (FailureKind.PROTOCOL, 1009)
    assert int.from_bytes(bytes((await peer.read_frame()).data[:2])) == 1009


async def test_what_inflates_is_read_in_small_pieces() -> None:
    """One piece of a thousand times its size, in messages within the limit, comes in parts."""
    async with opened(compression="deflate") as (transport, peer, _):
        for _ in range(64):
            peer.protocol.send_binary(bytes(2**20))
        await peer.flush()
        sizes: list[int] = []
        while sum(sizes) < 64:
            sizes.append(len(await transport.receive()))
        assert max(sizes) <= 20


# --- what it is given ----------------------------------------------------------


async def test_compression_is_refused_where_it_cannot_be(net: Net) -> None:
    """Only the transport over `websockets` compresses; others refuse, by name of the setting."""
    for options in (
        {"transport": "trio-websocket", "compression": "deflate"},
        {"transport": lambda *_: None, "compression": "deflate"},
        {"transport": "websockets", "compression": "brotli"},
        {"transport": "websockets", "compression": True},
    ):
        with pytest.raises(wsguard.PolicyError) as caught:
            async with net.open(**options):
                raise AssertionError("entered")
        assert caught.value.field == "compression"
    net.script(accept(echo))
    async with net.open(transport="websockets", compression="deflate") as ws:
        await ws.send_message("a peer that cannot is no failure")
        assert await ws.get_message() == "a peer that cannot is no failure"


@pytest.mark.parametrize("how", ["missing", "too old"])
async def test_a_missing_or_old_library_is_refused(
    net: Net, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Without `websockets` 17 the error says what to install, before anything is dialed."""
    import trio_wsguard._shell.transports as package

    monkeypatch.delitem(sys.modules, "trio_wsguard._shell.transports.websockets")
    monkeypatch.delattr(package, "websockets")
    if how == "missing":
        monkeypatch.setitem(sys.modules, "websockets.client", None)
    else:
        monkeypatch.setattr(websockets.version, "version", "16.1")
    with pytest.raises(wsguard.PolicyError, match=r"pip install 'trio-wsguard\[fast\]'") as caught:
        async with net.open(transport="websockets"):
            raise AssertionError("entered")
    assert caught.value.field == "transport"
    assert net.dialed_at == []


async def test_secrets_are_not_logged(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    """At DEBUG, neither headers nor messages reach a log."""
    net.script(accept(echo))
    with caplog.at_level(logging.DEBUG):
        async with net.open(transport="websockets", headers={"Authorization": "s3cret"}) as ws:
            await ws.send_message("s3cret")
            await ws.get_message()
    assert not [
        r for r in caplog.records if "s3cret" in r.getMessage() and r.name != "trio-websocket"
    ]


async def test_a_header_that_cannot_be_written_is_a_protocol_failure(net: Net) -> None:
    """A control character in a header's value is refused before a byte is sent."""
    net.script(accept(idle))
    policy = quick(max_connection_failures=1)
    async with net.open(
        transport="websockets", headers={"X": "\x01"}, wait=False, policy=policy
    ) as ws:
        await ws.wait_state(ConnectionState.FAILED)
        with pytest.raises(wsguard.GuardFailedError) as caught:
            await ws.get_message()
    assert caught.value.failures[0].kind is FailureKind.PROTOCOL
