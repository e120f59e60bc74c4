"""The adapter over trio-websocket.

It runs the library's reader in a task that contains every exception: the library
lets `LocalProtocolError` out of its reader (a ping after our close was sent does
it) and stray `Cancelled` out of its own context managers.

The handshake is raced against the stream below it. The library hangs when the
server ends the connection midway, answers without a length, or is no HTTP
server at all; the bytes tell all of this at once.
"""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import attrs
import trio
import trio_websocket

from trio_wsguard._core.failure import FailureKind, printable
from trio_wsguard._errors import TransportError
from trio_wsguard._shell.flag import Flag
from trio_wsguard._shell.nursery import finish_without_waiting, open_flat_nursery
from trio_wsguard._shell.transports.common import (
    CLOSE_GRACE,
    AnswerHead,
    broke_protocol,
    closed,
    ended_in_handshake,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from trio_wsguard._shell.transport import Handshake, Message, OnPong
    from trio_wsguard._shell.watched import WatchedStream

# Measured by `python -m benchmarks receive`: its defaults (4 KiB, 1) cost a
# factor of 3 at 64 KiB messages; beyond these nothing more is gained.
RECEIVE_BUFFER_SIZE: Final = 2**18
MESSAGE_QUEUE_SIZE: Final = 64

_MAX_UNANSWERED_PINGS: Final = 1000
_MAX_BYTES: Final = 4  # of a character in UTF-8
MESSAGE_TOO_BIG: Final = 1009
_PING_HEAD: Final = 0x89
_CLOSE_HEAD: Final = 0x88

logging.getLogger("trio-websocket").addHandler(logging.NullHandler())


@asynccontextmanager
async def open_transport(
    stream: WatchedStream, handshake: Handshake, on_pong: OnPong
) -> AsyncIterator[TrioWebSocketTransport]:
    """Open a connection over a stream; see `TransportFactory`.

    Raises:
        TransportError: The handshake failed.
    """
    async with open_flat_nursery() as nursery:
        transport = TrioWebSocketTransport(stream, handshake, on_pong, nursery)
        await transport.open()
        yield transport
        await transport.wait_for_eof()
        nursery.cancel_scope.cancel()


@attrs.frozen
class _Starter:
    """As much of a nursery as the library asks of one: it starts its reader, and that is all."""

    start_soon: Callable[[Callable[[], Awaitable[None]]], None]


class TrioWebSocketTransport:
    """One connection of trio-websocket's; made by `open_transport`."""

    def __init__(
        self,
        stream: WatchedStream,
        handshake: Handshake,
        on_pong: OnPong,
        nursery: trio.Nursery,
    ) -> None:
        self._stream = stream
        self._handshake = handshake
        self._surely_fits = handshake.max_message_size // _MAX_BYTES
        self._on_pong = on_pong
        self._nursery = nursery
        self._head = AnswerHead()
        self._settled = Flag()
        self._error: TransportError | None = None
        self._reader_done = Flag()
        self._ping_written = Flag()
        self._close_written = Flag()
        self._unanswered = 0
        self._is_told = False
        self._ws: trio_websocket.WebSocketConnection

    async def open(self) -> None:
        """Shake hands."""
        self._stream.on_received = self._read_head
        self._stream.on_end = self._end_handshake
        # Where an answer to a ping fails, the library would read no more, and lose
        # what had arrived. That the stream broke is told by its end, and by `is_cut`.
        self._stream.on_failed_write = self._note_failed_write
        self._nursery.start_soon(self._shake_hands)
        await self._settled.wait()
        self._stream.on_received = self._stream.on_end = None
        if self._error is not None:
            raise self._error
        self._stream.on_sent = self._note_sent

    async def _shake_hands(self) -> None:
        target = self._handshake.target
        self._ws = await trio_websocket.wrap_client_stream(
            _Starter(self._start_reader),  # type: ignore[arg-type]  # see there
            self._stream,  # type: ignore[arg-type]  # any Stream will do
            target.host_header,
            target.resource,
            subprotocols=self._handshake.subprotocols,
            extra_headers=list(self._handshake.headers),
            message_queue_size=MESSAGE_QUEUE_SIZE,
            max_message_size=self._handshake.max_message_size,
            receive_buffer_size=RECEIVE_BUFFER_SIZE,
        )
        self._settle(None)

    def _start_reader(self, reader: Callable[[], Awaitable[None]]) -> None:
        self._nursery.start_soon(self._read, reader)

    async def _read(self, reader: Callable[[], Awaitable[None]]) -> None:
        """Run the library's reader, and keep in what it raises."""
        try:
            await reader()
        except Exception as exc:  # noqa: BLE001 - told by `receive`, not lost
            error = broke_protocol(exc)
            self._settle(error)
            self._error = self._error or error
        finally:
            self._reader_done.set()

    def _settle(self, error: TransportError | None) -> None:
        if not self._settled.is_set():
            self._error = error
            self._settled.set()

    def _read_head(self, chunk: bytes) -> None:
        if not self._settled.is_set():
            error = self._head.read(chunk)
            if error is not None:
                self._settle(error)

    def _end_handshake(self) -> None:
        # An answer that is whole is the library's to judge, though nothing follows it.
        if not self._head.is_upgrade:
            self._settle(ended_in_handshake(self._stream))

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol agreed on."""
        return self._ws.subprotocol

    async def receive(self) -> list[Message]:
        """Receive the next message."""
        try:
            message = await self._ws.get_message()
        except trio_websocket.ConnectionClosed as exc:
            self._is_told = True
            error = await self._ended(exc)
            raise error from error.__cause__
        # The library counts characters. Only what may be too long is encoded.
        if len(message) > self._surely_fits and self._is_too_big(message):
            await finish_without_waiting(self.aclose, MESSAGE_TOO_BIG, "")
            text = f"a message is longer than {self._handshake.max_message_size} bytes"
            self._error = TransportError(FailureKind.PROTOCOL, text, close_code=MESSAGE_TOO_BIG)
            raise self._error
        return [message]

    def _is_too_big(self, message: Message) -> bool:
        size = len(message.encode() if isinstance(message, str) else message)
        return size > self._handshake.max_message_size

    async def send(self, message: Message) -> None:
        """Send a message."""
        try:
            await self._ws.send_message(message)
        except trio_websocket.ConnectionClosed as exc:
            error = await self._ended(exc)
            raise error from error.__cause__
        except Exception as exc:
            # wsproto's LocalProtocolError: the connection is closing under us.
            text = f"not open: {type(exc).__name__}: {exc}"
            raise TransportError(FailureKind.CLOSED, printable(text)) from exc
        self._check_whole()

    async def ping(self, payload: bytes) -> None:
        """Send a ping; skipped where nobody answers: the peer closed, or left a thousand so.

        The library keeps each unanswered ping for the connection's life. A
        peer that leaves a thousand of them without an answer is alive by its
        traffic or long since given up.
        """
        if self._is_told:
            await trio.lowlevel.checkpoint()
            raise self._error or TransportError(FailureKind.CLOSED, "the connection is closed")
        # Once the peer has closed there is no point in asking; `receive` will tell of it.
        if self._ws.closed is not None or self._unanswered >= _MAX_UNANSWERED_PINGS:
            await trio.lowlevel.checkpoint()
            return
        self._ping_written = Flag()
        self._nursery.start_soon(self._wait_pong, payload)
        await self._ping_written.wait()
        self._check_whole()

    def _check_whole(self) -> None:
        """Refuse to call written what was cut."""
        if self._stream.is_cut:
            error = closed(1006, "", self._stream)
            raise error from error.__cause__

    def _note_failed_write(self) -> None:
        self._ping_written.set()  # as written as it will ever be

    async def _wait_pong(self, payload: bytes) -> None:
        # The library's ping() writes and waits in one call; `_note_sent` sees the write.
        self._unanswered += 1
        try:
            await self._ws.ping(payload)
        except Exception:  # noqa: BLE001 - closed, or wsproto: closing; `receive` tells of it
            return
        finally:
            self._ping_written.set()
        self._unanswered -= 1
        self._on_pong(payload)

    def _note_sent(self, data: bytes | bytearray | memoryview) -> None:
        # One call of the library's is one frame; its first byte tells which.
        if data[0] == _PING_HEAD:
            self._ping_written.set()
        elif data[0] == _CLOSE_HEAD:
            self._close_written.set()

    async def aclose(self, code: int, reason: str) -> None:
        """Do the close handshake; where the reader dies in it, only send our frame."""
        async with open_flat_nursery() as nursery:

            async def close() -> None:
                # Where the stream ended first, that is as closed as it gets.
                with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await self._ws.aclose(code, reason or None)
                nursery.cancel_scope.cancel()

            nursery.start_soon(close)
            await self._reader_done.wait()
            await self._close_written.wait()
            nursery.cancel_scope.cancel()

    async def wait_for_eof(self) -> None:
        """Give the peer a moment to close TCP first, after a close handshake."""
        closed = self._ws.closed
        if closed is not None and closed.code != 1006:
            with trio.move_on_after(CLOSE_GRACE):
                await self._stream.ended.wait()

    async def _ended(self, exc: trio_websocket.ConnectionClosed) -> TransportError:
        if exc.reason is None:
            # The reader broke down, and is about to tell why.
            await self._reader_done.wait()
        if self._error is not None:
            return self._error
        if exc.reason is None:
            return TransportError(FailureKind.CLOSED, "the connection is closed")
        return closed(exc.reason.code, exc.reason.reason or "", self._stream)
