"""Coalesce: several writes in one read."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from trio_wsguard import PolicyError
from trio_wsguard.testing import Coalesce, Direction

from ..wire import Wire, World, on_a_wire, read_all, with_a_guard


async def speak_thrice(wire: Wire) -> None:
    for data in (b"a", b"b", b"c"):
        await wire.server.send_all(data)
        await trio.sleep(0.75)
    await wire.server.send_eof()


def test_a_window_arrives_at_once() -> None:
    """What is sent within a window arrives together when it is over."""

    async def body(wire: Wire) -> list[tuple[float, Any]]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(speak_thrice, wire)
            return await read_all(wire.client)

    assert on_a_wire(body, Coalesce(window=1)) == [(1, b"ab"), (2.5, b"c"), (2.5, "EOF")]


def test_what_was_gathered_arrives_when_it_ends() -> None:
    """When the fault ends, its window ends."""

    async def body(wire: Wire) -> list[tuple[float, Any]]:
        await wire.server.send_all(b"a")
        await wire.server.send_eof()
        return await read_all(wire.client)

    assert on_a_wire(body, Coalesce(window=10, end=3)) == [(3, b"a"), (3, "EOF")]
    assert on_a_wire(body, Coalesce(window=10, direction=Direction.UP)) == [(0, b"a"), (0, "EOF")]


def test_a_guard_gets_all_messages() -> None:
    """Several frames in one read are several messages."""

    async def body(world: World) -> tuple[list[Any], list[Any]]:
        for n in range(5):
            await world.ws.send_message(f"{n}")
        messages = [await world.ws.get_message() for _ in range(5)]
        await trio.sleep(300)
        return messages, world.losses

    assert with_a_guard(body, Coalesce(window=2)) == (["0", "1", "2", "3", "4"], [])


@pytest.mark.parametrize("window", [0, -1, float("inf")])
def test_bad_settings(window: Any) -> None:
    """Bad settings are refused by name and value."""
    with pytest.raises(PolicyError, match=f"window={window}"):
        Coalesce(window=window)
