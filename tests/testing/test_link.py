"""Faults come and go on a link, before and after its connections."""

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import trio

from trio_wsguard import PolicyError
from trio_wsguard.testing import (
    Bandwidth,
    Blackhole,
    Direction,
    Fault,
    Hold,
    Latency,
    LimitData,
    Refuse,
    SimulatedConnection,
    SimulatedNetwork,
    Slicer,
    run_simulation,
)

from .wire import TARGET, Wire, dial, on_a_wire, read_all

if TYPE_CHECKING:
    from trio_wsguard.testing.connection import Dialing
    from trio_wsguard.testing.faults.fault import Way


async def say(wire: Wire, data: bytes) -> list[Any]:
    await wire.server.send_all(data)
    await wire.server.send_eof()
    return await read_all(wire.client)


def test_a_fault_waits_for_connections() -> None:
    """A fault that is there before any connection meets each one that is made."""

    async def main() -> list[Any]:
        async with SimulatedNetwork() as network:
            network.link("server").add(LimitData(size=1, direction=Direction.UP))
            heard: list[Any] = []

            async def serve(stream: Any) -> None:
                heard.append(await read_all(stream))

            network.listen("server:80", serve)
            for _ in range(2):
                stream = await network.dial(TARGET)
                await stream.send_all(b"abc")
                await trio.sleep(1)
            return heard

    assert run_simulation(main) == [[(0, b"a"), (0, "EOF")], [(1, b"a"), (1, "EOF")]]


def test_a_fault_meets_open_connections() -> None:
    """A fault that begins later meets the connections that are open."""

    async def body(wire: Wire) -> list[Any]:
        wire.link.add(Latency(delay=2, start=1))
        await wire.server.send_all(b"a")
        await trio.sleep(1.5)
        return await say(wire, b"b")

    assert on_a_wire(body) == [(1.5, b"a"), (3.5, b"b"), (3.5, "EOF")]


def test_start_and_end_count_from_adding() -> None:
    """A fault works between its start and its end, in seconds after it was added."""

    async def body(wire: Wire) -> list[int]:
        await trio.sleep(10)
        wire.link.add(Refuse(start=1, end=3))
        found: list[int] = []
        for _ in range(5):
            found.append(len(wire.link.faults))
            await trio.sleep(0.9)
        return found

    assert on_a_wire(body) == [0, 0, 1, 1, 0]


def test_for_the_time_of_a_block() -> None:
    """`fault()` has one at work within a block, however that is left."""

    async def body(wire: Wire) -> list[Any]:
        found: list[Any] = []
        with suppress(KeyError), wire.link.fault(Refuse()):
            found.append(wire.link.faults)
            raise KeyError
        return [*found, wire.link.faults]

    assert on_a_wire(body) == [(Refuse(),), ()]


def test_a_block_that_the_fault_does_not_outlast() -> None:
    """A fault that ended within the block, or was removed, is over once."""

    async def body(wire: Wire) -> tuple[Any, ...]:
        with wire.link.fault(Refuse(end=1)):
            await trio.sleep(2)
        with wire.link.fault(Refuse()):
            wire.link.remove(Refuse())
        return wire.link.faults

    assert on_a_wire(body) == ()


def test_removing() -> None:
    """Removing ends a fault, one of several equal ones; one to come does not begin."""

    async def body(wire: Wire) -> list[int]:
        wire.link.add(Refuse(), Refuse(), Hold(start=5))
        found = [len(wire.link.faults)]
        wire.link.remove(Refuse())
        wire.link.remove(Hold(start=5))
        found.append(len(wire.link.faults))
        await trio.sleep(10)
        found.append(len(wire.link.faults))
        with pytest.raises(PolicyError, match=r"fault=Hold\(\): is not on the link client-server"):
            wire.link.remove(Hold())
        return found

    assert on_a_wire(body) == [2, 1, 1]


