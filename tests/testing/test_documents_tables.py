"""The documents' three tables, a row at a time: raised at the threshold, not below it, recovered.

Every row is met by a guard with the documented policy in a simulated network, and seen
as its user sees it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs
import pytest
import trio

import trio_wsguard as wsguard
from trio_wsguard.testing import SimulatedNetwork, run_simulation
from trio_wsguard.testing.peer import (
    Accept,
    AnswerBeats,
    Drop,
    IgnoreBeats,
    Push,
    Reject,
    Script,
    ScriptedPeer,
    Step,
    Wait,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")
KINDS: Final = wsguard.AnomalyKind
CONNECTED: Final = wsguard.ConnectionState.CONNECTED
RECONNECTING: Final = wsguard.ConnectionState.RECONNECTING
FAILED: Final = wsguard.ConnectionState.FAILED
WELL: Final = Script(Accept())
REFUSED: Final = Script(Reject(503))
# Beats are judged by their answers alone, so that a message in between proves nothing.
STRICT: Final = wsguard.GuardPolicy(
    heartbeat=wsguard.HeartbeatPolicy(traffic_is_life=False), max_connection_failures=None
)
ENDLESS: Final = wsguard.GuardPolicy(max_connection_failures=None)


@attrs.define(eq=False)
class Seen:
    """What a guard told, with seconds counted from its opening."""

    ws: wsguard.GuardedWebSocket
    events: list[tuple[float, wsguard.Event]] = attrs.field(factory=list)

    def anomalies(self, kind: wsguard.AnomalyKind) -> list[tuple[str, float]]:
        """Tell when an anomaly was raised and recovered."""
        return [
            ("raised" if isinstance(event, wsguard.Anomaly) else "recovered", at)
            for at, event in self.events
            if isinstance(event, wsguard.Anomaly | wsguard.Recovery) and event.kind is kind
        ]

    def alerts(self, name: str) -> list[str]:
        """Tell what became of an alert."""
        return [
            "raised" if isinstance(event, wsguard.AlertRaised) else "resolved"
            for _, event in self.events
            if isinstance(event, wsguard.Alert) and event.rule.name == name
        ]

    def changes(self) -> list[wsguard.StateChange]:
        """Tell the state changes."""
        return [event for _, event in self.events if isinstance(event, wsguard.StateChange)]


def live(
    watch: Callable[[Seen], Awaitable[T]],
    *scripts: Script,
    policy: wsguard.GuardPolicy = ENDLESS,
    **options: Any,
) -> T:
    """Open a guard that meets these scripts, one a connection, and watch it."""

    async def run() -> T:
        async with SimulatedNetwork(seed=1) as network:
            network.listen("feed.example:80", ScriptedPeer(*scripts))
            async with (
                wsguard.open_guarded_websocket(
                    "ws://feed.example/",
                    dial=network.dial,
                    policy=policy,
                    wait=False,
                    name="feed",
                    **options,
                ) as ws,
                ws.events() as events,
                trio.open_nursery() as nursery,
            ):
                seen, began = Seen(ws), trio.current_time()

                async def record() -> None:
                    async for event in events:
                        seen.events.append((trio.current_time() - began, event))

                nursery.start_soon(record)
                result = await watch(seen)
                nursery.cancel_scope.cancel()
        return result

    return run_simulation(run)


# --- the table of figures -----------------------------------------------------------


@pytest.mark.parametrize(
    ("figure", "default"),
    [
        ("connection_state", wsguard.ConnectionState.DISCONNECTED),
        ("connection_failures", 0),
        ("max_connection_failures", 5),
        ("last_message_received_time", 0.0),
        ("last_heartbeat_time", 0.0),
        ("last_heartbeat_response", 0.0),
        ("last_successful_connection", 0.0),
    ],
)
def test_figures_begin_as_documented(figure: str, default: object) -> None:
    """A guard that has done nothing yet shows the documents' defaults."""

    async def watch(seen: Seen) -> object:
        return getattr(seen.ws.snapshot(), figure)

    assert live(watch, WELL, policy=wsguard.GuardPolicy()) == default


def test_the_state_changed_last_when_it_was_opened() -> None:
    """`last_state_change_time` begins with the present time."""

    async def watch(seen: Seen) -> float:
        snapshot = seen.ws.snapshot()
        return snapshot.time - snapshot.last_state_change_time

    assert 0 <= live(watch, WELL) < 60


