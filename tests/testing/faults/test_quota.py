"""Quota: silence after so many bytes."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import trio_wsguard as wsguard
from trio_wsguard import PolicyError
from trio_wsguard.testing import Bandwidth, Direction, Latency, LimitData, Quota

from ..wire import Wire, World, dial, on_a_wire, read_all, read_for, send, with_a_guard


@pytest.mark.parametrize("size", [0, 1, 5, 7])
def test_exactly_so_many_bytes_then_silence(size: int) -> None:
    """The reader gets exactly so many bytes and then nothing, not even the end."""

    async def body(wire: Wire) -> bytes:
        for data in (b"abc", b"de", b"fgh"):
            await wire.server.send_all(data)
        await wire.server.send_eof()
        return await read_for(wire.client, 500)

    assert on_a_wire(body, Quota(size=size)) == b"abcdefgh"[:size]


def test_the_writer_blocks_until_its_kernel_gives_up() -> None:
    """The buffers fill with what does not arrive; ETIMEDOUT at last."""

    async def body(wire: Wire) -> list[Any]:
        passes = await send(wire.server, b"x" * 50)
        await read_for(wire.client, 1)
        fills = await send(wire.server, b"x" * 100)
        return [passes, fills, await send(wire.server, b"x"), trio.current_time()]

    found = on_a_wire(body, Quota(size=50), buffer_size=100, give_up_after=900)
    assert found == ["sent", "sent", "TimeoutError", 901]


def test_the_rest_arrives_when_it_ends() -> None:
    """When the fault ends the rest is sent again and arrives in order: nothing is missing."""

    async def body(wire: Wire) -> list[tuple[float, Any]]:
        await wire.server.send_all(b"abcdef")
        await trio.sleep(1)
        await wire.server.send_all(b"gh")
        await wire.server.send_eof()
        return [(round(at, 6), what) for at, what in await read_all(wire.client)]

    assert on_a_wire(body, Quota(size=2, end=2)) == [(1, b"ab"), (3, b"cdefgh"), (3, "EOF")]


@pytest.mark.parametrize("behind", [Latency(delay=1), Bandwidth(rate=100), LimitData(size=100)])
def test_other_faults_live_through_it(behind: Any) -> None:
    """A fault behind it goes on as before once the quota is over."""

    async def body(wire: Wire) -> bytes:
        await wire.server.send_all(b"abcdef")
        await trio.sleep(10)
        await wire.server.send_all(b"gh")
        return await read_for(wire.client, 20)

    assert on_a_wire(body, Quota(size=2, end=5), behind) == b"abcdefgh"


def test_two_quotas() -> None:
    """Of two, the bytes wait for both to end."""

    async def body(wire: Wire) -> list[bytes]:
        await wire.server.send_all(b"abcdef")
        return [await read_for(wire.client, 10) for _ in range(3)]

    found = on_a_wire(body, Quota(size=4, end=9), Quota(size=2, end=19))
    assert found == [b"ab", b"", b"cdef"]


def test_a_guard_takes_it_for_a_dead_peer() -> None:
    """Once its quota is used up the connection is dead, and found so in time."""

    async def body(world: World) -> list[Any]:
        await trio.sleep(20)
        world.link.add(Quota(size=0, end=60))
        await trio.sleep(100)
        return [*world.losses, world.ws.state.name]

    (found_at, kind), *_, state = with_a_guard(body)
    assert (kind, state) == ("HEARTBEAT", "CONNECTED")
    assert found_at <= 20 + wsguard.GuardPolicy().detection_bound
    assert dial(Quota(size=0, direction=Direction.BOTH)) == (0, "open")


@pytest.mark.parametrize("size", [-1, 1.5])
def test_bad_settings(size: Any) -> None:
    """Bad settings are refused by name and value."""
    with pytest.raises(PolicyError, match=f"size={size}"):
        Quota(size=size)


def test_given_up_it_does_not_arrive() -> None:
    """What a kernel has given up is not sent again when the fault ends."""

    async def body(wire: Wire) -> bytes:
        await wire.server.send_all(b"abcdef")
        return await read_for(wire.client, 5000)

    assert on_a_wire(body, Quota(size=2, end=1000), give_up_after=900) == b"ab"


def test_reset_does_not_pass_and_is_not_sent_again() -> None:
    """RST beyond the quota is lost for good: the client's own write is answered with it."""

    async def body(wire: Wire) -> list[Any]:
        await wire.server.send_all(b"ab")
        wire.server.abort()
        heard = await read_for(wire.client, 500)
        return [heard, await send(wire.client, b"x"), await read_all(wire.client)]

    found = on_a_wire(body, Quota(size=2, end=5))
    assert found == [b"ab", "sent", [(500, "ConnectionResetError")]]
