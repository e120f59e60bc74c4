"""Hold: bytes are held back, then all come at once."""

from __future__ import annotations

from typing import Any

import trio

from trio_wsguard.testing import Direction, Hold

from ..wire import Wire, World, dial, on_a_wire, read_all, send, with_a_guard


async def speak_slowly(wire: Wire) -> list[tuple[float, Any]]:
    wire.link.add(Hold(end=5))
    for data in (b"a", b"b", b"c"):
        await wire.server.send_all(data)
        await trio.sleep(1)
    await wire.server.send_eof()
    return await read_all(wire.client)


def test_released_in_one_burst() -> None:
    """Everything arrives in the moment of the release."""
    assert on_a_wire(speak_slowly) == [(5, b"abc"), (5, "EOF")]


def test_one_way_only() -> None:
    """Held in one direction, the other goes on."""

    async def body(wire: Wire) -> list[tuple[float, Any]]:
        wire.link.add(Hold(direction=Direction.UP))
        await wire.server.send_all(b"a")
        await wire.server.send_eof()
        return await read_all(wire.client)

    assert on_a_wire(body) == [(0, b"a"), (0, "EOF")]


def test_the_writer_gives_up_in_the_end() -> None:
    """Nothing is acknowledged while it is held: ETIMEDOUT at last."""

    async def body(wire: Wire) -> list[Any]:
        wire.link.add(Hold())
        sent = [await send(wire.client, b"x" * 100), await send(wire.client, b"x")]
        return [*sent, trio.current_time()]

    found = on_a_wire(body, buffer_size=100, give_up_after=900)
    assert found == ["sent", "TimeoutError", 900]


def test_dials_are_held() -> None:
    """A dial gets through with its first SYN after the release."""
    assert dial(Hold(end=2)) == (3, "open")


def test_a_short_hold_costs_a_guard_nothing() -> None:
    """Held for less than a beat's timeout, a connection lives, and its messages come."""

    async def body(world: World) -> tuple[float, list[Any]]:
        await trio.sleep(21)
        at = await world.echo("held")
        await trio.sleep(200)
        return at, world.losses

    assert with_a_guard(body, Hold(start=20, end=29)) == (29, [])
