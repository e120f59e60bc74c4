"""Small servers on loopback sockets, and what a test asks of a guard of them."""

from __future__ import annotations

import base64
import hashlib
import socket
import ssl
import struct
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest
import trio
import trustme

import trio_wsguard as wsguard
from trio_wsguard import ConnectionState

from ..talks import close_with as close_with
from ..talks import converse
from ..talks import drop as drop
from ..talks import echo as echo

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import trio_websocket

    from ..talks import Talk

    Handler = Callable[["Peer"], Awaitable[object]]

CA: Final = trustme.CA()  # whom `client_context` trusts, and nobody else

CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10


class Peer(trio.abc.Stream):
    """The server's end of one connection.

    Args:
        stream: The socket, or TLS over it.
        heads: Where request heads are noted.
    """

    def __init__(self, stream: trio.abc.Stream, heads: list[str]) -> None:
        self._stream = stream
        self._heads = heads
        self._unread = bytearray()
        self._lock = trio.Lock()

    @property
    def socket(self) -> trio.socket.SocketType:
        """The socket."""
        stream = self._stream
        if isinstance(stream, trio.SSLStream):
            stream = stream.transport_stream
        assert isinstance(stream, trio.SocketStream)
        return stream.socket

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send."""
        await self._stream.send_all(data)

    async def send_whole(self, opcode: int, payload: bytes) -> None:
        """Send a frame, from several tasks in turn."""
        async with self._lock:
            await self.send_all(frame(opcode, payload))

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until sending might not block."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive."""
        if self._unread:
            await trio.lowlevel.checkpoint()
            data, self._unread = self._unread, bytearray()
            return bytes(data)
        return bytes(await self._stream.receive_some(max_bytes))

    async def aclose(self) -> None:
        """Close by FIN."""
        await self._stream.aclose()

    async def read_request(self) -> str:
        """Read the head of the request and note it."""
        while b"\r\n\r\n" not in self._unread:
            chunk = bytes(await self._stream.receive_some())
            if not chunk:
                raise trio.BrokenResourceError("no request")
            self._unread += chunk
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        self._heads.append(head.decode("latin-1") + "\r\n\r\n")
        return self._heads[-1]

    def unread_request(self) -> None:
        """Put the last head back, for a library that wants to read it."""
        self._unread[:0] = self._heads[-1].encode("latin-1")

    async def shake(self) -> None:
        """Do the handshake without any library: no frame is answered that the test does not."""
        head = await self.read_request()
        await self.send_all(switching(accept_key(head)))

    async def reset(self) -> None:
        """Close by RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await trio.aclose_forcefully(self._stream)

    async def mute(self) -> None:
        """Read, and never answer."""
        while await self.receive_some(2**16):
            pass

    async def _exactly(self, count: int) -> bytes:
        while len(self._unread) < count:
            chunk = await self._stream.receive_some(2**16)
            if not chunk:
                raise trio.EndOfChannel
            self._unread += chunk
        data = bytes(self._unread[:count])
        del self._unread[:count]
        return data

    async def read_frame(self) -> tuple[int, bytes]:
        """Read one frame of a client, strictly.

        Raises:
            trio.EndOfChannel: The client ended the connection.
        """
        first, second = await self._exactly(2)
        opcode = first & 0x0F
        assert first & 0x70 == 0
        assert opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG)
        assert second & 0x80, "a client's frame is masked"
        length = second & 0x7F
        if length > 125:
            length = int.from_bytes(await self._exactly(2 if length == 126 else 8))
        mask = await self._exactly(4)
        masked = await self._exactly(length)
        key = int.from_bytes((mask * (length // 4 + 1))[:length])
        return opcode, (int.from_bytes(masked) ^ key).to_bytes(length)


def frame(opcode: int, payload: bytes = b"", *, first: int = 0x80, mask: bool = False) -> bytes:
    """Build one frame of a server's.

    Args:
        opcode: What it is.
        payload: What it carries.
        first: The bits of the first byte besides the opcode; 0x80 is FIN.
        mask: Whether to mask it (with zeros), which a server must not.
    """
    length = len(payload)
    bit = 0x80 if mask else 0
    if length <= 125:
        head = bytes([first | opcode, bit | length])
    elif length < 2**16:
        head = bytes([first | opcode, bit | 126]) + length.to_bytes(2)
    else:
        head = bytes([first | opcode, bit | 127]) + length.to_bytes(8)
    return head + (bytes(4) if mask else b"") + payload


def accept_key(head: str) -> str:
    """Tell the accept key for a request (RFC 6455, section 4.2.2)."""
    key = header(head, "Sec-WebSocket-Key") or ""
    digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()  # noqa: S324 - the RFC's
    return base64.b64encode(digest).decode()


def switching(key: str, *extra: str) -> bytes:
    """Build a 101 answer."""
    lines = ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {key}", *extra]
    return "\r\n".join(["HTTP/1.1 101 Switching Protocols", *lines, "", ""]).encode()


def header(head: str, name: str) -> str | None:
    """Tell the value of a header of a request; ``None`` where it has none."""
    for line in head.split("\r\n")[1:]:
        field, _, value = line.partition(":")
        if field.lower() == name.lower():
            return value.strip()
    return None


def server_context(*names: str, ca: trustme.CA = CA, **options: object) -> ssl.SSLContext:
    """Make a server's context with a certificate for some names."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert(*names, **options).configure_cert(context)  # type: ignore[arg-type]
    return context


