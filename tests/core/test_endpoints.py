"""Connects to one endpoint: paced, in order, and one probe for all while it is down."""

from __future__ import annotations

import math
import random
from itertools import pairwise
from typing import Any

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from trio_wsguard._core.backoff import LinearBackoff
from trio_wsguard._core.endpoints import (
    ConnectPolicy,
    Endpoint,
    Endpoints,
    Ticket,
    TicketState,
)
from trio_wsguard._errors import InternalError, PolicyError

ADDRESS = ("feed.example", 443)
HEAD_START = 8.0
TICK = 1 / 64  # with rates of powers of two, floats are exact
PROBES = LinearBackoff(step=2, cap=8)


@attrs.define(eq=False)
class Wish:
    """What the model knows of one ticket: who counts as having come when."""

    ticket: Ticket
    came: tuple[float, int]


class EndpointMachine(RuleBasedStateMachine):
    """An endpoint against plain lists, whatever is answered, refused or given up when."""

    @initialize(
        rate=st.sampled_from([1.0, 2.0, 8.0]),
        burst=st.integers(1, 4),
        slots=st.integers(1, 4),
        limit=st.integers(1, 3),
        jitter=st.sampled_from([0.0, 0.5, 1.0]),
        seed=st.integers(0, 100),
    )
    def open(
        self, rate: float, burst: int, slots: int, limit: int, jitter: float, seed: int
    ) -> None:
        self.policy = ConnectPolicy(
            max_connecting=slots,
            connect_rate=rate,
            burst=burst,
            head_start=HEAD_START,
            failure_limit=limit,
            probe_backoff=PROBES,
            release_jitter=jitter,
        )
        self.endpoint = Endpoint(ADDRESS, self.policy)
        self.rng = random.Random(seed)
        self.now = 100.0
        self.arrivals = 0
        self.waiting: list[Wish] = []
        self.connecting: list[Wish] = []
        self.gone: list[float] = []
        self.failing: set[str] = set()
        self.is_down = False
        self.probe: Wish | None = None
        self.probe_at = 0.0
        self.probes_failed = 0

    # --- what the model knows ----------------------------------------------------

    def take_turns(self) -> int:
        """Tick, and check that those who go are those who may."""
        going = self.endpoint.tick(self.now, self.rng)
        for ticket in going:
            first = min(self.waiting, key=lambda wish: wish.came)
            assert first.ticket is ticket, "not the first in line"
            assert ticket.state is TicketState.CONNECTING
            self.waiting.remove(first)
            self.connecting.append(first)
            self.gone.append(self.now)
            assert len(self.connecting) <= self.policy.max_connecting
            assert ticket.is_probe is self.is_down
            if self.is_down:
                assert self.probe is None, "two probes"
                assert self.now >= self.probe_at, "a probe too early"
                self.probe = first
        return len(going)

    def take_out(self, wish: Wish) -> bool:
        self.connecting.remove(wish)
        was_probe = self.probe is wish
        if was_probe:
            self.probe = None
        return was_probe

    def count(self, member: str, delay: float) -> None:
        if self.is_down:
            return
        self.failing.add(member)
        if len(self.failing) >= self.policy.failure_limit:
            self.is_down, self.probes_failed = True, 0
            self.probe_at = self.now + delay

    # --- what happens --------------------------------------------------------------

    @rule(member=st.sampled_from("abcdef"), priority=st.integers(-1, 2))
    def join(self, member: str, priority: int) -> None:
        self.arrivals += 1
        came = (self.now - priority * HEAD_START, self.arrivals)
        ticket = self.endpoint.join(self.now, member, priority)
        self.waiting.append(Wish(ticket, came))
        self.take_turns()

    @rule(ticks=st.integers(0, 200))
    def wait(self, ticks: int) -> None:
        self.now += ticks * TICK
        self.take_turns()

    @precondition(lambda self: self.endpoint.next_deadline() < math.inf)
    @rule()
    def wait_as_told(self) -> None:
        """Before the time told nobody goes; at that time somebody does."""
        deadline = self.endpoint.next_deadline()
        if deadline > self.now:
            self.now = math.nextafter(deadline, 0)
            assert self.take_turns() == 0
            self.now = deadline
        assert self.take_turns() >= 1

    @precondition(lambda self: self.connecting)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        wish = data.draw(st.sampled_from(self.connecting))
        self.take_out(wish)
        self.endpoint.answered(self.now, wish.ticket, self.rng)
        self.failing.clear()
        self.is_down, self.probe = False, None
        self.take_turns()

    @precondition(lambda self: self.connecting)
    @rule(data=st.data(), retry_after=st.sampled_from([0.0, 5.0, 1e9]))
    def fail(self, data: st.DataObject, retry_after: float) -> None:
        wish = data.draw(st.sampled_from(self.connecting))
        capped = min(retry_after, self.policy.max_retry_after)
        if self.take_out(wish):
            self.probes_failed += 1
            self.probe_at = self.now + max(PROBES.delay(self.probes_failed + 1), capped)
        else:
            self.count(wish.ticket.member, max(PROBES.delay(1), capped))
        self.endpoint.failed(self.now, wish.ticket, self.rng, retry_after)
        self.take_turns()

    @precondition(lambda self: self.connecting or self.waiting)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        wish = data.draw(st.sampled_from(self.connecting + self.waiting))
        self.endpoint.leave(wish.ticket)
        if wish in self.waiting:
            self.waiting.remove(wish)
        else:
            self.take_out(wish)
        self.endpoint.leave(wish.ticket)  # once more is nothing
        self.take_turns()

    @rule(member=st.sampled_from("abcdef"))
    def lose(self, member: str) -> None:
        self.count(member, 0.0)
        self.endpoint.lost(self.now, member)
        self.take_turns()

    @rule(member=st.sampled_from("abcdef"))
    def forget(self, member: str) -> None:
        self.endpoint.forget(member)
        if not self.is_down:
            self.failing.discard(member)

    # --- laws ------------------------------------------------------------------------

    @invariant()
    def figures_are_those_of_the_model(self) -> None:
        if not hasattr(self, "endpoint"):
            return
        figures = self.endpoint.figures()
        assert figures.waiting == len(self.waiting)
        assert figures.connecting == len(self.connecting)
        assert figures.is_down is self.is_down

    def teardown(self) -> None:
        """No window has too many; all who wait get their turn; no slot is missing then."""
        if not hasattr(self, "endpoint"):
            return
        while self.waiting or self.connecting:
            for wish in list(self.connecting):
                self.take_out(wish)
                self.endpoint.answered(self.now, wish.ticket, self.rng)
                self.failing.clear()
                self.is_down, self.probe = False, None
            deadline = self.endpoint.next_deadline()
            assert (deadline < math.inf) is bool(self.waiting)
            if self.waiting:
                self.now = max(self.now, deadline)
                assert self.take_turns()
        assert self.endpoint.figures().connecting == 0
        for first, start in enumerate(self.gone):
            for last in range(first, len(self.gone)):
                allowed = self.policy.burst + (self.gone[last] - start) * self.policy.connect_rate
                assert last - first + 1 <= allowed + 1e-9