def test_healing() -> None:
    """Healing ends all faults and keeps those to come from beginning."""

    async def body(wire: Wire) -> list[Any]:
        wire.link.add(Latency(delay=9), Blackhole(), Refuse(start=3))
        await wire.server.send_all(b"a")
        await trio.sleep(0.5)
        wire.link.heal()
        heard = [(round(at, 6), what) for at, what in await say(wire, b"b")]
        await trio.sleep(10)
        return [heard, wire.link.faults, wire.link.injected]

    assert on_a_wire(body) == [[(0.6, b"ab"), (0.6, "EOF")], (), 2]


def test_faults_work_in_the_order_of_adding() -> None:
    """The first fault hands on what the second one gets."""
    slicer, limit = Slicer(size=2), LimitData(size=3)

    async def body(wire: Wire) -> list[Any]:
        return await say(wire, b"abcdef")

    assert on_a_wire(body, slicer, limit) == [(0, b"ab"), (0, b"c"), (0, "EOF")]
    late, slow = Latency(delay=1, direction=Direction.DOWN), Bandwidth(rate=1)
    assert on_a_wire(body, late, slow)[0] == (3, b"a")


def test_several_faults_add_up() -> None:
    """Two delays make a longer one; the first error of a dial counts."""
    assert dial(Latency(delay=1), Latency(delay=2)) == (6, "open")
    assert dial(Refuse(), Latency(delay=1)) == (2, "ConnectionRefusedError 111")


def test_each_flow_has_a_chance_of_its_own() -> None:
    """What one connection draws does not change what the next one meets."""

    async def lateness(connections: int) -> list[float]:
        found: list[float] = []
        async with SimulatedNetwork(5) as network:
            fault = Latency(delay=2, jitter=2, direction=Direction.UP)
            network.link("server").add(fault)

            async def serve(stream: Any) -> None:
                await stream.receive_some()
                found.append(trio.current_time())

            network.listen("server:80", serve)
            streams = [await network.dial(TARGET) for _ in range(2)]
            start = trio.current_time()
            for stream in streams[:connections]:
                await stream.send_all(b"x")
            await trio.sleep(10)
        return [at - start for at in found]

    first, second = run_simulation(lateness, 1), run_simulation(lateness, 2)
    assert set(first) < set(second)
    assert len(set(second)) == 2


def test_the_trace_tells_of_faults() -> None:
    """Each beginning and end is in the trace, with its time."""

    async def body(wire: Wire) -> list[str]:
        wire.link.add(Latency(delay=1, start=2, end=5))
        await trio.sleep(10)
        return [str(entry) for entry in wire.network.trace() if entry.where == wire.link.name]

    begins, ends = on_a_wire(body)
    fault = "Latency(delay=1, start=2, end=5)"
    assert begins == f"{2:14.6f}  client-server begins: {fault}"
    assert ends == f"{5:14.6f}  client-server ends: {fault}"


def test_what_is_no_fault_is_refused() -> None:
    """Adding something else is refused by value."""

    async def body(wire: Wire) -> None:
        wrong: Any = "rain"
        with pytest.raises(PolicyError, match="fault='rain': is no fault"):
            wire.link.add(wrong)

    on_a_wire(body)


def test_a_fault_of_ones_own() -> None:
    """A user's own fault is a class with a method or two."""
    met: list[Any] = []

    class Curious(Fault):
        def meet_dial(self, dialing: Dialing) -> None:
            met.append((dialing.host, dialing.port, isinstance(dialing.rng, Random)))

        def meet_connection(self, connection: SimulatedConnection) -> None:
            met.append(connection.number)

        def effect(self, way: Way) -> None:
            met.append(way.direction)

    dial(Curious())
    once = [("server", 80, True), Direction.UP, Direction.DOWN, 1]
    assert met == once * 2


def test_what_is_over_is_forgotten() -> None:
    """A fault that lasts does not keep what is left of the connections that it met."""

    async def main() -> int:
        async with SimulatedNetwork(record=False) as network:
            link = network.link("server")
            link.add(Latency(delay=0.001))
            network.listen("server:80", read_all)
            for _ in range(100):
                await (await network.dial(TARGET)).aclose()
                await trio.sleep(1)
            (placed,) = link._placed
            return len(placed.effects)

    assert run_simulation(main) <= 4
