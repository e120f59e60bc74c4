"""The ends of a simulated connection behave as sockets do; the list is turmoil's and trio's."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_wsguard.testing import Fault, Latency, SimulatedConnection, random_plan, run_simulation
from trio_wsguard.testing.faults import (
    Bandwidth,
    Blackhole,
    Coalesce,
    Hold,
    Loss,
    Partition,
    Quota,
    ShortBuffer,
    Slicer,
    SlowClose,
    StallRead,
)
from trio_wsguard.testing.timers import Timers

from .wire import Wire, on_a_wire, open_wire, read_all, read_for, send

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_wsguard.testing import SimulatedStream

    Ends = tuple[SimulatedStream, SimulatedStream]

LAWFUL: list[type[Fault]] = [
    *(Bandwidth, Blackhole, Coalesce, Hold, Latency, Loss, Partition, Quota, ShortBuffer),
    *(Slicer, SlowClose, StallRead),
]


async def make() -> Ends:
    connection = SimulatedConnection(1, Timers(), 4096, 100)
    return connection.client, connection.server


async def make_clogged() -> Ends:
    ends = await make()
    for end in ends:
        await end.send_all(b"x" * 4096)
    return ends


def test_trios_own_check() -> None:
    """It is a half-closeable stream by trio's own check, cancellation and conflicts included."""
    run_simulation(trio.testing.check_half_closeable_stream, make, make_clogged)


def test_a_reader_is_woken_by_data() -> None:
    """A read that waits returns when bytes come."""

    async def body(wire: Wire) -> list[Any]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_send_at, wire.client, 3, b"hey")
            return [await wire.server.receive_some(), trio.current_time()]

    assert on_a_wire(body) == [b"hey", 3]


async def _send_at(stream: SimulatedStream, at: float, data: bytes) -> None:
    await trio.sleep_until(at)
    await stream.send_all(data)


def test_backpressure() -> None:
    """A write of more than fits waits for the reader; none of it is lost."""

    async def body(wire: Wire) -> list[Any]:
        data = bytes(n % 251 for n in range(200_000))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_send_and_end, wire.client, data)
            await trio.sleep(50)
            return [len(nursery.child_tasks), await read_for(wire.server, 1) == data]

    assert on_a_wire(body, buffer_size=1000) == [1, True]


async def _send_and_end(stream: SimulatedStream, data: bytes) -> None:
    await stream.send_all(data)
    await stream.send_eof()


def test_waiting_for_room() -> None:
    """`wait_send_all_might_not_block` returns once a byte fits."""

    async def body(wire: Wire) -> float:
        await wire.client.send_all(b"x" * 100)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_read_at, wire.server, 5)
            await wire.client.wait_send_all_might_not_block()
            return trio.current_time()

    assert on_a_wire(body, buffer_size=100) == 5


async def _read_at(stream: SimulatedStream, at: float) -> None:
    await trio.sleep_until(at)
    await stream.receive_some(1)


def test_the_end_comes_after_all_bytes() -> None:
    """A close in good order is read as the end, once, and again, after what was sent."""

    async def body(wire: Wire) -> list[Any]:
        await wire.client.send_all(b"bye")
        await wire.client.aclose()
        return [await wire.server.receive_some() for _ in range(3)]

    assert on_a_wire(body) == [b"bye", b"", b""]


def test_half_close() -> None:
    """After its own end a stream still reads what the other writes back."""

    async def body(wire: Wire) -> list[Any]:
        await _send_and_end(wire.client, b"hi")
        asked = await read_all(wire.server)
        await _send_and_end(wire.server, b"back")
        return [asked, await read_all(wire.client)]

    assert on_a_wire(body) == [[(0, b"hi"), (0, "EOF")], [(0, b"back"), (0, "EOF")]]


def test_closing_with_unread_bytes_resets() -> None:
    """Who closes without reading what has arrived resets: a parked reader is woken by it."""

    async def body(wire: Wire) -> list[Any]:
        await wire.server.send_all(b"unread")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_close_at, wire.client, 2)
            ended = await read_all(wire.server)
        return [ended, await send(wire.server, b"x")]

    assert on_a_wire(body) == [[(2, "ConnectionResetError")], "ConnectionResetError"]


async def _close_at(stream: SimulatedStream, at: float) -> None:
    await trio.sleep_until(at)
    await stream.aclose()


def test_writing_to_one_that_has_closed() -> None:
    """The first write after the other's close succeeds and is answered with RST; the next fails."""

    async def body(wire: Wire) -> list[Any]:
        await wire.server.aclose()
        sent = [await send(wire.client, b"x"), await send(wire.client, b"x")]
        return [*sent, await wire.client.receive_some()]

    # What has seen FIN reads the end, whatever came after: as Linux does.
    assert on_a_wire(body) == ["sent", "ConnectionResetError", b""]


def test_a_reset_wakes_a_writer() -> None:
    """A write that waits for room fails when the other end resets."""

    async def body(wire: Wire) -> list[Any]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_abort_at, wire.server, 4)
            return [await send(wire.client, b"x" * 101), trio.current_time()]

    assert on_a_wire(body, buffer_size=100) == ["ConnectionResetError", 4]


async def _abort_at(stream: SimulatedStream, at: float) -> None:
    await trio.sleep_until(at)
    stream.abort()