TestEndpoint = EndpointMachine.TestCase
TestEndpoint.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


# --- told by example ------------------------------------------------------------------


def policy(**changes: Any) -> ConnectPolicy:
    changes.setdefault("probe_backoff", PROBES)
    return ConnectPolicy(**changes)


def test_one_member_that_keeps_failing_opens_nothing() -> None:
    """A member's own trouble, however often, is not the endpoint's."""
    endpoint, rng = Endpoint(ADDRESS, policy(failure_limit=2)), random.Random(0)
    for now in range(10):
        endpoint.join(now, "a")
        [ticket] = endpoint.tick(now, rng)
        endpoint.failed(now, ticket, rng)
    assert not endpoint.figures().is_down


def test_a_server_killed_is_seen_without_a_dial() -> None:
    """Connections lost by different members in a row open the breaker; a probe goes at once."""
    endpoint, rng = Endpoint(ADDRESS, policy(failure_limit=2)), random.Random(0)
    for member in "abc":
        endpoint.lost(1.0, member)
        endpoint.join(1.0, member)
    [change] = endpoint.take_changes()
    assert (change.is_down, change.failing, change.at) == (True, ("a", "b"), 1.0)
    [probe] = endpoint.tick(1.0, rng)
    assert probe.is_probe
    endpoint.answered(1.5, probe, rng)
    [change] = endpoint.take_changes()
    assert (change.is_down, change.failing, change.at) == (False, (), 1.5)
    assert endpoint.take_changes() == []


