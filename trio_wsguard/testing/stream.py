"""The two ends of a simulated TCP connection, as trio streams."""

from __future__ import annotations

import errno
import operator
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_wsguard.testing.flow import Flow

_CHUNK: Final = 2**16  # bytes a receive takes at most, unless told


class _OneAtATime:
    """Refuses a second task where a stream allows one."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._is_busy = False

    def __enter__(self) -> None:
        if self._is_busy:
            raise trio.BusyResourceError(f"another task is {self._what} on this stream")
        self._is_busy = True

    def __exit__(self, *_: object) -> None:
        self._is_busy = False


class SimulatedStream(trio.abc.HalfCloseableStream):
    """One end of a simulated TCP connection.

    It behaves as `trio.SocketStream` does over a kernel: a send returns once
    the bytes fit into the buffers, a receive returns what has arrived, closing
    with unread bytes resets the connection, and a reset does not take away
    what has arrived before it.

    Attributes:
        incoming: What comes from the other end.
        outgoing: What goes to it.
        closed_at: When this end was closed, in monotonic seconds; ``None`` while
            it is open.
        log: Called with bytes that were sent and lines on what else happened, if set.
    """

    def __init__(self, incoming: Flow, outgoing: Flow) -> None:
        self.incoming, self.outgoing = incoming, outgoing
        incoming.receiver = outgoing.sender = self
        self.closed_at: float | None = None
        self.log: Callable[[str | bytes], None] | None = None
        self._error: OSError | None = None
        self._is_eof_sent = False
        self._readable = trio.lowlevel.ParkingLot()
        self._writable = trio.lowlevel.ParkingLot()
        self._receiving = _OneAtATime("receiving")
        self._sending = _OneAtATime("sending")

    # --- trio.abc.HalfCloseableStream ----------------------------------------------

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive what has arrived; ``b""`` once the other end has sent all."""
        limit = _CHUNK if max_bytes is None else operator.index(max_bytes)
        if limit < 1:
            raise ValueError(f"max_bytes must be at least 1, not {max_bytes}")
        with self._receiving:
            self._check_open()
            if self._has_news():
                await trio.lowlevel.checkpoint()
            while not self._has_news():
                await self._readable.park()
            self._check_open()
            if self.incoming.unread:
                return self.incoming.take(limit)
            # A kernel remembers that it has seen FIN, whatever came after.
            if self._error is not None and not self.incoming.has_ended:
                raise trio.BrokenResourceError(str(self._error)) from self._error
            return b""

    def _has_news(self) -> bool:
        return bool(self.incoming.unread) or self.incoming.has_ended or self._is_over()

    def _is_over(self) -> bool:
        return self.closed_at is not None or self._error is not None

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes; returns once all of them are in the buffers."""
        with self._sending, memoryview(data) as view:
            self._check_sendable()
            await trio.lowlevel.checkpoint()
            start = 0
            while start < len(view):
                await self._wait_writable()
                piece = bytes(view[start : start + self.outgoing.room])
                start += len(piece)
                if self.log is not None:
                    self.log(piece)
                self.outgoing.put(piece)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until there is room."""
        with self._sending:
            self._check_sendable()
            await trio.lowlevel.checkpoint()
            await self._wait_writable()

    async def _wait_writable(self) -> None:
        self._check_sendable()
        while not self.outgoing.room:
            await self._writable.park()
            self._check_sendable()

    async def send_eof(self) -> None:
        """Send FIN; receiving goes on."""
        with self._sending:
            self._check_open()
            self._check_sound()
            await trio.lowlevel.checkpoint()
            self._check_open()
            self._finish()

    async def aclose(self) -> None:
        """Close; by RST where bytes are left unread, as a kernel does."""
        if self.incoming.unread:
            self.abort()
        elif self.closed_at is None:
            self._finish()
            self._close(is_gone=self._error is not None)
        await trio.lowlevel.checkpoint()

    def _finish(self) -> None:
        if not self._is_eof_sent and self._error is None:
            self._is_eof_sent = True
            self._say("FIN")
            self.outgoing.finish()

    def _check_open(self) -> None:
        if self.closed_at is not None:
            raise trio.ClosedResourceError("this stream is closed")

    def _check_sendable(self) -> None:
        self._check_open()
        if self._is_eof_sent:
            raise trio.ClosedResourceError("send_eof was called before")
        self._check_sound()

    def _check_sound(self) -> None:
        if self._error is not None:
            raise trio.BrokenResourceError(str(self._error)) from self._error

    # --- less gentle ---------------------------------------------------------------

    async def wait_over(self) -> None:
        """Wait until the other end has sent all or the connection broke; takes nothing.

        For servers that never read, and yet should not outlive their client.
        """
        await trio.lowlevel.checkpoint()
        while not (self._is_over() or self.incoming.has_ended):
            await self._readable.park()

    def discard(self) -> None:
        """Throw away what has arrived unread, so that closing sends FIN and not RST."""
        if self.incoming.unread:
            self.incoming.take(len(self.incoming.unread))

    def abort(self) -> None:
        """Close by RST."""
        if self.closed_at is None:
            if self._error is None:
                self._say("RST")
                self.outgoing.reset()
            self._close(is_gone=True)

    def vanish(self) -> None:
        """Break without a word to the other end, as a machine that loses power."""
        self.on_reset(ConnectionAbortedError(errno.ECONNABORTED, "this host went down"))

    def _close(self, *, is_gone: bool) -> None:
        self.closed_at = trio.current_time()
        self._say("closed")
        self.incoming.unread.clear()
        self.incoming.refuse(is_gone=is_gone)
        self._wake()

    def _say(self, what: str) -> None:
        if self.log is not None:
            self.log(what)

    # --- told by the flows ---------------------------------------------------------

    def on_readable(self) -> None:
        """Bytes or the end arrived."""
        self._readable.unpark_all()

    def on_writable(self) -> None:
        """There is room again."""
        self._writable.unpark_all()

    def on_reset(self, error: OSError) -> None:
        """The connection broke."""
        if self._error is None and self.closed_at is None:
            self._error = error
            self._say(f"broken: {error}")
        self.outgoing.abandon()
        self.incoming.refuse(is_gone=True)
        self._wake()

    def _wake(self) -> None:
        self._readable.unpark_all()
        self._writable.unpark_all()
