"""Slicer: bytes arrive in small pieces."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from trio_wsguard import PolicyError
from trio_wsguard.testing import Direction, Slicer

from ..wire import Wire, World, on_a_wire, read_all, with_a_guard


async def speak(wire: Wire) -> list[tuple[float, Any]]:
    await wire.server.send_all(b"abcdefg")
    await wire.server.send_eof()
    return await read_all(wire.client)


def test_one_byte_a_receive() -> None:
    """A receive takes one piece, though all of them are there."""
    found = on_a_wire(speak, Slicer(size=1))
    assert found == [*((0, bytes([byte])) for byte in b"abcdefg"), (0, "EOF")]


def test_pieces_with_pauses() -> None:
    """With a delay the pieces arrive one after another, and the end a delay after the last."""
    found = on_a_wire(speak, Slicer(size=3, delay=1))
    assert found == [(0, b"abc"), (1, b"def"), (2, b"g"), (3, "EOF")]


def test_small_receives_cut_on() -> None:
    """A receive of less than a piece leaves the rest of it for the next one."""

    async def body(wire: Wire) -> list[Any]:
        await wire.server.send_all(b"abcdefg")
        await wire.server.send_eof()
        return [data for _, data in await read_all(wire.client, 2)]

    assert on_a_wire(body, Slicer(size=3)) == [b"ab", b"c", b"de", b"f", b"g", "EOF"]


def test_sizes_vary() -> None:
    """Pieces are of the size, more or less the variation; nothing is lost."""

    async def body(wire: Wire) -> list[Any]:
        await wire.server.send_all(bytes(range(256)) * 20)
        await wire.server.send_eof()
        return [data for _, data in await read_all(wire.client)][:-1]

    found = on_a_wire(body, Slicer(size=50, variation=49))
    sizes = [len(piece) for piece in found]
    assert b"".join(found) == bytes(range(256)) * 20
    assert max(sizes) <= 99
    assert len(set(sizes)) > 20
    assert 40 < sum(sizes) / len(sizes) < 60


def test_the_other_way_is_whole() -> None:
    """In one direction only, the other keeps its boundaries."""
    found = on_a_wire(speak, Slicer(size=1, direction=Direction.UP))
    assert found == [(0, b"abcdefg"), (0, "EOF")]


def test_what_is_left_arrives_when_it_ends() -> None:
    """When the fault ends, the pauses end; the pieces stay pieces."""
    found = on_a_wire(speak, Slicer(size=3, delay=5, end=6))
    assert found == [(0, b"abc"), (5, b"def"), (6, b"g"), (6, "EOF")]


def test_a_guard_does_not_depend_on_boundaries() -> None:
    """Byte by byte, a guard gets the same messages."""

    async def body(world: World) -> list[Any]:
        for n in range(20):
            await world.echo(f"{n}" * n)
        await trio.sleep(300)
        return world.losses

    assert with_a_guard(body, Slicer(size=1)) == []


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"size": 0}, "size=0: must be at least 1"),
        ({"size": 1.5}, "size=1.5: must be a whole number"),
        ({"size": 5, "variation": 5}, "variation=5: must be below the size 5"),
        ({"size": 5, "delay": -1}, "delay=-1: must not be negative"),
    ],
)
def test_bad_settings(settings: dict[str, Any], problem: str) -> None:
    """Bad settings are refused by name and value."""
    with pytest.raises(PolicyError, match=problem):
        Slicer(**settings)


def test_pieces_of_what_is_sent_later() -> None:
    """Boundaries are where they belong also after something was read."""

    async def body(wire: Wire) -> list[bytes]:
        found: list[bytes] = []
        for data in (b"abcd", b"efghi"):
            await wire.server.send_all(data)
            found += [await wire.client.receive_some() for _ in range(2)]
        return [*found, await wire.client.receive_some()]

    assert on_a_wire(body, Slicer(size=2)) == [b"ab", b"cd", b"ef", b"gh", b"i"]
