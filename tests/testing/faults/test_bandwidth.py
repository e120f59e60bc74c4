"""Bandwidth: a slow line."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from trio_wsguard import PolicyError
from trio_wsguard.testing import Bandwidth, Direction

from ..wire import Wire, World, dial, on_a_wire, read_all, with_a_guard


def test_a_reader_gets_a_trickle() -> None:
    """Bytes arrive at the rate, in slices of a tenth of a second, and the end after them."""

    async def body(wire: Wire) -> list[tuple[float, Any]]:
        await wire.server.send_all(b"x" * 45)
        await wire.server.send_eof()
        return [(round(at, 3), len(data)) for at, data in await read_all(wire.client)]

    slices = [(0.1, 10), (0.2, 10), (0.3, 10), (0.4, 10), (0.45, 5)]
    assert on_a_wire(body, Bandwidth(rate=100)) == [*slices, (0.45, len("EOF"))]


def test_less_than_a_byte_a_slice() -> None:
    """A rate too low for slices goes byte by byte."""

    async def body(wire: Wire) -> list[tuple[float, Any]]:
        await wire.server.send_all(b"ab")
        await wire.server.send_eof()
        return await read_all(wire.client)

    assert on_a_wire(body, Bandwidth(rate=0.5)) == [(2, b"a"), (4, b"b"), (4, "EOF")]


def test_a_writer_blocks_once_the_buffers_are_full() -> None:
    """A writer is as fast as the line, but for what the buffers take."""

    async def body(wire: Wire) -> tuple[float, float]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_all, wire.server)
            await wire.client.send_all(b"x" * 1000)
            at_once = trio.current_time()
            await wire.client.send_all(b"x" * 1000)
            await wire.client.send_eof()
            return at_once, round(trio.current_time(), 6)

    assert on_a_wire(body, Bandwidth(rate=100), buffer_size=1000) == (0, 10)


def test_each_way_has_the_rate_to_itself() -> None:
    """Bytes one way do not slow the other."""

    async def body(wire: Wire) -> float:
        await wire.client.send_all(b"x" * 1000)
        await wire.server.send_all(b"x" * 10)
        await wire.server.send_eof()
        return (await read_all(wire.client))[-1][0]

    assert on_a_wire(body, Bandwidth(rate=100)) == 0.1


def test_the_queue_arrives_when_it_ends() -> None:
    """When the line is fast again, what was queued arrives at once."""

    async def body(wire: Wire) -> list[tuple[float, Any]]:
        await wire.server.send_all(b"abcdef")
        await wire.server.send_eof()
        return await read_all(wire.client)

    found = on_a_wire(body, Bandwidth(rate=1, end=2.5))
    assert found == [(1, b"a"), (2, b"b"), (2.5, b"cdef"), (2.5, "EOF")]


def test_dials_and_guards_live_with_it() -> None:
    """A guard on a slow line stays connected."""

    async def body(world: World) -> list[Any]:
        await world.echo("x" * 300)
        await trio.sleep(600)
        return world.losses

    assert dial(Bandwidth(rate=1)) == (0, "open")
    assert with_a_guard(body, Bandwidth(rate=100)) == []


@pytest.mark.parametrize("rate", [0, -1, float("inf"), True, None])
def test_bad_settings(rate: Any) -> None:
    """Bad settings are refused by name and value."""
    with pytest.raises(PolicyError, match=f"rate={rate}"):
        Bandwidth(rate=rate, direction=Direction.UP)


def test_writes_queue_behind_each_other() -> None:
    """A second write waits for the line until the first is through."""

    async def body(wire: Wire) -> list[tuple[float, Any]]:
        for data in (b"a", b"b", b"c"):
            await wire.server.send_all(data)
        await wire.server.send_eof()
        return await read_all(wire.client)

    assert on_a_wire(body, Bandwidth(rate=1)) == [(1, b"a"), (2, b"b"), (3, b"c"), (3, "EOF")]
