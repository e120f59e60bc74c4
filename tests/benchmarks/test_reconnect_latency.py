"""Reconnecting is measured from the cut, by a clock that all processes share."""

from __future__ import annotations

import itertools
import time

import pytest

from benchmarks import reconnect_latency
from benchmarks.cutter import DOWN
from benchmarks.framework import Context
from benchmarks.peers import BARE, FAST, GUARD, RAW, WS_ASYNCIO
from benchmarks.reconnect_latency import (
    DOCUMENTED,
    FAR,
    RECONNECT_LATENCY,
    RESET,
    RESTART,
    TLS,
    WAYS,
    Done,
    Stopwatch,
    measure,
    places,
    run,
)

from .doctored import is_behind_when_doctored

# Some peers leave sockets open after an abnormal end.
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


def test_every_peer_reconnects_in_every_case() -> None:
    """A peer whose loop does not come back would be a figure that is missing."""
    reconnect_latency.silence()
    with places() as find:
        for case in WAYS:
            for peer in RECONNECT_LATENCY.peers:
                if peer != DOCUMENTED and peer in Context(RECONNECT_LATENCY).wanted:
                    assert measure(peer, find(case), count=1, warm_up=1) > 0, (peer, case)


def test_a_round_trip_is_in_the_figure() -> None:
    """Reset, request and answer each cross a relay of 25 ms; SYN does not."""
    with places() as find:
        assert measure(RAW, find(FAR), count=1, warm_up=1) >= 75


def test_a_restart_counts_from_its_end() -> None:
    """The time in which nobody listens is no client's fault."""
    stopwatch = Stopwatch(1, 0)
    with pytest.raises(Done):
        stopwatch.note(repr(time.monotonic()))
    assert stopwatch.milliseconds < 1000 * DOWN
    with places() as find:
        assert measure(FAST, find(RESTART), count=1, warm_up=1) > 0


def test_a_stamp_of_an_earlier_peer_is_not_counted() -> None:
    """The first connection of a peer was cut for nobody."""
    before = time.monotonic()
    stopwatch = Stopwatch(1, 0)
    stopwatch.note("0.0")
    stopwatch.note(repr(before - 1))
    with pytest.raises(Done):
        stopwatch.note(repr(time.monotonic()).encode())


def test_warm_up_is_not_counted() -> None:
    """What is loaded at the first reconnect belongs to none."""
    stopwatch = Stopwatch(1, 1)
    stopwatch.note(repr(time.monotonic()))
    time.sleep(0.05)
    with pytest.raises(Done):
        stopwatch.note(repr(time.monotonic()))
    assert stopwatch.milliseconds < 50


def test_a_run_gives_a_sample_for_each_peer_case_and_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """The documents' loop is measured once in a smoke test, since it sleeps for seconds."""
    monkeypatch.setattr(reconnect_latency, "measure", lambda *_: 1.0)
    context = Context(RECONNECT_LATENCY, quick=True, peers=frozenset({RAW, GUARD, DOCUMENTED}))
    found = sorted((sample.peer, sample.case, sample.round) for sample in run(context))
    both = itertools.product((GUARD, RAW), WAYS, (0, 1))
    assert found == sorted([(DOCUMENTED, RESET, 0), *both])


@pytest.mark.parametrize("case", list(WAYS))
def test_a_slow_guard_is_behind(case: str) -> None:
    """Each claim can be lost."""
    for claim in RECONNECT_LATENCY.claims:
        if claim.case == case:
            assert is_behind_when_doctored(RECONNECT_LATENCY, claim)


def test_who_is_compared_with_whom() -> None:
    """The guard with a bare loop over the same library, the fast one with asyncio's, too."""
    pairs = {(claim.peer, claim.against) for claim in RECONNECT_LATENCY.claims}
    assert {(GUARD, BARE), (FAST, WS_ASYNCIO)} < pairs
    assert {claim.bound for claim in RECONNECT_LATENCY.claims} == {1.1}
    assert RECONNECT_LATENCY.floor == RAW
    assert TLS in {claim.case for claim in RECONNECT_LATENCY.claims}
