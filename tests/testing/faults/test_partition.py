"""Partition: two hosts that do not reach each other."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from trio_wsguard import PolicyError
from trio_wsguard.testing import Partition

from ..wire import Wire, World, dial, on_a_wire, read_for, with_a_guard


def test_no_byte_goes_either_way_until_it_is_repaired() -> None:
    """Both ends hear nothing; repaired, what was sent arrives."""

    async def body(wire: Wire) -> list[bytes]:
        with wire.link.fault(Partition()):
            await wire.client.send_all(b"up")
            await wire.server.send_all(b"down")
            before = [await read_for(wire.client, 5), await read_for(wire.server, 5)]
        after = [await read_for(wire.client, 30), await read_for(wire.server, 30)]
        return before + after

    assert on_a_wire(body) == [b"", b"", b"down", b"up"]


def test_dials() -> None:
    """A dial gets no answer, or finds no network."""
    assert dial(Partition()) == (127, "TimeoutError 110")
    assert dial(Partition(end=0.5)) == (1, "open")
    assert dial(Partition(unreachable=True)) == (0, "OSError 101")


def test_a_guard_comes_back() -> None:
    """A guard is dead to its peer, fails to dial, and is back once the link is up."""

    async def body(world: World) -> list[Any]:
        await trio.sleep(200)
        return [*world.losses, world.ws.state.name]

    found = with_a_guard(body, Partition(unreachable=True, start=20, end=65))
    assert found == [(60, "HEARTBEAT"), (63, "NETWORK"), "CONNECTED"]


def test_bad_settings() -> None:
    """Bad settings are refused by name and value."""
    wrong: Any = 1
    with pytest.raises(PolicyError, match="unreachable=1: must be True or False"):
        Partition(unreachable=wrong)
