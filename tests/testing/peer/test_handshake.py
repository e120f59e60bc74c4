"""How a scripted peer answers the request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

import trio_wsguard as wsguard
from trio_wsguard.testing.peer import (
    Accept,
    Drop,
    End,
    Push,
    Redirect,
    Reject,
    Script,
    ScriptedPeer,
    SendRaw,
    Silence,
    Wait,
)

from .conftest import REQUEST, TEXT, first_failure, open_guard

if TYPE_CHECKING:
    from .conftest import Memory


async def test_the_request_is_noted(memory: Memory) -> None:
    """The record tells path, headers and subprotocols of the request."""
    peer = ScriptedPeer()
    await memory.connect(peer)
    (record,) = peer.connections
    assert (record.number, record.path, record.status) == (1, "/feed?a=1", 101)
    assert record.subprotocols == ("chat", "plain")
    assert record.headers["host"] == "peer.example"
    assert record.headers["x-tag"] == "one, two"
    assert record.headers["sec-websocket-extensions"] == "x-none"
    assert (record.end, record.ended_at) == (None, None)


async def test_accepting_follows_the_rfc(memory: Memory) -> None:
    """The answer to the RFC's sample nonce is the RFC's, with subprotocol and headers."""
    peer = ScriptedPeer(Script(Accept("chat", {"X-Tag": "t", "upgrade": "WebSocket"})))
    lines = (await memory.dial(peer).request()).decode().split("\r\n")
    assert lines == [
        "HTTP/1.1 101 Switching Protocols",
        "Connection: Upgrade",
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "Sec-WebSocket-Protocol: chat",
        "X-Tag: t",
        "upgrade: WebSocket",
    ]


@pytest.mark.parametrize("headers", [{"Upgrade": None}, {"Sec-WebSocket-Accept": "wrong"}])
async def test_a_bad_101_is_possible(memory: Memory, headers: dict[str, str | None]) -> None:
    """Headers of the 101 can be left out or falsified; the guard sees a PROTOCOL failure."""
    peer = ScriptedPeer(Script(Accept(headers=headers)))
    failure = await first_failure(memory, peer)
    assert failure.kind is wsguard.FailureKind.PROTOCOL


async def test_rejecting_has_status_headers_and_body(memory: Memory) -> None:
    """A refusal is a whole HTTP answer, and then the stream ends."""
    peer = ScriptedPeer(Script(Reject(503, {"Retry-After": "1"}, b"later")))
    client = memory.dial(peer)
    assert (await client.request()).decode().split("\r\n") == [
        "HTTP/1.1 503 Service Unavailable",
        "Content-Length: 5",
        "Connection: close",
        "Retry-After: 1",
    ]
    assert await client.body() == b"later"
    assert peer.connections[0].end is End.REFUSED


async def test_an_unframed_refusal_ends_with_the_stream(memory: Memory) -> None:
    """Without Content-Length the end of the stream is the end of the body."""
    client = memory.dial(ScriptedPeer(Script(Reject(599, body=b"b", framed=False))))
    head = await client.request()
    assert head.startswith(b"HTTP/1.1 599 Unassigned\r\n")
    assert b"Content-Length" not in head
    assert await client.body() == b"b"


async def test_a_refusal_can_be_held_open(memory: Memory) -> None:
    """A step after the refusal keeps the stream; what the client sends is nobody's."""
    client = memory.dial(ScriptedPeer(Script(Reject(503), Silence(3))))
    await client.request()
    await client.stream.send_all(b"anything")
    began = trio.current_time()
    assert await client.body() == b""
    assert trio.current_time() - began == 3


async def test_redirects(memory: Memory) -> None:
    """The guard follows a redirect that the peer scripts."""
    peer = ScriptedPeer(Script(Redirect("/other")), Script(Accept(), Push("here")))
    async with open_guard(memory, peer) as ws:
        assert await ws.get_message() == "here"
    assert [record.path for record in peer.connections] == ["/", "/other"]


async def test_steps_before_the_answer(memory: Memory) -> None:
    """The answer may be late, or not come at all."""
    peer = ScriptedPeer(Script(Wait(2), Accept()), Script(Silence()), Script(Wait(1), Drop()))
    client = memory.dial(peer)
    await client.request()
    assert trio.current_time() - peer.connections[0].opened_at == 2
    with trio.move_on_after(1000) as scope:
        await memory.dial(peer).request()
    assert scope.cancelled_caught
    assert await memory.dial(peer).request() == b""
    assert peer.connections[2].end is End.DROPPED


async def test_a_script_without_an_answer_drops(memory: Memory) -> None:
    """Where the steps are over and nothing was answered, the stream ends."""
    peer = ScriptedPeer(Script(SendRaw(b"SSH-2.0-x\r\n\r\n")))
    client = memory.dial(peer)
    assert await client.request() == b"SSH-2.0-x"
    assert await client.body() == b""
    assert peer.connections[0].end is End.DROPPED


async def test_a_request_may_come_in_pieces(memory: Memory) -> None:
    """A request byte by byte is a request."""
    peer = ScriptedPeer()
    client = memory.dial(peer)
    for i in range(len(REQUEST)):
        await client.stream.send_all(REQUEST[i : i + 1])
        await trio.testing.wait_all_tasks_blocked()
    assert (await client.request(b"")).startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize(
    ("raw", "status", "violation"),
    [
        (b"\x16\x03\x01 TLS?\r\n\r\n", b"400 ", "Bad HTTP message"),
        (REQUEST.replace(b"GET", b"PUT"), b"400 ", "must be GET"),
        (REQUEST.replace(b": 13", b": 12"), b"426 ", "Sec-WebSocket-Version"),
        (REQUEST.replace(b"peer.", b"p\xff."), b"400 ", "codec can't"),
        (REQUEST + b"\x81", b"400 ", "before the handshake was answered"),
        (b"x" * 2**17, b"431 ", "within 65536 bytes"),
    ],
)
async def test_a_bad_request_is_a_violation(
    memory: Memory, raw: bytes, status: bytes, violation: str
) -> None:
    """What is no request for a WebSocket is refused, and noted."""
    peer = ScriptedPeer()
    client = memory.dial(peer)
    assert (await client.request(raw)).startswith(b"HTTP/1.1 " + status)
    assert await client.body() == b""
    (record,) = peer.connections
    assert violation in (record.violation or "")
    assert record.end is End.VIOLATION


async def test_frames_before_the_answer_are_a_violation(memory: Memory) -> None:
    """A client that talks before it was accepted is dropped."""
    peer = ScriptedPeer(Script(Wait(5), Accept()))
    client = memory.dial(peer)
    await client.stream.send_all(REQUEST)
    await trio.sleep(1)
    await client.send(TEXT, b"early")
    assert await client.read() is None
    assert peer.connections[0].violation == "bytes before the handshake was answered"