def test_a_reset_travels_as_bytes_do() -> None:
    """RST arrives behind what was sent before it, as late as that."""

    async def body(wire: Wire) -> list[Any]:
        await wire.server.send_all(b"before")
        wire.server.abort()
        return await read_all(wire.client)

    assert on_a_wire(body, Latency(delay=1)) == [(3, b"before"), (3, "ConnectionResetError")]


def test_reading_and_writing_at_once() -> None:
    """A task that reads and one that writes do not disturb each other."""

    async def body(wire: Wire) -> list[bytes]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_send_and_end, wire.client, b"up" * 1000)
            nursery.start_soon(_send_and_end, wire.server, b"down" * 1000)
            return [await read_for(end, 9) for end in (wire.client, wire.server)]

    assert on_a_wire(body, buffer_size=7) == [b"down" * 1000, b"up" * 1000]


def test_end_of_a_broken_stream() -> None:
    """`send_eof` on a broken stream says so; closing it is silent."""

    async def body(wire: Wire) -> float | None:
        wire.server.abort()
        with pytest.raises(trio.BrokenResourceError):
            await wire.client.send_eof()
        await wire.client.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await wire.client.send_eof()
        return wire.client.closed_at

    assert on_a_wire(body) == 0


@pytest.mark.parametrize("max_bytes", [0, -1])
def test_bad_sizes(max_bytes: int) -> None:
    """A receive of less than a byte is an error of the caller's."""

    async def body(wire: Wire) -> None:
        with pytest.raises(ValueError, match="at least 1"):
            await wire.client.receive_some(max_bytes)

    on_a_wire(body)


def test_waiting_for_the_end_takes_nothing() -> None:
    """`wait_over` returns at the end or the break, and leaves the bytes; `discard` does not."""

    async def body(wire: Wire) -> list[Any]:
        await _send_and_end(wire.client, b"unread")
        await wire.server.wait_over()
        wire.server.discard()
        await wire.server.aclose()
        return await read_all(wire.client)

    assert on_a_wire(body) == [(0, "EOF")]


def test_cancelled_receives_lose_nothing() -> None:
    """Whenever a receive is cancelled, no byte is lost."""

    async def body(wire: Wire) -> bytes:
        taken = b""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_send_slowly, wire.client)
            for n in range(200):
                with trio.move_on_after(0.01 * (n % 7)):
                    taken += await wire.server.receive_some(3)
            nursery.cancel_scope.cancel()
        return taken

    taken = on_a_wire(body, Slicer(size=2))
    assert taken == bytes(n % 251 for n in range(1000))[: len(taken)]
    assert len(taken) > 50


async def _send_slowly(stream: SimulatedStream) -> None:
    for n in range(1000):
        await stream.send_all(bytes([n % 251]))
        await trio.sleep(0.03)


def test_a_cancelled_send_leaves_a_prefix() -> None:
    """A send that is cancelled has sent what fitted, and the stream is as sound as before."""

    async def body(wire: Wire) -> list[bytes]:
        with trio.move_on_after(5):
            await wire.client.send_all(bytes(range(200)))
        found = [await wire.server.receive_some()]
        await wire.client.send_all(b"more")
        return [*found, await wire.server.receive_some()]

    assert on_a_wire(body, buffer_size=100) == [bytes(range(100)), b"more"]


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), size=st.integers(1, 20_000), buffer_size=st.integers(1, 5000))
def test_streams_lose_nothing(seed: int, size: int, buffer_size: int) -> None:
    """Two tasks at each end, random faults between them: all bytes arrive, then the end."""
    plan = random_plan(Random(seed), duration=300, mean_gap=10, mean_length=10, kinds=LAWFUL)

    async def main() -> None:
        data = Random(seed).randbytes(size)
        # Buffers of a few bytes make many rounds; a day is enough for them.
        async with open_wire(buffer_size=buffer_size, give_up_after=1e9) as wire:
            wire.link.add(*plan)
            got: list[bytes] = []
            async with trio.open_nursery() as nursery:
                for end in (wire.client, wire.server):
                    nursery.start_soon(_send_in_pieces, end, data, seed)
                    nursery.start_soon(_collect, end, got)
            assert got == [data, data]

    run_simulation(main, seed=seed)


async def _send_in_pieces(stream: SimulatedStream, data: bytes, seed: int) -> None:
    rng = Random(seed)
    while data:
        size = rng.randint(1, 5000)
        await stream.send_all(data[:size])
        data = data[size:]
        await trio.sleep(rng.random() * 20)
    await stream.send_eof()


async def _collect(stream: SimulatedStream, got: list[bytes]) -> None:
    data = b""
    async for piece in stream:
        data += piece
    got.append(data)


@pytest.mark.parametrize("call", ["receive", "send", "wait"])
def test_closing_wakes_its_own_calls(call: str) -> None:
    """Closing a stream under a call of another task ends that call with ClosedResourceError."""

    async def body(wire: Wire) -> float:
        await wire.client.send_all(b"x" * 100)
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "receive": wire.client.receive_some,
            "send": lambda: wire.client.send_all(b"x"),
            "wait": wire.client.wait_send_all_might_not_block,
        }
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_close_at, wire.client, 3)
            with pytest.raises(trio.ClosedResourceError):
                await calls[call]()
            return trio.current_time()

    assert on_a_wire(body, buffer_size=100) == 3
