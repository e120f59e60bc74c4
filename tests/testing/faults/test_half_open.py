"""HalfOpen: the peer's host has forgotten the connection."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from trio_wsguard import PolicyError
from trio_wsguard.testing import HalfOpen, Latency

from ..wire import Wire, World, dial, on_a_wire, read_all, read_for, send, with_a_guard


def test_silence_until_the_own_write() -> None:
    """The client reads nothing; its first write succeeds, its second is broken by then."""

    async def body(wire: Wire) -> list[Any]:
        silence = await read_for(wire.client, 1e5)
        sent = [await send(wire.client, b"x"), await send(wire.client, b"x")]
        return [silence, *sent, await read_all(wire.client)]

    found = on_a_wire(body, HalfOpen(after=1))
    assert found == [b"", "sent", "ConnectionResetError", [(1e5, "ConnectionResetError")]]


def test_a_parked_reader_is_woken_by_it() -> None:
    """A reader that waits while another task writes gets the reset; after a round trip."""

    async def body(wire: Wire) -> list[Any]:
        await trio.sleep(5)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, wire.client, b"x")
            return await read_all(wire.client)

    assert on_a_wire(body, HalfOpen(after=1)) == [(5, "ConnectionResetError")]
    found = on_a_wire(body, HalfOpen(after=1), Latency(delay=2))
    assert found == [(13, "ConnectionResetError")]


def test_what_had_arrived_is_read_first() -> None:
    """What the server sent before is not taken back."""

    async def body(wire: Wire) -> list[Any]:
        await wire.server.send_all(b"before")
        await trio.sleep(5)
        await wire.client.send_all(b"x")
        return await read_all(wire.client)

    assert on_a_wire(body, HalfOpen(after=1)) == [(5, b"before"), (5, "ConnectionResetError")]


def test_a_blocked_writer_is_reset() -> None:
    """The probes of a writer that waits for room are answered with RST."""

    async def body(wire: Wire) -> tuple[str, float]:
        return await send(wire.client, b"x" * 101), trio.current_time()

    found = on_a_wire(body, HalfOpen(after=7), buffer_size=100)
    assert found == ("ConnectionResetError", 7)


def test_the_server_ends() -> None:
    """The server's side of it is broken."""

    async def body(wire: Wire) -> list[Any]:
        return await read_all(wire.server)

    assert on_a_wire(body, HalfOpen(after=1)) == [(1, "ConnectionAbortedError")]
    assert dial(HalfOpen()) == (0, "open")


def test_a_guard_finds_out_with_its_next_beat() -> None:
    """The beat is answered with RST: lost, and connected anew."""

    async def body(world: World) -> list[Any]:
        await trio.sleep(100)
        return [*world.losses, world.ws.state.name]

    assert with_a_guard(body, HalfOpen(start=20, end=21)) == [(30, "CLOSED"), "CONNECTED"]


def test_bad_settings() -> None:
    """Bad settings are refused by name and value."""
    with pytest.raises(PolicyError, match="after=-1"):
        HalfOpen(after=-1)
