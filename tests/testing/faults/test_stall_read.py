"""StallRead: the peer's application stops reading."""

from __future__ import annotations

from typing import Any

import trio

import trio_wsguard as wsguard
from trio_wsguard.testing import Direction, StallRead

from ..wire import Wire, World, dial, on_a_wire, read_all, send, with_a_guard


def test_the_writer_blocks_and_never_gives_up() -> None:
    """A writer fills the buffers, then blocks for as long as it takes."""

    async def body(wire: Wire) -> list[str]:
        return [await send(wire.client, b"x" * 100), await send(wire.client, b"x")]

    assert on_a_wire(body, StallRead(), buffer_size=100, give_up_after=9) == ["sent", "blocked"]


def test_it_goes_on_at_once() -> None:
    """When reading goes on, all that waits is read in that moment, and the writer writes on."""

    async def body(wire: Wire) -> list[tuple[float, Any]]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_write_on, wire)
            return await read_all(wire.server)

    found = on_a_wire(body, StallRead(end=5000), buffer_size=4, give_up_after=9)
    assert found == [(5000, b"abcd"), (5000, b"efgh"), (5000, "EOF")]


async def _write_on(wire: Wire) -> None:
    await wire.client.send_all(b"abcdefgh")
    await wire.client.send_eof()


def test_the_other_way_goes_on() -> None:
    """Who does not read still writes, and his dials succeed."""

    async def body(wire: Wire) -> list[tuple[float, Any]]:
        await wire.server.send_all(b"a")
        await wire.server.send_eof()
        return await read_all(wire.client)

    assert on_a_wire(body, StallRead()) == [(0, b"a"), (0, "EOF")]
    assert on_a_wire(body, StallRead(direction=Direction.DOWN, end=5)) == [(5, b"a"), (5, "EOF")]
    assert dial(StallRead()) == (0, "open")


def test_a_guard_finds_out_though_its_sender_is_blocked() -> None:
    """A sender that fills the buffers does not hide that the peer answers nothing."""

    async def body(world: World) -> list[Any]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_fill, world.ws)
            await trio.sleep(90)
            nursery.cancel_scope.cancel()
        return world.losses

    found_at, kind = with_a_guard(body, StallRead(start=20, end=60))[0]
    assert kind == "TIMEOUT"
    assert found_at == 20 + wsguard.GuardPolicy().watchdog.send_timeout


async def _fill(ws: wsguard.GuardedWebSocket) -> None:
    await trio.sleep(20)
    while True:
        try:
            await ws.send_message("x" * 50_000)
        except wsguard.ConnectionLostError:
            return
