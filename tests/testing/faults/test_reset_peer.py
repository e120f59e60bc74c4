"""ResetPeer: the connection is reset."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from trio_wsguard import PolicyError
from trio_wsguard.testing import ResetPeer

from ..wire import Wire, World, dial, on_a_wire, read_all, send, with_a_guard


def test_both_ends_are_broken() -> None:
    """A waiting reader gets the reset, and a writer, at both ends."""

    async def body(wire: Wire) -> list[Any]:
        ends = (wire.client, wire.server)
        read = [await read_all(end) for end in ends]
        return [*read, *[await send(end, b"x") for end in ends]]

    broken = [(3, "ConnectionResetError")]
    found = on_a_wire(body, ResetPeer(after=3))
    assert found == [broken, broken, "ConnectionResetError", "ConnectionResetError"]


def test_a_blocked_writer_is_woken() -> None:
    """A writer that waits for room gets the reset."""

    async def body(wire: Wire) -> tuple[str, float]:
        return await send(wire.client, b"x" * 101), trio.current_time()

    found = on_a_wire(body, ResetPeer(after=3), buffer_size=100)
    assert found == ("ConnectionResetError", 3)


def test_what_had_arrived_is_read_first_or_lost() -> None:
    """What was not read is still read, unless the fault discards it."""

    async def body(wire: Wire) -> list[Any]:
        await wire.server.send_all(b"before")
        await trio.sleep(5)
        return await read_all(wire.client)

    broken = (5, "ConnectionResetError")
    assert on_a_wire(body, ResetPeer(after=3)) == [(5, b"before"), broken]
    assert on_a_wire(body, ResetPeer(after=3, discard=True)) == [broken]


def test_it_hits_each_connection_while_it_lasts() -> None:
    """A dial succeeds and is reset after its own time; none after the fault's end."""

    async def body(world: World) -> list[Any]:
        await trio.sleep(100)
        return [*world.losses, world.ws.state.name]

    assert dial(ResetPeer()) == (0, "open")
    found = with_a_guard(body, ResetPeer(after=10, start=20, end=55))
    assert found == [(30, "CLOSED"), (43, "CLOSED"), "CONNECTED"]


def test_a_handshake_is_reset() -> None:
    """A guard whose handshakes are reset tries again until it succeeds."""

    async def body(world: World) -> list[Any]:
        await world.ws.wait_connected()
        return [trio.current_time(), *world.losses]

    found = with_a_guard(body, ResetPeer(end=5), wait=False)
    assert found == [9, (0, "CLOSED"), (3, "CLOSED")]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [({"after": -1}, "after=-1"), ({"discard": "yes"}, "discard='yes': must be True or False")],
)
def test_bad_settings(settings: dict[str, Any], problem: str) -> None:
    """Bad settings are refused by name and value."""
    with pytest.raises(PolicyError, match=problem):
        ResetPeer(**settings)
