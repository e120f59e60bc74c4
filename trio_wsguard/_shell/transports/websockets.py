"""The adapter over the Sans-I/O protocol of `websockets`.

The library knows the protocol and never sees the stream: `receive` reads a
large chunk, feeds it, and hands on all its messages at once. No task stands
between the stream and the receive task.

What the library wants sent of its own (pongs, close frames) waits in
`_control`, and a task that lives only as long as there is some writes it: a
peer that takes no bytes does not stop us from reading. Whoever holds the write
lock writes what waits there before its own frame; a large message goes out in
fragments, so that it holds no pong up for long.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import trio
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidState, PayloadTooBig, ProtocolError
from websockets.extensions.permessage_deflate import enable_client_permessage_deflate
from websockets.protocol import CLIENT, OPEN, Protocol
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI
from websockets.version import version

from trio_wsguard._core.failure import FailureKind
from trio_wsguard._errors import TransportError
from trio_wsguard._shell.flag import Flag
from trio_wsguard._shell.nursery import open_flat_nursery
from trio_wsguard._shell.transports.common import (
    CLOSE_GRACE,
    AnswerHead,
    broke_protocol,
    closed,
    ended_in_handshake,
)
from trio_wsguard._shell.transports.frames import FrameReader

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from trio_wsguard._shell.transport import Handshake, Message, OnPong
    from trio_wsguard._shell.watched import WatchedStream

if int(version.partition(".")[0]) < 17:
    raise ImportError(f"websockets {version} is too old")

# Measured by `python -m benchmarks receive`: large messages come a quarter faster in
# large chunks. Small ones would swamp the queue: a thousand of 64 B are one small chunk.
SMALL_CHUNK: Final = 2**16
LARGE_CHUNK: Final = 2**18
# A chunk may become a thousand times as much once it is inflated.
DEFLATED_CHUNK: Final = 2**14
FRAGMENT_SIZE: Final = 2**18

_FEW_MESSAGES: Final = 16
_MAX_CONTROL: Final = 1000
_CLOSE_CODES: Final = {UnicodeDecodeError: 1007, PayloadTooBig: 1009, ProtocolError: 1002}
_GONE: Final = (trio.BrokenResourceError, trio.ClosedResourceError)

# The library's own shows headers at DEBUG; what it would log as an error, we raise.
_SILENT: Final = logging.Logger("trio_wsguard.websockets", logging.CRITICAL + 1)


def open_transport(
    stream: WatchedStream, handshake: Handshake, on_pong: OnPong, *, compression: str | None = None
) -> AbstractAsyncContextManager[WebSocketsTransport]:
    """Open a connection over a stream; see `TransportFactory`.

    Args:
        stream: What carries it.
        handshake: What to ask the server for.
        on_pong: Told each pong.
        compression: ``"deflate"`` to offer permessage-deflate (RFC 7692).

    Raises:
        TransportError: The handshake failed.
    """
    return _Opening(stream, handshake, on_pong, compression)


class _Opening:
    # A class: a generator's frame would be kept by every connection, for its whole life.
    __slots__ = (
        "_compression",
        "_handshake",
        "_manager",
        "_nursery",
        "_on_pong",
        "_stream",
        "_transport",
    )

    def __init__(
        self, stream: WatchedStream, handshake: Handshake, on_pong: OnPong, compression: str | None
    ) -> None:
        self._stream = stream
        self._handshake = handshake
        self._on_pong = on_pong
        self._compression = compression
        self._manager = open_flat_nursery()

    async def __aenter__(self) -> WebSocketsTransport:
        stream = self._stream
        protocol, early = await _shake_hands(stream, self._handshake, self._compression)
        # Last of all: what fails before it leaves no nursery to be closed.
        self._nursery = await self._manager.__aenter__()
        outlet = _Outlet(stream, protocol, self._nursery)
        self._transport = WebSocketsTransport(stream, protocol, outlet, self._on_pong, early)
        return self._transport

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        if exc_type is None:
            if self._transport.must_linger:
                self._nursery.start_soon(self._linger)
            else:
                self._nursery.cancel_scope.cancel()
        return await self._manager.__aexit__(exc_type, exc, traceback)

    async def _linger(self) -> None:
        await self._transport.linger()
        self._nursery.cancel_scope.cancel()


def _protocol(handshake: Handshake, compression: str | None) -> ClientProtocol:
    target = handshake.target
    return ClientProtocol(
        WebSocketURI(target.is_secure, target.host, target.port, target.resource, ""),
        extensions=enable_client_permessage_deflate(None) if compression else None,
        subprotocols=[Subprotocol(name) for name in handshake.subprotocols] or None,
        max_size=handshake.max_message_size,
        logger=_SILENT,
    )


async def _shake_hands(
    stream: WatchedStream, handshake: Handshake, compression: str | None
) -> tuple[Protocol, bytes]:
    """Shake hands; give the open protocol, and what came behind the answer."""
    opening = _protocol(handshake, compression)
    try:
        early = await _exchange(stream, opening, handshake.headers)
    except InvalidHandshake as exc:
        raise broke_protocol(exc) from exc
    except _GONE as exc:
        raise ended_in_handshake(stream) from exc
    # A new one for what follows: the old one keeps the answer's headers for its life.
    protocol = Protocol(CLIENT, state=OPEN, max_size=handshake.max_message_size, logger=_SILENT)
    protocol.extensions = opening.extensions
    protocol.subprotocol = opening.subprotocol
    return protocol, early


async def _exchange(
    stream: WatchedStream, protocol: ClientProtocol, headers: Iterable[tuple[bytes, bytes]]
) -> bytes:
    request = protocol.connect()
    for name, value in headers:
        request.headers[name.decode()] = value.decode("latin-1")
    protocol.send_request(request)
    await stream.send_all(b"".join(protocol.data_to_send()))
    head = AnswerHead()
    while not protocol.events_received():
        chunk = await stream.receive_some(SMALL_CHUNK)
        if not chunk:
            raise ended_in_handshake(stream)
        error = head.read(chunk)
        if error is not None:
            raise error
        protocol.receive_data(chunk[: len(chunk) - len(head.rest)])
        if protocol.handshake_exc is not None:
            raise protocol.handshake_exc
    # Not read yet: pongs among it would find no taker.
    return head.rest


class WebSocketsTransport:
    """One connection of `websockets`; made by `open_transport`.

    Args:
        stream: What carries it.
        protocol: The library's, open.
        outlet: Its sending side.
        on_pong: Told each pong.
        early: What came behind the answer to the handshake.
    """

    def __init__(
        self,
        stream: WatchedStream,
        protocol: Protocol,
        outlet: _Outlet,
        on_pong: OnPong,
        early: bytes,
    ) -> None:
        self._stream = stream
        self._protocol = protocol
        self._outlet = outlet
        self._reader = FrameReader(protocol, on_pong)
        self._early = early
        self._read_lock = trio.Lock()
        self._chunk_size = DEFLATED_CHUNK if protocol.extensions else SMALL_CHUNK

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol agreed on."""
        return self._protocol.subprotocol

    # --- receiving -------------------------------------------------------------

    async def receive(self) -> list[Message]:
        """Receive all messages of the next chunk that has any.

        Messages are handed on in the step in which their chunk was read: no
        cancellation comes between.
        """
        while not self._reader.is_over:
            if batch := await self._read():
                return batch
        raise self._ended()

    async def _read(self) -> list[Message]:
        # A lock, since aclose() reads too where no receive() is waiting.
        await _acquire(self._read_lock)
        try:
            if self._reader.is_over:
                return []
            chunk = await self._next_chunk()
        except _GONE:
            chunk = b""
        finally:
            self._read_lock.release()
        return self._take(chunk)

    async def _next_chunk(self) -> bytes:
        if self._early:
            await trio.lowlevel.checkpoint()
            chunk, self._early = self._early, b""
            return chunk
        await self._outlet.wait_for_room()
        return bytes(await self._stream.receive_some(self._chunk_size))

    def _take(self, chunk: bytes) -> list[Message]:
        batch: list[Message] = []
        if chunk:
            batch = self._reader.feed(chunk)
            if not self._protocol.extensions:
                is_large = len(chunk) >= SMALL_CHUNK and len(batch) < _FEW_MESSAGES
                self._chunk_size = LARGE_CHUNK if is_large else SMALL_CHUNK
        else:
            self._protocol.receive_eof()
        invalid = self._reader.invalid
        if invalid is not None:
            self._protocol.fail(1007, f"{invalid.reason} at position {invalid.start}")
        self._outlet.flush_soon()
        return batch

    def _ended(self) -> TransportError:
        received, broken = self._protocol.close_rcvd, self._protocol.parser_exc
        if self._reader.invalid is not None:
            broken = self._reader.invalid
        elif received is not None:
            return closed(int(received.code), received.reason, self._stream)
        if broken is None and self._protocol.close_sent is not None:
            return TransportError(FailureKind.CLOSED, "the connection is closing")
        if broken is None or isinstance(broken, EOFError):
            return closed(1006, "", self._stream)
        return broke_protocol(broken, _CLOSE_CODES.get(type(broken), 1011))

    # --- sending ---------------------------------------------------------------

    async def send(self, message: Message) -> None:
        """Send a message, a large one in fragments."""
        is_text = isinstance(message, str)
        data = message.encode() if isinstance(message, str) else message
        begin = self._protocol.send_text if is_text else self._protocol.send_binary
        if len(data) <= FRAGMENT_SIZE:
            await self._send(self._outlet.send, begin, data)
        else:
            await self._send(self._outlet.send_in_fragments, begin, data)

    async def ping(self, payload: bytes) -> None:
        """Send a ping and return once it is written."""
        await self._send(self._outlet.send, self._protocol.send_ping, payload)

    async def _send(self, write: Callable[..., Awaitable[None]], *args: Any) -> None:
        if self._reader.is_over:
            raise self._ended()
        try:
            await write(*args)
        except (InvalidState, *_GONE) as exc:
            raise self._ended() from (self._stream.error or exc)

    async def aclose(self, code: int, reason: str) -> None:
        """Do the close handshake; messages that still come are thrown away."""
        # Where the stream or the peer ended first, that is as closed as it gets.
        with suppress(InvalidState, *_GONE):
            await self._outlet.send(self._protocol.send_close, code, reason)
            while not self._reader.is_over:
                await self._read()

    @property
    def must_linger(self) -> bool:
        """Whether a close handshake has just been done."""
        return self._protocol.close_sent is not None and self._reader.is_over

    async def linger(self) -> None:
        """Let our close frame go out, and give the peer a moment to close TCP first.

        What still comes is read and thrown away: a socket closed with bytes
        unread resets the connection, and the peer may never see our frame.
        """
        with trio.move_on_after(CLOSE_GRACE), suppress(*_GONE):
            await self._outlet.flushed.wait()
            while not self._stream.ended.is_set():
                await self._stream.receive_some(SMALL_CHUNK)


