"""Latency: bytes arrive late, in order."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from trio_wsguard import PolicyError
from trio_wsguard.testing import Direction, Latency

from ..wire import Wire, World, dial, on_a_wire, read_all, send, with_a_guard


async def speak_twice(wire: Wire) -> list[tuple[float, Any]]:
    await wire.server.send_all(b"a")
    await trio.sleep(0.25)
    await wire.server.send_all(b"b")
    await wire.server.send_eof()
    return await read_all(wire.client)


def test_bytes_and_the_end_are_late() -> None:
    """Each piece arrives a delay after it was sent, the end too; the dial took a round trip."""
    assert on_a_wire(speak_twice, Latency(delay=1)) == [(3, b"a"), (3.25, b"b"), (3.25, "EOF")]


def test_one_way_only() -> None:
    """Latency in one direction leaves the other alone, and a dial takes the one way longer."""
    found = on_a_wire(speak_twice, Latency(delay=1, direction=Direction.UP))
    assert found == [(1.25, b"ab"), (1.25, "EOF")]


def test_the_sender_notices_nothing() -> None:
    """A send returns at once."""

    async def body(wire: Wire) -> tuple[str, float]:
        return await send(wire.client, b"x" * 1000), trio.current_time()

    assert on_a_wire(body, Latency(delay=5)) == ("sent", 10)


def test_jitter_keeps_the_order() -> None:
    """With jitter the delay is drawn for each segment, within its bounds, and none overtakes."""

    async def body(wire: Wire) -> list[tuple[float, Any]]:
        for n in range(50):
            await wire.server.send_all(bytes([n]))
            await trio.sleep(0.01)
        await wire.server.send_eof()
        return await read_all(wire.client)

    found = on_a_wire(body, Latency(delay=1, jitter=0.5, direction=Direction.DOWN))
    assert b"".join(data for _, data in found[:-1]) == bytes(range(50))
    arrived = {byte: at - 1 for at, data in found[:-1] for byte in data}
    late = [arrived[n] - 0.01 * n for n in range(50)]
    assert min(late) >= 0.5
    assert max(late) <= 1.5
    assert len({round(one, 3) for one in late}) > 5


def test_what_is_under_way_arrives_at_the_end() -> None:
    """When the fault ends, what it made late arrives at once."""

    async def body(wire: Wire) -> list[tuple[float, Any]]:
        await wire.server.send_all(b"a")
        await wire.server.send_eof()
        return await read_all(wire.client)

    fault = Latency(delay=60, end=130)
    assert on_a_wire(body, fault) == [(130, b"a"), (130, "EOF")]


@pytest.mark.parametrize(("direction", "seconds"), [("UP", 2), ("DOWN", 2), ("BOTH", 4)])
def test_dials_are_late(direction: str, seconds: float) -> None:
    """A dial takes each way's delay longer."""
    assert dial(Latency(delay=2, direction=Direction[direction])) == (seconds, "open")


def test_a_guard_lives_with_it() -> None:
    """A healthy peer behind a delay below the timeouts is not declared dead."""

    async def body(world: World) -> tuple[float, list[Any]]:
        at = await world.echo("hello")
        await trio.sleep(600)
        return round(at, 6), world.losses

    # Dial, handshake and echo: three round trips.
    assert with_a_guard(body, Latency(delay=2)) == (12, [])


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"delay": -1}, "delay=-1: must not be negative"),
        ({"delay": "soon"}, "delay='soon': must be a number"),
        ({"delay": 1, "jitter": 2}, "jitter=2: must not exceed the delay of 1"),
        ({"delay": 1, "direction": "up"}, "direction='up': must be a Direction"),
        ({"delay": 1, "start": -1}, "start=-1: must not be negative"),
        ({"delay": 1, "start": 5, "end": 5}, "end=5: must be after the start at 5"),
        ({"delay": 1, "end": float("nan")}, "end=nan: must be finite"),
    ],
)
def test_bad_settings(settings: dict[str, Any], problem: str) -> None:
    """Bad settings are refused by name and value."""
    with pytest.raises(PolicyError, match=problem):
        Latency(**settings)
