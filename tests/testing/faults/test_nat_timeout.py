"""NatTimeout: a router forgets an idle connection."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import trio_wsguard as wsguard
from trio_wsguard import PolicyError
from trio_wsguard.testing import NatTimeout

from ..wire import Wire, World, dial, on_a_wire, read_all, read_for, send, with_a_guard


def test_traffic_keeps_the_entry() -> None:
    """A connection that is never idle for so long works on, whichever way its bytes go."""

    async def body(wire: Wire) -> list[bytes]:
        for end in (wire.client, wire.server, wire.server, wire.client):
            await trio.sleep(9)
            await end.send_all(b"x")
        return [await read_for(wire.client, 1), await read_for(wire.server, 1)]

    assert on_a_wire(body, NatTimeout(idle=10)) == [b"xx", b"xx"]


def test_pushes_vanish_after_it() -> None:
    """What either end sends after it is accepted and never arrives."""

    async def body(wire: Wire) -> list[Any]:
        await trio.sleep(10)
        sent = [await send(wire.server, b"x"), await send(wire.client, b"x")]
        return [*sent, await read_for(wire.client, 500), await read_for(wire.server, 500)]

    assert on_a_wire(body, NatTimeout(idle=10), give_up_after=9999) == ["sent", "sent", b"", b""]


def test_with_reset_the_own_write_is_answered() -> None:
    """The client's next write succeeds and breaks the connection; the server is not told."""

    async def body(wire: Wire) -> list[Any]:
        await trio.sleep(10)
        await wire.server.send_all(b"lost")
        sent = [await send(wire.client, b"x"), await send(wire.client, b"x")]
        return [*sent, await read_all(wire.client), await read_for(wire.server, 500)]

    found = on_a_wire(body, NatTimeout(idle=10, reset=True))
    assert found == ["sent", "ConnectionResetError", [(10, "ConnectionResetError")], b""]


def test_ended_it_is_made_good() -> None:
    """When the fault ends, what vanished is sent again."""

    async def body(wire: Wire) -> list[bytes]:
        await trio.sleep(10)
        await wire.server.send_all(b"down")
        await wire.client.send_all(b"up")
        return [await read_for(wire.client, 50), await read_for(wire.server, 50)]

    assert on_a_wire(body, NatTimeout(idle=10, end=20)) == [b"down", b"up"]
    assert on_a_wire(body, NatTimeout(idle=10, end=5)) == [b"down", b"up"]
    assert dial(NatTimeout(idle=1)) == (0, "open")


@pytest.mark.parametrize(("reset", "kind"), [(False, "HEARTBEAT"), (True, "CLOSED")])
def test_a_guard_notices(reset: bool, kind: str) -> None:
    """Beats further apart than the router's memory lose the connection; closer ones keep it."""

    async def body(world: World) -> list[Any]:
        await trio.sleep(60)
        return world.losses

    fault = NatTimeout(idle=10, reset=reset)
    losses = with_a_guard(body, fault)
    assert losses[0][1] == kind
    assert losses[0][0] <= 10 + wsguard.GuardPolicy().detection_bound
    closer = wsguard.GuardPolicy(heartbeat=wsguard.HeartbeatPolicy(interval=9))
    assert with_a_guard(body, fault, policy=closer) == []


@pytest.mark.parametrize(
    ("settings", "problem"),
    [({"idle": 0}, "idle=0"), ({"idle": 1, "reset": None}, "reset=None")],
)
def test_bad_settings(settings: dict[str, Any], problem: str) -> None:
    """Bad settings are refused by name and value."""
    with pytest.raises(PolicyError, match=problem):
        NatTimeout(**settings)
