"""Loss: packets are lost, which shows as delay."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from trio_wsguard import PolicyError
from trio_wsguard.testing import Direction, Loss

from ..wire import Wire, World, dial, on_a_wire, read_all, with_a_guard

DOWN = Direction.DOWN
LATE = [round(0.2 * (2**n - 1), 6) for n in range(7)]  # by how many losses in a row


def test_a_stream_loses_nothing_and_stalls() -> None:
    """Each packet arrives, late by 0.2 s, doubling, and all behind it waits."""

    async def body(wire: Wire) -> list[tuple[float, Any]]:
        start = trio.current_time()
        await wire.server.send_all(bytes(50_000))
        await wire.server.send_eof()
        return [(round(at - start, 6), what) for at, what in await read_all(wire.client)]

    *pieces, end = on_a_wire(body, Loss(rate=0.3, direction=DOWN))
    assert b"".join(data for _, data in pieces) == bytes(50_000)
    assert {at for at, _ in pieces} <= set(LATE)
    assert len(pieces) > 1
    assert all(len(data) % 1460 == 0 for _, data in pieces[:-1])
    assert end[1] == "EOF"


def test_the_worst_case() -> None:
    """A packet is lost six times at most; what is under way arrives when the fault ends."""

    async def body(wire: Wire) -> list[tuple[float, Any]]:
        wire.link.add(Loss(rate=1, direction=DOWN, end=100))
        await wire.server.send_all(b"a")
        await trio.sleep(90)
        await wire.server.send_all(b"b")
        await wire.server.send_eof()
        return [(round(at, 6), what) for at, what in await read_all(wire.client)]

    found = on_a_wire(body)
    assert found == [(90, b"a"), (100, b"b"), (100, "EOF")]


def test_dials_lose_their_syns() -> None:
    """A dial is late by 1 s, doubling."""
    assert dial(Loss(rate=1)) == (63, "open")
    seconds, how = dial(Loss(rate=0.5))
    assert seconds in (0, 1, 3, 7, 15, 31, 63)
    assert how == "open"


def test_a_guard_lives_with_it() -> None:
    """One packet in ten lost costs time, and no connection."""

    async def body(world: World) -> list[Any]:
        for n in range(50):
            await world.echo(f"{n}")
        await trio.sleep(600)
        return world.losses

    assert with_a_guard(body, Loss(rate=0.1)) == []


@pytest.mark.parametrize("rate", [0, 1.1, "half"])
def test_bad_settings(rate: Any) -> None:
    """Bad settings are refused by name and value."""
    with pytest.raises(PolicyError, match=f"rate={rate!r}"):
        Loss(rate=rate)