@attrs.define(eq=False)
class Server:
    """A server: each connection takes the next handler, the last one for ever.

    Attributes:
        nursery: Where it runs.
        ssl_context: For TLS.
        host: The name in its URL.
        port: Its port.
        handlers: What the coming connections meet.
        heads: The heads of the requests read so far.
        accepted_at: When each connection came, in monotonic seconds.
    """

    nursery: trio.Nursery
    ssl_context: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    port: int = 0
    handlers: deque[Handler] = attrs.field(factory=deque)
    heads: list[str] = attrs.field(factory=list)
    accepted_at: list[float] = attrs.field(factory=list)
    _listener: trio.SocketListener | None = None
    _scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"{'wss' if self.ssl_context else 'ws'}://{self.host}:{self.port}/"

    @property
    def paths(self) -> list[str]:
        """What was asked for so far."""
        return [head.split(" ")[1] for head in self.heads]

    def script(self, *handlers: Handler) -> None:
        """Say what the coming connections meet."""
        self.handlers = deque(handlers)

    async def start(self) -> None:
        """Begin to listen, again on the same port after `stop`."""
        (self._listener,) = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
        self.port = self._listener.socket.getsockname()[1]
        self._scope = trio.CancelScope()
        self.nursery.start_soon(self._accept, self._listener, self._scope)

    async def stop(self) -> None:
        """Refuse new connections and drop those that are."""
        assert self._listener is not None
        self._scope.cancel()
        await self._listener.aclose()

    async def _accept(self, listener: trio.SocketListener, scope: trio.CancelScope) -> None:
        with scope:
            async with listener, trio.open_nursery() as nursery:
                while True:
                    try:
                        stream = await listener.accept()
                    except trio.ClosedResourceError:
                        return
                    self.accepted_at.append(trio.current_time())
                    handler = (
                        self.handlers.popleft() if len(self.handlers) > 1 else self.handlers[0]
                    )
                    nursery.start_soon(self._serve, handler, stream)

    async def _serve(self, handler: Handler, stream: trio.SocketStream) -> None:
        async with stream:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError, trio.EndOfChannel):
                if self.ssl_context is None:
                    await handler(Peer(stream, self.heads))
                    return
                tls = trio.SSLStream(
                    stream, self.ssl_context, server_side=True, https_compatible=True
                )
                await tls.do_handshake()
                await handler(Peer(tls, self.heads))


# --- handlers -----------------------------------------------------------------


def accept(talk: Talk, subprotocol: str | None = None) -> Handler:
    """Shake hands with the real trio-websocket, talk, and end without a close frame."""

    async def handler(peer: Peer) -> None:
        await peer.read_request()
        peer.unread_request()
        await converse(peer, talk, subprotocol)

    return handler


def greet(*messages: str, then: Talk = echo) -> Talk:
    """Say something, then go on."""

    async def talk(ws: trio_websocket.WebSocketConnection) -> None:
        for message in messages:
            await ws.send_message(message)
        await then(ws)

    return talk


def answer(raw: bytes, *, hold: bool = False) -> Handler:
    """Answer the request with raw bytes; then end, or hold the connection open."""

    async def handler(peer: Peer) -> None:
        await peer.read_request()
        await peer.send_all(raw)
        if hold:
            await trio.sleep_forever()

    return handler