def test_probes_grow_rare_and_go_from_member_to_member() -> None:
    """Each probe is the next in line's, and waits longer than the one before."""
    endpoint, rng = Endpoint(ADDRESS, policy(failure_limit=1)), random.Random(0)
    endpoint.lost(0.0, "a")
    told = []
    for member in "abcdef":
        endpoint.join(0.0, member)
    for _ in range(5):
        now = endpoint.next_deadline()
        [probe] = endpoint.tick(now, rng)
        assert endpoint.next_deadline() == math.inf
        endpoint.failed(now, probe, rng)
        told.append((probe.member, now))
    assert told == [("a", 0.0), ("b", 4.0), ("c", 10.0), ("d", 18.0), ("e", 26.0)]
    assert endpoint.figures().probes_failed == 5


def test_important_members_do_not_starve_others() -> None:
    """A step of priority is a head start, and not a right to be always first."""
    slow = policy(connect_rate=1, burst=1, head_start=5)
    endpoint, rng = Endpoint(ADDRESS, slow), random.Random(0)
    patient = endpoint.join(0.0, "patient")
    served = 0
    for now in range(100):
        endpoint.join(float(now), f"important-{now}", priority=1)
        [ticket] = endpoint.tick(float(now), rng)
        endpoint.answered(float(now), ticket, rng)
        served += 1
        if ticket is patient:
            break
    assert served == 6  # it, and those that came less than five seconds after it


@pytest.mark.parametrize("jitter", [0.0, 0.3, 1.0])
def test_jitter_costs_no_rate(jitter: float) -> None:
    """Those released after an outage are spread, and are through when the rate dictates."""
    release = policy(connect_rate=100, burst=20, failure_limit=1, release_jitter=jitter)
    endpoint, rng = Endpoint(ADDRESS, release), random.Random(1)
    endpoint.lost(0.0, "probe")
    for number in range(1001):
        endpoint.join(0.0, str(number))
    [probe] = endpoint.tick(0.0, rng)
    endpoint.answered(0.0, probe, rng)
    gone = []
    while endpoint.figures().waiting:
        now = endpoint.next_deadline()
        for ticket in endpoint.tick(now, rng):
            gone.append(now)
            endpoint.answered(now, ticket, rng)
    steps = {round(after - before, 9) for before, after in pairwise(gone)}
    assert len(steps) > 500 if jitter else len(steps) <= 2
    assert 9.79 <= gone[-1] <= 9.85


def test_a_ticket_serves_once() -> None:
    """A ticket that is over can be given up again, but not used."""
    endpoint, rng = Endpoint(ADDRESS, policy()), random.Random(0)
    endpoint.join(0.0, "a")
    [ticket] = endpoint.tick(0.0, rng)
    endpoint.answered(0.0, ticket, rng)
    endpoint.leave(ticket)
    with pytest.raises(InternalError, match="twice"):
        endpoint.answered(0.0, ticket, rng)


def test_endpoints_are_apart() -> None:
    """One that is down holds up no other."""
    endpoints, rng = Endpoints(policy(failure_limit=1)), random.Random(0)
    dead, alive = ("dead", 1), ("alive", 1)
    endpoints.at(0.0, dead).lost(0.0, "x")
    for address in (dead, dead, alive, alive):
        endpoints.at(0.0, address).join(0.0, "m")
    assert endpoints.next_deadline() <= 0.0
    going = endpoints.tick(0.0, rng)
    assert [ticket.address for ticket in going] == [dead, alive, alive]
    assert endpoints.next_deadline() == math.inf
    assert [change.address for change in endpoints.take_changes()] == [dead]
    assert [figures.is_down for figures in endpoints.figures()] == [True, False]
    endpoints.forget("x")
    assert endpoints.at(0.0, dead).figures().is_down


def test_endpoints_at_rest_are_forgotten() -> None:
    """URLs that are new each time leave nothing behind; what failed is kept for an hour."""
    endpoints, rng = Endpoints(policy()), random.Random(0)
    for number in range(10_000):
        now = number * 1.0
        endpoint = endpoints.at(now, (f"host-{number}", 80))
        endpoint.join(now, "m")
        [ticket] = endpoint.tick(now, rng)
        if number % 100:
            endpoint.answered(now, ticket, rng)
        else:
            endpoint.failed(now, ticket, rng)
    assert len(endpoints) <= 200


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("max_connecting", 0),
        ("connect_rate", 0),
        ("burst", 0),
        ("head_start", -1),
        ("failure_limit", 0),
        ("probe_backoff", 5),
        ("release_jitter", 1.5),
        ("release_jitter", -1),
        ("max_retry_after", -1),
    ],
)
def test_settings_are_checked(setting: str, value: object) -> None:
    """A setting that makes no sense is refused by name."""
    settings: dict[str, Any] = {setting: value}
    with pytest.raises(PolicyError, match=setting):
        ConnectPolicy(**settings)
