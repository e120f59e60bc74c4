"""Unreachable: no way to the host."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from trio_wsguard import PolicyError
from trio_wsguard.testing import Unreachable

from ..wire import World, dial, with_a_guard


def test_dials_fail_at_once() -> None:
    """A dial raises EHOSTUNREACH or ENETUNREACH in no time."""
    assert dial(Unreachable()) == (0, "OSError 113")
    assert dial(Unreachable(kind="network")) == (0, "OSError 101")


def test_a_guard_keeps_its_connection_and_waits_to_dial() -> None:
    """An open connection lives on; to a guard that dials it is a failure of the network."""

    async def stays(world: World) -> list[Any]:
        await trio.sleep(100)
        return world.losses

    async def dials(world: World) -> list[Any]:
        await world.ws.wait_connected()
        return [trio.current_time(), *world.losses]

    assert with_a_guard(stays, Unreachable(start=1)) == []
    assert with_a_guard(dials, Unreachable(end=5), wait=False) == [10, (0, "NETWORK")]


@pytest.mark.parametrize("kind", ["port", "", None, ["host"]])
def test_bad_settings(kind: Any) -> None:
    """Bad settings are refused by name and value."""
    with pytest.raises(PolicyError, match="must be one of host, network"):
        Unreachable(kind=kind)
