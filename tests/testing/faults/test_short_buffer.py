"""ShortBuffer: little fits into a connection."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from trio_wsguard import PolicyError
from trio_wsguard.testing import Direction, ShortBuffer

from ..wire import Wire, World, on_a_wire, send, with_a_guard


def test_a_writer_blocks_after_so_many_unread_bytes() -> None:
    """So many bytes fit, not one more until one is read."""

    async def body(wire: Wire) -> list[Any]:
        found: list[Any] = [await send(wire.client, b"abcd"), await send(wire.client, b"e")]
        found += [await wire.server.receive_some(1), await send(wire.client, b"e")]
        return [*found, await wire.server.receive_some()]

    found = on_a_wire(body, ShortBuffer(size=4))
    assert found == ["sent", "blocked", b"a", "sent", b"bcde"]


def test_the_other_way_and_afterwards_there_is_room() -> None:
    """The other direction has its buffers, and so has this one when the fault is over."""

    async def body(wire: Wire) -> list[Any]:
        other = await send(wire.server, b"x" * 1000)
        return [other, await send(wire.client, b"x" * 1000), trio.current_time()]

    found = on_a_wire(body, ShortBuffer(size=4, direction=Direction.UP, end=5))
    assert found == ["sent", "sent", 5]


def test_a_guard_sends_long_messages_through_it() -> None:
    """Small buffers slow nobody who reads."""

    async def body(world: World) -> tuple[float, list[Any]]:
        return await world.echo("x" * 100_000), world.losses

    assert with_a_guard(body, ShortBuffer(size=64, direction=Direction.BOTH)) == (0, [])


@pytest.mark.parametrize("size", [0, -1, 1.5])
def test_bad_settings(size: Any) -> None:
    """Bad settings are refused by name and value."""
    with pytest.raises(PolicyError, match=f"size={size}"):
        ShortBuffer(size=size)
