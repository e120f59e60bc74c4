"""Streams that break at a byte: on simulated networks and on real sockets alike."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import attrs
import trio
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    import trio_wsguard as wsguard
    from trio_wsguard.testing.conformance.stage import Stage

_MAX_BYTES: Final = 400


@attrs.frozen
class Break:
    """Where a stream breaks.

    Attributes:
        after: Bytes that pass before, the handshake's request and its answer left out.
        is_upward: Whether those sent count, or those received.
        is_silent: Whether a send that breaks says that all went well, as a kernel does.
    """

    after: int
    is_upward: bool = True
    is_silent: bool = False


def breaks() -> st.SearchStrategy[Break]:
    """Draw where a stream breaks: within a frame, or between two."""
    return st.builds(Break, st.integers(0, _MAX_BYTES), st.booleans(), st.booleans())


def fragile(
    stage: Stage, found: Sequence[Break]
) -> Callable[[wsguard.Target], Awaitable[trio.abc.Stream]]:
    """Make a dial whose first streams break; the others are sound."""

    async def dial(target: wsguard.Target) -> trio.abc.Stream:
        stream = await stage.dial(target)
        number = len(stage.streams) - 1
        return FragileStream(stream, found[number]) if number < len(found) else stream

    return dial


class FragileStream(trio.abc.Stream):
    """A stream that breaks once.

    Args:
        stream: The stream beneath.
        where: Where.
    """

    def __init__(self, stream: trio.abc.Stream, where: Break) -> None:
        self._stream = stream
        self._is_silent = where.is_silent
        self._up: float = where.after if where.is_upward else math.inf
        self._down: float = math.inf if where.is_upward else where.after
        self._has_asked = self._has_read = self._is_broken = False
        self._reading: trio.CancelScope | None = None

    def _break(self) -> None:
        self._is_broken = True
        if self._reading is not None:
            self._reading.cancel()

    def _check(self) -> None:
        if self._is_broken:
            raise trio.BrokenResourceError("broken at a byte")

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send, and break where it is time."""
        if not self._has_asked:
            self._has_asked = True
            await self._stream.send_all(data)
            return
        await trio.lowlevel.checkpoint()
        self._check()
        passed = len(data) if self._up >= len(data) else int(self._up)
        if passed:
            await self._stream.send_all(data[:passed])
        self._up -= passed
        if passed < len(data):
            self._break()
            await self._stream.aclose()
            if not self._is_silent:
                self._check()

    async def wait_send_all_might_not_block(self) -> None:
        """Wait as the stream beneath does."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive, and break where it is time."""
        self._check()
        data: bytes | bytearray = b""
        with trio.CancelScope() as self._reading:
            data = await self._stream.receive_some(max_bytes)
        self._reading = None
        if not self._has_read:  # the answer to the handshake, which comes by itself
            self._has_read = True
            return data
        if not data or self._is_broken:
            self._check()
            return data
        passed = len(data) if self._down >= len(data) else int(self._down)
        self._down -= passed
        if passed < len(data):
            self._break()
            await self._stream.aclose()
        return data[:passed] or await self.receive_some(max_bytes)

    async def aclose(self) -> None:
        """Close the stream beneath."""
        await self._stream.aclose()