def test_figures_follow_what_happens() -> None:
    """After a failure, a connection, a beat and a message each figure has its time."""

    async def watch(seen: Seen) -> wsguard.Snapshot:
        await seen.ws.wait_state(RECONNECTING)
        assert seen.ws.snapshot().connection_failures == 1
        await seen.ws.wait_connected()
        await trio.sleep(16)
        return seen.ws.snapshot()

    told = live(watch, REFUSED, Script(Accept(), Wait(1), Push("news")))
    assert (told.connection_state, told.connection_failures) == (CONNECTED, 0)
    assert 0 < told.last_state_change_time == told.last_successful_connection
    assert told.last_successful_connection <= told.last_message_received_time
    assert told.last_message_received_time <= told.last_heartbeat_time
    assert told.last_heartbeat_time <= told.last_heartbeat_response <= told.time


# --- the table of anomalies ---------------------------------------------------------


@pytest.mark.parametrize(("missed", "is_lost"), [(2, False), (3, True)])
def test_three_failed_beats_end_the_heartbeat(missed: int, is_lost: bool) -> None:
    """Three beats in a row without an answer lose the connection, two do not."""
    script = Script(Accept(), AnswerBeats(skip=missed))

    async def watch(seen: Seen) -> Seen:
        await seen.ws.wait_connected()
        await trio.sleep(60)
        return seen

    seen = live(watch, script, WELL, policy=STRICT)
    lost = [change for change in seen.changes() if change.failure is not None]
    assert bool(lost) == is_lost
    if is_lost:
        assert lost[0].failure is not None
        assert lost[0].failure.kind is wsguard.FailureKind.HEARTBEAT
        assert lost[0].duration == pytest.approx(15 + 3 * 10)
    raised, recovered = seen.anomalies(KINDS.HEARTBEAT_LOST)[:2]
    assert raised[0] == "raised"
    assert raised[1] == pytest.approx(15 + 10)
    assert recovered[0] == "recovered", "by an answer, or by the next connection"


@pytest.mark.parametrize(("failures", "is_failed"), [(4, False), (5, True)])
def test_five_failures_in_a_row_are_failed(failures: int, is_failed: bool) -> None:
    """Five failed attempts end in FAILED, four do not; `reset` tries again."""

    async def watch(seen: Seen) -> list[str]:
        state = await seen.ws.wait_state(CONNECTED, FAILED)
        assert (state is FAILED) == is_failed
        assert seen.ws.snapshot().connection_failures == failures
        if is_failed:
            seen.ws.reset()
            await seen.ws.wait_connected()
        await trio.sleep(6)
        assert seen.ws.snapshot().connection_failures == 0
        return []

    live(watch, *[REFUSED] * failures, WELL, policy=wsguard.GuardPolicy())


@pytest.mark.parametrize(
    ("quiet", "told"),
    [
        (29.9, []),
        (30.1, [("raised", pytest.approx(30)), ("recovered", pytest.approx(30.1))]),
    ],
)
def test_thirty_seconds_without_a_message_are_silence(
    quiet: float, told: list[tuple[str, float]]
) -> None:
    """Silence is raised after 30 s, not a moment before, and is over with the next message."""
    script = Script(Accept(), Wait(quiet), Push("at last"), Wait(5), Push("again"))

    async def watch(seen: Seen) -> list[tuple[str, float]]:
        await seen.ws.wait_connected()
        await trio.sleep(quiet + 6)
        return seen.anomalies(KINDS.SILENCE)

    assert live(watch, script) == told


def test_silence_evaluates_the_health() -> None:
    """The health is looked at when silence begins: what it then is has been told."""

    async def watch(seen: Seen) -> wsguard.HealthStatus:
        await seen.ws.wait_connected()
        await trio.sleep(31)
        changes = [e for _, e in seen.events if isinstance(e, wsguard.HealthChange)]
        assert seen.anomalies(KINDS.SILENCE)
        return changes[-1].status

    # Two failures before it leave 80 points; an answer that takes 6 s leaves fewer.
    slow = Script(Accept(), AnswerBeats(delay=6))
    policy = attrs.evolve(ENDLESS, stable_after=1000)
    assert live(watch, REFUSED, REFUSED, slow, policy=policy) is wsguard.HealthStatus.DEGRADED


@pytest.mark.parametrize(
    ("delay", "told"), [(4.9, []), (5.1, [("raised", pytest.approx(20.0)), ("recovered", 35.0)])]
)
def test_an_answer_after_five_seconds_is_slow(delay: float, told: list[tuple[str, float]]) -> None:
    """A beat's answer is slow once 5 s are over; the next quick one is the recovery."""
    steps: list[Step] = [Accept(), AnswerBeats(delay=delay), Wait(25), AnswerBeats()]

    async def watch(seen: Seen) -> list[tuple[str, float]]:
        await seen.ws.wait_connected()
        await trio.sleep(50)
        return seen.anomalies(KINDS.SLOW_RESPONSE)

    found = live(watch, Script(*steps), policy=STRICT)
    assert [kind for kind, _ in found] == [kind for kind, _ in told]
    if found:
        assert found[0] == told[0]
        assert found[1][1] > 25


