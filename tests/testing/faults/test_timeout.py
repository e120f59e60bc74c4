"""Timeout: bytes are dropped, then the connection is closed."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from trio_wsguard import PolicyError
from trio_wsguard.testing import Direction, Timeout

from ..wire import Wire, World, dial, on_a_wire, read_all, send, with_a_guard


async def talk_on(wire: Wire) -> list[Any]:
    """Send more than the buffers hold, then read at both ends."""
    sent = await send(wire.server, b"x" * 10_000)
    return [sent, await read_all(wire.client), await read_all(wire.server)]


def test_nothing_then_the_end() -> None:
    """All that is sent is accepted and lost; after a time both ends read the end."""
    found = on_a_wire(talk_on, Timeout(after=5), buffer_size=100)
    assert found == ["sent", [(5, "EOF")], [(5, "EOF")]]


def test_ending_it_closes() -> None:
    """With no time the connection is closed when the fault ends: bytes are missing."""
    found = on_a_wire(talk_on, Timeout(end=30), buffer_size=100)
    assert found == ["sent", [(30, "EOF")], [(30, "EOF")]]


def test_removing_it_closes() -> None:
    """It is closed likewise when the fault is taken away."""

    async def body(wire: Wire) -> list[Any]:
        fault = Timeout(direction=Direction.DOWN)
        with wire.link.fault(fault):
            await wire.server.send_all(b"lost")
            await wire.client.send_all(b"passes")
            await trio.sleep(7)
        return [await read_all(wire.client), await read_all(wire.server)]

    assert on_a_wire(body) == [[(7, "EOF")], [(7, b"passes"), (7, "EOF")]]


def test_a_later_write_breaks() -> None:
    """What is written after the end is answered with RST."""

    async def body(wire: Wire) -> list[str]:
        await trio.sleep(10)
        return [await send(wire.client, b"x"), await send(wire.client, b"x")]

    assert on_a_wire(body, Timeout(after=5)) == ["sent", "ConnectionResetError"]


def test_a_guard_comes_back() -> None:
    """A guard is told by the end, and hangs in no handshake."""

    async def body(world: World) -> list[Any]:
        await trio.sleep(100)
        return world.losses

    found = with_a_guard(body, Timeout(after=3, start=20, end=30))
    assert dial(Timeout()) == (0, "open")
    assert found == [(23, "CLOSED"), (29, "CLOSED")]


def test_bad_settings() -> None:
    """Bad settings are refused by name and value."""
    with pytest.raises(PolicyError, match="after=-1"):
        Timeout(after=-1)
