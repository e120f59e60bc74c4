"""DnsFailure: the name is not found."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from trio_wsguard import PolicyError
from trio_wsguard.testing import DnsFailure

from ..wire import World, dial, with_a_guard


def test_look_ups_fail_at_once() -> None:
    """A dial raises gaierror, for good or for now."""
    assert dial(DnsFailure()) == (0, "gaierror -2")
    assert dial(DnsFailure(kind="temporary")) == (0, "gaierror -3")


def test_a_stalled_resolver_holds_the_dial() -> None:
    """A dial waits, until the fault ends or the kernel gives up."""
    assert dial(DnsFailure(kind="stall", end=5)) == (7, "open")
    assert dial(DnsFailure(kind="stall")) == (127, "TimeoutError 110")


@pytest.mark.parametrize("host", ["10.0.0.1", "[::1]"])
def test_an_address_needs_no_look_up(host: str) -> None:
    """A dial by address is left alone."""
    assert dial(DnsFailure(), url=f"ws://{host}/") == (0, "open")


def test_a_guard_tries_again() -> None:
    """It is a failure of the network; a stalled look-up is bounded by `open_timeout`."""

    async def body(world: World) -> list[Any]:
        await world.ws.wait_connected()
        return [trio.current_time(), *world.losses]

    assert with_a_guard(body, DnsFailure(end=5), wait=False) == [10, (0, "NETWORK")]
    stall = DnsFailure(kind="stall", end=25)
    assert with_a_guard(body, stall, wait=False) == [30, (20, "TIMEOUT")]


def test_bad_settings() -> None:
    """Bad settings are refused by name and value."""
    wrong: Any = "gone"
    with pytest.raises(PolicyError, match="kind='gone': must be one of no_name, temporary, stall"):
        DnsFailure(kind=wrong)