# --- the table of alerts ------------------------------------------------------------


def attempts(good: int, bad: int) -> list[Script]:
    """Give a server that refuses some attempts, and drops all connections but the last."""
    dropped = Script(Accept(), Wait(0.5), Drop())
    return [*[REFUSED] * bad, *[dropped] * (good - 1), WELL]


def quick(**settings: Any) -> wsguard.GuardPolicy:
    """Give a policy whose attempts all fall into one window."""
    delay = wsguard.LinearBackoff(step=1, cap=1)
    backoff = wsguard.BackoffPolicy(closed=delay, network=delay, other=delay)
    return attrs.evolve(ENDLESS, backoff=backoff, **settings)


@pytest.mark.parametrize(
    ("good", "bad", "told"),
    [(7, 3, []), (6, 4, ["raised", "resolved"]), (2, 2, []), (3, 2, ["raised", "resolved"])],
)
@pytest.mark.parametrize("name", ["connection_failure_rate", "connection_success_rate"])
def test_attempts_that_fail(name: str, good: int, bad: int, told: list[str]) -> None:
    """Above 30 % of failed attempts, so below 70 % of good ones, of at least 5, is an alert."""

    async def watch(seen: Seen) -> list[str]:
        await trio.sleep(400)
        return seen.alerts(name)

    assert live(watch, *attempts(good, bad), policy=quick()) == told


@pytest.mark.parametrize(("skip", "told"), [(0, []), (1, ["raised", "resolved"])])
def test_beats_that_fail(skip: int, told: list[str]) -> None:
    """Every second beat without an answer is above 20 %, and a CRITICAL alert; none is none."""
    manner = AnswerBeats(skip=skip)
    script = Script(Accept(), manner, Wait(120), AnswerBeats())

    async def watch(seen: Seen) -> list[str]:
        await trio.sleep(500)
        return seen.alerts("heartbeat_timeout_rate")

    assert live(watch, script, policy=STRICT) == told


@pytest.mark.parametrize(("good", "told"), [(4, []), (3, ["raised"])])
def test_one_beat_in_five_is_not_yet_too_many(good: int, told: list[str]) -> None:
    """20 % of failed beats are at the threshold, 25 % above it."""
    # A beat each 15 s; the one after a missed one comes at once, 10 s after that.
    first: list[Step] = [Wait(15 * good + 2), AnswerBeats(skip=1), Wait(20), AnswerBeats()]
    others: list[Step] = [Wait(15 * good - 10), AnswerBeats(skip=1), Wait(20), AnswerBeats()]

    async def watch(seen: Seen) -> list[str]:
        await trio.sleep(280)
        return seen.alerts("heartbeat_timeout_rate")[:1]

    assert live(watch, Script(Accept(), *first, *others * 5), policy=STRICT) == told


@pytest.mark.parametrize(("delay", "told"), [(4.9, []), (5.1, ["raised", "resolved"])])
def test_answers_slow_on_average(delay: float, told: list[str]) -> None:
    """A mean response time above 5 s is an alert, until quick answers bring it down."""
    script = Script(Accept(), AnswerBeats(delay=delay), Wait(120), AnswerBeats())

    async def watch(seen: Seen) -> list[str]:
        await trio.sleep(300)
        return seen.alerts("mean_response_time")

    assert live(watch, script, policy=STRICT) == told


def test_levels_and_advice_are_the_documents() -> None:
    """Two alerts warn, two are critical, and each says what to do."""
    levels = {rule.name: rule.level.value for rule in wsguard.DOCUMENTED_RULES}
    assert levels == {
        "connection_failure_rate": "warning",
        "heartbeat_timeout_rate": "critical",
        "connection_success_rate": "critical",
        "mean_response_time": "warning",
    }
    assert all(rule.advice for rule in wsguard.DOCUMENTED_RULES)


def test_without_answers_there_is_an_alert_before_there_is_a_loss() -> None:
    """A peer that ignores beats is CRITICAL once five have failed, over two connections."""

    async def watch(seen: Seen) -> list[str]:
        await trio.sleep(120)
        return seen.alerts("heartbeat_timeout_rate")

    assert live(watch, Script(Accept(), IgnoreBeats()), policy=STRICT) == ["raised"]
