"""Strategies: what they draw is legal, and shrinks to what a person can read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio
from hypothesis import find, given, settings
from hypothesis import strategies as st

import trio_wsguard as wsguard
from trio_wsguard.testing import SimulatedNetwork, run_simulation, strategies
from trio_wsguard.testing.peer import Accept, Script, ScriptedPeer

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from trio_wsguard.testing.faults import FaultPlan

QUIET = settings(database=None, max_examples=1000, deadline=None)


def smallest(strategy: SearchStrategy[Any], is_so: Any = lambda _: True) -> Any:
    return find(strategy, is_so, settings=QUIET)


@pytest.mark.parametrize(
    ("strategy", "shown"),
    [
        (strategies.seconds(), "0.0"),
        (strategies.messages(), "''"),
        (strategies.message_streams(), "[]"),
        (strategies.close_codes(), "1000"),
        (strategies.lossy_close_codes(), "1001"),
        (strategies.rejections(), "Reject(503, framed=False)"),
        (strategies.lost_connections(), "Script(Accept(), Wait(0.0), Drop())"),
        (strategies.refusals(), "Script(Drop())"),
        (strategies.dead_connections(), "Script(Accept(), Wait(0.0), Silence())"),
        (strategies.servers(), "(Script(Accept()),)"),
        (strategies.fault_plans(), "FaultPlan()"),
        (strategies.recoverable_faults(), "ResetPeer(end=0.25)"),
        (strategies.backoff_policies(), repr(wsguard.BackoffPolicy())),
        (strategies.heartbeat_policies(), repr(wsguard.HeartbeatPolicy())),
        (strategies.policies(), repr(wsguard.GuardPolicy(max_connection_failures=None))),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_the_smallest_example_reads_well(strategy: SearchStrategy[Any], shown: str) -> None:
    """Shrunk as far as it goes, an example is the shortest call that makes it."""
    assert repr(smallest(strategy)) == shown


def test_a_shrunk_plan_names_just_the_fault_that_matters() -> None:
    """Of a plan that must hold a late blackhole, one line is left, with round numbers."""
    plan = smallest(
        strategies.fault_plans(),
        lambda found: any("Blackhole" in repr(fault) and fault.start > 30 for fault in found),
    )
    assert repr(plan) == "FaultPlan(Blackhole(start=30.25, end=30.5))"


@given(strategies.statuses(), strategies.close_codes(), strategies.fault_plans())
def test_what_is_drawn_is_legal(status: int, code: int, plan: FaultPlan) -> None:
    """No status accepts, no close code is reserved, and every plan comes to its end."""
    assert 200 <= status <= 599
    assert code not in (1004, 1005, 1006, 1015)
    assert plan.quiet_from < 1000


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_guard_comes_back_from_what_is_to_be_come_back_from(data: st.DataObject) -> None:
    """After a refusal, a loss or a death that is drawn, a patient guard is CONNECTED again."""
    bad = data.draw(strategies.refusals() | strategies.lost_connections() | _deaths())

    async def live() -> None:
        async with SimulatedNetwork() as network:
            peer = ScriptedPeer(bad, Script(Accept()))
            network.listen("peer:80", peer)
            policy = wsguard.GuardPolicy(max_connection_failures=None)
            async with network.open_guard("ws://peer/", policy=policy, wait=False) as ws:
                with trio.fail_after(1000):
                    await peer.wait_connections(2)
                    await ws.wait_connected()

    run_simulation(live)


def _deaths() -> SearchStrategy[Script]:
    return strategies.dead_connections()


@given(strategies.exceptions(), strategies.dial_errors())
def test_exceptions_are_exceptions(error: Exception, dial_error: OSError) -> None:
    """What user code and dials raise is classified, whatever is drawn."""
    assert wsguard.classify(error).message
    assert wsguard.classify(dial_error).kind in (
        wsguard.FailureKind.NETWORK,
        wsguard.FailureKind.TIMEOUT,
        wsguard.FailureKind.CLOSED,
    )