class _Outlet:
    """The sending side: one writer at a time, frames in order and none of them cut.

    Attributes:
        flushed: Set while no control frame waits to be written.
    """

    def __init__(self, stream: WatchedStream, protocol: Protocol, nursery: trio.Nursery) -> None:
        self._stream = stream
        self._protocol = protocol
        self._nursery = nursery
        self._lock = trio.Lock()
        self._control: list[bytes] = []
        self.flushed = Flag()
        self.flushed.set()

    async def send(self, make: Callable[..., None], *args: Any) -> None:
        """Have the protocol make a frame, and write it.

        Raises:
            InvalidState: The protocol is past sending it.
            trio.BrokenResourceError: The stream is.
        """
        await self._begin()
        try:
            make(*args)
            await self._write()
        finally:
            self._lock.release()

    async def send_in_fragments(self, begin: Callable[[bytes, bool], None], data: bytes) -> None:
        """Write a message in fragments, with control frames between them as they come."""
        await self._begin()
        try:
            make = begin
            for end in range(FRAGMENT_SIZE, len(data) + FRAGMENT_SIZE, FRAGMENT_SIZE):
                make(data[end - FRAGMENT_SIZE : end], end >= len(data))
                await self._write()
                make = self._protocol.send_continuation
        finally:
            self._lock.release()

    async def _begin(self) -> None:
        await _acquire(self._lock)
        try:
            # Cancelled here, nothing was begun: the protocol has not seen it.
            await trio.lowlevel.checkpoint_if_cancelled()
            if self._stream.is_cut:
                raise trio.BrokenResourceError("the last frame was cut")  # noqa: TRY301
        except BaseException:
            self._lock.release()
            raise

    async def _write(self) -> None:
        data = b"".join((*self._control, *self._protocol.data_to_send()))
        self._control.clear()
        try:
            await self._stream.send_all(data)
        except trio.Cancelled:
            # Even before its first byte: the compressor has moved on with it, and
            # fragments may have gone before.
            self._stream.is_cut = True
            raise

    def flush_soon(self) -> None:
        """Have written, without waiting for it, what the protocol answered to the peer."""
        answers = [data for data in self._protocol.data_to_send() if data]  # b"" is an EOF
        if answers:
            self._control += answers
            if self.flushed.is_set():
                self.flushed = Flag()
                self._nursery.start_soon(self._flush)

    async def _flush(self) -> None:
        try:
            with suppress(*_GONE):  # `receive` tells of it
                while self._control:
                    await self._begin()
                    try:
                        await self._write()
                    finally:
                        self._lock.release()
        finally:
            self.flushed.set()

    async def wait_for_room(self) -> None:
        """Wait while a peer that takes no bytes asks for ever more answers."""
        if len(self._control) > _MAX_CONTROL:
            await self.flushed.wait()


async def _acquire(lock: trio.Lock) -> None:
    # The uncontended lock costs no trip through the scheduler: what follows has its own.
    try:
        lock.acquire_nowait()
    except trio.WouldBlock:
        await lock.acquire()
