"""A scripted peer on real sockets, and clients that are not ours."""

from __future__ import annotations

import errno
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio_websocket
import trustme
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.trio.client import connect

import trio_wsguard as wsguard
from trio_wsguard.testing.peer import (
    VIOLATIONS,
    Accept,
    AnswerBeats,
    Call,
    Close,
    CutFrame,
    Drop,
    Echo,
    End,
    Feed,
    IgnoreClose,
    Push,
    PushFragmented,
    Reject,
    Reset,
    Script,
    ScriptedPeer,
    Silence,
    StopReading,
    Violate,
    open_loopback,
)

from .conftest import REQUEST

if TYPE_CHECKING:
    from trio_wsguard.testing.peer import Conversation, Step

ECHO = Script(Accept(), Echo())
QUICK = wsguard.GuardPolicy(
    backoff=wsguard.BackoffPolicy(
        closed=wsguard.LinearBackoff(step=0.01, cap=0.01),
        network=wsguard.LinearBackoff(step=0.01, cap=0.01),
        other=wsguard.LinearBackoff(step=0.01, cap=0.01),
    ),
    heartbeat=wsguard.HeartbeatPolicy(
        interval=0.1, response_timeout=1, send_timeout=1, slow_response=1, max_missed=1
    ),
    max_connection_failures=None,
    close_timeout=0.5,
)


def open_guard(url: str, **options: Any) -> Any:
    """Open a guard that comes back quickly and tries for ever."""
    return wsguard.open_guarded_websocket(url, **{"policy": QUICK, **options})


async def send_for_ever(ws: wsguard.GuardedWebSocket) -> None:
    """Send until it fails."""
    while True:
        await ws.send_message(bytes(2**20))


# --- the guard ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "step",
    [
        Drop(),
        Reset(),
        CutFrame(),
        Close(1012),
        Close(1001, wait=False),
        Violate("reserved bit"),
        Silence(),
        AnswerBeats(100),
    ],
    ids=repr,
)
async def test_the_guard_survives_a_step(step: Step) -> None:
    """Whatever the first connection meets, the second is used."""
    peer = ScriptedPeer(Script(Accept(), Push("1"), step), ECHO)
    async with open_loopback(peer) as server, open_guard(server.url) as ws:
        assert await ws.get_message() == "1"
        await peer.wait_connections(2)
        await ws.wait_connected()
        await ws.send_message("2")
        assert await ws.get_message() == "2"
    assert {record.violation for record in peer.connections} == {None}


async def test_stopped_reading_reaches_the_guard() -> None:
    """A peer that takes no bytes blocks the guard's sends until the guard leaves it."""
    peer = ScriptedPeer(Script(Accept(), StopReading()), ECHO)
    policy = wsguard.GuardPolicy(
        backoff=QUICK.backoff, watchdog=wsguard.WatchdogPolicy(send_timeout=0.3)
    )
    async with open_loopback(peer) as server, open_guard(server.url, policy=policy) as ws:
        with pytest.raises(wsguard.ConnectionLostError):
            await send_for_ever(ws)
        await peer.wait_connections(2)


async def test_a_reset_is_a_reset() -> None:
    """On a socket, `Reset` is an RST."""
    async with (
        open_loopback(ScriptedPeer(Script(Reset()))) as server,
        await trio.open_tcp_stream("127.0.0.1", server.port) as stream,
    ):
        await stream.send_all(REQUEST)
        with pytest.raises(trio.BrokenResourceError) as caught:
            await stream.receive_some()
        assert isinstance(caught.value.__cause__, ConnectionResetError)


# --- the server ---------------------------------------------------------------------


