"""SlowClose: the end comes late."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from trio_wsguard import PolicyError
from trio_wsguard.testing import Direction, SlowClose

from ..wire import Wire, World, on_a_wire, read_all, with_a_guard


async def say_bye(wire: Wire) -> list[tuple[float, Any]]:
    await wire.server.send_all(b"bye")
    await wire.server.aclose()
    return await read_all(wire.client)


def test_bytes_are_on_time_and_the_end_is_late() -> None:
    """The bytes arrive at once and the end after the delay."""
    assert on_a_wire(say_bye, SlowClose(delay=4)) == [(0, b"bye"), (4, "EOF")]


def test_a_reset_is_on_time() -> None:
    """RST is not held up."""

    async def body(wire: Wire) -> list[tuple[float, Any]]:
        wire.server.abort()
        return await read_all(wire.client)

    assert on_a_wire(body, SlowClose(delay=4)) == [(0, "ConnectionResetError")]


def test_the_end_comes_when_the_fault_ends() -> None:
    """A delayed end arrives when the fault is over; the other way is left alone."""
    assert on_a_wire(say_bye, SlowClose(delay=40, end=7)) == [(0, b"bye"), (7, "EOF")]
    up = SlowClose(delay=40, direction=Direction.UP)
    assert on_a_wire(say_bye, up) == [(0, b"bye"), (0, "EOF")]


def test_a_guard_leaves_promptly() -> None:
    """A close handshake whose FIN never comes does not hold up `aclose()`."""

    async def body(world: World) -> float:
        await world.ws.aclose()
        return trio.current_time()

    assert with_a_guard(body, SlowClose(delay=1000)) <= 5


@pytest.mark.parametrize("delay", [0, -1, float("nan")])
def test_bad_settings(delay: Any) -> None:
    """Bad settings are refused by name and value."""
    with pytest.raises(PolicyError, match=f"delay={delay}"):
        SlowClose(delay=delay)
