"""A dead peer is found, a live one is kept: measured at once for all."""

from __future__ import annotations

import math

import pytest

from benchmarks import detection, slow_consumer
from benchmarks.detection import BLOCKED, DETECTION, IDLE, PATIENT, PEERS, measure, run
from benchmarks.framework import Context, Sample, serve
from benchmarks.heartbeats import INTERVAL, TIMEOUT, policy
from benchmarks.peers import FAST, GUARD, WS_ASYNCIO, WS_TRIO
from benchmarks.reconnect_latency import silence
from benchmarks.slow_consumer import SLOW_CONSUMER

from .doctored import is_behind_when_doctored

# Peers that are left in the midst of it leave transports to the collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(autouse=True)
def _quiet() -> None:
    silence()


@pytest.mark.parametrize("is_sending", [False, True])
def test_all_are_watched_and_the_guard_is_told(is_sending: bool) -> None:
    """Those who are not told within the time get the time itself."""
    wanted = Context(DETECTION).wanted
    told = measure(wanted, is_sending=is_sending, delay=0.05, cap=4.0)
    assert set(told) == set(wanted)
    assert all(0 < seconds <= 4.0 for seconds in told.values())
    assert told[GUARD] < 4.0
    assert told[FAST] < 4.0
    assert told[PATIENT] >= 2 * TIMEOUT


def test_nobody_is_told_of_a_peer_that_answers() -> None:
    """The relay is what makes the peer dead, not the measurement."""
    with serve() as server:
        watching = detection.Watching(detection.url_of(server.port))
        watching.over.set()  # at once, but after it has connected
        detection.live(GUARD, watching)
    assert watching.ready.is_set()
    assert math.isinf(watching.told_at)


def test_all_have_the_same_heartbeat() -> None:
    """The guard's is built from the two numbers that the others are given."""
    heartbeat = policy().heartbeat
    assert (heartbeat.interval, heartbeat.response_timeout) == (INTERVAL, TIMEOUT)
    assert heartbeat.max_missed == 1
    assert heartbeat.detection_bound == INTERVAL + TIMEOUT
    assert policy(missed=3).heartbeat.max_missed == 3


def test_a_run_tells_who_was_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cap is not a measurement, and a note says so."""

    def measured(peers: tuple[str, ...], *, cap: float, **__: object) -> dict[str, float]:
        return {peer: cap if peer == WS_TRIO else 0.7 for peer in peers}

    monkeypatch.setattr(detection, "measure", measured)
    context = Context(DETECTION, quick=True, peers=frozenset({GUARD, WS_TRIO}))
    found = list(run(context))
    assert [(s.peer, s.case, s.value) for s in found] == [
        (GUARD, IDLE, 0.7),
        (WS_TRIO, IDLE, 4.0),
        (GUARD, BLOCKED, 0.7),
        (WS_TRIO, BLOCKED, 4.0),
    ]
    assert context.notes == [
        f"{WS_TRIO}, {case}: 4 s stand for not within 4 s" for case in (BLOCKED, IDLE)
    ]


def test_a_late_verdict_is_behind() -> None:
    """Both cases, both transports."""
    assert {(c.peer, c.case) for c in DETECTION.claims} == {
        (peer, case) for peer in (GUARD, FAST) for case in (IDLE, BLOCKED)
    }
    assert all(is_behind_when_doctored(DETECTION, claim) for claim in DETECTION.claims)
    assert DETECTION.peers == PEERS


@pytest.mark.parametrize("peer", SLOW_CONSUMER.peers)
def test_every_peer_is_asked_to_sleep(peer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it drops the connection is for the benchmark; here all answer yes or no."""
    if peer not in Context(SLOW_CONSUMER).wanted:
        pytest.skip("not installed")
    monkeypatch.setattr(slow_consumer, "BEATS_ASLEEP", 3)
    monkeypatch.setattr(slow_consumer, "READ_AFTER", 2000)
    with serve() as server:
        url = f"ws://127.0.0.1:{server.port}/push/1024"
        assert slow_consumer.measure(peer, url, scale=0.2) in (0.0, 1.0)


def test_a_run_asks_every_peer_whether_it_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that fails is reported, and keeps no claim."""

    def measured(peer: str, _url: str, _scale: float) -> float:
        if peer == FAST:
            raise OSError("no")
        return float(peer == WS_ASYNCIO)

    monkeypatch.setattr(slow_consumer, "measure", measured)
    context = Context(SLOW_CONSUMER, quick=True, peers=frozenset({GUARD, FAST, WS_ASYNCIO}))
    found = list(slow_consumer.run(context))
    case = slow_consumer.CASE
    assert found == [
        Sample(peer=GUARD, case=case, round=0, value=0.0),
        Sample(peer=WS_ASYNCIO, case=case, round=0, value=1.0),
    ]
    assert context.failed == {FAST}


def test_a_drop_is_behind() -> None:
    """Nought is claimed."""
    for claim in SLOW_CONSUMER.claims:
        assert is_behind_when_doctored(SLOW_CONSUMER, claim)
