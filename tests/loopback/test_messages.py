"""Messages, headers and subprotocols as they go over real sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from .servers import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    accept,
    echo,
    frame,
    header,
    open_guard,
    quick,
)

if TYPE_CHECKING:
    from .servers import Peer, Server


@pytest.mark.parametrize(
    "message",
    ["", "text", "Grüße, 世界 🌍", "x" * 70_000, b"", b"\x00\xff" * 500, bytes(2**20)],
    ids=["empty text", "text", "unicode", "long text", "empty", "bytes", "one MiB"],
)
async def test_messages_come_back_as_sent(server: Server, message: str | bytes) -> None:
    """Text and bytes of any size within the limit arrive as they were sent, with their type."""
    server.script(accept(echo))
    async with open_guard(server.url) as ws:
        await ws.send_message(message)
        back = await ws.get_message()
        assert type(back) is type(message)
        assert back == message


@pytest.mark.parametrize("wrap", [bytearray, memoryview])
async def test_bytes_like_messages_are_sent_as_binary(server: Server, wrap: Any) -> None:
    """A bytearray and a memoryview go out as binary messages."""
    server.script(accept(echo))
    async with open_guard(server.url) as ws:
        await ws.send_message(wrap(b"\x00\x01bytes-like"))
        assert await ws.get_message() == b"\x00\x01bytes-like"


@pytest.mark.parametrize(
    ("message", "error"),
    [("\ud800", ValueError), (7, TypeError), (None, TypeError), ([b"x"], TypeError)],
)
async def test_what_is_no_message_is_refused(
    server: Server, message: Any, error: type[Exception]
) -> None:
    """A lone surrogate is a ValueError, another type a TypeError; the connection is unharmed."""
    server.script(accept(echo))
    async with open_guard(server.url) as ws:
        with pytest.raises(error):
            await ws.send_message(message)
        await ws.send_message("unharmed")
        assert await ws.get_message() == "unharmed"
        assert ws.generation == 1


async def test_order_is_kept_both_ways(server: Server) -> None:
    """A thousand messages come back in the order in which they were sent."""
    server.script(accept(echo))
    async with open_guard(server.url) as ws:
        for n in range(1000):
            await ws.send_message(str(n))
        assert [await ws.get_message() for _ in range(1000)] == [*map(str, range(1000))]
        snapshot = ws.snapshot()
        assert (snapshot.messages_sent, snapshot.messages_received) == (1000, 1000)


async def test_all_messages_at_hand_come_in_one_call(server: Server) -> None:
    """get_messages() takes at least one message and loses none."""
    server.script(accept(echo))
    async with open_guard(server.url) as ws:
        for n in range(100):
            await ws.send_message(str(n))
        received: list[object] = []
        while len(received) < 100:
            batch = await ws.get_messages()
            assert batch
            received += batch
        assert received == [*map(str, range(100))]


async def test_a_message_in_pieces_arrives_whole(server: Server) -> None:
    """Fragments, with a ping between them and cut anywhere on the wire, make one message."""
    raw = (
        frame(TEXT, "hä".encode()[:2], first=0)
        + frame(PING, b"between")
        + frame(CONTINUATION, "hä".encode()[2:], first=0)
        + frame(CONTINUATION, b"!")
        + frame(BINARY, b"next")
    )

    async def pieces(peer: Peer) -> None:
        await peer.shake()
        for byte in raw:
            await peer.send_all(bytes([byte]))
        while (await peer.read_frame())[0] != CLOSE:
            pass

    server.script(pieces)
    async with open_guard(server.url) as ws:
        assert await ws.get_message() == "hä!"
        assert await ws.get_message() == b"next"


async def test_subprotocols_and_headers_arrive(server: Server) -> None:
    """Subprotocols are offered in order, the chosen one is told, and headers arrive as given."""
    server.script(accept(echo, subprotocol="v1"))
    headers = {"X-Key": "k", "User-Agent": "mine/1", "X-Latin": "é"}
    async with open_guard(
        server.url + "p%20q?a=b&c", subprotocols=["v2", "v1"], headers=headers
    ) as ws:
        assert ws.subprotocol == "v1"
    (head,) = server.heads
    assert server.paths == ["/p%20q?a=b&c"]
    assert header(head, "Sec-WebSocket-Protocol") == "v2, v1"
    assert header(head, "Host") == f"127.0.0.1:{server.port}"
    assert {name: header(head, name) for name in headers} == headers


async def test_no_subprotocol_is_none(server: Server) -> None:
    """A server that chooses none of the subprotocols leaves it at None."""
    server.script(accept(echo))
    async with open_guard(server.url, subprotocols=["v1"]) as ws:
        assert ws.subprotocol is None


async def test_a_name_with_several_addresses_connects(server: Server) -> None:
    """localhost, which may be ::1 first, finds a server that is on 127.0.0.1 only."""
    server.script(accept(echo))
    server.host = "localhost"
    async with open_guard(server.url, policy=quick(close_timeout=5)) as ws:
        await ws.send_message("hello")
        assert await ws.get_message() == "hello"
    assert header(server.heads[0], "Host") == f"localhost:{server.port}"