async def test_down_and_up_on_the_same_port() -> None:
    """While it is stopped the port refuses; started again, it is the same port."""
    peer = ScriptedPeer(ECHO)
    async with open_loopback(peer) as server, open_guard(server.url) as ws:
        port = server.port
        await server.stop()
        await server.stop()
        assert peer.connections[0].end is End.ABANDONED
        with pytest.raises(OSError, match="all attempts to connect"):
            await trio.open_tcp_stream("127.0.0.1", port)
        await server.start()
        await server.start()
        assert server.port == port
        await peer.wait_connections(2)
        await ws.wait_connected()
        await ws.send_message("back")
        assert await ws.get_message() == "back"


async def test_reset_all_resets_what_is_open() -> None:
    """All connections break at once, and new ones are taken."""
    peer = ScriptedPeer(ECHO)
    async with open_loopback(peer) as server, open_guard(server.url) as ws:
        await server.reset_all()
        await peer.wait_connections(2)
        await ws.wait_connected()
    assert [record.end for record in peer.connections] == [End.LOST, End.CLOSED]


async def test_leaving_the_block_ends_all() -> None:
    """Connections of peers that would go on for ever end with the block, and their sockets."""
    peer = ScriptedPeer(Script(Accept(), StopReading()), Script(Accept(), Silence()), ECHO)
    async with open_loopback(peer) as server:
        streams = [await trio.open_tcp_stream("127.0.0.1", server.port) for _ in range(3)]
        await peer.wait_connections(3)
    for stream in streams:
        async with stream:
            assert await stream.receive_some() == b""
    assert {record.end for record in peer.connections} == {End.ABANDONED}


async def test_errors_of_functions_leave_the_block_as_themselves() -> None:
    """What a user's function raises comes out of the block, unwrapped."""

    async def fail(conversation: Conversation) -> None:
        raise LookupError("mine")

    async def serve() -> None:
        peer = ScriptedPeer(Script(Accept(), Call(fail)))
        async with open_loopback(peer) as server, open_guard(server.url):
            await trio.sleep_forever()

    with pytest.raises(LookupError, match="mine"):
        await serve()


async def test_a_port_in_use_is_an_error() -> None:
    """Where the port cannot be had, entering raises the system's own error."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError) as caught:  # noqa: PT011 - by its errno
        async with open_loopback(ScriptedPeer(), port=taken.getsockname()[1]):
            pytest.fail("entered")
    assert caught.value.errno == errno.EADDRINUSE


async def test_names_and_ipv6() -> None:
    """It listens on a name's first address, or on one of IPv6, and the URL fits."""
    for host, shown in (("localhost", "localhost"), ("::1", "[::1]")):
        async with open_loopback(ScriptedPeer(ECHO), host=host) as server:
            assert server.url == f"ws://{shown}:{server.port}/"
            async with connect(server.url) as ws:
                await ws.send("x")
                assert await ws.recv() == "x"


async def test_any_function_of_a_stream_can_be_served() -> None:
    """A handler of the user's own is served likewise, and may let stream errors out."""

    async def shout(stream: trio.abc.Stream) -> None:
        await stream.send_all(b"HEY")
        raise trio.BrokenResourceError

    async with (
        open_loopback(shout) as server,
        await trio.open_tcp_stream("127.0.0.1", server.port) as stream,
    ):
        assert await stream.receive_some() == b"HEY"


# --- TLS ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority."""
    return trustme.CA()


@pytest.fixture
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    """What the server shows."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def client_context(authority: trustme.CA) -> ssl.SSLContext:
    """What a client trusts."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_over_tls(server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> None:
    """The same peer over TLS, reset and cut off included."""
    peer = ScriptedPeer(Script(Accept(), Push("1"), Reset()), Script(Accept(), Drop()), ECHO)
    async with open_loopback(peer, ssl_context=server_context) as server:
        assert server.url == f"wss://127.0.0.1:{server.port}/"
        async with open_guard(server.url, ssl_context=client_context) as ws:
            await peer.wait_connections(3)
            await ws.wait_connected()
            await server.reset_all()
            await peer.wait_connections(4)
    ends = [record.end for record in peer.connections]
    assert ends[:3] == [End.RESET, End.DROPPED, End.LOST]


