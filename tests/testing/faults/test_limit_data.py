"""LimitData: closed after so many bytes."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from trio_wsguard import PolicyError
from trio_wsguard.testing import Direction, Latency, LimitData

from ..wire import Wire, World, dial, on_a_wire, read_all, send, with_a_guard


@pytest.mark.parametrize("size", range(8))
def test_exactly_so_many_bytes(size: int) -> None:
    """The reader gets exactly so many bytes, in whatever pieces they were sent, then the end."""

    async def body(wire: Wire) -> tuple[bytes, tuple[float, Any]]:
        for data in (b"abc", b"de", b"fgh"):
            await send(wire.server, data)
        *pieces, end = await read_all(wire.client)
        return b"".join(data for _, data in pieces), end

    assert on_a_wire(body, LimitData(size=size)) == (b"abcdefgh"[:size], (0, "EOF"))


def test_the_writer_is_told_later() -> None:
    """The write that goes too far succeeds; the writer reads the end, and is broken later."""

    async def body(wire: Wire) -> list[Any]:
        first = await send(wire.server, b"abcdef")
        end = await read_all(wire.server)
        return [first, end, await send(wire.server, b"x"), await send(wire.server, b"x")]

    found = on_a_wire(body, LimitData(size=3))
    assert found == ["sent", [(0, "EOF")], "sent", "ConnectionResetError"]


def test_fewer_bytes_pass() -> None:
    """A connection that stays below the limit is left alone, and so is the other way."""

    async def body(wire: Wire) -> list[Any]:
        await wire.server.send_all(b"abc")
        await wire.client.send_all(b"abcdefgh")
        await wire.client.send_eof()
        await wire.server.send_eof()
        return [await read_all(wire.client), await read_all(wire.server)]

    whole = [(0, b"abcdefgh"), (0, "EOF")]
    assert on_a_wire(body, LimitData(size=4)) == [[(0, b"abc"), (0, "EOF")], whole]
    up = LimitData(size=4, direction=Direction.UP)
    assert on_a_wire(body, up)[1] == [(0, b"abcd"), (0, "EOF")]


def test_the_end_is_behind_the_bytes() -> None:
    """Behind a latency the end comes with the bytes, not before them."""

    async def body(wire: Wire) -> list[Any]:
        await wire.server.send_all(b"abcdef")
        return await read_all(wire.client)

    down = Latency(delay=1, direction=Direction.DOWN)
    assert on_a_wire(body, LimitData(size=3), down) == [(2, b"abc"), (2, "EOF")]
    assert on_a_wire(body, down, LimitData(size=3)) == [(2, b"abc"), (2, "EOF")]


def test_a_guard_comes_back() -> None:
    """A connection cut within the handshake, or within a frame, is lost and made anew."""

    async def body(world: World) -> list[Any]:
        await trio.sleep(100)
        return world.losses

    lost = [(0, "CLOSED"), (3, "CLOSED"), (9, "CLOSED")]
    assert dial(LimitData(size=0)) == (0, "open")
    assert with_a_guard(body, LimitData(size=20, end=10), wait=False) == lost


@pytest.mark.parametrize("size", [-1, 1.5, None])
def test_bad_settings(size: Any) -> None:
    """Bad settings are refused by name and value."""
    with pytest.raises(PolicyError, match=f"size={size}"):
        LimitData(size=size)
