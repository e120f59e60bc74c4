"""HalfClose: one direction ends, the other goes on."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from trio_wsguard import PolicyError
from trio_wsguard.testing import Direction, HalfClose, Latency

from ..wire import Wire, World, dial, on_a_wire, read_all, send, with_a_guard


async def talk(wire: Wire) -> list[Any]:
    await wire.server.send_all(b"a")
    await trio.sleep(5)
    into_the_void = await send(wire.server, b"x" * 1000)
    await wire.client.send_all(b"b")
    await wire.client.send_eof()
    with trio.move_on_after(1):
        return [await read_all(wire.client), into_the_void, await read_all(wire.server)]
    return ["no end"]


def test_the_reader_gets_the_end_and_the_other_way_goes_on() -> None:
    """The client reads what came before, then the end; what it writes arrives."""
    found = on_a_wire(talk, HalfClose(after=1), buffer_size=100)
    assert found == [[(5, b"a"), (5, "EOF")], "sent", [(5, b"b"), (5, "EOF")]]


def test_the_end_wakes_a_reader() -> None:
    """A reader that waits gets the end when it comes; in both directions, both do."""

    async def body(wire: Wire) -> list[Any]:
        return [await read_all(wire.client), await read_all(wire.server)]

    fault = HalfClose(after=3, direction=Direction.BOTH)
    assert on_a_wire(body, fault) == [[(3, "EOF")], [(3, "EOF")]]
    assert dial(fault) == (0, "open")


def test_it_does_not_happen_after_its_end() -> None:
    """A fault that ends before its time has come does nothing."""
    assert on_a_wire(talk, HalfClose(after=3, end=2)) == ["no end"]


@pytest.mark.parametrize("direction", Direction)
def test_a_guard_is_told_and_comes_back(direction: Direction) -> None:
    """Whichever way ends, a guard loses the connection at once and makes another."""

    async def body(world: World) -> list[Any]:
        await trio.sleep(100)
        return [*world.losses, world.ws.state.name]

    fault = HalfClose(start=20, end=21, direction=direction)
    assert with_a_guard(body, fault) == [(20, "CLOSED"), "CONNECTED"]


def test_bad_settings() -> None:
    """Bad settings are refused by name and value."""
    with pytest.raises(PolicyError, match="after=-1"):
        HalfClose(after=-1)


def test_a_blocked_writer_goes_on_into_the_void() -> None:
    """What arrives behind the injected end makes room: its writer is not left waiting."""

    async def body(wire: Wire) -> list[Any]:
        sent = await send(wire.server, b"x" * 250)
        return [sent, trio.current_time()]

    slow = Latency(delay=5, direction=Direction.DOWN)
    assert on_a_wire(body, slow, HalfClose(), buffer_size=100) == ["sent", 15]
