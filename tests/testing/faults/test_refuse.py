"""Refuse: dials fail at once."""

from __future__ import annotations

from typing import Any

import trio

from trio_wsguard.testing import Refuse

from ..wire import Wire, World, dial, on_a_wire, read_all, with_a_guard


def test_dials_are_refused_at_once() -> None:
    """A dial raises ECONNREFUSED in no time."""
    assert dial(Refuse()) == (0, "ConnectionRefusedError 111")
    assert dial(Refuse(start=1)) == (0, "open")


def test_open_connections_live_on() -> None:
    """A connection made before carries bytes as ever."""

    async def body(wire: Wire) -> list[tuple[float, Any]]:
        await trio.sleep(2)
        await wire.server.send_all(b"still here")
        await wire.server.send_eof()
        return await read_all(wire.client)

    assert on_a_wire(body, Refuse(start=1)) == [(2, b"still here"), (2, "EOF")]


def test_a_guard_waits_long_between_refusals() -> None:
    """Refusals are failures of the network: 10 s, 20 s, then it is connected."""

    async def body(world: World) -> tuple[list[Any], int]:
        await world.ws.wait_connected()
        return [trio.current_time(), *world.losses], world.network.dials

    found = with_a_guard(body, Refuse(end=25), wait=False)
    assert found == ([30, (0, "NETWORK"), (10, "NETWORK")], 3)
