"""A stream that remembers what it saw: bytes, times and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from trio_wsguard._shell.flag import Flag

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_wsguard._core.health import Counters

# Large sends are written in pieces, so that progress shows while they last.
_PIECE: Final = 2**16


class WatchedStream(trio.abc.Stream):
    """A thin stream over another.

    WebSocket libraries tell of an EOF or a reset late, or never during the
    handshake; this stream knows at once.

    Args:
        stream: The stream beneath.
        counters: Where bytes are counted.

    Attributes:
        received_at: When bytes last arrived, in monotonic seconds.
        progress_at: When bytes were last accepted for sending, likewise.
        ended: Set once nothing more can be received, or sent.
        error: Why, if it was not a plain EOF.
        is_cut: Whether a send was cancelled or failed midway: nothing may follow it.
        on_received: Called with each chunk received, if set.
        on_sent: Called with what was sent, once it was, if set.
        on_failed_write: Called instead of raising where a write fails, if set: for a
            library that answers pings from its reader, and would read no more.
        on_end: Called once at the end, if set.
    """

    def __init__(self, stream: trio.abc.Stream, counters: Counters) -> None:
        self._stream = stream
        self._counters = counters
        self.received_at = self.progress_at = trio.current_time()
        self.ended = Flag()
        self.error: Exception | None = None
        self.is_cut = False
        self.on_received: Callable[[bytes], None] | None = None
        self.on_sent: Callable[[bytes | bytearray | memoryview], None] | None = None
        self.on_failed_write: Callable[[], None] | None = None
        self.on_end: Callable[[], None] | None = None

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive as the stream beneath does."""
        try:
            data = await self._stream.receive_some(max_bytes)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            self._end(exc)
            raise
        if data:
            self.received_at = trio.current_time()
            self._counters.bytes_received += len(data)
            if self.on_received is not None:
                self.on_received(bytes(data))
        else:
            self._end(None)
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send as the stream beneath does, in pieces.

        Raises:
            trio.BrokenResourceError: Also once `is_cut`: whatever follows half
                a frame would be taken for the rest of it.
        """
        try:
            # Cancelled here, nothing was begun. Past this, a socket that takes the
            # bytes at once cannot be cancelled: only a blocked send is cut.
            await trio.lowlevel.checkpoint_if_cancelled()
            if len(data) <= _PIECE:
                await self._send_piece(data)
            else:
                with memoryview(data) as view:
                    for start in range(0, len(view), _PIECE):
                        await self._send_piece(view[start : start + _PIECE])
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            if self.on_failed_write is None:
                raise
            self.on_failed_write()
            return
        if self.on_sent is not None:
            self.on_sent(data)

    async def _send_piece(self, piece: bytes | bytearray | memoryview) -> None:
        if self.is_cut:
            await trio.lowlevel.checkpoint()
            raise trio.BrokenResourceError("an earlier send was cut")
        try:
            await self._stream.send_all(piece)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            self.is_cut = True
            self._end(exc)
            raise
        except trio.Cancelled:
            self.is_cut = True
            raise
        self.progress_at = trio.current_time()
        self._counters.bytes_sent += len(piece)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait as the stream beneath does."""
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Close the stream beneath."""
        await self._stream.aclose()

    def _end(self, error: Exception | None) -> None:
        if self.ended.is_set():
            return
        self.error = error
        self.ended.set()
        if self.on_end is not None:
            self.on_end()
