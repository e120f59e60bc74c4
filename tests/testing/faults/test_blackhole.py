"""Blackhole: bytes vanish, and nobody is told."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import trio_wsguard as wsguard
from trio_wsguard import PolicyError
from trio_wsguard.testing import Blackhole, Direction, Latency

from ..wire import Wire, World, dial, on_a_wire, read_all, read_for, send, with_a_guard

UP, DOWN = Direction.UP, Direction.DOWN


@pytest.mark.parametrize(("end", "at"), [(0.1, 0.2), (0.5, 0.6), (1.0, 1.4), (100, 102.2)])
def test_healed_everything_arrives(end: float, at: float) -> None:
    """What was sent meanwhile arrives in order, at a retransmission: 0.2, 0.6, 1.4 s ..."""

    async def body(wire: Wire) -> list[tuple[float, Any]]:
        wire.link.add(Blackhole(direction=DOWN, end=end))
        for data in (b"a", b"b", b"c"):
            await wire.server.send_all(data)
        await wire.server.send_eof()
        return [(round(when, 6), what) for when, what in await read_all(wire.client)]

    assert on_a_wire(body) == [(at, b"abc"), (at, "EOF")]


def test_the_writer_blocks_until_its_kernel_gives_up() -> None:
    """Writes succeed as long as there is room; in the end ETIMEDOUT, at both of its calls."""

    async def body(wire: Wire) -> list[Any]:
        wire.link.add(Blackhole())
        sent = [await send(wire.client, b"x" * 100), await send(wire.client, b"x")]
        return [*sent, await read_all(wire.client)]

    found = on_a_wire(body, buffer_size=100, give_up_after=900)
    assert found == ["sent", "TimeoutError", [(900, "TimeoutError")]]


def test_giving_up_is_for_good() -> None:
    """What a kernel has given up does not arrive, though the network heals."""

    async def body(wire: Wire) -> list[Any]:
        wire.link.add(Blackhole(direction=UP, end=1000))
        await wire.client.send_all(b"lost")
        await trio.sleep(2000)
        return [await read_for(wire.server, 10), await send(wire.server, b"x")]

    # The server's word finds nobody: it is answered with RST.
    assert on_a_wire(body, give_up_after=900) == [b"", "sent"]


def test_the_idle_never_give_up() -> None:
    """Who has sent nothing is told nothing, not even that the other end was reset."""

    async def body(wire: Wire) -> bytes:
        wire.link.add(Blackhole())
        wire.server.abort()
        return await read_for(wire.client, 1e6)

    assert on_a_wire(body) == b""


def test_reset_is_sent_once() -> None:
    """RST that vanished is not sent again: healed, the client's own write is answered with it."""

    async def body(wire: Wire) -> list[Any]:
        wire.link.add(Blackhole(end=5))
        await wire.server.send_all(b"lost with it")
        wire.server.abort()
        await trio.sleep(100)
        sent = [await send(wire.client, b"x"), await send(wire.client, b"x")]
        return [*sent, await read_all(wire.client)]

    found = on_a_wire(body)
    assert found == ["sent", "ConnectionResetError", [(100, "ConnectionResetError")]]


def test_one_way_loses_the_acknowledgements_of_the_other() -> None:
    """What goes the other way arrives; its writer gives up nevertheless, unless it heals."""

    async def body(wire: Wire) -> list[Any]:
        wire.link.add(Blackhole(direction=DOWN, end=2000))
        sent = await send(wire.client, b"x" * 60)
        arrived = await read_for(wire.server, 1)
        return [sent, arrived, await send(wire.client, b"x" * 60), trio.current_time()]

    options = {"buffer_size": 100}
    found = on_a_wire(body, give_up_after=900, **options)
    assert found == ["sent", b"x" * 60, "TimeoutError", 900]
    found = on_a_wire(body, give_up_after=9000, **options)
    assert found == ["sent", b"x" * 60, "sent", 2000]


def test_bytes_on_their_way_vanish_too() -> None:
    """What would have arrived meanwhile is sent again after it, and is late as before."""

    async def body(wire: Wire) -> list[tuple[float, Any]]:
        await wire.server.send_all(b"a")
        await trio.sleep(0.25)
        wire.link.add(Blackhole(end=2))
        await wire.server.send_eof()
        return [(round(at, 6), what) for at, what in await read_all(wire.client)]

    # It began at 1.25, after the dial's round trip; 0.2, 0.6, 1.4 and 3.0 s later TCP tries.
    assert on_a_wire(body, Latency(delay=0.5)) == [(4.75, b"a"), (4.75, "EOF")]


def test_a_dial_gets_no_answer() -> None:
    """A dial is lost until the kernel gives up; healed, its next SYN gets through: 1, 3, 7 s."""
    assert dial(Blackhole()) == (127, "TimeoutError 110")
    assert dial(Blackhole(end=2)) == (3, "open")
    assert dial(Blackhole(direction=DOWN, end=3.5)) == (7, "open")


@pytest.mark.parametrize("direction", Direction)
def test_a_guard_finds_out_in_time(direction: Direction) -> None:
    """In either direction a guard finds its peer dead within `detection_bound`, and comes back."""

    async def body(world: World) -> tuple[list[Any], str]:
        await trio.sleep(200)
        return world.losses, world.ws.state.name

    losses, state = with_a_guard(body, Blackhole(direction=direction, start=20, end=70))
    assert losses[0][1] == "HEARTBEAT"
    assert losses[0][0] <= 20 + wsguard.GuardPolicy().detection_bound
    assert state == "CONNECTED"


def test_bad_settings() -> None:
    """Bad settings are refused by name and value."""
    wrong: Any = "up"
    with pytest.raises(PolicyError, match="direction='up': must be a Direction"):
        Blackhole(direction=wrong)


def test_what_it_did_not_meet_is_on_time() -> None:
    """Bytes that arrive after its end have not met it: they are not sent again."""

    async def body(wire: Wire) -> list[tuple[float, Any]]:
        await wire.server.send_all(b"a")
        wire.link.add(Blackhole(end=0.1))
        await wire.server.send_eof()
        return await read_all(wire.client)

    assert on_a_wire(body, Latency(delay=9)) == [(27, b"a"), (27, "EOF")]


def test_healed_in_time_nobody_gives_up() -> None:
    """A kernel that got its acknowledgement forgets that it ever waited."""

    async def body(wire: Wire) -> list[Any]:
        wire.link.add(Blackhole(end=5))
        await wire.client.send_all(b"a")
        await trio.sleep(100)
        return [await send(wire.client, b"b"), await read_for(wire.server, 1)]

    assert on_a_wire(body, give_up_after=10) == ["sent", b"ab"]


def test_an_answer_by_reset_is_repeated() -> None:
    """RST in answer to bytes vanishes too; the bytes are sent again, and it is given again."""

    async def body(wire: Wire) -> list[Any]:
        wire.link.add(Blackhole(direction=DOWN, end=50))
        await wire.server.send_all(b"dies with its host")
        wire.server.vanish()
        sent = [await send(wire.client, b"x"), await send(wire.client, b"x")]
        return [*sent, await read_all(wire.client)]

    assert on_a_wire(body) == ["sent", "sent", [(50, "ConnectionResetError")]]
