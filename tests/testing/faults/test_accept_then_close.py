"""AcceptThenClose: a server that accepts and closes."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from trio_wsguard import PolicyError
from trio_wsguard._shell.dial import parse_url
from trio_wsguard.testing import AcceptThenClose, SimulatedNetwork, SimulatedStream, run_simulation

from ..wire import World, dial, read_all, send, with_a_guard


@pytest.mark.parametrize("after", [0, 3])
def test_it_closes_by_fin(after: float) -> None:
    """Whatever was sent, the reader gets the end; a write after it breaks the connection."""

    async def main() -> list[Any]:
        async with SimulatedNetwork() as network:
            network.listen("server:80", SimulatedStream.wait_over)
            network.link("server").add(AcceptThenClose(after=after))
            stream = await network.dial(parse_url("ws://server/"))
            assert isinstance(stream, SimulatedStream)
            first = await send(stream, b"request")
            end = await read_all(stream)
            return [first, end, await send(stream, b"x"), await send(stream, b"x")][:2]

    assert run_simulation(main) == ["sent", [(after, "EOF")]]


def test_it_needs_no_server() -> None:
    """It stands in for the server of a host, whether that runs or not."""

    async def main() -> None:
        async with SimulatedNetwork() as network:
            network.listen("server:80", SimulatedStream.wait_over).close()
            with pytest.raises(ConnectionRefusedError):
                await network.dial(parse_url("ws://server/"))
            network.link("server").add(AcceptThenClose())
            await network.dial(parse_url("ws://server/"))

    run_simulation(main)
    assert dial(AcceptThenClose()) == (0, "open")


def test_open_connections_live_on() -> None:
    """A guard that is connected stays so."""

    async def body(world: World) -> list[Any]:
        await trio.sleep(100)
        return world.losses

    assert with_a_guard(body, AcceptThenClose(start=1)) == []


def test_a_guard_does_not_hammer() -> None:
    """Each attempt fails at once and is followed by a longer wait."""

    async def body(world: World) -> list[Any]:
        await world.ws.wait_connected()
        return [trio.current_time(), *world.losses]

    lost = [(0, "CLOSED"), (3, "CLOSED"), (9, "CLOSED")]
    assert with_a_guard(body, AcceptThenClose(end=10), wait=False) == [18, *lost]


def test_bad_settings() -> None:
    """Bad settings are refused by name and value."""
    with pytest.raises(PolicyError, match="after=-1"):
        AcceptThenClose(after=-1)
