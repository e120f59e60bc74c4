"""AcceptThenSilent: a server that accepts and says nothing."""

from __future__ import annotations

from typing import Any

import trio

from trio_wsguard._shell.dial import parse_url
from trio_wsguard.testing import AcceptThenSilent, SimulatedNetwork, SimulatedStream, run_simulation

from ..wire import World, dial, read_for, send, with_a_guard


def test_writes_fill_the_buffers_and_nothing_is_read() -> None:
    """The writer succeeds until the buffers are full; the reader gets nothing, ever."""

    async def main() -> list[Any]:
        async with SimulatedNetwork(buffer_size=100) as network:
            network.link("server").add(AcceptThenSilent(end=10))
            network.listen("server:80", SimulatedStream.aclose)
            stream = await network.dial(parse_url("ws://server/"))
            assert isinstance(stream, SimulatedStream)
            sent = [await send(stream, b"x" * 100), await send(stream, b"x")]
            return [*sent, await read_for(stream, 1e6)]

    assert run_simulation(main) == ["sent", "blocked", b""]


def test_its_task_ends_with_the_client() -> None:
    """What stands in for the server does not outlive the connection."""

    async def main() -> int:
        async with SimulatedNetwork() as network:
            network.link("server").add(AcceptThenSilent())
            network.listen("server:80", SimulatedStream.aclose)
            before = trio.lowlevel.current_statistics().tasks_living
            for _ in range(20):
                stream = await network.dial(parse_url("ws://server/"))
                await stream.send_all(b"x")
                await stream.aclose()
            await trio.sleep(1)
            return trio.lowlevel.current_statistics().tasks_living - before

    assert run_simulation(main) == 0
    assert dial(AcceptThenSilent()) == (0, "open")


def test_a_guard_gives_the_handshake_up() -> None:
    """`open_timeout` bounds an attempt; the next one succeeds."""

    async def body(world: World) -> list[Any]:
        await world.ws.wait_connected()
        return [trio.current_time(), *world.losses]

    assert with_a_guard(body, AcceptThenSilent(end=10), wait=False) == [30, (20, "TIMEOUT")]
