"""HandshakeDelay: a server that is slow to say its first word."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from trio_wsguard import PolicyError
from trio_wsguard.testing import HandshakeDelay

from ..wire import Wire, World, dial, on_a_wire, read_all, with_a_guard


async def talk(wire: Wire) -> list[Any]:
    await wire.client.send_all(b"?")
    heard = await wire.server.receive_some(), trio.current_time()
    await wire.server.send_all(b"a")
    await trio.sleep(5)
    await wire.server.send_all(b"b")
    await wire.server.send_eof()
    return [heard, await read_all(wire.client)]


def test_the_first_bytes_are_late() -> None:
    """What the client says arrives at once, the server's first word late, the rest in order."""
    assert on_a_wire(talk, HandshakeDelay(delay=3)) == [(b"?", 0), [(5, b"ab"), (5, "EOF")]]
    assert on_a_wire(talk, HandshakeDelay(delay=9)) == [(b"?", 0), [(9, b"ab"), (9, "EOF")]]


def test_a_server_that_has_spoken_is_on_time() -> None:
    """A connection on which the server has spoken before is left alone."""

    async def body(wire: Wire) -> list[Any]:
        await wire.server.send_all(b"a")
        wire.link.add(HandshakeDelay(delay=3))
        await wire.server.send_all(b"b")
        await wire.server.send_eof()
        return await read_all(wire.client)

    assert on_a_wire(body) == [(0, b"ab"), (0, "EOF")]


def test_a_guard_waits_as_long_as_its_policy_says() -> None:
    """A handshake within `open_timeout` succeeds late; a later one is given up."""

    async def body(world: World) -> list[Any]:
        await world.ws.wait_connected()
        return [trio.current_time(), *world.losses]

    assert dial(HandshakeDelay(delay=3)) == (0, "open")
    assert with_a_guard(body, HandshakeDelay(delay=19), wait=False) == [19]
    late = HandshakeDelay(delay=21, end=25)
    assert with_a_guard(body, late, wait=False) == [30, (20, "TIMEOUT")]


@pytest.mark.parametrize("delay", [0, -1])
def test_bad_settings(delay: Any) -> None:
    """Bad settings are refused by name and value."""
    with pytest.raises(PolicyError, match=f"delay={delay}"):
        HandshakeDelay(delay=delay)