async def test_a_failed_tls_handshake_does_not_reach_the_peer(
    server_context: ssl.SSLContext,
) -> None:
    """A client that does not trust the certificate takes no script."""
    peer = ScriptedPeer()
    async with open_loopback(peer, ssl_context=server_context) as server:
        with pytest.raises(wsguard.GuardFailedError):
            async with open_guard(server.url):
                pytest.fail("entered")
    assert peer.connections == []


# --- clients that are not ours --------------------------------------------------------


async def test_websockets_talks_to_it() -> None:
    """The `websockets` library gets messages, pongs and the close code."""
    peer = ScriptedPeer(Script(Accept("chat"), Push("a", b"b"), Echo(1), Close(4000, "enough")))
    async with open_loopback(peer) as server:
        async with connect(server.url, subprotocols=["plain", "chat"]) as ws:  # type: ignore[list-item]
            assert ws.subprotocol == "chat"
            assert [await ws.recv(), await ws.recv()] == ["a", b"b"]
            await ws.send(["frag", "ments"])
            assert await ws.recv() == "fragments"
            with pytest.raises(ConnectionClosed) as caught:
                await ws.recv()
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4000, "enough")
    assert peer.connections[0].subprotocols == ("plain", "chat")
    assert peer.connections[0].end is End.CLOSED


async def test_websockets_reads_fragments_and_feeds() -> None:
    """Fragments with a ping between them are one message; a feed ends with the client's close."""
    script = Script(Accept(), PushFragmented("a", "b", ping=True), Feed(interval=0.01))
    peer = ScriptedPeer(script)
    async with open_loopback(peer) as server:
        async with connect(server.url) as ws:
            assert [await ws.recv() for _ in range(3)] == ["ab", "1", "2"]
        await peer.wait_ended(1)
    assert [pong.message for pong in peer.connections[0].pongs] == [b"between"]
    assert (peer.connections[0].close_code, peer.connections[0].end) == (1000, End.CLOSED)


async def test_websockets_is_refused() -> None:
    """A refusal has its status, headers and body."""
    peer = ScriptedPeer(Script(Reject(418, {"X-Tag": "t"}, b"short and stout")))
    async with open_loopback(peer) as server:
        with pytest.raises(InvalidStatus) as caught:
            async with connect(server.url):
                pytest.fail("entered")
    response = caught.value.response
    assert (response.status_code, response.headers["X-Tag"]) == (418, "t")
    assert response.body == b"short and stout"


@pytest.mark.parametrize("rule", VIOLATIONS)
async def test_websockets_closes_as_the_table_tells(rule: str) -> None:
    """Another strict client closes with the code of the table."""
    peer = ScriptedPeer(Script(Accept(), Violate(rule)))
    async with open_loopback(peer) as server:
        async with connect(server.url, close_timeout=1) as ws:
            with pytest.raises(ConnectionClosed):
                await ws.recv()
        await peer.wait_ended(1)
    # A length that is impossible is also beyond this client's limit, which it sees first.
    code = 1009 if rule == "impossible length" else VIOLATIONS[rule].code
    assert peer.connections[0].close_code == code


async def test_trio_websocket_meets_a_stuck_close() -> None:
    """The peer holds its end of a stream on which a plain client has closed."""
    peer = ScriptedPeer(Script(Accept(), IgnoreClose()))
    async with open_loopback(peer) as server, trio.open_nursery() as nursery:
        stream = await trio.open_tcp_stream("127.0.0.1", server.port)
        ws = await trio_websocket.wrap_client_stream(nursery, stream, "127.0.0.1", "/")
        nursery.start_soon(ws.aclose)
        with trio.move_on_after(0.2) as scope:
            await peer.wait_ended(1)
        assert scope.cancelled_caught
        nursery.cancel_scope.cancel()
        await trio.aclose_forcefully(stream)
    assert peer.connections[0].close_code == 1000