def respond(status: int, *headers: str) -> Handler:
    """Answer with a status and no body."""
    lines = [f"HTTP/1.1 {status} Status", *headers, "Content-Length: 0", "", ""]
    return answer("\r\n".join(lines).encode())


def redirect(location: str, status: int = 302) -> Handler:
    """Send elsewhere."""
    return respond(status, f"Location: {location}")


def shake_and_send(*frames: bytes) -> Handler:
    """Shake hands, send raw frames and read on without an answer."""

    async def handler(peer: Peer) -> None:
        await peer.shake()
        await peer.send_all(b"".join(frames))
        await peer.mute()

    return handler


async def take_no_bytes(peer: Peer) -> None:
    """Shake hands, and never read again."""
    await peer.shake()
    await trio.sleep_forever()


async def close_at_once(peer: Peer) -> None:
    """Accept and close."""
    await trio.lowlevel.checkpoint()


async def reset_at_once(peer: Peer) -> None:
    """Accept and reset."""
    await peer.reset()


# --- the guard's side ---------------------------------------------------------

QUICK: Final = wsguard.BackoffPolicy(
    closed=wsguard.LinearBackoff(step=0.01, cap=0.02),
    network=wsguard.LinearBackoff(step=0.01, cap=0.02),
    other=wsguard.LinearBackoff(step=0.01, cap=0.02),
)
BEATING: Final = wsguard.HeartbeatPolicy(
    interval=0.1, send_timeout=0.3, response_timeout=0.5, slow_response=0.3, max_missed=2
)


def quick(**settings: Any) -> wsguard.GuardPolicy:
    """A policy that comes back after some milliseconds, and is patient in all else."""
    settings.setdefault("backoff", QUICK)
    settings.setdefault("close_timeout", 0.5)
    return wsguard.GuardPolicy(**settings)


# What `open_guard` uses where a test does not say; set by the fixture `transport`.
default_transport = "trio-websocket"


def open_guard(url: Any, **options: Any) -> Any:
    """Open a guard with a quick policy, over the transport under test."""
    options.setdefault("policy", quick())
    options.setdefault("name", "test")
    options.setdefault("transport", default_transport)
    return wsguard.open_guarded_websocket(url, **options)


async def next_change(events: wsguard.EventStream, *states: ConnectionState) -> wsguard.StateChange:
    """Wait for the next change to one of some states."""
    async for event in events:
        if isinstance(event, wsguard.StateChange) and event.state in states:
            return event
    raise AssertionError(f"the guard ended before {states}")


async def next_event(events: wsguard.EventStream, *kinds: type) -> Any:
    """Wait for the next event of some types."""
    async for event in events:
        if isinstance(event, kinds):
            return event
    raise AssertionError(f"the guard ended before {kinds}")


async def failures_of(url: Any, count: int = 1, **options: Any) -> list[wsguard.StateChange]:
    """Open a guard and tell the first losses of it, failed attempts and lost connections."""
    async with open_guard(url, wait=False, **options) as ws, ws.events() as events:
        return [await next_change(events, ConnectionState.RECONNECTING) for _ in range(count)]


async def failure_of(url: Any, **options: Any) -> wsguard.Failure:
    """Open a guard and tell its first failure; a fatal one must end in FAILED, no other may."""
    async with open_guard(url, wait=False, **options) as ws, ws.events() as events:
        change = await next_change(events, ConnectionState.RECONNECTING)
        failure = change.failure
        assert failure is not None
        after = await next_change(events, ConnectionState.CONNECTING, ConnectionState.FAILED)
        assert (after.state is ConnectionState.FAILED) is not failure.transient
        return failure


async def eventually(is_so: Callable[[], bool]) -> None:
    """Wait for what no event tells of."""
    while not is_so():  # noqa: ASYNC110 - it is of the kernel or of another process
        await trio.sleep(0.005)


_OPEN_FILES = Path("/proc/self/fd")
needs_proc = pytest.mark.skipif(not _OPEN_FILES.is_dir(), reason="needs /proc/self/fd")


def open_files() -> int:
    """Count the files and sockets that this process has open, the counting one included."""
    return len([*_OPEN_FILES.iterdir()])
