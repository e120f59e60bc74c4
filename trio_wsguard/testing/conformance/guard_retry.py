"""What must hold of a guard's attempts: when it dials again, and when it no longer does."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import attrs
import trio
import trio.lowlevel
from hypothesis import strategies as st

import trio_wsguard as wsguard
from trio_wsguard.testing import strategies
from trio_wsguard.testing.conformance.guard_states import Wish, grant, wishes, without_redirects
from trio_wsguard.testing.conformance.life import ELSEWHERE, World, open_life, policy_for
from trio_wsguard.testing.conformance.property import property_of
from trio_wsguard.testing.conformance.violation import expect
from trio_wsguard.testing.faults import Refuse
from trio_wsguard.testing.peer import Accept, Drop, Redirect, Reject, Script, Wait

if TYPE_CHECKING:
    from trio_wsguard.testing.conformance.run import Run

_S: Final = wsguard.ConnectionState
_SEEDS: Final = st.integers(0, 2**16)
_EPS: Final = 1e-6


def _plain_policies() -> st.SearchStrategy[wsguard.BackoffPolicy]:
    """Draw backoffs without jitter, the documented ones first."""
    linear = st.builds(
        wsguard.LinearBackoff, step=strategies.seconds(0.25, 20), cap=strategies.seconds(0.25, 60)
    )
    drawn = st.builds(wsguard.BackoffPolicy, closed=linear, network=linear, other=linear)
    return st.just(wsguard.BackoffPolicy()) | drawn


def _troubled_worlds() -> st.SearchStrategy[World]:
    scripts = st.lists(strategies.scripts(), min_size=1, max_size=4)
    return st.builds(
        World,
        scripts=scripts.map(tuple),
        faults=strategies.fault_plans(max_size=2).map(tuple),
        seed=_SEEDS,
    ).map(without_redirects)


@attrs.define
class _Model:
    """The documented bookkeeping of failures, in a few lines: what a guard must do.

    Attributes:
        policy: The settings.
        failures: Failures in a row.
    """

    policy: wsguard.GuardPolicy
    failures: int = 0
    _connected_at: float = 0.0

    def take(self, change: wsguard.StateChange) -> None:
        """Follow a change."""
        if change.state is _S.CONNECTED:
            self._connected_at = change.at
        if change.previous is _S.CONNECTED:
            lived = change.at - self._connected_at
            if lived >= self.policy.stable_after:
                self.failures = 0
        if change.state is _S.RECONNECTING and change.failure is not None:
            self.failures += 1

    def delay_after(self, failure: wsguard.Failure) -> float:
        """Tell the delay that must follow a failure that was taken."""
        return self.policy.backoff.delay(
            failure.kind, self.failures, retry_after=failure.retry_after
        )


@property_of("guard", rows=(12, 14, 34))
def it_waits_as_the_policy_says(run: Run) -> None:
    """Each wait is the policy's delay for the kind and number of failures in a row, to the second.

    The number falls back to 0 only by a connection that was CONNECTED for
    `stable_after` seconds.
    """

    async def check(world: World, backoff: wsguard.BackoffPolicy, stable_after: float) -> None:
        policy = policy_for(run, backoff=backoff, stable_after=stable_after)
        async with open_life(run, world, policy) as life:
            await trio.sleep(240)
            counted = life.ws.snapshot().connection_failures
        model = _Model(policy)
        last = life.changes[-1]  # of leaving, which counts nothing
        for change, following in pairwise(life.changes):
            model.take(change)
            if change.state is not _S.RECONNECTING or change.failure is None:
                continue
            delay = model.delay_after(change.failure)
            what = f"failure {model.failures} ({change.failure.kind.name}) is followed by"
            expect(change.retry_in == delay, f"{what} {change.retry_in} s, not {delay:g} s")
            if following is not last:
                waited = following.at - change.at
                expect(abs(waited - delay) < _EPS, f"{what} a dial after {waited:g} s")
        expect(
            counted in (model.failures, 0),
            f"the snapshot counts {counted} failures in a row, there were {model.failures}",
        )

    run.for_all(
        {
            "world": _troubled_worlds(),
            "backoff": _plain_policies(),
            "stable_after": st.just(5) | strategies.seconds(0, 30),
        },
        check,
        share=0.5,
    )


@property_of("guard", rows=(14,))
def a_handshake_is_not_health(run: Run) -> None:
    """Connections that live shorter than `stable_after` are failures in a row, up to FAILED."""

    async def check(life_time: float, stable_after: float, limit: int) -> None:
        if life_time >= stable_after:
            life_time, stable_after = stable_after - 0.25, life_time + 0.25
        policy = policy_for(run, stable_after=stable_after, max_connection_failures=limit)
        world = World(scripts=(Script(Accept(), Wait(life_time), Drop()),))
        async with open_life(run, world, policy) as life:
            with trio.move_on_after(limit * (life_time + 20)):
                await life.ws.wait_state(_S.FAILED)
            await life.settle()
            state = life.ws.state
            expect(state is _S.FAILED, f"after {len(life.losses)} losses it is {state.name}")
        connected = len(life.entered(_S.CONNECTED))
        expect(connected == limit, f"{connected} connections, the limit is {limit}")

    run.for_all(
        {
            "life_time": strategies.seconds(0, 20),
            "stable_after": strategies.seconds(0.25, 20),
            "limit": st.integers(1, 8),
        },
        check,
        share=0.5,
    )


@property_of("guard", rows=(15,))
def retry_after_is_kept(run: Run) -> None:
    """No dial comes before Retry-After is over, nor after its cap; nonsense counts as absent."""

    async def check(value: str, rejections: int) -> None:
        policy = policy_for(run)
        script = Script(Reject(503, {"Retry-After": value}))
        async with open_life(run, World(scripts=(script,)), policy) as life:
            await trio.sleep(310 * rejections)
        for change, dialed_at in zip(life.losses, life.dialed_at[1:], strict=False):
            _check_wait(value, dialed_at - change.at, policy)

    run.for_all(
        {"value": strategies.retry_after(), "rejections": st.integers(1, 4)}, check, share=0.5
    )


def _check_wait(value: str, waited: float, policy: wsguard.GuardPolicy) -> None:
    backoff = policy.backoff
    longest = max(backoff.max_retry_after, backoff.other.cap)
    expect(waited <= longest + _EPS, f"Retry-After {value!r}: it waited {waited:g} s")
    asked = float(value) if value.isascii() and value.isdigit() else 0.0
    least = min(asked, backoff.max_retry_after)
    expect(waited >= least - _EPS, f"Retry-After {value!r}: it waited only {waited:g} s")
    if not asked and ":" not in value:
        expect(waited <= backoff.other.cap + _EPS, f"Retry-After {value!r}: it waited {waited:g} s")


@property_of("guard", rows=(16,))
def no_storm(run: Run) -> None:
    """Whatever server and network do, two dials are the shortest delay of the policy apart."""

    async def check(world: World, backoff: wsguard.BackoffPolicy) -> None:
        policy = policy_for(run, backoff=backoff)
        async with open_life(run, world, policy) as life:
            await trio.sleep(300)
        shortest = min(one.delay(1) for one in (backoff.closed, backoff.network, backoff.other))
        for one, two in pairwise(life.dialed_at):
            expect(two - one >= shortest - _EPS, f"dials at {one:g} and {two:g} s")

    run.for_all({"world": _troubled_worlds(), "backoff": _plain_policies()}, check, share=0.4)


@property_of("guard", rows=(17,))
def wishes_act_at_once(run: Run) -> None:
    """In a backoff, `reconnect_now`, `disconnect` and `aclose` act without any time passing."""

    async def check(at: float, call: str) -> None:
        world = World(faults=(Refuse(end=10_000),))
        async with open_life(run, world) as life:
            await trio.sleep(at)
            await life.ws.wait_state(_S.RECONNECTING)
            began_at, dials = trio.current_time(), len(life.dialed_at)
            if call == "aclose":
                await life.ws.aclose()
            else:
                getattr(life.ws, call)()
                await life.ws.wait_state(*_reached_by(call))
            expect(trio.current_time() == began_at, f"{call} took time")
            await trio.lowlevel.checkpoint()
            if call != "reconnect_now":
                await trio.sleep(1000)
                expect(len(life.dialed_at) == dials, f"it dialed after {call}")

    calls = st.sampled_from(["reconnect_now", "disconnect", "aclose"])
    run.for_all({"at": strategies.seconds(0, 120), "call": calls}, check, share=0.5)


def _reached_by(call: str) -> tuple[wsguard.ConnectionState, ...]:
    return (_S.CONNECTING,) if call == "reconnect_now" else (_S.DISCONNECTED,)


@property_of("guard", rows=(17,))
def wishes_never_lengthen_a_wait(run: Run) -> None:
    """Nothing that a user asks for during a backoff makes the next dial later than announced."""

    async def check(asked: list[Wish]) -> None:
        async with open_life(run, World(faults=(Refuse(end=10_000),))) as life:
            await grant(life, [wish for wish in asked if wish.call != "disconnect"])
            await trio.sleep(60)
        for change, following in pairwise(life.changes):
            if change.state is _S.RECONNECTING and following.state is _S.CONNECTING:
                due = change.at + (change.retry_in or 0)
                late = following.at - due
                expect(late < _EPS, f"{late:g} s later than announced")

    run.for_all({"asked": wishes(run, at_most=120)}, check, share=0.5)


@property_of("guard", rows=(18,))
def jitter_spreads_guards(run: Run) -> None:
    """Guards with jitter and different seeds do not dial in one instant, nor beyond the cap."""

    async def check(seed: int) -> None:
        policy = wsguard.GuardPolicy.fleet()
        second: list[float] = []
        for number in range(4):
            world = World(faults=(Refuse(end=10_000),), seed=4 * seed + number)
            async with open_life(run, world, policy) as life:
                began_at = trio.current_time()
                while len(life.losses) < 4:
                    await life.ws.wait_state(_S.CONNECTING)
                    await life.ws.wait_state(_S.RECONNECTING)
            second.append(life.dialed_at[1] - began_at)
            for change in life.losses:
                delay = change.retry_in or 0
                expect(0 <= delay <= 60, f"a delay of {delay:g} s with a cap of 60 s")
        expect(len(set(second)) == len(second), f"second dials after {second}")

    run.for_all({"seed": _SEEDS}, check, share=0.2)


@property_of("guard")
def a_redirect_does_not_stick(run: Run) -> None:
    """Each attempt begins at the given URL again, and credentials do not follow to another host."""

    async def check(status: int, attempts: int) -> None:
        world = World(
            scripts=(Script(Redirect(f"ws://{ELSEWHERE}/", status)),),
            elsewhere=(Script(Accept(), Drop()),),
        )
        async with open_life(run, world, headers={"Authorization": "secret", "X-Id": "1"}) as life:
            with trio.move_on_after(100 * attempts):
                await life.elsewhere.wait_connections(attempts)
        here, there = life.peer.connections, life.elsewhere.connections
        expect(len(there) >= attempts, f"{len(there)} connections came to the other host")
        expect(len(here) >= len(there), f"{len(here)} of {len(there)} attempts began at the URL")
        for record in here:
            expect(record.headers.get("authorization") == "secret", "no credentials at the URL")
        for record in there:
            expect("authorization" not in record.headers, "the credentials went elsewhere")
            expect(record.headers.get("x-id") == "1", "other headers did not follow")

    statuses = st.sampled_from([302, 301, 303, 307, 308])
    run.for_all({"status": statuses, "attempts": st.integers(1, 4)}, check, share=0.2)


@property_of("guard")
def endpoints_are_tried_in_turn(run: Run) -> None:
    """Of several URLs the next one is tried after each failure, from the first on again."""

    async def check(count: int) -> None:
        targets: list[str] = []

        async def dial(target: wsguard.Target) -> trio.abc.Stream:
            await trio.lowlevel.checkpoint()
            targets.append(target.host)
            raise ConnectionRefusedError(111, "Connection refused")

        urls = [f"ws://host{number}/" for number in range(count)]
        async with open_life(run, World(), url=urls, dial=dial):
            await trio.sleep(300)
        wanted = [f"host{number % count}" for number in range(len(targets))]
        expect(len(targets) > count, f"{len(targets)} dials in 300 s")
        expect(targets == wanted, f"dialed {targets}")

    run.for_all({"count": st.integers(1, 5)}, check, share=0.05)
